//! Whether somebody reads what we write to a pipe, a terminal or a socket.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;

/// Bytes that one which takes more takes without blocking: a page of a pipe.
pub const PIECE_BYTES: usize = 4096;

/// Whether it takes a piece now, or within `patience`. What cannot be asked does.
pub fn takes_more(out: &impl AsFd, patience: Duration) -> bool {
    let mut asked = [PollFd::new(out, PollFlags::OUT)];
    let patience = Timespec::try_from(patience).ok();
    poll(&mut asked, patience.as_ref()).map_or(true, |ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_full_pipe_takes_no_more_until_somebody_reads() {
        let (mut from, mut to) = std::io::pipe().unwrap();
        let mut held = 0;
        while takes_more(&to, Duration::ZERO) {
            to.write_all(&[0; PIECE_BYTES]).unwrap();
            held += PIECE_BYTES;
        }
        assert!(held >= PIECE_BYTES);
        std::io::Read::read_exact(&mut from, &mut vec![0; held]).unwrap();
        assert!(takes_more(&to, Duration::ZERO));
    }
}
