//! Goal: a put that fails keeps the rows before the failure and none behind it, whichever operation fails: no hole.
//! Method: three chunks, sealed one behind the other; every operation of a clean run fails once.

use futures::executor::block_on;

use tessera::catalog::Catalog;
use tessera::catalog::Visibility;
use tessera::io::BackendChoice;
use tessera::io::FaultScript;
use tessera::io::Faults;
use tessera::io::Operation;
use tessera::model::TimeRange;
use tessera::shard::ChunkConfig;
use tessera::shard::TopicSpec;

use crate::house::House;
use crate::house::Plan;
use crate::house::batch;
use crate::house::schema;
use crate::house::scratch;
use crate::house::times;

fn open(directory: &tempfile::TempDir, script: &FaultScript) -> House {
    let chunk = ChunkConfig { rows_max: 1, ..ChunkConfig::default() };
    let plan = Plan { backend: BackendChoice::Threads, chunk, faults: Some(script.clone()), ..Plan::default() };
    House::planned(directory.path(), plan, |catalog| std::sync::Arc::new(catalog))
}

/// Whether every row was taken.
fn put(house: &House, topic: &TopicSpec) -> bool {
    block_on(async {
        let mut sender = house.shards.open_writer(topic.clone()).await.unwrap();
        for at in 0..3 {
            let rows = batch(&[at], 2 << 20);
            let bytes = rows.get_array_memory_size();
            if sender.push(rows, bytes).await.is_err() {
                break;
            }
        }
        sender.close().await.is_ok()
    })
}

#[test]
fn a_put_that_fails_keeps_a_prefix() {
    let runtime = crate::clocked();
    let _entered = runtime.enter();
    let directory = scratch();
    let script = FaultScript::default();
    let house = open(&directory, &script);
    let topic = house.topic("a", &schema());
    let before = script.trace().len();
    assert!(put(&house, &topic));
    house.close();
    let trace = script.trace();
    let syncs = trace.iter().filter(|operation| **operation == Operation::Sync).count();
    assert_eq!(syncs, 3, "one for each chunk");
    let mut kept = [0; 4];
    for nth in before..trace.len() {
        let directory = scratch();
        let house = open(&directory, &FaultScript::new(Faults::One(nth)));
        let topic = house.topic("a", &schema());
        let whole = put(&house, &topic);
        let found = times(&house.read(&topic, TimeRange::ALL));
        assert!([0, 1, 2].starts_with(&found[..]), "operation {nth}, {:?}, leaves {found:?}", trace.get(nth));
        assert!(!whole || found.len() == 3, "operation {nth}: acknowledged, and {found:?} are there");
        let view = block_on(house.catalog.topic(&topic.head.name, Visibility::All)).unwrap();
        assert_eq!(view.totals.rows as usize, found.len());
        kept[found.len()] += 1;
        house.close();
    }
    assert!(kept.iter().all(|count| *count > 0), "not every prefix came about: {kept:?}");
}
