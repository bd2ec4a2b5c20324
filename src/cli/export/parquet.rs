//! Rows as Parquet files, one per topic.
//!
//! The files are what the server itself writes: any Parquet reader takes them. A file has its last name only when it is whole.

use std::io;
use std::io::Write;
use std::path::Path;

use arrow::array::RecordBatch;
use uuid::Uuid;

use crate::chunk::ChunkEncoder;
use crate::chunk::ChunkIdentity;
use crate::chunk::Effort;
use crate::chunk::batch_bytes;
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
use super::super::main::connect;
use super::super::main::wrong_usage;
use super::super::output;
use super::super::output::Cell;
use super::super::output::Table;
use super::Exported;
use super::Rows;
use super::look;
use super::say;
use super::selection;

/// Bytes of rows that become one row group.
const ROW_GROUP_BYTES: u64 = 16 << 20;

pub fn run(arguments: &ExportArguments) -> Result<Exported, Failure> {
    let range = TimeRange::new(arguments.start, arguments.end).map_err(wrong_usage)?;
    let locator = Locator::parse(&arguments.locator).map_err(wrong_usage)?;
    let selection = selection(arguments)?;
    let client = connect(&arguments.server)?;
    let info = look(&client, &locator, range, selection.as_deref())?;
    let (mut table, mut damaged) = (Table::new(&["file", "rows", "size"]), Vec::new());
    for endpoint in &info.endpoints {
        let topic = TopicName::parse(endpoint.topic.resource_locator.trim_start_matches('/'))?;
        let mut rows = Rows::open(&client, endpoint)?;
        let written = export(topic.clone(), endpoint, &mut rows, &arguments.to)?;
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

/// Path, rows and bytes of the file; `None` when there is none: there is no row, or not all can be read. Then there is no older
/// file either, for it would look like the result.
fn export(
    name: TopicName,
    endpoint: &Endpoint,
    batches: &mut Rows<'_>,
    to: &Path,
) -> Result<Option<(String, u64, u64)>, Failure> {
    let path = to.join(name.sequence.as_str()).join(format!("{}.parquet", name.path.as_str()));
    let Some(first) = batches.next().transpose()? else {
        remove(&path, &name)?;
        return Ok(None);
    };
    if let Some(parent) = path.parent() {
        Host::default().make_directories(parent)?;
    }
    let part = path.with_extension("parquet.part");
    let identity = ChunkIdentity {
        chunk: ChunkId(Uuid::nil()),
        device: DeviceNumber(0),
        shard: ShardIndex(0),
        number: 0,
        incarnation: 0,
        sequence: SequenceId(Uuid::nil()),
        session: SessionId(Uuid::nil()),
        topic: TopicId(Uuid::nil()),
        tag: OntologyTag::parse(&endpoint.topic.ontology_tag)?,
        format: SerializationFormat::parse(&endpoint.topic.serialization_format)?,
        name: name.clone(),
    };
    let (rows, bytes) = write(identity, first, batches, &part)?;
    if batches.lost.is_some() {
        Host::default().remove_file(&part)?;
        remove(&path, &name)?;
        return Ok(None);
    }
    Host::default().rename(&part, &path)?;
    Ok(Some((path.display().to_string(), rows, bytes)))
}

/// Takes away what an earlier export left there.
fn remove(path: &Path, topic: &TopicName) -> Result<(), Failure> {
    match Host::default().remove_file(path) {
        Ok(()) => say(&format!("{topic} has nothing to write: the older {} is removed", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn write(
    identity: ChunkIdentity,
    first: RecordBatch,
    batches: &mut Rows<'_>,
    part: &Path,
) -> Result<(u64, u64), Failure> {
    let mut file = io::BufWriter::new(Host::default().create_report(part)?);
    let mut hasher = BlockHasher::new(identity.chunk);
    let mut encoder = ChunkEncoder::new(identity, &first.schema())?;
    let mut pending: Vec<RecordBatch> = Vec::new();
    let mut close = |pending: &mut Vec<RecordBatch>, encoder: &mut ChunkEncoder| -> Result<(), Failure> {
        for piece in encoder.row_group(pending, Effort::Compact)? {
            hasher.update(piece.as_slice());
            file.write_all(piece.as_slice())?;
        }
        pending.clear();
        Ok(())
    };
    for batch in std::iter::once(Ok(first)).chain(batches) {
        pending.push(batch?);
        let bytes: u64 = pending.iter().map(|batch| batch_bytes(batch, 0, batch.num_rows())).sum();
        if bytes >= ROW_GROUP_BYTES {
            close(&mut pending, &mut encoder)?;
        }
    }
    close(&mut pending, &mut encoder)?;
    let (trailer, record) = encoder.finish(&hasher.finish())?;
    file.write_all(&trailer)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok((record.rows, record.file_bytes))
}
