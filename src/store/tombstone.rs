//! What was deleted, said beside the manifests: so that a catalog which is lost before the purge and made again from the files
//! does not bring it back.
//!
//! | step | what                                                        | a crash after it, and a lost catalog             |
//! |------|-------------------------------------------------------------|--------------------------------------------------|
//! | 1    | the catalog commits the deletion                            | it is there again: no delete was answered        |
//! | 2    | the tombstone is made durable; of a session that is final   | it is not brought back, and what is left of its  |
//! |      | by giving its manifest that name                            | files is removed                                 |
//! | 3    | the answer                                                  | the same                                         |
//! | 4    | the files are removed, durably                              | the same                                         |
//! | 5    | the tombstone is removed, then the catalog's                | nothing is left                                  |
//!
//! So a tombstone is always true. A rename takes no room, so a full disk refuses no delete of a final session.

use std::io;
use std::path::Path;

use crate::io::BlockDevice;
use crate::io::failpoint;
use crate::model::SessionId;
use crate::model::TopicId;

use super::path;
use super::path::failed;
use super::retention::gone_is_fine;

/// Another topic's tombstone may take the directory along while it is being used, this often at most.
const ATTEMPTS: u32 = 100;

/// Says that a session was deleted. Durable on return; its manifest and a draft of it are gone.
///
/// # Errors
/// Whatever the device says; may be repeated.
pub async fn bury_session(device: &dyn BlockDevice, session: SessionId) -> io::Result<()> {
    let (draft, manifest) = (path::manifest_draft(session), path::manifest_file(session));
    gone_is_fine(device.unlink(&draft).await).map_err(failed("removing", &draft))?;
    let tombstone = path::session_tombstone(session);
    match device.rename(&manifest, &tombstone).await {
        // It was never final, or an earlier attempt ended before its sync: which writing it again makes up for.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            device.write_small(&tombstone, Vec::new()).await.map_err(failed("writing", &tombstone))
        }
        renamed => {
            renamed.map_err(failed("renaming", &manifest))?;
            failpoint("delete: manifest renamed");
            sync(device).await
        }
    }
}

/// Says that a topic of a session that lives was deleted. Durable on return.
///
/// # Errors
/// Whatever the device says; may be repeated.
pub async fn bury_topic(device: &dyn BlockDevice, session: SessionId, topic: TopicId) -> io::Result<()> {
    let (place, tombstone) = (path::topic_tombstones(session), path::topic_tombstone(session, topic));
    for attempt in 1.. {
        device.make_directory(&place).await.map_err(failed("making", &place))?;
        match device.write_small(&tombstone, Vec::new()).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {}
            written => {
                written.map_err(failed("writing", &tombstone))?;
                break;
            }
        }
    }
    sync(device).await
}

/// The files of a session that was deleted are gone: so goes its tombstone, with those of its topics.
///
/// # Errors
/// Whatever the device says; may be repeated.
pub async fn forget_session(device: &dyn BlockDevice, session: SessionId) -> io::Result<()> {
    let place = path::topic_tombstones(session);
    match device.names(&place).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        names => {
            for entry in names.map_err(failed("listing", &place))? {
                let tombstone = place.join(&entry.name);
                gone_is_fine(device.unlink(&tombstone).await).map_err(failed("removing", &tombstone))?;
            }
            gone_is_fine(device.remove_directory(&place).await).map_err(failed("removing", &place))?;
        }
    }
    unlink(device, &path::session_tombstone(session)).await?;
    sync(device).await
}

/// The files of a topic that was deleted are gone: so goes its tombstone.
///
/// # Errors
/// Whatever the device says; may be repeated.
pub async fn forget_topic(device: &dyn BlockDevice, session: SessionId, topic: TopicId) -> io::Result<()> {
    let place = path::topic_tombstones(session);
    unlink(device, &path::topic_tombstone(session, topic)).await?;
    let changed = match device.remove_directory(&place).await {
        // Others are deleted, too.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => &*place,
        removed => {
            gone_is_fine(removed).map_err(failed("removing", &place))?;
            Path::new(path::MANIFESTS_DIRECTORY)
        }
    };
    gone_is_fine(device.sync_directory(changed).await).map_err(failed("syncing", changed))
}

/// Removes a tombstone, and what a crash may have left of an attempt to write it.
async fn unlink(device: &dyn BlockDevice, tombstone: &Path) -> io::Result<()> {
    for path in [path::draft(tombstone), tombstone.to_owned()] {
        gone_is_fine(device.unlink(&path).await).map_err(failed("removing", &path))?;
    }
    Ok(())
}

async fn sync(device: &dyn BlockDevice) -> io::Result<()> {
    let place = Path::new(path::MANIFESTS_DIRECTORY);
    device.sync_directory(place).await.map_err(failed("syncing", place))
}
