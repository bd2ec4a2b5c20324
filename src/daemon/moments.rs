//! How far a running start came, noted now and then in its data directories: see [`starts`].

use std::sync::Arc;
use std::time::Duration;

use crate::catalog::OpenStore;
use crate::io::DirectoryLock;
use crate::io::Host;

use super::starts;
use super::starts::Start;

/// How often a moment is counted.
const MOMENT: Duration = Duration::from_secs(10);

/// Counts moments of a start for as long as it serves. A directory that is gone, or that refuses, is left out: whoever records
/// there tells it.
pub struct Moments {
    pub host: Host,
    pub store: OpenStore,
    pub start: Start,
    pub locks: Arc<Vec<DirectoryLock>>,
}

impl Moments {
    /// May be dropped at any time.
    pub async fn run(self: Arc<Self>) {
        let mut seen = self.store.changes();
        loop {
            tokio::time::sleep(MOMENT).await;
            let changes = self.store.changes();
            if changes == seen {
                continue;
            }
            let Ok(moment) = self.store.count_moment().await else { continue };
            // The count itself is one.
            seen = changes.saturating_add(1);
            let own = Arc::clone(&self);
            // A disk that hangs keeps a thread of its own waiting, and the next moment.
            let _ = tokio::task::spawn_blocking(move || own.write(moment)).await;
        }
    }

    /// The last one, when nothing is recorded any more.
    pub async fn end(&self) {
        if let Ok(moment) = self.store.count_moment().await {
            self.write(moment);
        }
    }

    fn write(&self, moment: u64) {
        for lock in self.locks.iter().filter(|lock| lock.is_in_place()) {
            let place = lock.path().parent().unwrap_or(lock.path());
            if let Err(error) = starts::write_one(&self.host, place, Start { moment, ..self.start }) {
                tracing::debug!(%error, "a moment of this start is not noted");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::catalog::EmbeddedCatalog;
    use crate::catalog::EmbeddedConfig;
    use crate::model::StartId;

    /// Goal: what lies where a directory was is somebody else's, and one that is gone keeps no other from its moment.
    #[test]
    fn a_directory_that_is_gone_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let (host, places) = (Host::default(), ["a", "b"].map(|name| root.path().join(name)));
        places.iter().for_each(|place| std::fs::create_dir(place).unwrap());
        let catalog = EmbeddedCatalog::open(&EmbeddedConfig::default(), &root.path().join("catalog.db")).unwrap();
        let store = catalog.open_store();
        block_on(store.boot([5; 32], 1)).unwrap();
        let start = Start { number: 1, id: StartId(uuid::Uuid::from_u128(5)), moment: 0 };
        let locks = places.iter().map(|place| host.lock(place).unwrap()).collect();
        let moments = Moments { host: host.clone(), store, start, locks: Arc::new(locks) };
        let read = |place: &std::path::Path| starts::read(&host, place).unwrap().map(|start| start.moment);
        block_on(moments.end());
        assert_eq!(places.each_ref().map(|place| read(place)), [Some(1), Some(1)]);
        let moved = root.path().join("moved");
        std::fs::rename(&places[0], &moved).unwrap();
        std::fs::create_dir(&places[0]).unwrap();
        block_on(moments.end());
        assert_eq!((read(&places[0]), read(&moved), read(&places[1])), (None, Some(1), Some(2)));
    }
}
