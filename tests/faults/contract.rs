//! What must hold on a good device after anything: everything acknowledged, nothing half, nothing back; and a retry works.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use tessera::catalog::Catalog;
use tessera::catalog::Visibility;
use tessera::io::Host;
use tessera::model::SequenceName;
use tessera::model::SequenceView;
use tessera::model::SessionState;
use tessera::model::TopicState;

use crate::scenario::Journal;
use crate::scenario::TOPICS;
use crate::scenario::expected;
use crate::scenario::files;
use crate::scenario::payloads_fit;
use crate::scenario::times;
use crate::server::CHUNK_ROWS;
use crate::server::Client;
use crate::server::Server;

/// Starts on a good device, holds what is there to the journal, does what was left undone, and looks at the files.
///
/// # Errors
/// What is broken, in words.
pub async fn check(root: &Path, mut journal: Journal) -> Result<(), String> {
    let server =
        Server::start(root, &Host::default()).await.map_err(|why| format!("no start on a good device: {why}"))?;
    let client = &mut server.client().await;
    // The files of what is deleted wait for their purge, all others were looked at before the first call.
    if !server.swept(Duration::from_secs(30)).await {
        return Err("what was deleted is not purged after a start".to_owned());
    }
    if let Some(part) = files(&root.join("chunks")).iter().find(|path| path.extension().is_some_and(|e| e == "part")) {
        return Err(format!("{} is left after a start", part.display()));
    }
    let report = server.audit().await.map_err(|error| format!("the audit fails: {error}"))?;
    if !(report.missing.is_empty() && report.wrong_length.is_empty()) {
        return Err(format!("records without their files: {report:?}"));
    }
    if let Some(cause) = server.poisoned.lock().unwrap().clone() {
        return Err(format!("the catalog gave up: {cause}"));
    }
    // Beside what the scenario planted, no file is without a record: what was deleted would be back.
    for lost in files(&root.join("lost")) {
        if !["short", "whole"].iter().any(|planted| fs::read(&lost).unwrap() == planted.as_bytes()) {
            return Err(format!("{} is a chunk without a record", lost.display()));
        }
    }
    for sequence in ["a", "b", "c", "d"] {
        promised(&server, client, &journal, sequence).await?;
    }
    let (before, faults) = (journal.failed.len(), std::mem::take(&mut journal.failed));
    let retried = retry(&server, client, &mut journal).await;
    retried
        .map_err(|what| format!("the retry does not work: {what}; {:?} after {before}: {faults:?}", journal.failed))?;
    for topic in ["a/large", "a/small", "a/empty", "c/whole"] {
        whole(client, topic).await?;
    }
    if !server.swept(Duration::from_secs(30)).await {
        return Err("what was deleted is never purged".to_owned());
    }
    let finals = left(&server).await?;
    server.stop().await;
    on_disk(root, &finals)
}

async fn view(server: &Server, name: &str) -> Option<SequenceView> {
    server.catalog.sequence(&SequenceName::parse(name).unwrap(), Visibility::All).await.ok()
}

/// What was acknowledged is there, what was not is whole or not there at all.
async fn promised(server: &Server, client: &mut Client, journal: &Journal, name: &str) -> Result<(), String> {
    let asked = |what: &str| journal.asked(&format!("{what} {name}"));
    let done = |what: &str| journal.done(&format!("{what} {name}"));
    let Some(view) = view(server, name).await else {
        return match done("sequence") && !asked("delete") {
            true => Err(format!("sequence {name} was created, and is gone")),
            false => Ok(()),
        };
    };
    if done("delete") {
        return Err(format!("sequence {name} was deleted, and is back"));
    }
    if !asked("sequence") {
        return Err(format!("sequence {name}: nobody created it"));
    }
    let Some(session) = view.sessions.first() else {
        return match done("session") && !asked("delete session") {
            true => Err(format!("the session of {name} was created, and is gone")),
            false => Ok(()),
        };
    };
    if done("delete session") {
        return Err(format!("the session of {name} was deleted, and is back"));
    }
    let final_ = session.head.state == SessionState::Final;
    if done("finalize") && !final_ {
        return Err(format!("the session of {name} was finalized, and is open"));
    }
    if final_ && !asked("finalize") {
        return Err(format!("the session of {name} was never finalized, and is final"));
    }
    let there: BTreeSet<String> = session.topics.iter().map(|topic| topic.head.name.to_string()).collect();
    for (topic, ..) in TOPICS.iter().filter(|(topic, ..)| topic.starts_with(name)) {
        let deleted = (journal.asked(&format!("delete {topic}")), journal.done(&format!("delete {topic}")));
        if !there.contains(*topic) {
            if journal.done(&format!("topic {topic}")) && !deleted.0 {
                return Err(format!("topic {topic} was created, and is gone"));
            }
            continue;
        }
        if deleted.1 {
            return Err(format!("topic {topic} was deleted, and is back"));
        }
        let read = client.get(topic).await;
        if !final_ {
            if let Ok(rows) = read {
                return Err(format!("{topic} can be read before its session is final: {:?}", times(&rows)));
            }
            continue;
        }
        let rows = read.map_err(|failed| format!("{topic} is final and cannot be read: {failed:?}"))?;
        let (found, whole) = (times(&rows), expected(topic));
        let fits = match journal.done(&format!("put {topic}")) {
            true => found == whole,
            false => whole.starts_with(&found) && (found.len() as u64).is_multiple_of(CHUNK_ROWS),
        };
        if !fits || !payloads_fit(&rows) {
            return Err(format!("{topic} has {found:?} of {whole:?}"));
        }
    }
    // Rows of an open session are durable all the same.
    for topic in &session.topics {
        let name = topic.head.name.to_string();
        if journal.done(&format!("put {name}")) && topic.totals.rows != expected(&name).len() as u64 {
            return Err(format!("{name} was acknowledged whole, and has {} rows", topic.totals.rows));
        }
    }
    Ok(())
}

/// Does what the clients would do: whatever was not acknowledged, again.
async fn retry(server: &Server, client: &mut Client, journal: &mut Journal) -> Result<(), String> {
    for name in ["b", "d"] {
        if view(server, name).await.is_some() {
            client.act("sequence_delete", json!({"locator": name})).await.map_err(|failed| format!("{failed:?}"))?;
        }
    }
    for name in ["a", "c"] {
        let found = view(server, name).await;
        let state = found.as_ref().and_then(|view| view.sessions.first()).map(|session| session.head.state);
        if state == Some(SessionState::Final) {
            again(client, name, journal).await?;
            let whole = |topic: &&str| topic.starts_with(name) && !["c/broken", "c/deleted"].contains(topic);
            let topics = TOPICS.iter().map(|(topic, ..)| *topic).filter(whole);
            let view = found.as_ref().unwrap();
            let complete = |topic: &str| {
                let mut topics = view.sessions[0].topics.iter();
                topics.any(|t| t.head.name.to_string() == topic && t.head.state == TopicState::Complete)
            };
            if topics.clone().all(complete) {
                continue;
            }
            // Finalized with what its broken puts left: a drive like that is recorded again.
        }
        let token = journal.tokens.contains_key(name);
        if found.is_some() && (state == Some(SessionState::Final) || state.is_none() || !token) {
            client.act("sequence_delete", json!({"locator": name})).await.map_err(|failed| format!("{failed:?}"))?;
            journal.sequence(client, name).await;
            journal.session(client, name).await;
        } else if found.is_none() {
            journal.sequence(client, name).await;
            journal.session(client, name).await;
        }
        for (topic, ..) in TOPICS.iter().filter(|(topic, ..)| topic.starts_with(name)) {
            let view = view(server, name).await.ok_or("a sequence is gone that was just there")?;
            let topics = view.sessions.iter().flat_map(|session| &session.topics);
            let there =
                topics.clone().find(|there| there.head.name.to_string() == *topic).map(|there| there.head.state);
            let keeps = matches!(
                (there, *topic),
                (Some(TopicState::Complete), _) | (Some(TopicState::Interrupted), "c/broken")
            );
            if keeps && *topic != "c/deleted" {
                continue;
            }
            if there.is_some() {
                client.act("topic_delete", json!({"locator": topic})).await.map_err(|failed| format!("{failed:?}"))?;
            }
            if *topic != "c/deleted" {
                journal.topic(client, topic).await;
            }
        }
        journal.finalize(client, name).await;
        again(client, name, journal).await?;
    }
    match journal.failed.is_empty() {
        true => Ok(()),
        false => Err("a step failed".to_owned()),
    }
}

/// A finalize may be repeated and answers the same.
async fn again(client: &mut Client, name: &str, journal: &Journal) -> Result<(), String> {
    let Some(token) = journal.tokens.get(name) else { return Ok(()) };
    let repeated = client.act("session_finalize", json!({"session_uuid": token})).await;
    repeated.map(drop).map_err(|failed| format!("finalize of {name} cannot be repeated: {failed:?}"))
}

async fn whole(client: &mut Client, topic: &str) -> Result<(), String> {
    let rows = client.get(topic).await.map_err(|failed| format!("{topic} cannot be read at last: {failed:?}"))?;
    match times(&rows) == expected(topic) && payloads_fit(&rows) {
        true => Ok(()),
        false => Err(format!("{topic} has {:?} at last", times(&rows))),
    }
}

/// Every session, its manifest's name and the files of its chunks.
async fn left(server: &Server) -> Result<BTreeSet<String>, String> {
    let mut wanted = BTreeSet::new();
    for name in ["a", "c"] {
        let view = view(server, name).await.ok_or("a sequence is gone at last")?;
        for session in view.sessions {
            let id = session.head.id;
            wanted.insert(format!("manifests/{id}.json"));
            let chunks = server.open_store.committed_chunks(id).await.map_err(|error| error.to_string())?;
            wanted.extend(chunks.iter().map(|record| format!("chunks/{id}/{}.parquet", record.chunk)));
        }
    }
    Ok(wanted)
}

/// Nothing else lies about.
fn on_disk(root: &Path, wanted: &BTreeSet<String>) -> Result<(), String> {
    let all = ["chunks", "manifests"].into_iter().flat_map(|place| files(&root.join(place)));
    let ours = all.filter(|path| !path.ends_with("notes.txt"));
    let found: BTreeSet<String> =
        ours.map(|path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()).collect();
    match found == *wanted {
        true => Ok(()),
        false => Err(format!(
            "files without use: {:?}; files that are missing: {:?}",
            found.difference(wanted).collect::<Vec<_>>(),
            wanted.difference(&found).collect::<Vec<_>>()
        )),
    }
}
