//! A budget that data directories share: one whose disk hangs holds its own part, and nothing of another's.

use std::sync::Arc;

use super::budget::Budget;
use crate::model::DeviceNumber;

/// A budget in equal parts, one for each data directory. Clones share it.
#[derive(Clone)]
pub struct Shares(Arc<Inner>);

struct Inner {
    whole: Budget,
    parts: Vec<(DeviceNumber, Budget)>,
}

impl Shares {
    /// * `least`: bytes of each part, so that what may be asked for at once is there. Parts that this makes larger than equal ones
    ///   take from each other.
    pub fn new(whole: &Budget, devices: &[DeviceNumber], least: usize) -> Self {
        let part = (whole.total() / devices.len().max(1)).max(least);
        let parts = match devices {
            [_] => Vec::new(), // the only one has all of it
            _ => devices.iter().map(|device| (*device, whole.part(part))).collect(),
        };
        Self(Arc::new(Inner { whole: whole.clone(), parts }))
    }

    pub fn whole(&self) -> &Budget {
        &self.0.whole
    }

    /// The part of one directory.
    pub fn of(&self, device: DeviceNumber) -> &Budget {
        let part = self.0.parts.iter().find(|(number, _)| *number == device);
        part.map_or(&self.0.whole, |(_, part)| part)
    }
}

impl From<Budget> for Shares {
    /// All of it for everybody.
    fn from(whole: Budget) -> Self {
        Self(Arc::new(Inner { whole, parts: Vec::new() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_full_while_another_is_not() {
        let [first, second] = [DeviceNumber(1), DeviceNumber(7)];
        let shares = Shares::new(&Budget::new(100), &[first, second], 0);
        let held = shares.of(first).try_acquire(50).unwrap().unwrap();
        assert!(shares.of(first).try_acquire(1).unwrap().is_none());
        assert!(shares.of(first).try_acquire(51).is_err(), "more than there is");
        let other = shares.of(second).try_acquire(50).unwrap().unwrap();
        assert_eq!(shares.whole().in_use(), 100);
        drop((held, other));
        assert_eq!((shares.whole().in_use(), shares.of(first).in_use()), (0, 0));
    }

    #[test]
    fn parts_have_what_may_be_asked_for_at_once() {
        let devices = [DeviceNumber(0), DeviceNumber(1), DeviceNumber(2)];
        let shares = Shares::new(&Budget::new(90), &devices, 40);
        assert_eq!(devices.map(|device| shares.of(device).total()), [40; 3]);
        let alone = Shares::new(&Budget::new(90), &devices[..1], 40);
        assert_eq!(alone.of(devices[0]).total(), 90);
    }
}
