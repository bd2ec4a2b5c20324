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
use crate::client::Batches;
use crate::client::Client;
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
use crate::wire::InfoExtras;

use super::super::arguments::ExportArguments;
use super::super::main::Failure;
use super::super::main::connect;
use super::super::output;
use super::super::output::Cell;
use super::super::output::Table;
use super::selection;

/// Bytes of rows that become one row group.
const ROW_GROUP_BYTES: u64 = 16 << 20;

pub fn run(arguments: &ExportArguments) -> Result<Table, Failure> {
    let range = TimeRange::new(arguments.start, arguments.end)?;
    let locator = Locator::parse(&arguments.locator)?;
    let extras = InfoExtras { selection: selection(arguments)?, ..InfoExtras::default() };
    let client = connect(&arguments.server)?;
    let info = client.info_with(&locator, range, extras)?;
    let mut table = Table::new(&["file", "rows", "size"]);
    for endpoint in &info.endpoints {
        if let Some((path, rows, bytes)) = export(&client, endpoint, &arguments.to)? {
            let size = Cell::number(output::bytes(bytes), bytes);
            table.row(vec![Cell::from(path), Cell::number(rows.to_string(), rows), size]);
        }
    }
    Ok(table)
}

/// Path, rows and bytes of the file; `None` when there is no row.
fn export(client: &Client, endpoint: &Endpoint, to: &Path) -> Result<Option<(String, u64, u64)>, Failure> {
    let name = TopicName::parse(endpoint.topic.resource_locator.trim_start_matches('/'))?;
    let path = to.join(name.sequence.as_str()).join(format!("{}.parquet", name.path.as_str()));
    let mut batches = client.get(&endpoint.ticket)?;
    let Some(first) = batches.next().transpose()? else { return Ok(None) };
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
        name,
    };
    let (rows, bytes) = write(identity, first, batches, &part)?;
    Host::default().rename(&part, &path)?;
    Ok(Some((path.display().to_string(), rows, bytes)))
}

fn write(
    identity: ChunkIdentity,
    first: RecordBatch,
    batches: Batches<'_>,
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
