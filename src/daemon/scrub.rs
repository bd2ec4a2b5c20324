//! Reading again what is stored, for as long as the server runs: a disk that loses bytes says nothing until they are read.
//!
//! A pass looks at the catalog's own file a table at a time, then at every session: its chunks, and its manifest held against the
//! catalog. Where it is and what it found lies in `scrub.json` beside the catalog, so that a restart goes on and `tessera status`
//! can tell; a crash loses a minute of it at most. What is found is logged and becomes a notification of the topic or sequence.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::OpenStore;
use crate::catalog::Visibility;
use crate::config::ScrubConfig;
use crate::io::now;
use crate::io::wall_ns;
use crate::model::ChunkRecord;
use crate::model::Notification;
use crate::model::NotificationTarget;
use crate::model::SessionHead;
use crate::model::SessionId;
use crate::model::SessionState;
use crate::model::TimeRange;
use crate::model::TopicHead;
use crate::session::verify_manifest;
use crate::shard::ScrubRequest;
use crate::shard::ShardError;
use crate::shard::Shards;
use crate::store::FetchError;

pub use state::Finding;
pub use state::SCRUB_FILE;
pub use state::ScrubState;
pub use state::Scrubbed;

mod state;

/// Sessions and segments asked for at a time.
const PAGE: u32 = 64;

/// How often the position is kept.
const KEEP: Duration = Duration::from_secs(60);

/// Before an error of the catalog or of a device is tried again.
const PAUSE: Duration = Duration::from_secs(60);

/// How often it looks whether the next pass is due.
const LOOK: Duration = Duration::from_secs(60 * 60);

const DAY_S: u64 = 24 * 60 * 60;

/// The slowest pace: a small archive is done in minutes, and left alone for the rest of the period.
const BYTES_PER_S_MIN: u64 = 1 << 20;

/// What helps against a damaged catalog.
const REMEDY: &str = "with the server stopped, `tessera catalog rebuild` makes the catalog again from the files";

pub struct Scrub {
    catalog: Arc<dyn Catalog>,
    store: OpenStore,
    shards: Shards,
    config: ScrubConfig,
    directory: PathBuf,
    state: ScrubState,
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
        let state = ScrubState::read(directory).unwrap_or_default();
        Self { catalog, store, shards, config, directory: directory.to_owned(), state, kept: now() }
    }

    /// One pass in each period, until it is dropped.
    pub async fn run(mut self) {
        if self.config.period_days == 0 {
            return;
        }
        let period = Duration::from_secs(self.config.period_days.saturating_mul(DAY_S));
        loop {
            let wait = self.state.wait(period, wall_ns());
            if !wait.is_zero() {
                // Not to its end at once: the clock may be set meanwhile.
                tokio::time::sleep(wait.min(LOOK)).await;
                continue;
            }
            match self.pass().await {
                Ok(done) if done.chunks > 0 => tracing::info!(
                    chunks = done.chunks,
                    bytes = done.bytes,
                    manifests = done.manifests,
                    damaged = done.damaged,
                    "everything stored was read again"
                ),
                Ok(_) => {}
                Err(ShardError::Stopped) => return,
                Err(error) => {
                    tracing::warn!(%error, "reading again what is stored goes on in a minute");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// From where the last one ended to the end.
    ///
    /// # Errors
    /// [`ShardError`]; the next one goes on from there.
    pub async fn pass(&mut self) -> Result<Scrubbed, ShardError> {
        let pace = self.pace().await?;
        self.state.begin();
        if !self.state.catalog {
            self.catalog_file().await?;
            self.state.catalog = true;
        }
        loop {
            let before = self.state.session.saturating_sub(i64::from(self.state.chunks > 0));
            let page = self.store.sessions_after(before, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for (number, session) in page {
                let skip = if number == self.state.session { self.state.chunks } else { 0 };
                self.session(number, session, skip, pace).await?;
                self.state.at(number, 0);
                self.keep(KEEP);
            }
        }
        let done = self.state.end();
        self.keep(Duration::ZERO);
        Ok(done)
    }

    /// The catalog's own pages and references, a table at a time: nobody waits long for a reader of it.
    async fn catalog_file(&mut self) -> Result<(), ShardError> {
        let tables = match self.store.tables().await {
            Err(error) => return self.found_in_catalog("list of tables", error),
            Ok(tables) => tables,
        };
        for table in tables {
            match self.store.check_table(table.clone()).await {
                Err(error) => self.found_in_catalog(&table, error)?,
                Ok(damage) => damage.into_iter().for_each(|line| self.tell_catalog(&table, &line)),
            }
        }
        Ok(())
    }

    /// # Errors
    /// What is no damage.
    fn found_in_catalog(&mut self, part: &str, error: CatalogError) -> Result<(), ShardError> {
        match error {
            CatalogError::NotFound { .. } => Ok(()), // deleted meanwhile
            CatalogError::Corrupt { .. } => {
                self.tell_catalog(part, &error.to_string());
                Ok(())
            }
            other => Err(other.into()),
        }
    }

    fn tell_catalog(&mut self, part: &str, why: &str) {
        tracing::error!(part, why, "the catalog is damaged: {REMEDY}");
        self.state.current.found("catalog", part, &format!("{why}; {REMEDY}"));
    }

    async fn session(
        &mut self,
        number: i64,
        session: SessionId,
        skip: u64,
        bytes_per_s: u64,
    ) -> Result<(), ShardError> {
        let view = match self.catalog.session(session).await {
            Ok(view) => view,
            Err(error) => return self.found_in_catalog(&format!("session {session}"), error),
        };
        let mut seen = 0;
        for topic in &view.topics {
            let (head, mut cursor) = (&topic.head, None);
            loop {
                let page = match self.catalog.segments(head.id, TimeRange::ALL, cursor, PAGE).await {
                    Ok(page) => page,
                    Err(error) => {
                        self.found_in_catalog(&format!("topic {}", head.name), error)?;
                        break;
                    }
                };
                for segment in page.items {
                    let records = match self.catalog.directory(segment.key).await {
                        Ok(records) => records,
                        Err(error) => {
                            self.found_in_catalog(&format!("topic {}", head.name), error)?;
                            continue;
                        }
                    };
                    for record in records {
                        seen += 1;
                        if seen <= skip {
                            continue;
                        }
                        self.chunk(session, head, record, bytes_per_s).await?;
                        self.state.at(number, seen);
                        self.keep(KEEP);
                    }
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        if view.head.state == SessionState::Final {
            self.manifest(&view.head).await?;
        }
        Ok(())
    }

    async fn chunk(
        &mut self,
        session: SessionId,
        topic: &TopicHead,
        record: ChunkRecord,
        bytes_per_s: u64,
    ) -> Result<(), ShardError> {
        let ChunkRecord { chunk, bounds, file_bytes, .. } = record;
        self.state.current.chunks += 1;
        self.state.current.bytes += file_bytes;
        let why = match self.shards.scrub(ScrubRequest { session, record, bytes_per_s }).await {
            Ok(Ok(())) => return Ok(()),
            // No word about what it holds: it goes on from here in a while.
            Ok(Err(error @ FetchError::NotNow { .. })) => return Err(ShardError::Io(error.to_string())),
            Ok(Err(error)) => error.to_string(),
            // Somebody left it out: it is looked at when it is there again.
            Err(ShardError::DeviceMissing(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        // A topic that was deleted meanwhile has no damage.
        if self.catalog.topic_by_id(topic.id, Visibility::All).await.is_err() {
            return Ok(());
        }
        let (name, part) = (&topic.name, format!("chunk {chunk}"));
        tracing::error!(topic = %name, %chunk, why, "a stored chunk is damaged: reading it says DATA_LOSS");
        self.state.current.found(&name.to_string(), &part, &why);
        let message = format!("rows from {} to {} are damaged on the disk: {why}", bounds.first, bounds.last);
        self.note(NotificationTarget::Topic(name.clone()), &chunk.to_string(), message).await;
        Ok(())
    }

    /// The manifest of a final session, held against the catalog.
    async fn manifest(&mut self, head: &SessionHead) -> Result<(), ShardError> {
        let (session, name) = (head.id, &head.sequence_name);
        let why = match self.shards.read_manifest(session).await {
            Ok(bytes) => match self.catalog.sequence(name, Visibility::All).await {
                Ok(sequence) => verify_manifest(&*self.catalog, &sequence, session, &bytes).await.err(),
                Err(error) => return self.found_in_catalog(&format!("sequence {name}"), error),
            }
            .map(|error| error.to_string()),
            Err(error @ ShardError::Io(_)) => Some(error.to_string()),
            Err(ShardError::DeviceMissing(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.state.current.manifests += 1;
        let Some(why) = why else { return Ok(()) };
        // A session that was deleted meanwhile has none.
        if self.catalog.session(session).await.is_err() {
            return Ok(());
        }
        tracing::error!(sequence = %name, %session, why, "the manifest of a session is damaged: the catalog alone knows it");
        self.state.current.found(&name.to_string(), &format!("manifest of session {session}"), &why);
        let message = format!(
            "the manifest of session {session} is damaged on the disk: {why}. Everything can be read, while the catalog is whole: it \
             could not be made again from the files"
        );
        self.note(NotificationTarget::Sequence(name.clone()), &session.to_string(), message).await;
        Ok(())
    }

    /// Notes damage with its topic or sequence, once.
    ///
    /// * `id`: what is damaged; a part of the message.
    async fn note(&self, target: NotificationTarget, id: &str, message: String) {
        let told = self.catalog.notifications(&target).await.unwrap_or_default();
        if told.iter().any(|notification| notification.message.contains(id)) {
            return;
        }
        if let Err(error) = self.catalog.notify(&target, Notification { message, created_at_ns: wall_ns() }).await {
            tracing::warn!(?target, %error, "the damage could not be noted");
        }
    }

    /// Bytes a second that bring everything in one period.
    async fn pace(&self) -> Result<u64, ShardError> {
        if self.config.bytes_per_s > 0 {
            return Ok(self.config.bytes_per_s);
        }
        let rooms = self.shards.measure().await?;
        let used: u64 = rooms.iter().map(|room| room.space.total.saturating_sub(room.space.free)).sum();
        let seconds = self.config.period_days.saturating_mul(DAY_S).max(1);
        Ok((used / seconds).max(BYTES_PER_S_MIN))
    }

    /// Keeps the position when that is longer ago.
    fn keep(&mut self, age: Duration) {
        if self.kept.elapsed() < age {
            return;
        }
        self.kept = now();
        if let Err(error) = self.state.write(&self.directory) {
            tracing::debug!(%error, "the position of the scrub is not kept: a restart repeats some of it");
        }
    }
}

impl Drop for Scrub {
    fn drop(&mut self) {
        self.keep(Duration::ZERO);
    }
}
