//! Mistakes of ours while a topic is written: its put ends and says so, and nobody else is harmed.

use futures::executor::block_on;

use tessera::catalog::Catalog;
use tessera::catalog::Visibility;
use tessera::io::FaultScript;
use tessera::io::Faults;
use tessera::io::Operation;
use tessera::model::TimeRange;
use tessera::model::TopicState;
use tessera::shard::ChunkConfig;
use tessera::shard::PutError;
use tessera::shard::TopicSpec;

use crate::house::House;
use crate::house::Plan;
use crate::house::batch;
use crate::house::schema;
use crate::house::scratch;
use crate::house::times;
use crate::house::write;

/// A chunk per row group, and a row group per batch of this many bytes.
const ROW_BYTES: usize = 5 << 20;

fn house(directory: &tempfile::TempDir, faults: Faults) -> House {
    let chunk = ChunkConfig { rows_max: 1, ..ChunkConfig::default() };
    let plan = Plan { chunk, faults: Some(FaultScript::new(faults)), ..Plan::default() };
    House::planned(directory.path(), plan, |catalog| std::sync::Arc::new(catalog))
}

/// Two topics on one shard.
fn neighbours(house: &House) -> [TopicSpec; 2] {
    let topics = ["a", "b", "c"].map(|name| house.topic(name, &schema()));
    let shard = topics[0].head.shard;
    let mut same: Vec<TopicSpec> = topics.into_iter().filter(|topic| topic.head.shard == shard).collect();
    while same.len() < 2 {
        let next = house.topic(&format!("more{}", same.len()), &schema());
        same.extend((next.head.shard == shard).then_some(next));
    }
    [same.swap_remove(0), same.swap_remove(0)]
}

/// Goal: a writer that panics in the middle of its stream fails that stream alone.
/// Method: its third chunk's file panics when it is made; its neighbour on the shard writes before and after.
#[test]
fn a_writer_that_panics_ends_its_own_put_and_keeps_what_was_committed() {
    let runtime = crate::clocked();
    let _entered = runtime.enter();
    let directory = scratch();
    let house = house(&directory, Faults::Panic(Operation::Create, 2));
    let [broken, other] = neighbours(&house);
    block_on(async {
        let mut sender = house.shards.open_writer(broken.clone()).await.unwrap();
        let mut failed = None;
        for at in 0..100 {
            if let Err(error) = sender.push(batch(&[at], ROW_BYTES), ROW_BYTES).await {
                failed = Some(error);
                break;
            }
        }
        assert!(matches!(failed, Some(PutError::Panicked { .. })), "{failed:?}");
        // The put has ended by the time its client is told.
        let view = house.catalog.topic(&broken.head.name, Visibility::All).await.unwrap();
        assert_eq!((view.head.state, view.totals.rows), (TopicState::Interrupted, 2));
        assert!(matches!(sender.close().await, Err(PutError::Panicked { .. })));
    });
    write(&house, &other, (0..3).map(|at| batch(&[at], ROW_BYTES)).collect());
    let view = block_on(house.catalog.topic(&other.head.name, Visibility::All)).unwrap();
    assert_eq!((view.head.state, view.totals.rows), (TopicState::Complete, 3));
    assert_eq!(times(&house.read(&broken, TimeRange::ALL)), [0, 1]);
    assert_eq!(times(&house.read(&other, TimeRange::ALL)), [0, 1, 2]);
    // Nothing of it is left over at the next start either.
    let house = House::open(&house.close(), tessera::io::BackendChoice::Auto, ChunkConfig::default());
    assert_eq!(times(&house.read(&broken, TimeRange::ALL)), [0, 1]);
    house.close();
}

/// Goal: the same when the mistake is made while the stream is closed: no OK, and no topic that stays *receiving*.
#[test]
fn a_writer_that_panics_at_its_close_says_so() {
    let runtime = crate::clocked();
    let _entered = runtime.enter();
    for interrupt in [false, true] {
        let directory = scratch();
        let house = house(&directory, Faults::Panic(Operation::Create, 0));
        let [broken, other] = neighbours(&house);
        block_on(async {
            let mut sender = house.shards.open_writer(broken.clone()).await.unwrap();
            sender.push(batch(&[1], 10), 10).await.unwrap();
            let ended = match interrupt {
                true => sender.interrupt("the cable came off".to_owned()).await,
                false => sender.close().await,
            };
            assert!(matches!(ended, Err(PutError::Panicked { .. })), "{ended:?}");
        });
        let view = block_on(house.catalog.topic(&broken.head.name, Visibility::All)).unwrap();
        assert_eq!((view.head.state, view.totals.rows), (TopicState::Interrupted, 0));
        write(&house, &other, vec![batch(&[1, 2], 10)]);
        assert_eq!(times(&house.read(&other, TimeRange::ALL)), [1, 2]);
        // Waits for every writer: none may hang.
        house.close();
    }
}
