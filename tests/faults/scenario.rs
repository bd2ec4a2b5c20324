//! What clients and two starts of the server do, and what they were told.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::BinaryArray;
use arrow::array::Int64Array;
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Int64Type;
use arrow::datatypes::Schema;
use arrow::datatypes::SchemaRef;
use serde_json::json;
use tonic::Code;

use tessera::io::Host;

use crate::server::CHUNK_ROWS;
use crate::server::Client;
use crate::server::Failed;
use crate::server::Server;

/// The topics of the scenario: batches of as many rows as a chunk has, and bytes of a row's payload. Large ones take several
/// writes a chunk.
pub const TOPICS: [(&str, usize, usize); 8] = [
    ("a/large", 3, 300_000),
    ("a/small", 1, 10),
    ("a/empty", 0, 0),
    ("b/gone", 1, 10),
    ("c/whole", 2, 10),
    ("c/broken", 1, 10),
    ("c/deleted", 1, 10),
    ("d/gone", 1, 10),
];

/// What was asked and what was answered, by the words of the request.
#[derive(Default)]
pub struct Journal {
    asked: BTreeSet<String>,
    done: BTreeSet<String>,
    /// Tokens of sessions by their sequence, of topics by their name.
    pub tokens: BTreeMap<String, String>,
    /// Locators of sessions, by their sequence.
    pub locators: BTreeMap<String, String>,
    pub failed: Vec<(String, Failed)>,
    /// Starts that were refused.
    pub refused: Vec<String>,
    /// Rows that came back and should not have been what they were.
    pub wrong: Vec<String>,
}

impl Journal {
    pub fn asked(&self, what: &str) -> bool {
        self.asked.contains(what)
    }

    pub fn done(&self, what: &str) -> bool {
        self.done.contains(what)
    }

    async fn step<T>(&mut self, what: String, call: impl Future<Output = Result<T, Failed>>) -> Option<T> {
        self.asked.insert(what.clone());
        match call.await {
            Ok(answer) => {
                self.done.insert(what);
                Some(answer)
            }
            Err(failed) => {
                self.failed.push((what, failed));
                None
            }
        }
    }

    pub async fn sequence(&mut self, client: &mut Client, name: &str) {
        self.step(
            format!("sequence {name}"),
            client.act("sequence_create", json!({"locator": name, "user_metadata": {}})),
        )
        .await;
    }

    pub async fn session(&mut self, client: &mut Client, sequence: &str) {
        let call = client.act("session_create", json!({"locator": sequence}));
        if let Some(session) = self.step(format!("session {sequence}"), call).await {
            self.tokens.insert(sequence.to_owned(), session["uuid"].as_str().unwrap().to_owned());
            self.locators.insert(sequence.to_owned(), session["locator"].as_str().unwrap().to_owned());
        }
    }

    /// Creates a topic and writes it.
    pub async fn topic(&mut self, client: &mut Client, name: &str) {
        let sequence = name.split('/').next().unwrap();
        let Some(session) = self.tokens.get(sequence).cloned() else { return };
        let request = json!({"session_uuid": session, "locator": name, "serialization_format": "default",
            "ontology_tag": "MyOwnModel", "user_metadata": {}});
        let Some(topic) = self.step(format!("topic {name}"), client.act("topic_create", request)).await else { return };
        let token = topic["uuid"].as_str().unwrap().to_owned();
        self.put(client, name, &token).await;
    }

    async fn put(&mut self, client: &mut Client, name: &str, token: &str) {
        let (schema, mut batches) = (schema(name), batches(name));
        if name == "c/broken" {
            batches.push(without_time());
            // What is refused is the client's mistake; what was received before stays.
            self.asked.insert(format!("put {name}"));
            match client.put(name, token, schema, batches).await {
                Err(failed) if failed.code == Code::InvalidArgument => {}
                Err(failed) => self.failed.push((format!("put {name}"), failed)),
                Ok(()) => self.wrong.push("rows without a time were taken".to_owned()),
            }
            return;
        }
        self.step(format!("put {name}"), client.put(name, token, schema, batches)).await;
    }

    pub async fn finalize(&mut self, client: &mut Client, sequence: &str) {
        let Some(session) = self.tokens.get(sequence).cloned() else { return };
        let call = client.act("session_finalize", json!({"session_uuid": session}));
        self.step(format!("finalize {sequence}"), call).await;
    }

    pub async fn delete_sequence(&mut self, client: &mut Client, name: &str) {
        self.step(format!("delete {name}"), client.act("sequence_delete", json!({"locator": name}))).await;
    }

    async fn read(&mut self, client: &mut Client, name: &str) {
        let fits = |found: &[i64]| match self.done(&format!("put {name}")) {
            true => found == expected(name),
            // A finalize takes what a broken put left: the first chunks of it, without a hole.
            false => expected(name).starts_with(found),
        };
        match client.get(name).await {
            Ok(read) if fits(&times(&read)) && payloads_fit(&read) => {}
            Ok(read) => self.wrong.push(format!("{name} came back as {:?}", times(&read))),
            Err(failed) => self.failed.push((format!("read {name}"), failed)),
        }
    }
}

/// Both lives of a server, on a host that may fail.
pub async fn run(root: &Path, host: &Host) -> Journal {
    let mut journal = Journal::default();
    match Server::start(root, host).await {
        Ok(server) => first_life(&mut journal, server).await,
        Err(refused) => journal.refused.push(refused),
    }
    leave_what_crashes_leave(root);
    match Server::start(root, host).await {
        Ok(server) => second_life(&mut journal, server, root).await,
        Err(refused) => journal.refused.push(refused),
    }
    journal
}

async fn first_life(journal: &mut Journal, server: Server) {
    let client = &mut server.client().await;
    for sequence in ["a", "b", "c", "d"] {
        journal.sequence(client, sequence).await;
        journal.session(client, sequence).await;
        for (topic, ..) in TOPICS.iter().filter(|(topic, ..)| topic.starts_with(sequence)) {
            journal.topic(client, topic).await;
        }
        if ["a", "b"].contains(&sequence) {
            journal.finalize(client, sequence).await;
        }
    }
    if journal.done("finalize a") {
        for topic in ["a/large", "a/small", "a/empty"] {
            journal.read(client, topic).await;
        }
    }
    if journal.done("topic c/deleted") {
        journal.step("delete c/deleted".to_owned(), client.act("topic_delete", json!({"locator": "c/deleted"}))).await;
    }
    if journal.done("sequence b") {
        journal.delete_sequence(client, "b").await;
    }
    server.swept(Duration::from_secs(2)).await;
    server.stop().await;
}

async fn second_life(journal: &mut Journal, server: Server, root: &Path) {
    let client = &mut server.client().await;
    let _ = server.audit().await;
    if journal.done("finalize a") {
        journal.read(client, "a/large").await;
    }
    if let Some(session) = journal.locators.get("d").and_then(|locator| locator.split(':').next_back()) {
        // Somebody's own file stays, and the directory with it.
        let _ = fs::write(root.join("chunks").join(session.replace('-', "")).join("notes.txt"), "mine");
        // A topic of it that was deleted and not purged.
        let topics = root.join("manifests").join(format!("{}.deleted-topics", session.replace('-', "")));
        let _ = fs::create_dir(&topics);
        let _ = fs::write(topics.join(uuid::Uuid::from_u128(5).as_simple().to_string()), "");
    }
    journal.finalize(client, "c").await;
    if journal.done("finalize c") {
        journal.read(client, "c/whole").await;
        if let Some(session) = journal.locators.get("c").and_then(|locator| locator.split(':').next_back()) {
            let _ = server.read_manifest(session.parse().unwrap()).await;
        }
    }
    if let Some(locator) = journal.locators.get("d").cloned() {
        journal.step("delete session d".to_owned(), client.act("session_delete", json!({"locator": locator}))).await;
    }
    server.swept(Duration::from_secs(2)).await;
    server.stop().await;
}

/// Puts what a crash or a person could have left between two starts: nothing of it may matter.
fn leave_what_crashes_leave(root: &Path) {
    let chunks = files(&root.join("chunks"));
    let Some(some) = chunks.iter().find(|path| path.extension().is_some_and(|e| e == "parquet")) else { return };
    let session = some.parent().unwrap();
    let id = |n: u128| uuid::Uuid::from_u128(n).as_simple().to_string();
    let mark = |session: &Path| {
        let _ = fs::create_dir_all(root.join("touched").join(session.file_name().unwrap()));
    };
    mark(session);
    // Committed, and not renamed yet; and one that has both names.
    let part = some.with_extension("part");
    let _ = fs::rename(some, &part);
    if let Some(other) = chunks.iter().find(|path| *path != some && path.extension().is_some_and(|e| e == "parquet")) {
        mark(other.parent().unwrap());
        let _ = fs::write(other.with_extension("part"), "short");
    }
    // Never acknowledged; and a whole file that no record knows.
    let _ = fs::write(session.join(format!("{}.part", id(1))), "torn");
    let _ = fs::write(session.join(format!("{}.parquet", id(2))), "whole");
    // A session that no record knows, with a file of its own and the draft of a manifest.
    let unknown = root.join("chunks").join(id(3));
    let _ = fs::create_dir_all(&unknown);
    let _ = fs::write(unknown.join(format!("{}.part", id(4))), "torn");
    mark(&unknown);
    let _ = fs::write(root.join("manifests").join(format!("{}.json.tmp", id(3))), "{");
    // The manifest of a session that is open.
    if let Some(open) = fs::read_dir(root.join("touched")).unwrap().flatten().find(|entry| {
        let manifest = root.join("manifests").join(format!("{}.json", entry.file_name().display()));
        !manifest.exists() && entry.file_name() != id(3).as_str()
    }) {
        let _ = fs::write(root.join("manifests").join(format!("{}.json", open.file_name().display())), "{}");
    }
}

/// Every file below a directory.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

pub fn schema(topic: &str) -> SchemaRef {
    // As a careless client declares it, where a row without a time is to come.
    let nullable = topic == "c/broken";
    let time = Field::new("timestamp_ns", DataType::Int64, nullable);
    Arc::new(Schema::new(vec![time, Field::new("data", DataType::Binary, true)]))
}

fn batches(topic: &str) -> Vec<RecordBatch> {
    let (_, count, bytes) = TOPICS.into_iter().find(|(name, ..)| *name == topic).unwrap();
    let rows = CHUNK_ROWS as i64;
    (0..count as i64)
        .map(|nth| {
            let times: Vec<i64> = (nth * rows..(nth + 1) * rows).collect();
            let blobs: BinaryArray = times.iter().map(|time| Some(vec![*time as u8; bytes])).collect();
            let columns = vec![Arc::new(Int64Array::from(times)) as ArrayRef, Arc::new(blobs)];
            RecordBatch::try_new(schema(topic), columns).unwrap()
        })
        .collect()
}

fn without_time() -> RecordBatch {
    let blobs: BinaryArray = [Some(vec![1u8])].into_iter().collect();
    let columns = vec![Arc::new(Int64Array::from(vec![None])) as ArrayRef, Arc::new(blobs)];
    RecordBatch::try_new(schema("c/broken"), columns).unwrap()
}

/// The times of a topic that was written whole.
pub fn expected(topic: &str) -> Vec<i64> {
    let (_, count, _) = TOPICS.into_iter().find(|(name, ..)| *name == topic).unwrap();
    (0..(count as u64 * CHUNK_ROWS) as i64).collect()
}

pub fn times(batches: &[RecordBatch]) -> Vec<i64> {
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

/// Whether every payload is its row's.
pub fn payloads_fit(batches: &[RecordBatch]) -> bool {
    batches.iter().all(|batch| {
        let times = batch.column(0).as_primitive::<Int64Type>().values();
        let blobs = batch.column(1).as_binary::<i32>();
        times.iter().zip(blobs).all(|(time, blob)| blob.is_some_and(|blob| blob.iter().all(|b| *b == *time as u8)))
    })
}
