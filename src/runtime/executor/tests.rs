use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::*;
use crate::io::BLOCK_SIZE;
use crate::io::BackendChoice;
use crate::io::probe;
use crate::runtime::cores;
use crate::runtime::mailbox;

fn config(blocks: usize) -> ExecutorConfig {
    ExecutorConfig { name: "test".to_owned(), core: None, blocks, read_blocks: 1, devices: 1 }
}

fn threads() -> Backend {
    Backend::Threads { reason: "a test".to_owned() }
}

/// Both kinds, where the machine allows both.
fn kinds(directory: &Path) -> Vec<Backend> {
    let mut kinds = vec![threads(), probe(directory, BackendChoice::Auto).unwrap()];
    kinds.dedup_by_key(|kind| matches!(kind, Backend::Uring));
    kinds
}

/// A shard in small: messages from other threads in, blocks to the disk, answers out.
#[test]
fn a_shard_takes_messages_and_writes_blocks() {
    let directory = tempfile::tempdir().unwrap();
    for (number, backend) in kinds(directory.path()).into_iter().enumerate() {
        let (requests, mut inbox) = mailbox::<u8>(4, 1 << 20);
        let (outbox, mut answers) = mailbox::<u64>(4, 1 << 20);
        let root = directory.path().to_owned();
        let core = cores().unwrap().pop();
        let executor = Executor::spawn(&backend, ExecutorConfig { core, ..config(2) }, move |local| {
            Box::pin(async move {
                assert_eq!(cores().unwrap(), Vec::from_iter(core));
                let device = local.device(&root).await.unwrap();
                let file = device.create(Path::new(&format!("{number}.part"))).await.unwrap();
                let mut offset = 0;
                while let Some(byte) = inbox.recv().await {
                    let mut buf = local.pool.acquire().await;
                    buf.as_mut_slice().fill(byte);
                    file.write_at(buf, BLOCK_SIZE, offset).await.unwrap();
                    offset += BLOCK_SIZE as u64;
                    outbox.send(offset, 8).await.unwrap();
                }
                local.clock.sleep(Duration::from_millis(1)).await;
                file.close().await.unwrap();
            })
        });
        let executor = executor.unwrap();
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        tokio.block_on(async {
            for byte in 0..50 {
                requests.send(byte, 1).await.unwrap();
                assert_eq!(answers.recv().await, Some((u64::from(byte) + 1) * BLOCK_SIZE as u64));
            }
            drop(requests);
            assert_eq!(answers.recv().await, None);
        });
        executor.join().unwrap();
        let written = std::fs::read(directory.path().join(format!("{number}.part"))).unwrap();
        assert!(written.chunks(BLOCK_SIZE).zip(0..).all(|(block, byte)| block.iter().all(|found| *found == byte)));
        assert_eq!(written.len(), 50 * BLOCK_SIZE);
    }
}

/// Says when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_panic_comes_out_of_join() {
    let directory = tempfile::tempdir().unwrap();
    for backend in kinds(directory.path()) {
        let dropped = Arc::new(AtomicBool::new(false));
        let guard = Dropped(dropped.clone());
        let executor = Executor::spawn(&backend, config(1), move |local| {
            Box::pin(async move {
                let _guard = guard;
                let _buf = local.pool.acquire().await;
                local.clock.sleep(Duration::from_millis(1)).await;
                std::panic::resume_unwind(Box::new("broken promise"));
            })
        });
        let error = executor.unwrap().join().unwrap_err();
        assert!(matches!(&error, ExecutorError::Panicked { message, .. } if message == "broken promise"), "{error}");
        assert!(dropped.load(Ordering::SeqCst), "what the shard held is dropped");
    }
}

#[test]
fn a_core_that_is_not_there_is_an_error_of_spawn() {
    let directory = tempfile::tempdir().unwrap();
    for backend in kinds(directory.path()) {
        let config = ExecutorConfig { core: Some(1023), ..config(1) };
        let refused = Executor::spawn(&backend, config, |_| Box::pin(async {}));
        assert!(matches!(refused.err(), Some(ExecutorError::Pin { core: 1023, .. })));
    }
}

#[test]
fn no_device_has_all_the_workers_of_the_kernel() {
    assert_eq!([changes_at_once(1, 2), changes_at_once(2, 1), changes_at_once(2, 2)], [None, Some(1), Some(3)]);
    assert_eq!(
        [changes_at_once(2, 16), changes_at_once(8, 1), changes_at_once(2, 1000)],
        [Some(31), Some(1), Some(127)]
    );
}
