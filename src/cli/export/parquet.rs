//! Rows as Parquet files, one per topic.
//!
//! The files are what the server itself writes: any Parquet reader takes them. A file has its last name only when it is whole.

use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use uuid::Uuid;

use crate::chunk::ChunkEncoder;
use crate::chunk::ChunkIdentity;
use crate::chunk::Effort;
use crate::chunk::batch_bytes;
use crate::client::ClientError;
use crate::client::Endpoint;
use crate::io::BlockHasher;
use crate::io::Host;
use crate::model::ChunkId;
use crate::model::DeviceNumber;
use crate::model::Locator;
use crate::model::OntologyTag;
use crate::model::SequenceId;
use crate::model::SerializationFormat;
use crate::model::SessionId;
use crate::model::ShardIndex;
use crate::model::TimeRange;
use crate::model::TopicId;
use crate::model::TopicName;

use super::super::arguments::ExportArguments;
use super::super::main::Failure;
use super::super::main::Outcome;
use super::super::main::connect;
use super::super::main::wrong_usage;
use super::super::output;
use super::super::output::Cell;
use super::super::output::Table;
use super::Exported;
use super::Rows;
use super::look;
use super::plain;
use super::say;
use super::selection;

/// Bytes of rows that become one row group.
const ROW_GROUP_BYTES: u64 = 16 << 20;

/// What a disk says of a file that is not there.
const NOT_THERE: [io::ErrorKind; 3] =
    [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory, io::ErrorKind::InvalidFilename];

pub fn run(arguments: &ExportArguments) -> Result<Exported, Failure> {
    let range = TimeRange::new(arguments.start, arguments.end).map_err(wrong_usage)?;
    let locator = Locator::parse(&arguments.locator).map_err(wrong_usage)?;
    let selection = selection(arguments)?;
    let client = connect(&arguments.server)?;
    let info = look(&client, &locator, range, selection.as_deref())?;
    // Once for all topics: each of them would fail at it.
    Host::default().make_directories(&arguments.to).map_err(|error| Failure {
        outcome: Outcome::Failed,
        message: format!("--to {}: {error}", arguments.to.display()),
    })?;
    let (mut table, mut damaged) = (Table::new(&["file", "rows", "size"]), Vec::new());
    for (nth, endpoint) in info.endpoints.iter().enumerate() {
        let topic = TopicName::parse(endpoint.topic.resource_locator.trim_start_matches('/'))?;
        let early = |failure| ended_early(&table, failure, info.endpoints.get(nth..).unwrap_or_default());
        let mut rows = Rows::open(&client, endpoint).map_err(early)?;
        let written = match export(topic.clone(), endpoint, &mut rows, &arguments.to) {
            Ok(written) => written,
            Err(Ended::Topic(failure)) => {
                rows.lost = Some(failure.message);
                None
            }
            Err(Ended::All(error)) => return Err(early(error.into())),
        };
        if let Some(error) = &rows.lost {
            say(&format!("{topic} is left out: {error}"));
            damaged.push(topic.to_string());
        }
        if let Some((path, rows, bytes)) = written {
            let size = Cell::number(output::bytes(bytes), bytes);
            table.row(vec![Cell::from(path), Cell::number(rows.to_string(), rows), size]);
        }
    }
    Ok(Exported { table, damaged })
}

/// The server is gone: what is whole is listed, and what is not is named.
fn ended_early(table: &Table, failure: Failure, left: &[Endpoint]) -> Failure {
    let _ = table.print();
    let name = |endpoint: &Endpoint| output::printable(endpoint.topic.resource_locator.trim_start_matches('/'));
    let names = output::listed(left.iter().map(name));
    Failure { message: format!("{}; not exported, or not whole: {names}", failure.message), ..failure }
}

/// Why a topic has no file.
enum Ended {
    /// Others may have theirs.
    Topic(Failure),
    /// There is no server to have them from.
    All(ClientError),
}

impl From<ClientError> for Ended {
    fn from(error: ClientError) -> Self {
        Self::All(error)
    }
}

/// For `map_err`: what the topic is, or what it has, makes no file.
fn own(error: impl std::error::Error) -> Ended {
    Ended::Topic(Failure::new(&error))
}

/// For `map_err`: what the disk says of a topic's file.
fn at(path: &Path) -> impl Fn(io::Error) -> Ended {
    move |error| {
        let way_out = match error.kind() {
            io::ErrorKind::InvalidFilename => "; --format mcap writes all topics into one file",
            _ => "",
        };
        let message = format!("{}: {error}{way_out}", path.display());
        Ended::Topic(Failure { outcome: Outcome::Failed, message })
    }
}

/// Path, rows and bytes of the file; `None` when there is none: there is no row, or not all can be read. Then there is no older
/// file either, for it would look like the result.
fn export(
    name: TopicName,
    endpoint: &Endpoint,
    batches: &mut Rows<'_>,
    to: &Path,
) -> Result<Option<(String, u64, u64)>, Ended> {
    let path = to.join(name.sequence.as_str()).join(format!("{}.parquet", name.path.as_str()));
    let Some(first) = batches.next().transpose()? else {
        remove(&path, &name)?;
        return Ok(None);
    };
    if let Some(parent) = path.parent() {
        Host::default().make_directories(parent).map_err(at(parent))?;
    }
    let identity = ChunkIdentity {
        chunk: ChunkId(Uuid::nil()),
        device: DeviceNumber(0),
        shard: ShardIndex(0),
        number: 0,
        incarnation: 0,
        sequence: SequenceId(Uuid::nil()),
        session: SessionId(Uuid::nil()),
        topic: TopicId(Uuid::nil()),
        tag: OntologyTag::parse(&endpoint.topic.ontology_tag).map_err(own)?,
        format: SerializationFormat::parse(&endpoint.topic.serialization_format).map_err(own)?,
        name: name.clone(),
    };
    let part = Part { path: path.with_extension("parquet.part") };
    let written = write(identity, first, batches, &part.path);
    if written.is_err() || batches.lost.is_some() {
        remove(&path, &name)?;
        return written.map(|_| None);
    }
    Host::default().rename(&part.path, &path).map_err(at(&path))?;
    written.map(|(rows, bytes)| Some((path.display().to_string(), rows, bytes)))
}

/// The name of a file that is not whole. Nothing is left of it.
struct Part {
    path: PathBuf,
}

impl Drop for Part {
    fn drop(&mut self) {
        // It has its last name, or it never came to be.
        let _ = Host::default().remove_file(&self.path);
    }
}

/// Takes away what an earlier export left there.
fn remove(path: &Path, topic: &TopicName) -> Result<(), Ended> {
    match Host::default().remove_file(path) {
        Ok(()) => say(&format!("{topic} has nothing to write: the older {} is removed", path.display())),
        // None can be there, under such a name or below such a file.
        Err(error) if NOT_THERE.contains(&error.kind()) => {}
        Err(error) => return Err(at(path)(error)),
    }
    Ok(())
}

fn write(
    identity: ChunkIdentity,
    first: RecordBatch,
    batches: &mut Rows<'_>,
    part: &Path,
) -> Result<(u64, u64), Ended> {
    let mut file = io::BufWriter::new(Host::default().create_report(part).map_err(at(part))?);
    let mut hasher = BlockHasher::new(identity.chunk);
    let schema = plain::schema(&first.schema());
    let mut encoder = ChunkEncoder::new(identity, &schema).map_err(own)?;
    let mut pending: Vec<RecordBatch> = Vec::new();
    let mut close = |pending: &mut Vec<RecordBatch>, encoder: &mut ChunkEncoder| -> Result<(), Ended> {
        for piece in encoder.row_group(pending, Effort::Compact).map_err(own)? {
            hasher.update(piece.as_slice());
            file.write_all(piece.as_slice()).map_err(at(part))?;
        }
        pending.clear();
        Ok(())
    };
    for batch in std::iter::once(Ok(first)).chain(batches) {
        pending.push(plain::rows(&batch?, &schema).map_err(own)?);
        let bytes: u64 = pending.iter().map(|batch| batch_bytes(batch, 0, batch.num_rows())).sum();
        if bytes >= ROW_GROUP_BYTES {
            close(&mut pending, &mut encoder)?;
        }
    }
    close(&mut pending, &mut encoder)?;
    let (trailer, record) = encoder.finish(&hasher.finish()).map_err(own)?;
    file.write_all(&trailer).map_err(at(part))?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error);
    file.and_then(|file| file.sync_all()).map_err(at(part))?;
    Ok((record.rows, record.file_bytes))
}
