//! Where things lie in a data directory. Every name is made by us: fixed words and hexadecimal ids, nothing of a client.
//!
//! ```text
//! <data directory>/
//!   LOCK                                  held by the running daemon
//!   DEVICE                                the directory's id, 32 hexadecimal digits and a line end
//!   DEVICES                               which data directories belong together
//!   START                                 the last start that wrote here: see `daemon::starts`
//!   trial-<shard>                         for a moment, where files failed: see `store::Directory`
//!   SHARED                                which shared catalog has the names of what lies here: see `daemon::shared`
//!   catalog/                              the embedded catalog (first data directory only)
//!   chunks/<session id>/<chunk id>.part      being written, or committed and not renamed yet
//!   chunks/<session id>/<chunk id>.parquet   committed
//!   touched/<session id>/                 an empty directory: a start has to look into the session's directory
//!   manifests/<session id>.json           what a finalized session consists of (first data directory only)
//!   manifests/<session id>.deleted        a tombstone: it was deleted, and its files may still be there
//!   manifests/<session id>.deleted-topics/<topic id>   the same of one topic of a session that lives
//!   lost/                                 whole chunk files that no record knows, and manifests that a rebuilt catalog has no
//!                                         place for; never removed by the server
//! ```

use std::io;
use std::path::Path;
use std::path::PathBuf;

use uuid::Uuid;

use crate::model::ChunkId;
use crate::model::SessionId;
use crate::model::ShardIndex;
use crate::model::TopicId;

pub const DEVICE_FILE: &str = "DEVICE";
pub const DEVICES_FILE: &str = "DEVICES";
pub const START_FILE: &str = "START";
pub const SHARED_FILE: &str = "SHARED";
pub const CATALOG_DIRECTORY: &str = "catalog";
pub const CHUNKS_DIRECTORY: &str = "chunks";
pub const MANIFESTS_DIRECTORY: &str = "manifests";
pub const LOST_DIRECTORY: &str = "lost";
pub const TOUCHED_DIRECTORY: &str = "touched";

const TOMBSTONE_SUFFIX: &str = ".deleted";
const TOPICS_SUFFIX: &str = ".deleted-topics";

/// Every directory that the server makes in a data directory.
pub const DIRECTORIES: [&str; 5] =
    [CATALOG_DIRECTORY, CHUNKS_DIRECTORY, MANIFESTS_DIRECTORY, LOST_DIRECTORY, TOUCHED_DIRECTORY];

/// The two names a chunk's file can have. The id decides; the suffix is for people and glob patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suffix {
    Part,
    Parquet,
}

impl Suffix {
    fn as_str(self) -> &'static str {
        match self {
            Self::Part => "part",
            Self::Parquet => "parquet",
        }
    }
}

/// `chunks/<session id>`.
pub fn session_directory(session: SessionId) -> PathBuf {
    Path::new(CHUNKS_DIRECTORY).join(session.to_string())
}

/// `chunks/<session id>/<chunk id>.<suffix>`.
pub fn chunk_file(session: SessionId, chunk: ChunkId, suffix: Suffix) -> PathBuf {
    session_directory(session).join(format!("{chunk}.{}", suffix.as_str()))
}

/// What a shard makes and removes to see whether files can be made.
pub fn trial_file(shard: ShardIndex) -> PathBuf {
    PathBuf::from(format!("trial-{}", shard.0))
}

/// `manifests/<session id>.json`.
pub fn manifest_file(session: SessionId) -> PathBuf {
    Path::new(MANIFESTS_DIRECTORY).join(format!("{session}.json"))
}

/// What [`manifest_file`] is called while it is written: `manifests/<session id>.json.tmp`.
pub fn manifest_draft(session: SessionId) -> PathBuf {
    Path::new(MANIFESTS_DIRECTORY).join(format!("{session}.json.tmp"))
}

/// What a small file is called while it is written.
pub fn draft(path: &Path) -> PathBuf {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".tmp");
    draft.into()
}

/// `manifests/<session id>.deleted`.
pub fn session_tombstone(session: SessionId) -> PathBuf {
    Path::new(MANIFESTS_DIRECTORY).join(format!("{session}{TOMBSTONE_SUFFIX}"))
}

/// `manifests/<session id>.deleted-topics`.
pub fn topic_tombstones(session: SessionId) -> PathBuf {
    Path::new(MANIFESTS_DIRECTORY).join(format!("{session}{TOPICS_SUFFIX}"))
}

/// `manifests/<session id>.deleted-topics/<topic id>`.
pub fn topic_tombstone(session: SessionId, topic: TopicId) -> PathBuf {
    topic_tombstones(session).join(topic.to_string())
}

/// `touched/<session id>`.
pub fn mark(session: SessionId) -> PathBuf {
    Path::new(TOUCHED_DIRECTORY).join(session.to_string())
}

/// `lost/<chunk id>.parquet`, or `lost/<chunk id>.<nth>.parquet` from the second file of a chunk on.
pub fn lost_file(chunk: ChunkId, nth: u32) -> PathBuf {
    let name = if nth == 1 { format!("{chunk}.parquet") } else { format!("{chunk}.{nth}.parquet") };
    Path::new(LOST_DIRECTORY).join(name)
}

/// `lost/<session id>.json`.
pub fn lost_manifest(session: SessionId) -> PathBuf {
    Path::new(LOST_DIRECTORY).join(format!("{session}.json"))
}

/// Reads the name of a manifest's draft; `None` for every other name in `manifests/`.
pub fn parse_manifest_draft(name: &str) -> Option<SessionId> {
    parse_id(name.strip_suffix(".json.tmp")?).map(SessionId)
}

/// Reads the name of a manifest; `None` for every other name in `manifests/`.
pub fn parse_manifest_file(name: &str) -> Option<SessionId> {
    parse_id(name.strip_suffix(".json")?).map(SessionId)
}

/// Reads the name of a session's tombstone; `None` for every other name in `manifests/`.
pub fn parse_session_tombstone(name: &str) -> Option<SessionId> {
    parse_id(name.strip_suffix(TOMBSTONE_SUFFIX)?).map(SessionId)
}

/// Reads the name of the directory of a session's deleted topics; `None` for every other name in `manifests/`.
pub fn parse_topic_tombstones(name: &str) -> Option<SessionId> {
    parse_id(name.strip_suffix(TOPICS_SUFFIX)?).map(SessionId)
}

/// Reads the name of a topic's tombstone in the directory of its session's.
pub fn parse_topic_tombstone(name: &str) -> Option<TopicId> {
    parse_id(name).map(TopicId)
}

/// Says what was tried on which path: errors of the system name neither.
pub fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> io::Error + 'a {
    move |error| io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}

/// Reads the name of a session's directory; `None` for a name we never give.
pub fn parse_session_directory(name: &str) -> Option<SessionId> {
    parse_id(name).map(SessionId)
}

/// Reads the name of a chunk's file; `None` for a name we never give.
pub fn parse_chunk_file(name: &str) -> Option<(ChunkId, Suffix)> {
    let (id, suffix) = name.split_once('.')?;
    let suffix = [Suffix::Part, Suffix::Parquet].into_iter().find(|s| s.as_str() == suffix)?;
    Some((ChunkId(parse_id(id)?), suffix))
}

/// Only the one spelling that we write: 32 lower-case digits.
fn parse_id(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (id.as_simple().to_string() == text).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_ids_and_foreign_names_do_not() {
        let (session, chunk) = (SessionId(Uuid::from_u128(1)), ChunkId(Uuid::from_u128(2)));
        let path = chunk_file(session, chunk, Suffix::Part);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(parse_chunk_file(name), Some((chunk, Suffix::Part)));
        for foreign in ["x.part", "00000000000000000000000000000002.PART", "README", ".parquet", "2.parquet"] {
            assert_eq!(parse_chunk_file(foreign), None, "{foreign}");
        }
        assert_eq!(parse_session_directory("00000000-0000-0000-0000-000000000001"), None);
        assert_eq!(parse_manifest_draft(&format!("{session}.json.tmp")), Some(session));
        for other in [&*format!("{session}.json"), "notes.json.tmp"] {
            assert_eq!(parse_manifest_draft(other), None, "{other}");
        }
    }
}
