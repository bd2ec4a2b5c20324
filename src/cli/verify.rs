//! `tessera verify`: every chunk and manifest of a stopped server against the catalog and their checksums. Changes nothing.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::rc::Rc;

use indicatif::ProgressBar;
use indicatif::ProgressStyle;

use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::PAGE_ITEMS_MAX;
use crate::catalog::Standing;
use crate::catalog::Visibility;
use crate::chunk::Columns;
use crate::daemon;
use crate::daemon::AtRest;
use crate::io::BlockDevice;
use crate::io::BlockingPool;
use crate::io::Recycler;
use crate::io::ThreadDevice;
use crate::model::ChunkRecord;
use crate::model::DeviceNumber;
use crate::model::SessionHead;
use crate::model::SessionId;
use crate::model::SessionState;
use crate::model::TimeRange;
use crate::model::TopicName;
use crate::session::verify_manifest;
use crate::store;
use crate::store::ChunkReader;
use crate::store::FetchError;
use crate::store::Suffix;

use super::arguments::ConfigArguments;
use super::config;
use super::main::Failure;
use super::main::Outcome;
use super::output;
use super::output::Table;

/// A manifest is held in memory: four million chunks of one session.
const MANIFEST_BYTES_MAX: usize = 1 << 30;

type Devices = BTreeMap<DeviceNumber, Rc<dyn BlockDevice>>;

pub fn run(arguments: &ConfigArguments) -> Result<Outcome, Failure> {
    let config = config::load(arguments)?.config;
    futures::executor::block_on(async {
        let rest = daemon::open_at_rest(&config).await?;
        output::tell_unlocked(&rest.unlocked);
        let devices = open_devices(&rest.devices)?;
        verify_all(&rest, &devices).await
    })
}

fn open_devices(paths: &[(DeviceNumber, PathBuf)]) -> Result<Devices, Failure> {
    let (names, blocks) = (BlockingPool::new("names", 1)?, BlockingPool::new("blocks", 4)?);
    let mut devices = Devices::new();
    for (number, path) in paths {
        devices.insert(*number, Rc::new(ThreadDevice::open(path, names.clone(), blocks.clone())?));
    }
    Ok(devices)
}

/// A chunk to look at, and where it belongs.
struct Candidate {
    topic: TopicName,
    session: SessionId,
    record: ChunkRecord,
}

async fn candidates(rest: &AtRest) -> Result<Vec<Candidate>, CatalogError> {
    let catalog = &rest.embedded;
    let mut found = Vec::new();
    for session in rest.open_store.sessions().await? {
        for topic in catalog.session(session).await?.topics {
            let mut cursor = None;
            loop {
                let page = catalog.segments(topic.head.id, TimeRange::ALL, cursor, PAGE_ITEMS_MAX).await?;
                for segment in page.items {
                    let records = catalog.directory(segment.key).await?.into_iter();
                    let name = &topic.head.name;
                    found.extend(records.map(|record| Candidate { topic: name.clone(), session, record }));
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
    }
    Ok(found)
}

/// The manifests of all final sessions that something is wrong with, and what.
async fn broken_manifests(rest: &AtRest, devices: &Devices) -> Result<Vec<(SessionHead, String)>, CatalogError> {
    let mut broken = Vec::new();
    // Manifests lie beside the catalog: in the first data directory.
    let first = rest.devices.first().and_then(|(number, _)| devices.get(number));
    for id in rest.open_store.sessions().await? {
        let head = rest.embedded.session(id).await?.head;
        if head.state != SessionState::Final {
            continue;
        }
        let sequence = rest.embedded.sequence(&head.sequence_name, Visibility::All).await?;
        let path = store::manifest_file(id);
        let read = match first {
            Some(device) => device.read_small(&path, MANIFEST_BYTES_MAX).await.map_err(|error| error.to_string()),
            None => Err("the data directory beside the catalog was not given".to_owned()),
        };
        let problem = match read {
            Ok(bytes) => verify_manifest(&rest.embedded, &sequence, id, &bytes).await.err().map(|e| e.to_string()),
            Err(problem) => Some(format!("{}: {problem}", path.display())),
        };
        broken.extend(problem.map(|problem| (head, problem)));
    }
    Ok(broken)
}

/// What the catalog itself shows to be wrong with it: damaged pages, and manifests of sessions that it does not know.
async fn unknown(rest: &AtRest, devices: &Devices) -> Result<Vec<(String, String)>, Failure> {
    let damage = rest.open_store.check().await?;
    let mut found: Vec<_> = damage.into_iter().map(|line| ("file".to_owned(), format!("{line}; {REMEDY}"))).collect();
    let first = rest.devices.first().and_then(|(number, _)| devices.get(number));
    if let Some(device) = first {
        for session in store::stored_manifests(&**device).await? {
            if rest.open_store.standing(session).await? == Standing::Unknown {
                let part = format!("manifest of session {session}");
                found.push((part, format!("the catalog does not know the session; {REMEDY}")));
            }
        }
    }
    Ok(found)
}

/// What helps against a damaged catalog.
const REMEDY: &str = "`tessera catalog rebuild` makes the catalog again from the files";

async fn verify_all(rest: &AtRest, devices: &Devices) -> Result<Outcome, Failure> {
    let chunks = candidates(rest).await?;
    let progress = progress(chunks.iter().map(|chunk| chunk.record.file_bytes).sum());
    let mut problems = Table::new(&["name", "part", "problem"]);
    let mut found = 0u64;
    for (session, problem) in broken_manifests(rest, devices).await? {
        found += 1;
        let part = format!("manifest of session {}", session.id);
        problems.row(vec![session.sequence_name.to_string().into(), part.into(), problem.into()]);
    }
    for (part, problem) in unknown(rest, devices).await? {
        found += 1;
        problems.row(vec!["catalog".into(), part.into(), problem.into()]);
    }
    for Candidate { topic, session, record } in &chunks {
        let problem = match devices.get(&record.device) {
            None => Some(format!("its data directory number {} was not given", record.device.0)),
            Some(device) => verify_chunk(device, *session, record).await.err(),
        };
        if let Some(problem) = problem {
            found += 1;
            let part = format!("chunk {}", record.chunk);
            problems.row(vec![topic.to_string().into(), part.into(), problem.into()]);
        }
        progress.inc(record.file_bytes);
    }
    progress.finish_and_clear();
    if found > 0 {
        problems.print()?;
    }
    let rows: u64 = chunks.iter().map(|chunk| chunk.record.rows).sum();
    let (chunks, rows) = (output::count(chunks.len() as u64, "chunk"), output::count(rows, "row"));
    eprintln!("{chunks} with {rows} checked, {found} with problems");
    Ok(if found > 0 { Outcome::Found } else { Outcome::Done })
}

/// Checksums of every byte, then the rows and times that the record promises.
async fn verify_chunk(device: &Rc<dyn BlockDevice>, session: SessionId, record: &ChunkRecord) -> Result<(), String> {
    let text = |error: FetchError| error.to_string();
    let chunk = ChunkReader::open(device, session, record).await.map_err(text)?;
    chunk.verify().await.map_err(text)?;
    let mut rows = 0;
    for (index, group) in chunk.layout().row_groups().iter().enumerate() {
        let whole = chunk.layout().select(index, 0..group.rows, &TimeRange::ALL, Columns::TimeOnly);
        let Some(selection) = whole else { continue };
        let bytes = chunk.fetch(&selection).await.map_err(text)?;
        rows +=
            chunk.layout().decode(&selection, &bytes, &Recycler::new(0)).map_err(|e| e.to_string())?.num_rows() as u64;
    }
    if chunk.is_longer(record).await.map_err(text)? {
        let (file, bytes) = (store::chunk_file(session, record.chunk, Suffix::Parquet), record.file_bytes);
        return Err(format!(
            "something lies behind the end of its file: its rows are whole, but no other program and no `tessera catalog rebuild` \
             finds them; `truncate -s {bytes} {}` in its data directory makes it as it was",
            file.display()
        ));
    }
    match rows == record.rows {
        true => Ok(()),
        false => Err(format!("{rows} rows in the file, {} in the catalog", record.rows)),
    }
}

fn progress(bytes: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:40} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
