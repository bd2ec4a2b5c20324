//! Calls that change one sequence run in the order they were made; those that change different ones run beside each other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use futures::channel::oneshot;

use crate::model::SequenceName;

#[derive(Clone, Default)]
pub struct Lanes(Arc<Mutex<Tails>>);

#[derive(Default)]
struct Tails {
    /// The end of the last turn of each name, and its number.
    last: HashMap<SequenceName, (u64, oneshot::Receiver<()>)>,
    next: u64,
}

/// A place in a lane. The next turn begins when it is dropped: only who has begun, or will never begin, does that.
pub struct Turn {
    before: Option<oneshot::Receiver<()>>,
    lanes: Lanes,
    name: SequenceName,
    number: u64,
    _over: oneshot::Sender<()>,
}

impl Lanes {
    /// Takes the next place for this name.
    pub fn enter(&self, name: &SequenceName) -> Turn {
        let (over, end) = oneshot::channel();
        let mut tails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = tails.next;
        tails.next += 1;
        let before = tails.last.insert(name.clone(), (number, end)).map(|(_, end)| end);
        Turn { before, lanes: self.clone(), name: name.clone(), number, _over: over }
    }
}

impl Turn {
    /// Returns once all turns before it are over. Repeating it returns at once.
    pub async fn begin(&mut self) {
        if let Some(before) = &mut self.before {
            // A turn ends by dropping its sender.
            let _ = before.await;
            self.before = None;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut tails = self.lanes.0.lock().unwrap_or_else(PoisonError::into_inner);
        if self.before.is_none() && tails.last.get(&self.name).is_some_and(|(number, _)| *number == self.number) {
            tails.last.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn turns_of_one_name_follow_each_other_and_leave_nothing() {
        let (lanes, name) = (Lanes::default(), SequenceName::parse("drive").unwrap());
        let [mut a, mut b, mut c] = std::array::from_fn(|_| lanes.enter(&name));
        let mut other = lanes.enter(&SequenceName::parse("other").unwrap());
        assert!(a.begin().now_or_never().is_some() && other.begin().now_or_never().is_some());
        assert!(b.begin().now_or_never().is_none() && c.begin().now_or_never().is_none());
        drop(a);
        assert!(b.begin().now_or_never().is_some() && c.begin().now_or_never().is_none());
        drop(b);
        assert!(c.begin().now_or_never().is_some());
        drop((c, other));
        assert!(lanes.0.lock().unwrap().last.is_empty());
    }
}
