//! Sessions that no manifest tells of: what their chunks tell comes back open.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::Problem;
use super::RebuildError;
use super::Rebuilt;
use super::claims::Claims;
use super::found::Found;
use super::found::Remains;
use super::wrap;
use crate::catalog::EmbeddedCatalog;
use crate::catalog::OpenStore;
use crate::io::Host;
use crate::io::wall_ns;
use crate::model::ChunkId;
use crate::model::IdSource;
use crate::model::SessionId;
use crate::model::TopicId;
use crate::session::OpenRemains;
use crate::session::RestoreError;
use crate::session::restore_open;
use crate::store;
use crate::store::Suffix;

/// A topic of a session without a manifest.
pub(super) struct OpenTopic {
    /// Of its newest chunk: the start that wrote it, and when its file was last changed.
    age: (u64, i64),
    session: SessionId,
    chunks: Vec<Remains>,
}

/// Reads what is left of all sessions that are not done.
pub(super) async fn gather(
    host: &Host,
    found: &mut Found,
    done: &BTreeSet<SessionId>,
    rebuilt: &mut Rebuilt,
) -> Result<Vec<OpenTopic>, RebuildError> {
    let mut open: BTreeMap<(SessionId, TopicId), OpenTopic> = BTreeMap::new();
    for session in found.others(done).await? {
        let files = found.files(session).await?;
        let unreadable = files.records.iter().filter_map(|(chunk, record)| Some((chunk, record.as_ref().err()?)));
        rebuilt.problems.extend(unreadable.map(|(chunk, why)| Problem {
            name: format!("session {session}"),
            part: format!("chunk {chunk}"),
            problem: format!("{why}: it is left out of the open session"),
        }));
        for remains in files.remains {
            let identity = &remains.described.identity;
            let suffix = if remains.is_named { Suffix::Parquet } else { Suffix::Part };
            let file = store::chunk_file(session, identity.chunk, suffix);
            let mut changed = 0;
            if let Some(place) = found.places.get(remains.place) {
                changed = host.changed_ns(&place.path.join(&file)).map_err(wrap(&file))?;
            }
            let age = (identity.incarnation, changed);
            let new = || OpenTopic { age, session, chunks: Vec::new() };
            let topic = open.entry((session, identity.topic)).or_insert_with(new);
            topic.age = topic.age.max(age);
            topic.chunks.push(remains);
        }
    }
    Ok(open.into_values().collect())
}

/// Brings them back, the newest first to choose its name.
pub(super) async fn restore(
    (catalog, store): (&EmbeddedCatalog, &OpenStore),
    ids: &IdSource,
    found: &mut Found,
    mut open: Vec<OpenTopic>,
    mut claims: Claims,
    (sequences, rebuilt): (&mut BTreeSet<String>, &mut Rebuilt),
) -> Result<(), RebuildError> {
    open.sort_by_key(|topic| std::cmp::Reverse((topic.age, topic.session)));
    let mut chosen: BTreeMap<SessionId, Vec<Remains>> = BTreeMap::new();
    for OpenTopic { session, chunks, .. } in open {
        let Some(identity) = chunks.first().map(|remains| remains.described.identity.clone()) else { continue };
        let (name, sequence) = (identity.name.to_string(), identity.name.sequence.as_str());
        match claims.claim(sequence, identity.sequence.0, name.clone()) {
            Ok(()) => chosen.entry(session).or_default().extend(chunks),
            Err(why) => {
                chunks.iter().for_each(|remains| found.lose_chunk(session, remains));
                rebuilt.problems.push(Problem {
                    name,
                    part: format!("session {session}"),
                    problem: format!("{why}: it was deleted, or never finalized; its files go to lost/"),
                });
            }
        }
    }
    for (session, remains) in chosen {
        let name = remains.first().map(|remains| remains.described.identity.name.sequence.to_string());
        let places: BTreeMap<ChunkId, (usize, bool)> =
            remains.iter().map(|own| (own.described.identity.chunk, (own.place, own.is_named))).collect();
        let chunks = remains.into_iter().map(|remains| (remains.described, remains.schema)).collect();
        let restored = match restore_open((catalog, store), ids, OpenRemains { session, chunks }, wall_ns()).await {
            Ok(restored) => restored,
            Err(RestoreError::Refused(why)) => {
                for (chunk, (place, is_named)) in places {
                    if !is_named {
                        found.lose_file(place, session, chunk);
                    }
                }
                rebuilt.problems.push(Problem {
                    name: name.unwrap_or_default(),
                    part: format!("session {session}"),
                    problem: format!("{why}: it does not come back, its files go to lost/"),
                });
                continue;
            }
            Err(RestoreError::Catalog(error)) => return Err(error.into()),
        };
        // Behind a hole: whole, and perhaps acknowledged.
        for lost in &restored.lost {
            if let Some((place, false)) = places.get(&lost.chunk) {
                found.lose_file(*place, session, lost.chunk);
            }
        }
        sequences.extend(name);
        rebuilt.open += 1;
        rebuilt.add(restored);
    }
    Ok(())
}
