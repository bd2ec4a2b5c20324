//! What happens when the file or the code fails under a call.

use std::sync::mpsc;

use futures::executor::block_on;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::catalog::NewSequence;
use crate::catalog::embedded::sequences;
use crate::model::SequenceHead;
use crate::model::SequenceId;
use crate::model::SequenceName;
use crate::model::UserMetadata;

struct Case {
    engine: Engine,
    poisoned: mpsc::Receiver<String>,
    directory: TempDir,
}

fn case() -> Case {
    let directory = tempfile::tempdir().unwrap();
    let engine =
        Engine::start(&crate::io::Host::default(), &EmbeddedConfig::default(), &directory.path().join("catalog"))
            .unwrap();
    let (sender, poisoned) = mpsc::channel();
    engine.on_poison(Box::new(move |cause| sender.send(cause.to_owned()).unwrap()));
    Case { engine, poisoned, directory }
}

impl Case {
    fn create(&self, n: u128) -> Fut<'_, SequenceHead> {
        let name = SequenceName::parse(&format!("s{n}")).unwrap();
        let id = SequenceId(Uuid::from_u128(n));
        let new = NewSequence { id, name, metadata: UserMetadata::empty(), created_at_ns: 1 };
        self.engine.write(0, move |work| sequences::create(work, &new))
    }

    /// Runs `fault` between two good calls of one group: none of the three may be answered with `Ok`, nor anything later.
    fn group_with(self, fault: impl FnOnce(&mut Work<'_>) -> Outcome<()> + Send + 'static) -> String {
        block_on(self.create(1)).unwrap();
        let (go, wait) = mpsc::channel::<()>();
        // The group gathers while the writer is held up.
        let held = self.engine.write(0, move |_| {
            let _ = wait.recv();
            Ok(())
        });
        let (before, faulty, after) = (self.create(2), self.engine.write(0, fault), self.create(3));
        go.send(()).unwrap();
        let _either = block_on(held);
        for answer in [block_on(before).map(drop), block_on(faulty), block_on(after).map(drop)] {
            assert!(matches!(answer, Err(CatalogError::Unavailable { .. })), "{answer:?}");
        }
        let cause = self.poisoned.recv().unwrap();
        let later = CatalogError::Unavailable { cause: cause.clone() };
        assert_eq!(block_on(self.create(4)).unwrap_err(), later);
        assert_eq!(block_on(self.engine.read(|_| Ok(()))).unwrap_err(), later);
        let (sender, told) = mpsc::channel();
        self.engine.on_poison(Box::new(move |cause| sender.send(cause.to_owned()).unwrap()));
        assert_eq!(told.recv().as_ref(), Ok(&cause), "who asks late is told at once");

        let Case { engine, poisoned, directory } = self;
        drop(engine);
        assert!(poisoned.try_recv().is_err(), "told once");
        let path = directory.path().join("catalog");
        let reopened = Engine::start(&crate::io::Host::default(), &EmbeddedConfig::default(), &path).unwrap();
        let page = block_on(reopened.read(|connection| sequences::page(connection, None, 9))).unwrap();
        let names: Vec<_> = page.items.iter().map(|head| head.name.as_str()).collect();
        assert_eq!(names, ["s1"], "what was acknowledged, and nothing of the group");
        cause
    }
}

#[test]
fn a_failed_commit_poisons() {
    let cause = case().group_with(|work| {
        // A promise to be kept at the commit, and broken.
        work.connection.execute_batch("PRAGMA defer_foreign_keys = ON; INSERT INTO tombstone (session) VALUES (99)")?;
        Ok(())
    });
    assert!(cause.contains("FOREIGN KEY"), "{cause}");
}

#[test]
fn a_full_disk_poisons() {
    let cause = case().group_with(|work| {
        let pages = work.connection.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))?;
        work.connection.execute_batch(&format!("PRAGMA max_page_count = {pages}"))?;
        work.connection.execute("INSERT INTO journal (topic, record) VALUES (1, zeroblob(1000000))", [])?;
        Ok(())
    });
    assert!(cause.contains("full"), "{cause}");
}

#[test]
fn a_bug_in_an_operation_poisons() {
    let cause = case().group_with(|_| panic!("a bug, for the test"));
    assert!(cause.contains("panicked"), "{cause}");
}

#[test]
fn a_closed_catalog_has_finished_what_it_took() {
    let case = case();
    let calls: Vec<_> = (1..50).map(|n| case.create(n)).collect();
    case.engine.close();
    calls.into_iter().for_each(|call| drop(block_on(call).unwrap()));
    assert_eq!(block_on(case.create(99)).unwrap_err(), CatalogError::Closed);
    assert_eq!(block_on(case.engine.read(|_| Ok(()))).unwrap_err(), CatalogError::Closed);
    case.engine.close();
}

/// Goal: no fault that the disk shows at any statement is taken for success.
/// Method: a damaged journal row and a journal row of nobody stop the start.
#[test]
fn a_journal_that_cannot_be_read_stops_the_start() {
    for sql in [
        "INSERT INTO journal (topic, record) VALUES (77, x'00')",
        "INSERT INTO journal (topic, record) VALUES (77, zeroblob(140))",
    ] {
        let case = case();
        block_on(case.engine.write(0, move |work| Ok(work.connection.execute_batch(sql)?))).unwrap();
        let Case { engine, directory, .. } = case;
        drop(engine);
        let started =
            Engine::start(&crate::io::Host::default(), &EmbeddedConfig::default(), &directory.path().join("catalog"));
        assert!(matches!(started.map(drop), Err(CatalogError::Corrupt { .. })));
    }
}
