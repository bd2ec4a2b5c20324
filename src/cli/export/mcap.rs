//! Rows of all topics as messages of one MCAP file, in the order of their times.
//!
//! Topics are read side by side and merged: held are a batch of each, and a chunk of the file.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BinaryHeap;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use arrow::array::AsArray;
use arrow::array::Int64Array;
use arrow::datatypes::Int64Type;

use crate::client::Client;
use crate::client::Endpoint;
use crate::client::Info;
use crate::io::NewFile;
use crate::model::Locator;
use crate::model::TimeRange;
use crate::model::TopicName;

use super::super::arguments::ExportArguments;
use super::super::main::Failure;
use super::super::main::Outcome;
use super::super::main::connect;
use super::super::main::connect_reading;
use super::super::main::wrong_usage;
use super::super::output;
use super::super::output::Cell;
use super::super::output::Table;
use super::Exported;
use super::Rows;
use super::container::Container;
use super::container::Schema;
use super::encoder::Encoder;
use super::encoder::Format;
use super::encoder::Rows as Opened;
use super::look;
use super::message::Messages;
use super::say;
use super::selection;

pub fn run(arguments: &ExportArguments) -> Result<Exported, Failure> {
    if !arguments.columns.is_empty() {
        return Err(Failure::usage("--column is for Parquet: a message in MCAP has all its fields"));
    }
    let range = TimeRange::new(arguments.start, arguments.end).map_err(wrong_usage)?;
    let locator = Locator::parse(&arguments.locator).map_err(wrong_usage)?;
    let selection = selection(arguments)?;
    let path = path(&arguments.to, &locator);
    // Before anything is read for it.
    let file = NewFile::begin(&path)?;

    let client = connect(&arguments.server)?;
    let info = look(&client, &locator, range, selection.as_deref())?;
    let reader = connect_reading(&arguments.server, info.endpoints.len())?;
    let mut container = Container::new(file, "")?;
    container.metadata("tessera", &about(&locator, &info))?;
    let mut merge = Merge { sources: Vec::new(), next: BinaryHeap::new() };
    let messages = Messages::known();
    for endpoint in &info.endpoints {
        let source = Source::open(&client, &reader, &messages, endpoint, &mut container)?;
        merge.add(source)?;
    }
    let mut count = 0u64;
    while let Some(written) = merge.write(&mut container)? {
        count += written;
    }
    let mut damaged = Vec::new();
    for source in &merge.sources {
        if let Some(error) = &source.batches.lost {
            say(&format!("{} ends after {}: {error}", source.topic, output::count(source.messages, "message")));
            damaged.push(source.topic.to_string());
        }
    }
    let mut table = Table::new(&["file", "topics", "messages", "size"]);
    if count == 0 {
        say("there is no row to write, so there is no file");
        return Ok(Exported { table, damaged });
    }
    let bytes = container.finish()?.finish()?;
    let topics = merge.sources.iter().filter(|source| source.messages > 0).count();
    table.row(vec![
        Cell::from(path.display().to_string()),
        Cell::number(topics.to_string(), topics as u64),
        Cell::number(count.to_string(), count),
        Cell::number(output::bytes(bytes), bytes),
    ]);
    Ok(Exported { table, damaged })
}

/// A sequence has one file, a topic of its own one below it.
fn path(to: &Path, locator: &Locator) -> PathBuf {
    match locator {
        Locator::Sequence(sequence) | Locator::Session { sequence, .. } => {
            to.join(format!("{}.mcap", sequence.as_str()))
        }
        Locator::Topic(topic) => to.join(topic.sequence.as_str()).join(format!("{}.mcap", topic.path.as_str())),
    }
}

/// What the file says of where its messages are from.
fn about(locator: &Locator, info: &Info) -> BTreeMap<String, String> {
    let locator = [("locator".to_owned(), locator.to_string())];
    let metadata = info.sequence.as_ref().map(|own| ("user_metadata".to_owned(), own.user_metadata.get().to_owned()));
    locator.into_iter().chain(metadata).collect()
}

/// A topic that is read.
struct Source<'a> {
    topic: TopicName,
    batches: Rows<'a>,
    encoder: Encoder,
    metadata: BTreeMap<String, String>,
    /// Of each format of its messages, once there is one.
    channels: Vec<Option<u16>>,
    /// The batch that is written, its times, and the next of its rows.
    rows: Option<Opened>,
    times: Int64Array,
    at: usize,
    messages: u64,
}

impl<'a> Source<'a> {
    fn open<W: Write>(
        client: &Client,
        reader: &'a Client,
        messages: &Messages,
        endpoint: &Endpoint,
        container: &mut Container<W>,
    ) -> Result<Self, Failure> {
        let own = &endpoint.topic;
        let topic = TopicName::parse(own.resource_locator.trim_start_matches('/'))?;
        let encoder = Encoder::new(messages, &own.ontology_tag, &client.schema(&topic)?);
        let pairs = [("ontology_tag", own.ontology_tag.as_str()), ("user_metadata", own.user_metadata.get())];
        let metadata = pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let channels = vec![None; encoder.formats().len()];
        let (batches, times) = (Rows::open(reader, endpoint)?, Int64Array::from(Vec::<i64>::new()));
        let mut source = Self { topic, batches, encoder, metadata, channels, rows: None, times, at: 0, messages: 0 };
        // Topics without rows are listed too.
        if source.channels.len() == 1 {
            source.channel(0, container)?;
        }
        Ok(source)
    }

    /// The time of the next row; `None` at the end.
    fn time(&mut self) -> Result<Option<i64>, Failure> {
        while self.at >= self.times.len() {
            self.rows = None;
            let Some(batch) = self.batches.next().transpose()? else { return Ok(None) };
            let times = batch.column_by_name("timestamp_ns").and_then(|column| column.as_primitive_opt::<Int64Type>());
            let opened = times.cloned().map(|times| (times, self.encoder.open(batch)));
            (self.times, self.rows) = match opened {
                Some((times, Ok(rows))) => (times, Some(rows)),
                Some((_, Err(error))) => return Ok(self.end(error.to_string())),
                None => return Ok(self.end("a batch without times".to_owned())),
            };
            self.at = 0;
        }
        Ok(self.times.values().get(self.at).copied())
    }

    /// No more rows of this topic, for a reason of its own.
    fn end<T>(&mut self, why: String) -> Option<T> {
        self.batches.end(why);
        (self.rows, self.times, self.at) = (None, Int64Array::from(Vec::<i64>::new()), 0);
        None
    }

    /// Writes the next row; false when the topic has to end before it.
    fn write<W: Write>(&mut self, container: &mut Container<W>) -> Result<bool, Failure> {
        let time = self.times.values().get(self.at).copied().unwrap_or_default();
        let Ok(recorded) = u64::try_from(time) else {
            let message = "MCAP has no times before 1970: leave these rows out with --start 0";
            self.end::<()>(format!("a row at {time} ns: {message}"));
            return Ok(false);
        };
        let Some(mut rows) = self.rows.take() else { return Ok(false) };
        let (format, bytes) = match rows.message(self.at, time) {
            Ok(message) => message,
            Err(error) => {
                self.end::<()>(error.to_string());
                return Ok(false);
            }
        };
        let channel = self.channel(format, container)?;
        container.message(channel, recorded, bytes)?;
        self.rows = Some(rows);
        self.at += 1;
        self.messages += 1;
        Ok(true)
    }

    fn channel<W: Write>(&mut self, format: usize, container: &mut Container<W>) -> Result<u16, Failure> {
        if let Some(Some(channel)) = self.channels.get(format) {
            return Ok(*channel);
        }
        let Some(Format { encoding, schema_name, schema_encoding, schema, suffix }) =
            self.encoder.formats().get(format)
        else {
            return Err(failed(format!("{}: a message of no format", self.topic)));
        };
        let number = container.schema(&Schema { name: schema_name, encoding: schema_encoding, text: schema })?;
        let name = format!("/{}{suffix}", self.topic.path.as_str());
        let channel = container.channel(number, &name, encoding, &self.metadata)?;
        if let Some(own) = self.channels.get_mut(format) {
            *own = Some(channel);
        }
        Ok(channel)
    }
}

/// All topics, the one with the earliest row first.
struct Merge<'a> {
    sources: Vec<Source<'a>>,
    next: BinaryHeap<Reverse<(i64, usize)>>,
}

impl<'a> Merge<'a> {
    fn add(&mut self, mut source: Source<'a>) -> Result<(), Failure> {
        let time = source.time()?;
        self.next.extend(time.map(|time| Reverse((time, self.sources.len()))));
        self.sources.push(source);
        Ok(())
    }

    /// Writes the earliest row of all; `None` when there is none left. A topic that ends without it leaves the others.
    fn write<W: Write>(&mut self, container: &mut Container<W>) -> Result<Option<u64>, Failure> {
        let Some(Reverse((_, index))) = self.next.pop() else { return Ok(None) };
        let Some(source) = self.sources.get_mut(index) else { return Ok(None) };
        let written = source.write(container)?;
        self.next.extend(source.time()?.map(|time| Reverse((time, index))));
        Ok(Some(u64::from(written)))
    }
}

fn failed(message: String) -> Failure {
    Failure { outcome: Outcome::Failed, message }
}
