use futures::FutureExt;

use super::*;

#[test]
fn a_share_is_there_when_everything_else_is_taken() {
    let budget = ReadBudget::new(8 << 20, Duration::ZERO);
    let greedy = budget.open(0).unwrap();
    let half = greedy.try_hold((4 << 20) + SHARE_BYTES).unwrap();
    let modest = budget.open(0).unwrap();
    assert!(modest.try_hold(SHARE_BYTES + 1).is_none());
    let own = modest.try_hold(SHARE_BYTES).unwrap();
    assert!(modest.try_hold(1).is_none() && modest.try_hold_extra(1).is_none());
    let open: Vec<_> = std::iter::from_fn(|| budget.open(0).ok()).collect();
    assert_eq!(open.len(), (3 << 20) / SHARE_BYTES - 2);
    assert!(matches!(budget.open(0), Err(ShardError::ReadMemory { readers: 24, .. })));
    drop((open, half, own));
    assert_eq!((budget.in_use(), budget.readers()), (2 * SHARE_BYTES, 2));
    drop((greedy, modest));
    assert_eq!((budget.in_use(), budget.readers()), (0, 0));
}

#[test]
fn readers_of_large_rows_are_refused_before_they_hold_any() {
    let budget = ReadBudget::new(256 << 20, Duration::ZERO);
    let open: Vec<_> = std::iter::from_fn(|| budget.open(25 << 20).ok()).collect();
    assert_eq!(open.len(), 3);
    assert!(budget.open(1000).is_ok(), "one of small rows still has a place");
    drop(open);
    // A row larger than all there is counts as all there is.
    let alone = budget.open(usize::MAX).unwrap();
    assert!(alone.try_hold(usize::MAX).is_some() && budget.open(2 << 20).is_err());
    assert!(budget.open(0).is_ok());
    drop(alone);
    let small = budget.open(0).unwrap();
    assert!(small.try_hold(usize::MAX).is_some());
    assert_eq!(budget.in_use(), SHARE_BYTES);
}

/// Goal: clients that stop reading large rows cost those of small ones nothing, however many wait behind them.
#[test]
fn readers_of_small_rows_do_not_stand_behind_those_of_large_ones() {
    let budget = ReadBudget::new(256 << 20, Duration::ZERO);
    let open: Vec<_> = std::iter::from_fn(|| budget.open(25 << 20).ok()).collect();
    let mut waits = Box::pin(budget.open_in_line(25 << 20, std::future::pending));
    assert!(waits.as_mut().now_or_never().is_none());
    assert!(budget.open(1000).is_ok());
    drop(open);
    assert!(waits.now_or_never().unwrap().is_ok());
}

#[test]
fn what_is_given_back_leaves_the_share_and_nothing_more() {
    let budget = ReadBudget::new(8 << 20, Duration::ZERO);
    let account = budget.open(0).unwrap();
    let mut hold = account.try_hold(1 << 20).unwrap();
    assert_eq!(budget.in_use(), 1 << 20);
    hold.settle(1000);
    assert_eq!((budget.in_use(), account.free()), (SHARE_BYTES, SHARE_BYTES - 1000));
    hold.settle(2 << 20);
    assert_eq!((budget.in_use(), account.free()), (2 << 20, 0));
    // Owed: there is not as much, so nothing more is to be had until it is back.
    let other = budget.open(0).unwrap();
    let _rest = other.try_hold(2 << 20).unwrap();
    hold.settle(3 << 20);
    assert!(account.try_hold(1).is_none());
    drop(hold);
    assert_eq!(account.free(), SHARE_BYTES);
}

#[test]
fn a_batch_that_comes_back_wakes_its_reader_with_the_memory_free() {
    let budget = ReadBudget::new(8 << 20, Duration::ZERO);
    let account = budget.open(0).unwrap();
    let loan = account.lend(vec![Arc::new(account.try_hold(SHARE_BYTES).unwrap())]);
    let lent = account.lent();
    let mut back = Box::pin(account.returned(lent));
    assert!((&mut back).now_or_never().is_none());
    drop(loan);
    assert!(back.now_or_never().is_some() && account.free() == SHARE_BYTES);
    assert!(account.returned(lent).now_or_never().is_some(), "it came back before the wait began");
}

#[test]
fn fetching_waits_in_line_and_a_huge_row_goes_alone() {
    let budget = ReadBudget::new(8 << 20, Duration::ZERO);
    let first = budget.fetch(usize::MAX).now_or_never().unwrap();
    let mut second = Box::pin(budget.fetch(1));
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    assert!(second.now_or_never().is_some());
}
