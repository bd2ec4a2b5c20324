//! Reading again what is stored, for as long as the server runs: a disk that loses bytes says nothing until they are read.
//!
//! Where it is lies in `scrub.json` beside the catalog, so that a restart goes on; a crash loses a minute of it at most, and a
//! file that cannot be read begins anew. What is found is logged and becomes a notification of the topic.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use serde::Deserialize;
use serde::Serialize;

use crate::catalog::Catalog;
use crate::catalog::OpenStore;
use crate::catalog::Visibility;
use crate::config::ScrubConfig;
use crate::io::Host;
use crate::io::now;
use crate::io::wall_ns;
use crate::model::ChunkRecord;
use crate::model::Notification;
use crate::model::NotificationTarget;
use crate::model::SessionId;
use crate::model::TimeRange;
use crate::model::TopicId;
use crate::model::TopicName;
use crate::shard::ScrubRequest;
use crate::shard::ShardError;
use crate::shard::Shards;

/// Sessions and segments asked for at a time.
const PAGE: u32 = 64;

/// How often the position is kept.
const KEEP: Duration = Duration::from_secs(60);

/// Between two passes, and before an error of the catalog or of a device is tried again.
const PAUSE: Duration = Duration::from_secs(60);

/// The slowest pace: a small archive is done in minutes.
const BYTES_PER_S_MIN: u64 = 1 << 20;

const POSITION_FILE: &str = "scrub.json";
const POSITION_BYTES_MAX: u64 = 4096;

/// How far the pass is: behind this many chunks of the session with this number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
struct Position {
    session: i64,
    chunks: u64,
}

/// What one pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    pub chunks: u64,
    pub bytes: u64,
    pub damaged: u64,
}

pub struct Scrub {
    catalog: Arc<dyn Catalog>,
    store: OpenStore,
    shards: Shards,
    config: ScrubConfig,
    directory: PathBuf,
    position: Position,
    kept: Instant,
}

impl Scrub {
    /// * `directory`: of the catalog.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        store: OpenStore,
        shards: Shards,
        config: ScrubConfig,
        directory: &Path,
    ) -> Self {
        let read = Host::default().read_small(&directory.join(POSITION_FILE), POSITION_BYTES_MAX).ok();
        let position = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { catalog, store, shards, config, directory: directory.to_owned(), position, kept: now() }
    }

    /// One pass after the other, until it is dropped.
    pub async fn run(mut self) {
        if self.config.period_days == 0 {
            return;
        }
        loop {
            match self.pass().await {
                Ok(done) if done.chunks > 0 => tracing::info!(
                    chunks = done.chunks,
                    bytes = done.bytes,
                    damaged = done.damaged,
                    "everything stored was read again"
                ),
                Ok(_) => {}
                Err(ShardError::Stopped) => return,
                Err(error) => tracing::warn!(%error, "reading again what is stored goes on in a minute"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// From where the last one ended to the end.
    ///
    /// # Errors
    /// [`ShardError`]; the next one goes on from there.
    pub async fn pass(&mut self) -> Result<Scrubbed, ShardError> {
        let (mut done, pace) = (Scrubbed::default(), self.pace().await?);
        loop {
            let before = self.position.session.saturating_sub(i64::from(self.position.chunks > 0));
            let page = self.store.sessions_after(before, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for (number, session) in page {
                let skip = if number == self.position.session { self.position.chunks } else { 0 };
                self.session(number, session, skip, pace, &mut done).await?;
                self.position = Position { session: number, chunks: 0 };
                self.keep(KEEP);
            }
        }
        self.position = Position::default();
        self.keep(Duration::ZERO);
        Ok(done)
    }

    async fn session(
        &mut self,
        number: i64,
        session: SessionId,
        skip: u64,
        bytes_per_s: u64,
        done: &mut Scrubbed,
    ) -> Result<(), ShardError> {
        let mut seen = 0;
        let Ok(view) = self.catalog.session(session).await else { return Ok(()) }; // deleted meanwhile
        for topic in view.topics {
            let mut cursor = None;
            loop {
                let Ok(page) = self.catalog.segments(topic.head.id, TimeRange::ALL, cursor, PAGE).await else { break };
                for segment in page.items {
                    for record in self.catalog.directory(segment.key).await.unwrap_or_default() {
                        seen += 1;
                        if seen <= skip {
                            continue;
                        }
                        done.chunks += 1;
                        done.bytes += record.file_bytes;
                        let request = ScrubRequest { session, record: record.clone(), bytes_per_s };
                        match self.shards.scrub(request).await {
                            Ok(Ok(())) => {}
                            Ok(Err(error)) => {
                                let at = (topic.head.id, &topic.head.name);
                                done.damaged += u64::from(self.tell(at, &record, &error.to_string()).await);
                            }
                            // Somebody left it out: it is looked at when it is there again.
                            Err(ShardError::DeviceMissing(_)) => {}
                            Err(error) => return Err(error),
                        }
                        self.position = Position { session: number, chunks: seen };
                        self.keep(KEEP);
                    }
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Returns whether it was damage: a topic that was deleted meanwhile has none.
    async fn tell(&self, (topic, name): (TopicId, &TopicName), record: &ChunkRecord, why: &str) -> bool {
        if self.catalog.topic_by_id(topic, Visibility::All).await.is_err() {
            return false;
        }
        tracing::error!(topic = %name, chunk = %record.chunk, why, "a stored chunk is damaged: reading it says DATA_LOSS");
        let target = NotificationTarget::Topic(name.clone());
        let told = self.catalog.notifications(&target).await.unwrap_or_default();
        let id = record.chunk.to_string();
        if !told.iter().any(|notification| notification.message.contains(&id)) {
            let (first, last) = (record.bounds.first, record.bounds.last);
            let message = format!("rows from {first} to {last} are damaged on the disk: {why}");
            if let Err(error) = self.catalog.notify(&target, Notification { message, created_at_ns: wall_ns() }).await {
                tracing::warn!(topic = %name, %error, "the damage could not be noted with its topic");
            }
        }
        true
    }

    /// Bytes a second that bring everything in one period.
    async fn pace(&self) -> Result<u64, ShardError> {
        if self.config.bytes_per_s > 0 {
            return Ok(self.config.bytes_per_s);
        }
        let rooms = self.shards.measure().await?;
        let used: u64 = rooms.iter().map(|room| room.space.total.saturating_sub(room.space.free)).sum();
        let seconds = self.config.period_days.saturating_mul(24 * 60 * 60).max(1);
        Ok((used / seconds).max(BYTES_PER_S_MIN))
    }

    /// Keeps the position when that is longer ago.
    fn keep(&mut self, age: Duration) {
        if self.kept.elapsed() < age {
            return;
        }
        self.kept = now();
        let written = serde_json::to_vec(&self.position).map_err(std::io::Error::from);
        let written = written.and_then(|bytes| Host::default().write_small(&self.directory, POSITION_FILE, &bytes));
        if let Err(error) = written {
            tracing::debug!(%error, "the position of the scrub is not kept: a restart repeats some of it");
        }
    }
}

impl Drop for Scrub {
    fn drop(&mut self) {
        self.keep(Duration::ZERO);
    }
}
