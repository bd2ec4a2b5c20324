//! Who gets a name that several claim. In a sound data directory nobody does: what was deleted has a tombstone, or nothing at
//! all. Files that a power cut or an older version left may claim names all the same, and then the newer one is right: it
//! could not have been made before the older one was deleted.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use uuid::Uuid;

use crate::session::Recalled;

/// The names that are taken.
#[derive(Default)]
pub(super) struct Claims {
    /// By name, the id of the sequence.
    sequences: BTreeMap<String, Uuid>,
    topics: BTreeSet<String>,
}

impl Claims {
    /// Tells sessions that come back, in the order of their creation, from those whose names a newer one has.
    pub fn settle(&mut self, mut manifests: Vec<Recalled>) -> (Vec<Recalled>, Vec<(Recalled, String)>) {
        manifests.sort_by_key(|manifest| std::cmp::Reverse((manifest.age(), manifest.session())));
        let (mut winners, mut losers) = (Vec::new(), Vec::new());
        for manifest in manifests {
            let topics: Vec<String> = manifest.topics().collect();
            match self.conflict(manifest.sequence(), manifest.sequence_id(), topics.iter()) {
                Some(why) => losers.push((manifest, why)),
                None => {
                    self.take(manifest.sequence(), manifest.sequence_id(), topics);
                    winners.push(manifest);
                }
            }
        }
        winners.sort_by_key(|manifest| (manifest.order(), manifest.session()));
        (winners, losers)
    }

    /// Takes one topic's name, and its sequence's; says why not.
    pub fn claim(&mut self, sequence: &str, id: Uuid, topic: String) -> Result<(), String> {
        match self.conflict(sequence, Some(id), [&topic].into_iter()) {
            Some(why) => Err(why),
            None => {
                self.take(sequence, Some(id), vec![topic]);
                Ok(())
            }
        }
    }

    fn conflict<'a>(
        &self,
        sequence: &str,
        id: Option<Uuid>,
        mut topics: impl Iterator<Item = &'a String>,
    ) -> Option<String> {
        if self.sequences.get(sequence).is_some_and(|holder| Some(*holder) != id) {
            return Some(format!("a newer sequence has the name {sequence}"));
        }
        topics.find(|topic| self.topics.contains(*topic)).map(|topic| format!("a newer topic has the name {topic}"))
    }

    fn take(&mut self, sequence: &str, id: Option<Uuid>, topics: Vec<String>) {
        if let Some(id) = id {
            self.sequences.insert(sequence.to_owned(), id);
        }
        self.topics.extend(topics);
    }
}
