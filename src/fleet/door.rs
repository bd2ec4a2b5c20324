//! The door for other servers: whoever comes with a pass, and each pass once.

use std::collections::HashSet;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::auth::Errand;
use crate::auth::FleetSealer;
use crate::auth::Nonce;
use crate::auth::PASS_LIFE;
use crate::auth::PassError;
use crate::model::StartId;

/// Passes of half a minute. Only servers of the fleet can bring so many: those beyond are refused.
const SEEN_MAX: usize = 1 << 17;

pub(super) struct Door {
    sealer: FleetSealer,
    own: StartId,
    seen: Mutex<Seen>,
}

/// Passes that were used and have not expired.
#[derive(Default)]
struct Seen {
    nonces: HashSet<Nonce>,
    /// With the time from which no check of its own lets them through.
    until: VecDeque<(u64, Nonce)>,
}

impl Door {
    pub fn new(sealer: FleetSealer, own: StartId) -> Self {
        Self { sealer, own, seen: Mutex::default() }
    }

    /// Lets a request in, once.
    ///
    /// * `now_ns`: of the clock that greetings tell of.
    pub fn admit(&self, errand: Errand, request: &[u8], text: &[u8], now_ns: u64) -> Result<(), PassError> {
        let pass = self.sealer.check(self.own, errand, request, text, now_ns)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((until, nonce)) = seen.until.front().copied()
            && until <= now_ns
        {
            seen.until.pop_front();
            seen.nonces.remove(&nonce);
        }
        if seen.nonces.len() >= SEEN_MAX {
            return Err(PassError::TooMany { max: SEEN_MAX });
        }
        if !seen.nonces.insert(pass.nonce) {
            return Err(PassError::Used);
        }
        let life_ns = u64::try_from(PASS_LIFE.as_nanos()).unwrap_or(u64::MAX);
        seen.until.push_back((now_ns.saturating_add(life_ns), pass.nonce));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::auth::Pass;

    #[test]
    fn a_pass_is_used_once_and_forgotten_when_it_has_expired() {
        let (sealer, own, second) = (FleetSealer::new(&[7; 32]), StartId(Uuid::from_u128(1)), 1_000_000_000);
        let door = Door::new(sealer.clone(), own);
        let text = |nonce: u8, at: u64| {
            sealer.pass(own, Errand::Rows, b"t", &Pass { nonce: [nonce; 16], expires_at_ns: at * second })
        };
        let first = text(1, 20);
        let admit = |text: &str, now: u64| door.admit(Errand::Rows, b"t", text.as_bytes(), now * second);
        assert_eq!(admit(&first, 1), Ok(()));
        assert_eq!(admit(&first, 19), Err(PassError::Used));
        assert_eq!(admit(&text(2, 20), 19), Ok(()));
        assert_eq!(admit(&first, 20), Err(PassError::Expired));
        assert_eq!(admit(&text(3, 60), 40), Ok(()));
        assert_eq!(door.seen.lock().unwrap().nonces.len(), 2, "the first one is forgotten");
        assert_eq!(admit(&text(4, 81), 80), Ok(()));
        assert_eq!(door.seen.lock().unwrap().nonces.len(), 1);
    }
}
