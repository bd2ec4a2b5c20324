//! Directories against the catalog: what a start must look at before anything is served, and what may be looked at later.

use std::io;

use futures::StreamExt;
use futures::TryStreamExt;
use futures::stream;

use crate::catalog::CatalogError;
use crate::catalog::FileCursor;
use crate::catalog::OpenStore;
use crate::catalog::Standing;
use crate::io::BlockDevice;
use crate::io::failpoint;
use crate::model::DeviceNumber;
use crate::model::SessionId;

use super::path;
use super::path::failed;
use super::recovery;
use super::recovery::Depth;
use super::recovery::Listing;
use super::recovery::Moment;
use super::report::RecoveryReport;
use super::touched;

/// Sessions that a start looks at side by side.
const LOOKS_AT_ONCE: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Brings a data directory in line with the catalog as far as a crash can have put it out of line: in the sessions that were
/// being written. Before anything writes into it.
///
/// Costs a listing of names for each of those sessions, and their records where one of their files is a `.part`; nothing for
/// what was finalized. A few listings are held at a time, and records come in pages.
///
/// # Errors
/// [`LookError`]; nothing is half-done that another run would not finish.
pub async fn recover(
    device: &dyn BlockDevice,
    number: DeviceNumber,
    open: &OpenStore,
) -> Result<RecoveryReport, LookError> {
    recovery::prepare(device).await?;
    let (sessions, depth) = match touched::touched(device).await? {
        Some(touched) => (touched, Depth::Parts),
        None => (touched::stored(device).await?.0, Depth::Whole),
    };
    let mut report = RecoveryReport::default();
    let looks = sessions.into_iter().map(|session| async move {
        let found = look(device, number, open, session, depth, Moment::Start).await?;
        found.tell(session);
        Ok::<_, LookError>(found)
    });
    // Side by side: a sync of a directory takes milliseconds, and the disk takes several at once.
    let mut looks = stream::iter(looks).buffer_unordered(LOOKS_AT_ONCE);
    while let Some(found) = looks.try_next().await? {
        report.add(found);
    }
    if depth == Depth::Whole {
        touched::begin_marks(device).await?;
    }
    Ok(report)
}

/// The end of a session's writing: its files get their last names, and the next start need not look at them.
///
/// # Errors
/// [`LookError`]; may be repeated.
pub async fn settle(
    device: &dyn BlockDevice,
    number: DeviceNumber,
    open: &OpenStore,
    session: SessionId,
) -> Result<(), LookError> {
    look(device, number, open, session, Depth::Parts, Moment::Serving).await.map(drop)
}

/// Looks at every file of a session. What is told as damage was seen twice: between the look at the directory and that at
/// the catalog a chunk may be committed or deleted.
///
/// # Errors
/// [`LookError`].
pub async fn audit(
    device: &dyn BlockDevice,
    number: DeviceNumber,
    open: &OpenStore,
    session: SessionId,
) -> Result<RecoveryReport, LookError> {
    let mut found = look(device, number, open, session, Depth::Whole, Moment::Serving).await?;
    if found.is_damage() {
        let again = look(device, number, open, session, Depth::Whole, Moment::Serving).await?;
        found.missing.retain(|chunk| again.missing.contains(chunk));
        found.wrong_length.retain(|chunk| again.wrong_length.contains(chunk));
        found.longer.retain(|chunk| again.longer.contains(chunk));
    }
    found.tell(session);
    Ok(found)
}

/// Removes the drafts of manifests whose session is gone. Of an open session one may be being written; those that a crash
/// left, `Sessions::recover` removes.
///
/// # Errors
/// [`LookError`].
pub async fn remove_drafts(device: &dyn BlockDevice, open: &OpenStore) -> Result<(), LookError> {
    for session in recovery::drafts(device).await? {
        if open.standing(session).await? == Standing::Unknown {
            let draft = path::manifest_draft(session);
            device.unlink(&draft).await.map_err(failed("removing", &draft))?;
        }
    }
    Ok(())
}

async fn look(
    device: &dyn BlockDevice,
    number: DeviceNumber,
    open: &OpenStore,
    session: SessionId,
    depth: Depth,
    moment: Moment,
) -> Result<RecoveryReport, LookError> {
    // In this order: see `recovery`.
    let mut listing = Listing::take(device, number, session, depth).await?;
    let standing = open.standing(session).await?;
    if standing == Standing::Deleted {
        // Its purge takes the mark along.
        return Ok(RecoveryReport::default());
    }
    let mut next = listing.needs_records().then(FileCursor::default);
    while let Some(from) = next {
        let page = open.files(session, from).await?;
        page.files.iter().for_each(|file| listing.note(file));
        next = page.next;
    }
    let report = listing.settle(standing, moment).await?;
    // An audit leaves marks alone: it does not sync what it only read.
    if depth == Depth::Parts && (moment == Moment::Start || standing != Standing::Open) {
        touched::unmark(device, session).await?;
        failpoint("recover: mark removed");
    }
    Ok(report)
}
