//! Writing to a pipe, a terminal or a socket that perhaps nobody reads.

use std::fs::File;
use std::io;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use std::time::Instant;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::fstat;
use rustix::fs::open;
use rustix::io::Errno;

/// Bytes that a pipe or a socket which takes more takes without blocking: a page. A terminal takes fewer: see [`unblocked`].
const PIECE_BYTES: usize = 4096;

/// A pipe or a terminal, opened once more so that no write to it ever blocks.
pub struct Unblocked(File);

impl Write for &Unblocked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Unblocked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The same pipe or terminal once more. `None` for what cannot be opened again, and for files, which never block like that.
pub fn unblocked(out: &impl AsFd) -> Option<Unblocked> {
    let kind = FileType::from_raw_mode(fstat(out).ok()?.st_mode);
    let may_stall = matches!(kind, FileType::Fifo | FileType::CharacterDevice);
    let again = format!("/proc/self/fd/{}", out.as_fd().as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    may_stall.then(|| open(again, flags, Mode::empty()).ok()).flatten().map(|again| Unblocked(again.into()))
}

/// Writes while it takes more, and waits for that at most `patience` in all. Returns how many bytes it took: not all of them when
/// nobody reads.
///
/// # Errors
/// Those of writing, after which as good as nothing was taken.
pub fn offer(bytes: &[u8], out: &mut (impl Write + AsFd), patience: Duration) -> io::Result<usize> {
    let (mut left, began) = (bytes, Instant::now());
    while !left.is_empty() && takes_more(out, patience.saturating_sub(began.elapsed())) {
        let piece = left.get(..PIECE_BYTES).unwrap_or(left);
        match out.write(piece) {
            Ok(0) => break,
            Ok(taken) => left = left.get(taken..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A terminal that says otherwise.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && began.elapsed() < patience => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(bytes.len() - left.len())
}

/// Whether it takes something now, or within `patience`. What cannot be asked does.
fn takes_more(out: &impl AsFd, patience: Duration) -> bool {
    let mut asked = [PollFd::new(out, PollFlags::OUT)];
    let patience = Timespec::try_from(patience).ok();
    loop {
        match poll(&mut asked, patience.as_ref()) {
            Err(Errno::INTR) => {}
            other => return other.map_or(true, |ready| ready > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_full_pipe_takes_no_more_until_somebody_reads() {
        let (mut from, mut to) = io::pipe().unwrap();
        let offered = vec![7; 1 << 20];
        let held = offer(&offered, &mut to, Duration::ZERO).unwrap();
        assert!((PIECE_BYTES..offered.len()).contains(&held), "{held}");
        // What is left of a page is less than a piece: only who never blocks fills it.
        let again = unblocked(&to).unwrap();
        let rest = offer(&offered, &mut &again, Duration::ZERO).unwrap();
        assert_eq!(offer(&offered, &mut &again, Duration::ZERO).unwrap(), 0);
        from.read_exact(&mut vec![0; held + rest]).unwrap();
        assert_eq!(offer(b"more", &mut to, Duration::ZERO).unwrap(), 4);
    }

    #[test]
    fn a_file_is_not_opened_again() {
        assert!(unblocked(&tempfile::tempfile().unwrap()).is_none());
    }
}
