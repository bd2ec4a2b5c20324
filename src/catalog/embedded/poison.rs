//! The state after which nothing is answered any more.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

type Callback = Box<dyn Fn(&str) + Send + Sync>;

/// Set once, by the first fault that leaves the file's state unknown.
#[derive(Default)]
pub struct Poison(Mutex<State>);

#[derive(Default)]
struct State {
    cause: Option<String>,
    callback: Option<Callback>,
}

impl Poison {
    /// Remembers the first cause and tells the callback, once.
    pub fn set(&self, cause: &str) {
        let mut state = self.lock();
        if state.cause.is_some() {
            return;
        }
        state.cause = Some(cause.to_owned());
        let callback = state.callback.take();
        drop(state); // the callback may ask us
        if let Some(callback) = callback {
            callback(cause);
        }
    }

    pub fn cause(&self) -> Option<String> {
        self.lock().cause.clone()
    }

    /// Called once, from the thread that met the fault; at once when that has happened.
    pub fn on_set(&self, callback: Callback) {
        let mut state = self.lock();
        match state.cause.clone() {
            Some(cause) => {
                drop(state);
                callback(&cause);
            }
            None => state.callback = Some(callback),
        }
    }

    // The callback runs outside the lock, so nobody panics inside it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
