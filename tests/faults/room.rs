//! Goal: room that is refused costs what has come since, never what the chunk holds already.
//! Method: a quota answers some of the allocations of one topic, or its disk does not say what is free.

use futures::executor::block_on;

use tessera::catalog::Catalog;
use tessera::catalog::Visibility;
use tessera::io::BackendChoice;
use tessera::io::FaultScript;
use tessera::io::Faults;
use tessera::io::Operation;
use tessera::model::TimeRange;

use crate::house::House;
use crate::house::Plan;
use crate::house::batch;
use crate::house::schema;
use crate::house::scratch;
use crate::house::times;

const ROWS: i64 = 40;
const ROW_BYTES: usize = 1 << 20;

/// Whether all rows were taken, and how many are there.
fn put(faults: Faults) -> (bool, i64) {
    let runtime = crate::clocked();
    let _entered = runtime.enter();
    let (directory, script) = (scratch(), FaultScript::new(faults));
    let plan = Plan { backend: BackendChoice::Threads, faults: Some(script.clone()), ..Plan::default() };
    let house = House::planned(directory.path(), plan, |catalog| std::sync::Arc::new(catalog));
    let topic = house.topic("a", &schema());
    let whole = block_on(async {
        let mut sender = house.shards.open_writer(topic.clone()).await.unwrap();
        for at in 0..ROWS {
            let rows = batch(&[at], ROW_BYTES);
            let bytes = rows.get_array_memory_size();
            if sender.push(rows, bytes).await.is_err() {
                break;
            }
        }
        sender.close().await.is_ok()
    });
    let rows = block_on(house.catalog.topic(&topic.head.name, Visibility::All)).unwrap().totals.rows as i64;
    let read = times(&house.read(&topic, TimeRange::ALL));
    assert_eq!(read, (0..rows).collect::<Vec<_>>(), "{faults:?}");
    let retried = script.asked_of_dead_files();
    assert!(retried.is_empty(), "{retried:?}");
    house.close();
    (whole, rows)
}

#[test]
fn a_quota_that_ends_costs_no_row_that_the_chunk_has() {
    let (whole, rows) = put(Faults::FullOf(Operation::Allocate, 2, usize::MAX));
    assert!(!whole && rows >= 8, "{rows} rows");
}

#[test]
fn a_step_ahead_that_is_refused_is_asked_for_smaller() {
    assert_eq!(put(Faults::FullOf(Operation::Allocate, 2, 3)), (true, ROWS));
}

#[test]
fn a_disk_that_does_not_say_what_is_free_is_written_all_the_same() {
    assert_eq!(put(Faults::All(Operation::Space)), (true, ROWS));
}
