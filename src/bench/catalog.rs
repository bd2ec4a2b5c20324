//! A catalog of the size that years of recording make, without the recordings: what queries look into before they read rows.
//!
//! Its chunks lie in a data directory that does not exist. So a query over it reads rows of what was really recorded beside
//! it alone, and any chunk that it should have left out ends it with an error.

use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use futures::TryStreamExt;
use futures::stream;
use uuid::Uuid;

use super::error::BenchError;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::EmbeddedCatalog;
use crate::catalog::EmbeddedConfig;
use crate::catalog::NewSequence;
use crate::catalog::NewSession;
use crate::catalog::NewTopic;
use crate::catalog::OpenStore;
use crate::catalog::PutEnd;
use crate::catalog::PutOutcome;
use crate::catalog::SegmentKey;
use crate::catalog::Visibility;
use crate::model::ChunkId;
use crate::model::ChunkRecord;
use crate::model::DeviceNumber;
use crate::model::OntologyTag;
use crate::model::SequenceId;
use crate::model::SequenceName;
use crate::model::SerializationFormat;
use crate::model::SessionId;
use crate::model::ShardIndex;
use crate::model::TimeBounds;
use crate::model::TokenDigest;
use crate::model::TopicId;
use crate::model::TopicName;
use crate::model::UserMetadata;
use crate::model::Values;
use crate::model::decode_skip_index;
use crate::model::encode_skip_index;

/// Topics of a sequence with chunks, two of them with the tag of the recorded one.
const TOPICS: usize = 4;
/// Chunks of each.
const CHUNKS: usize = 250;

/// Sequences made at once.
const AT_ONCE: usize = 64;

/// Number of the first sequence with chunks, in its metadata: no number comes twice.
const DRIVES_FROM: usize = 10_000_000;

/// A data directory that no server has.
const NOWHERE: DeviceNumber = DeviceNumber(999);

const CHUNK_NS: i64 = 60_000_000_000;

/// How much there is to look through.
#[derive(Clone, Debug)]
pub struct CatalogPlan {
    /// Sequences with metadata and two empty topics.
    pub sequences: usize,
    /// Chunks, in sequences of their own.
    pub chunks: usize,
    /// A recorded topic of flat numbers: the chunks are as its first one but for their values.
    pub like: TopicName,
}

/// Adds to the catalog of a data directory whose server is stopped.
///
/// # Errors
/// [`BenchError::Catalog`].
pub fn fill_catalog(plan: &CatalogPlan, data: &Path) -> Result<(), BenchError> {
    let catalog = EmbeddedCatalog::open(&EmbeddedConfig::default(), &data.join("catalog").join("catalog.db"))?;
    let runtime = super::load::client_runtime()?;
    let filled = runtime.block_on(async {
        let like = catalog.topic(&plan.like, Visibility::Final).await?;
        let first = catalog.directory(SegmentKey { topic: like.head.id, number: 0 }).await?;
        let Some(record) = first.into_iter().next() else {
            return Err(CatalogError::Invalid { field: "like", why: "it has no chunk".to_owned() });
        };
        let schema = like.schema.unwrap_or_default();
        let filler = Arc::new(Filler {
            catalog: catalog.clone(),
            store: catalog.open_store(),
            tag: like.head.tag,
            schema,
            record,
        });
        let runs = (0..plan.sequences).map(|number| (number, false));
        let drives = (0..plan.chunks.div_ceil(TOPICS * CHUNKS)).map(|number| (number, true));
        let all = stream::iter(runs.chain(drives));
        all.map(|(number, chunks)| filler.clone().sequence(number, chunks))
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await
    });
    catalog.close();
    Ok(filled?)
}

struct Filler {
    catalog: EmbeddedCatalog,
    store: OpenStore,
    tag: OntologyTag,
    schema: Vec<u8>,
    record: ChunkRecord,
}

/// Ids only have to differ. * `kind`, `number`, `part`: what it is of.
fn id(kind: u8, number: usize, part: usize) -> Uuid {
    Uuid::from_u128(u128::from(kind) << 120 | 0xbe << 104 | (number as u128) << 32 | part as u128)
}

fn token(id: Uuid) -> TokenDigest {
    let mut digest = [0; 32];
    digest.iter_mut().zip(id.as_bytes()).for_each(|(to, from)| *to = *from);
    TokenDigest(digest)
}

fn invalid(field: &'static str) -> impl Fn(String) -> CatalogError {
    move |why| CatalogError::Invalid { field, why }
}

impl Filler {
    async fn sequence(self: Arc<Self>, number: usize, chunks: bool) -> Result<(), CatalogError> {
        let (kind, created_at_ns) = (if chunks { 1 } else { 0 }, (1_700_000_000 + number as i64) * 1_000_000_000);
        let name = if chunks { format!("drive-{number:06}") } else { format!("run-{number:06}") };
        let name = SequenceName::parse(&name).map_err(|error| invalid("name")(error.to_string()))?;
        let metadata = UserMetadata::parse(&metadata(if chunks { number + DRIVES_FROM } else { number }))
            .map_err(|error| invalid("metadata")(error.to_string()))?;
        let own = NewSequence { id: SequenceId(id(kind, number, 0)), name: name.clone(), metadata, created_at_ns };
        self.catalog.create_sequence(own).await?;
        let session = SessionId(id(kind + 2, number, 0));
        let new = NewSession { id: session, sequence: name.clone(), token: token(session.0), created_at_ns };
        self.catalog.create_session(new).await?;
        let paths: &[&str] = if chunks { &["imu", "imu_rear", "gps", "lidar"] } else { &["imu", "gps"] };
        for (part, path) in paths.iter().enumerate() {
            self.topic(TopicId(id(kind + 4, number, part)), session, &format!("{name}/{path}"), number, chunks).await?;
        }
        self.catalog.finalize(session, created_at_ns).await?;
        Ok(())
    }

    async fn topic(
        &self,
        id: TopicId,
        session: SessionId,
        locator: &str,
        number: usize,
        chunks: bool,
    ) -> Result<(), CatalogError> {
        let name = TopicName::parse(locator).map_err(|error| invalid("topic")(error.to_string()))?;
        let of_imu = locator.contains("/imu");
        let tag = match (chunks && of_imu, of_imu) {
            (true, _) => self.tag.clone(),
            (false, true) => tag("bench_run_imu")?,
            (false, false) => tag("bench_gps")?,
        };
        let metadata = format!(
            r#"{{"mount": "{}", "rate_hz": {}}}"#,
            nth(["roof", "front", "rear"], number),
            50 + number % 4 * 50
        );
        let metadata = UserMetadata::parse(&metadata).map_err(|error| invalid("metadata")(error.to_string()))?;
        let created_at_ns = number as i64;
        let new = NewTopic {
            id,
            session,
            token: token(id.0),
            name,
            tag,
            format: SerializationFormat::parse("default").map_err(|error| invalid("format")(error.to_string()))?,
            metadata,
            shard: ShardIndex(0),
            device: NOWHERE,
            created_at_ns,
        };
        self.catalog.create_topic(new).await?;
        self.store.begin_put(id, self.schema.clone()).await?;
        let records = if chunks { (0..CHUNKS).map(|at| self.chunk(id, number, at)).collect() } else { Vec::new() };
        let end = PutEnd { outcome: PutOutcome::Complete, at_ns: created_at_ns };
        self.store.commit(id, records, Some(end)).await
    }

    /// A slow walk between 1000 and 1600; in each hundredth sequence a leap from one side of 2000 to the other and back, which
    /// a segment as a whole does not tell from values in between.
    fn chunk(&self, topic: TopicId, number: usize, at: usize) -> ChunkRecord {
        let mut record = self.record.clone();
        let first = number as i64 * CHUNKS as i64 * CHUNK_NS + at as i64 * CHUNK_NS;
        record.chunk = ChunkId(Uuid::from_u128(topic.0.as_u128() ^ (at as u128 + 1) << 64));
        record.device = NOWHERE;
        record.bounds = TimeBounds { first, last: first + CHUNK_NS - 1 };
        let least = if number.is_multiple_of(100) && at.is_multiple_of(2) {
            3000.0
        } else {
            1000.0 + ((number + at) % 500) as f64
        };
        if let Some(mut columns) = decode_skip_index(&record.statistics) {
            for column in &mut columns {
                column.values = match &column.values {
                    Values::Floats(_) => Values::Floats(vec![(least, least + 100.0)]),
                    Values::Signed(..) => Values::Signed(first, first + CHUNK_NS - 1),
                    other => other.clone(),
                };
            }
            record.statistics = encode_skip_index(&columns);
        }
        record
    }
}

fn tag(text: &str) -> Result<OntologyTag, CatalogError> {
    OntologyTag::parse(text).map_err(|error| invalid("tag")(error.to_string()))
}

/// One of them, in turn.
fn nth<const N: usize>(words: [&'static str; N], number: usize) -> &'static str {
    words.into_iter().nth(number % N).unwrap_or_default()
}

/// As a fleet has it: few vehicles, some drivers, and a number that no other run has.
fn metadata(number: usize) -> String {
    format!(
        r#"{{"vehicle": "v{}", "driver": "driver {}", "run": {number}, "note": "run {number} of the test track", "weather": {{"rain": {}, "celsius": {}}}, "tags": ["{}", "night-{}"]}}"#,
        number % 50,
        number % 997,
        number.is_multiple_of(7),
        (number * 37 % 450) as f64 / 10.0 - 10.0,
        nth(["urban", "highway", "rural"], number),
        number % 31,
    )
}
