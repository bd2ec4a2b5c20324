//! A catalog in a directory of its own, and short ways to put something into it.

use std::future::Future;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use futures::executor::block_on;
use tempfile::TempDir;
use tessera::catalog::Catalog;
use tessera::catalog::CatalogError;
use tessera::catalog::EmbeddedCatalog;
use tessera::catalog::EmbeddedConfig;
use tessera::catalog::NewSequence;
use tessera::catalog::NewSession;
use tessera::catalog::NewTopic;
use tessera::catalog::OpenStore;
use tessera::catalog::PutEnd;
use tessera::catalog::PutOutcome;
use tessera::model::ChunkId;
use tessera::model::ChunkRecord;
use tessera::model::DeviceNumber;
use tessera::model::IdSource;
use tessera::model::OntologyTag;
use tessera::model::SequenceHead;
use tessera::model::SequenceId;
use tessera::model::SequenceName;
use tessera::model::SerializationFormat;
use tessera::model::SessionHead;
use tessera::model::SessionId;
use tessera::model::ShardIndex;
use tessera::model::Statistics;
use tessera::model::TimeBounds;
use tessera::model::TokenDigest;
use tessera::model::TopicHead;
use tessera::model::TopicId;
use tessera::model::TopicName;
use tessera::model::UserMetadata;

/// Opens the catalog of a directory, new or as it was left.
pub type Make = fn(&Path) -> Subject;

pub struct Subject {
    pub catalog: Arc<dyn Catalog>,
    pub open: OpenStore,
}

pub fn embedded(directory: &Path) -> Subject {
    let catalog = EmbeddedCatalog::open(&EmbeddedConfig::default(), &directory.join("catalog.sqlite")).unwrap();
    Subject { open: catalog.open_store(), catalog: Arc::new(catalog) }
}

/// A node of a shared catalog, with a keyspace of its own.
#[cfg(feature = "scylla")]
pub fn scylla(directory: &Path) -> Subject {
    crate::cluster::make(directory)
}

pub struct Stage {
    make: Make,
    path: PathBuf,
    subject: Option<Subject>,
    /// Removed at the end, behind the catalog, when it is ours.
    _directory: Option<TempDir>,
    pub ids: IdSource,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.subject = None;
        #[cfg(feature = "scylla")]
        if self._directory.is_some() {
            crate::cluster::forget(&self.path);
        }
    }
}

/// Waits for an answer.
pub fn wait<F: Future>(answer: F) -> F::Output {
    block_on(answer)
}

impl Stage {
    pub fn new(make: Make) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut stage = Self::within(make, directory.path());
        stage._directory = Some(directory);
        stage
    }

    /// In a directory that stays.
    pub fn within(make: Make, directory: &Path) -> Self {
        let (path, subject) = (directory.to_owned(), Some(make(directory)));
        Self { make, path, _directory: None, subject, ids: IdSource::from_seed([1; 32]) }
    }

    /// Drops the catalog.
    pub fn close(&mut self) {
        self.subject = None;
    }

    /// Drops the catalog and opens it again.
    pub fn reopen(&mut self) {
        self.close();
        self.subject = Some((self.make)(&self.path));
    }

    pub fn catalog(&self) -> &dyn Catalog {
        &*self.subject.as_ref().unwrap().catalog
    }

    pub fn open(&self) -> &OpenStore {
        &self.subject.as_ref().unwrap().open
    }

    pub fn sequence(&self, name: &str) -> SequenceHead {
        wait(self.catalog().create_sequence(self.new_sequence(name))).unwrap()
    }

    pub fn session(&self, sequence: &str) -> SessionHead {
        wait(self.catalog().create_session(self.new_session(sequence))).unwrap()
    }

    pub fn topic(&self, session: &SessionHead, path: &str) -> TopicHead {
        wait(self.catalog().create_topic(self.new_topic(session, path))).unwrap()
    }

    /// A topic whose put ended well, with these chunks.
    pub fn written(&self, session: &SessionHead, path: &str, records: Vec<ChunkRecord>) -> TopicHead {
        let topic = self.topic(session, path);
        wait(self.open().begin_put(topic.id, b"schema".to_vec())).unwrap();
        wait(self.open().commit(topic.id, records, complete())).unwrap();
        topic
    }

    pub fn new_sequence(&self, name: &str) -> NewSequence {
        let metadata = UserMetadata::parse(r#"{"driver": "j.doe", "run": 7}"#).unwrap();
        NewSequence { id: SequenceId::new(&self.ids), name: sequence_name(name), metadata, created_at_ns: 100 }
    }

    pub fn new_session(&self, sequence: &str) -> NewSession {
        let (id, token) = (SessionId::new(&self.ids), self.token());
        NewSession { id, sequence: sequence_name(sequence), token, created_at_ns: 200 }
    }

    pub fn new_topic(&self, session: &SessionHead, path: &str) -> NewTopic {
        NewTopic {
            id: TopicId::new(&self.ids),
            session: session.id,
            token: self.token(),
            name: topic_name(session.sequence_name.as_str(), path),
            tag: OntologyTag::parse("IMU").unwrap(),
            format: SerializationFormat::Ragged,
            metadata: UserMetadata::parse(r#"{"rate": 200}"#).unwrap(),
            shard: ShardIndex(1),
            device: DeviceNumber(2),
            created_at_ns: 300,
        }
    }

    pub fn token(&self) -> TokenDigest {
        let (a, b) = (self.ids.uuid().into_bytes(), self.ids.uuid().into_bytes());
        TokenDigest(std::array::from_fn(|at| if at < 16 { a[at] } else { b[at - 16] }))
    }

    /// A chunk with ten rows between two times.
    pub fn record(&self, first: i64, last: i64) -> ChunkRecord {
        ChunkRecord {
            chunk: ChunkId::new(&self.ids),
            device: DeviceNumber(2),
            shard: ShardIndex(1),
            rows: 10,
            file_bytes: 5000,
            logical_bytes: 4000,
            bounds: TimeBounds { first, last },
            body_bytes: 4096,
            footer_offset: 4104,
            digest: [7; 16],
            footer_digest: [8; 16],
            row_groups: 2,
            runs: vec![0, 1],
            pages: None,
            statistics: Statistics::default(),
        }
    }

    /// `count` chunks, the nth with times from 10 n to 10 n + 9.
    pub fn records(&self, count: i64) -> Vec<ChunkRecord> {
        (0..count).map(|n| self.record(10 * n, 10 * n + 9)).collect()
    }
}

pub fn complete() -> Option<PutEnd> {
    Some(PutEnd { outcome: PutOutcome::Complete, at_ns: 400 })
}

pub fn interrupted(why: &str) -> Option<PutEnd> {
    Some(PutEnd { outcome: PutOutcome::Interrupted { why: why.to_owned() }, at_ns: 400 })
}

pub fn sequence_name(name: &str) -> SequenceName {
    SequenceName::parse(name).unwrap()
}

pub fn topic_name(sequence: &str, path: &str) -> TopicName {
    TopicName::parse(&format!("{sequence}/{path}")).unwrap()
}

#[track_caller]
pub fn assert_not_found<T: std::fmt::Debug>(answer: Result<T, CatalogError>) {
    assert!(matches!(answer, Err(CatalogError::NotFound { .. })), "{answer:?}");
}
