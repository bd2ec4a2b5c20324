//! What to do about an error of the operating system: it says what it refused, never why somebody meets it here.

use std::io;
use std::io::ErrorKind;

/// The error with what an operator can do about it. Meant for directories and files that the operator named.
pub fn with_remedy(cause: &io::Error) -> String {
    let remedy = match cause.kind() {
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "a part of this path is a file: name a directory",
        ErrorKind::NotFound => "it does not exist: check the spelling, or make it",
        ErrorKind::PermissionDenied => "it belongs to another user: run as that one, or change its owner or mode",
        ErrorKind::ReadOnlyFilesystem => {
            "its file system is mounted read-only: mount it for writing, or name another place"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "there is no space left: delete recordings, or name another place"
        }
        _ => return cause.to_string(),
    };
    format!("{cause}; {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_helped_is_told() {
        let text = with_remedy(&io::Error::from_raw_os_error(30));
        assert!(text.contains("os error 30") && text.contains("mounted read-only"), "{text}");
        let text = with_remedy(&io::Error::from_raw_os_error(20));
        assert!(text.contains("is a file"), "{text}");
        assert_eq!(with_remedy(&io::Error::other("odd")), "odd");
    }
}
