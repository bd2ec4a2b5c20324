//! A file for people: under its name only once it is whole, and never in place of another.

use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use super::host::Host;

/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// A file that is being written beside where it belongs. Dropped before [`Self::finish`], it is removed.
///
/// A killed command leaves `<name>.part`; the next one writes over it.
pub struct NewFile {
    path: PathBuf,
    part: PathBuf,
    host: Host,
    /// `None` once it has its name.
    file: Option<BufWriter<File>>,
}

impl NewFile {
    /// With the directories above it.
    ///
    /// # Errors
    /// `AlreadyExists` with the way out; what making directories and files says, with the path.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let (host, part) = (Host::default(), PathBuf::from(format!("{}.part", path.display())));
        refuse_existing(&host, path)?;
        let at = |error| named(path, error);
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            host.make_directories(parent).map_err(at)?;
        }
        let file = BufWriter::with_capacity(BUFFER_BYTES, host.create_report(&part).map_err(at)?);
        Ok(Self { path: path.to_owned(), part, host, file: Some(file) })
    }

    /// Syncs what was written and gives it its name; its bytes.
    ///
    /// # Errors
    /// `AlreadyExists` when somebody was faster; what the disk says, with the path.
    pub fn finish(mut self) -> io::Result<u64> {
        let path = self.path.clone();
        let at = |error| named(&path, error);
        let file = self.open().and_then(|file| file.flush().map(|()| file.get_ref())).map_err(at)?;
        file.sync_all().map_err(at)?;
        let bytes = file.metadata().map_err(at)?.len();
        refuse_existing(&self.host, &self.path)?;
        self.host.rename(&self.part, &self.path).map_err(at)?;
        self.file = None;
        Ok(bytes)
    }

    fn open(&mut self) -> io::Result<&mut BufWriter<File>> {
        self.file.as_mut().ok_or_else(|| io::Error::other("it is finished"))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.open()?.write(bytes);
        written.map_err(|error| named(&self.path, error))
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.open()?.flush();
        flushed.map_err(|error| named(&self.path, error))
    }
}

impl Seek for NewFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.open()?.seek(to)
    }

    /// Without emptying the buffer.
    fn stream_position(&mut self) -> io::Result<u64> {
        self.open()?.stream_position()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Whatever failed is on its way to the user already.
            let _ = self.host.remove_file(&self.part);
        }
    }
}

fn refuse_existing(host: &Host, path: &Path) -> io::Result<()> {
    match host.exists(path).map_err(|error| named(path, error))? {
        false => Ok(()),
        true => {
            let message = format!("{} is there already: remove it, or name another", path.display());
            Err(io::Error::new(io::ErrorKind::AlreadyExists, message))
        }
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b.png");
        let mut new = NewFile::begin(&path).unwrap();
        new.write_all(b"whale").unwrap();
        new.seek(SeekFrom::Start(2)).unwrap();
        new.write_all(b"o").unwrap();
        assert!(!path.exists());
        assert_eq!(new.finish().unwrap(), 5);
        assert_eq!(fs::read(&path).unwrap(), b"whole");

        let refused = NewFile::begin(&path).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert!(refused.to_string().contains("b.png is there already"), "{refused}");

        let other = directory.path().join("c.png");
        drop(NewFile::begin(&other).unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);

        let new = NewFile::begin(&other).unwrap();
        fs::write(&other, b"somebody else's").unwrap();
        assert!(new.finish().is_err());
        assert_eq!(fs::read(&other).unwrap(), b"somebody else's");
        assert!(NewFile::begin(&path.join("below a file")).err().unwrap().to_string().contains("below a file"));
    }
}
