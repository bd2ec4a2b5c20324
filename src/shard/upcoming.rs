//! The chunk that a reader comes to next, opened and read ahead while the one before is sent.

use std::rc::Rc;
use std::sync::Arc;

use futures::channel::oneshot;

use crate::io::BlockDevice;
use crate::model::ChunkRecord;
use crate::model::SessionId;
use crate::model::TimeRange;
use crate::runtime::TaskSet;
use crate::store::ChunkReader;
use crate::store::FetchError;

use super::filter::Filter;
use super::read_budget::ReadAccount;
use super::source;
use super::source::Source;

/// Where a chunk is and what is wanted of it.
pub struct Wanted {
    pub device: Rc<dyn BlockDevice>,
    pub session: SessionId,
    pub record: ChunkRecord,
    /// Its place in the order of arrival.
    pub order: u64,
    pub range: TimeRange,
    pub filter: Option<Arc<Filter>>,
}

impl Wanted {
    /// Opens the chunk: its sources, in the order of their rows.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn open(&self) -> Result<Vec<Source>, FetchError> {
        let chunk = Rc::new(ChunkReader::open(&self.device, self.session, &self.record).await?);
        let wanted = match &self.filter {
            Some(filter) => filter.wanted(&chunk).await?,
            None => None,
        };
        Ok(source::sources(&chunk, &self.record, self.order, &self.range, self.filter.as_ref(), wanted))
    }
}

/// A chunk on its way.
pub struct Upcoming {
    pub order: u64,
    sources: oneshot::Receiver<Result<Vec<Source>, FetchError>>,
}

impl Upcoming {
    /// Begins to open the chunk, and to fetch about `bytes_max` of its rows when there is memory to spare.
    pub fn begin(wanted: Wanted, bytes_max: usize, tasks: &TaskSet, account: &ReadAccount) -> Self {
        let order = wanted.order;
        let (sender, sources) = oneshot::channel();
        let (own, account) = (tasks.clone(), account.clone());
        tasks.push("open ahead", async move {
            let mut opened = wanted.open().await;
            if let Ok([source]) = opened.as_deref_mut() {
                source.read_ahead(bytes_max, &own, &account);
            }
            // A reader that is gone needs none of it.
            let _ = sender.send(opened);
        });
        Self { order, sources }
    }

    /// What opening brought; `None` when its task panicked, which has been logged.
    pub async fn sources(self) -> Option<Result<Vec<Source>, FetchError>> {
        self.sources.await.ok()
    }
}
