//! Goal: the file holds what was appended, and the checksums are those of its bytes, however it came and was spilled.

use futures::executor::block_on;
use proptest::prelude::*;

use super::*;
use crate::io::BlockPool;
use crate::io::BlockingPool;
use crate::io::ThreadDevice;
use crate::io::hash_blocks;
use crate::model::IdSource;
use crate::runtime::TaskSet;

/// What is done to a file.
#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Spill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![1..100usize, 4000..70_000usize, Just(CHECKSUM_BLOCK), Just(WRITE_SIZE), 1..3 * WRITE_SIZE];
    prop::collection::vec(prop_oneof![4 => len.prop_map(Step::Append), 1 => Just(Step::Spill)], 1..12)
}

/// Appends `body` as `steps` say, then `tail` behind the checksums. Returns them and the file.
fn write(body: &[u8], tail: &[u8], steps: &[Step]) -> (ChunkId, Vec<u64>, Vec<u8>) {
    let root = tempfile::tempdir().unwrap();
    for name in [path::CHUNKS_DIRECTORY, path::TOUCHED_DIRECTORY] {
        std::fs::create_dir(root.path().join(name)).unwrap();
    }
    let names = BlockingPool::new("test", 2).unwrap();
    let device = Rc::new(ThreadDevice::open(root.path(), names.clone(), names).unwrap());
    let ids = IdSource::from_seed([5; 32]);
    let (session, chunk) = (SessionId::new(&ids), ChunkId::new(&ids));
    let tasks = TaskSet::default();
    let blocks = BlockPool::heap(4);
    let directory = Rc::new(Directory::new(device, blocks, tasks.clone(), Rc::new(|| {})));
    let mut checksums = Vec::new();
    block_on(tasks.run_until(async {
        let mut file = ChunkWriter::create(directory, session, chunk).await.unwrap();
        let mut rest = body;
        for step in steps {
            match step {
                Step::Append(len) => {
                    let (piece, after) = rest.split_at(*len);
                    file.append(piece).await.unwrap();
                    rest = after;
                }
                Step::Spill => file.spill().await.unwrap(),
            }
        }
        checksums = file.checksums();
        file.append(tail).await.unwrap();
        assert_eq!(file.finish().await.unwrap(), (body.len() + tail.len()) as u64);
    }));
    let written = std::fs::read(root.path().join(path::chunk_file(session, chunk, Suffix::Part))).unwrap();
    (chunk, checksums, written)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_was_appended_is_there_and_hashed(steps in steps(), tail in 0..200_000usize) {
        let len = steps.iter().map(|step| if let Step::Append(len) = step { *len } else { 0 }).sum();
        let body: Vec<u8> = (0..len).map(|at| (at * 31 + at / 251) as u8).collect();
        let tail = vec![7; tail];
        let (chunk, checksums, written) = write(&body, &tail, &steps);
        prop_assert_eq!(checksums, hash_blocks(chunk, &body));
        prop_assert!(written == [body, tail].concat());
    }
}
