//! How servers that share a catalog know each other: whoever can read the catalog has their secret, nobody else.
//!
//! # Greeting, format 1 (little-endian)
//!
//! | question: bytes | answer: bytes | field | a reader must                                                          |
//! |----------------:|--------------:|-------|------------------------------------------------------------------------|
//! |               1 |             1 | version | refuse all but 1                                                     |
//! |              16 |             – | nonce | –                                                                      |
//! |               – |            16 | node  | be looking for it                                                      |
//! |               – |            16 | start | –                                                                      |
//! |               – |             8 | now   | count from it: nanoseconds of the clock that passes are held against   |
//! |              32 |            32 | seal  | HMAC-SHA256; of an answer over the question's nonce too                 |
//!
//! # Pass, format 1: what a call carries, in hexadecimal digits
//!
//! | offset | bytes | field   | a reader must                                                                       |
//! |-------:|------:|---------|-------------------------------------------------------------------------------------|
//! |      0 |     1 | version | refuse all but 1                                                                    |
//! |      1 |     8 | expires | refuse in the past and beyond [`PASS_LIFE`], of its own clock since its own start   |
//! |      9 |    16 | nonce   | refuse what it has seen                                                             |
//! |     25 |    32 | seal    | HMAC-SHA256 of the above, its own start, what is called for, and all of the request |
//!
//! A pass is good for one request, at one start of one server, once, for half a minute of that server's own clock: clocks of
//! different machines are never compared. The keys are made from the secret and are used for nothing else; the secret itself
//! never travels.

use std::fmt;
use std::time::Duration;

use hmac::Hmac;
use hmac::Mac;
use sha2::Sha256;
use uuid::Uuid;

use crate::model::NodeId;
use crate::model::StartId;

const VERSION: u8 = 1;
const NONCE_LEN: usize = 16;
const SEAL_LEN: usize = 32;

const QUESTION_LEN: usize = size_of::<u8>() + NONCE_LEN + SEAL_LEN;
const ANSWER_LEN: usize = size_of::<u8>() + 16 + 16 + size_of::<u64>() + SEAL_LEN;
const PASS_LEN: usize = size_of::<u8>() + size_of::<u64>() + NONCE_LEN + SEAL_LEN;
const _: () = assert!(QUESTION_LEN == 49 && ANSWER_LEN == 73 && PASS_LEN == 57, "format 1 is frozen: make a format 2");

/// How long a pass is good for.
pub const PASS_LIFE: Duration = Duration::from_secs(30);

/// A number that is used once.
pub type Nonce = [u8; NONCE_LEN];

/// What a server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    pub node: NodeId,
    pub start: StartId,
    /// Nanoseconds of its own clock.
    pub now_ns: u64,
}

/// What one server calls another for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Errand {
    /// The rows of a ticket.
    Rows = 1,
    /// What lies in a range of a topic.
    Window = 2,
    /// Which rows of a topic match.
    Look = 3,
}

/// A pass that is good, as far as its seal and its time say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    pub nonce: Nonce,
    pub expires_at_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    #[error("no server of this fleet made the pass of this call, or not for this request and this start")]
    Seal,
    #[error("the pass of this call has expired")]
    Expired,
    #[error("the pass of this call was used before")]
    Used,
    #[error("servers of this fleet made more than {max} calls within half a minute")]
    TooMany { max: usize },
    #[error("this call is for servers of a fleet, and has no pass of one")]
    Missing,
}

/// Makes and checks greetings and passes.
#[derive(Clone)]
pub struct FleetSealer {
    greetings: Hmac<Sha256>,
    passes: Hmac<Sha256>,
    ticket_key: [u8; 32],
}

impl FleetSealer {
    /// * `secret`: of the fleet, random.
    pub fn new(secret: &[u8; 32]) -> Self {
        let key = |purpose: &[u8]| keyed(secret).chain_update(purpose).finalize().into_bytes();
        Self {
            greetings: keyed(&key(b"tessera: key that seals greetings of servers, 1")),
            passes: keyed(&key(b"tessera: key that seals passes of servers, 1")),
            ticket_key: key(b"tessera: key that seals tickets of a fleet, 1").into(),
        }
    }

    /// The key of tickets that every server of the fleet opens.
    pub fn ticket_key(&self) -> [u8; 32] {
        self.ticket_key
    }

    /// Asks a server who it is.
    pub fn question(&self, nonce: &Nonce) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(nonce);
        let seal = self.greetings.clone().chain_update(b"question").chain_update(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&seal);
        bytes
    }

    /// Answers a question.
    ///
    /// # Errors
    /// [`PassError::Seal`] when no server of this fleet asks.
    pub fn answer(&self, question: &[u8], own: &Greeting) -> Result<Vec<u8>, PassError> {
        let question: &[u8; QUESTION_LEN] = question.try_into().map_err(|_| PassError::Seal)?;
        let (fields, seal) = question.split_at(QUESTION_LEN - SEAL_LEN);
        let sealed = self.greetings.clone().chain_update(b"question").chain_update(fields);
        sealed.verify_slice(seal).map_err(|_| PassError::Seal)?;
        let Some((&VERSION, nonce)) = fields.split_first() else { return Err(PassError::Seal) };
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(own.node.0.as_bytes());
        bytes.extend_from_slice(own.start.0.as_bytes());
        bytes.extend_from_slice(&own.now_ns.to_le_bytes());
        let sealed = self.greetings.clone().chain_update(b"answer").chain_update(nonce).chain_update(&bytes);
        bytes.extend_from_slice(&sealed.finalize().into_bytes());
        Ok(bytes)
    }

    /// Who answered the question with this nonce; `None` when that is no server of this fleet.
    pub fn read_answer(&self, nonce: &Nonce, answer: &[u8]) -> Option<Greeting> {
        let (fields, seal) = answer.split_at_checked(ANSWER_LEN - SEAL_LEN)?;
        let sealed = self.greetings.clone().chain_update(b"answer").chain_update(nonce).chain_update(fields);
        sealed.verify_slice(seal).ok()?;
        let (&VERSION, fields) = fields.split_first()? else { return None };
        let (node, fields) = fields.split_first_chunk::<16>()?;
        let (start, now) = fields.split_first_chunk::<16>()?;
        let now_ns = u64::from_le_bytes(now.try_into().ok()?);
        Some(Greeting { node: NodeId(Uuid::from_bytes(*node)), start: StartId(Uuid::from_bytes(*start)), now_ns })
    }

    /// Makes a pass for one request.
    ///
    /// * `to`: the start that is called.
    pub fn pass(&self, to: StartId, errand: Errand, request: &[u8], pass: &Pass) -> String {
        let fields = pass_fields(pass);
        let seal = self.sealed(to, errand, request, &fields).finalize().into_bytes();
        fields.iter().chain(&seal).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads the pass of a request.
    ///
    /// * `own`: this start.
    /// * `now_ns`: of the clock that [`Greeting::now_ns`] told of.
    ///
    /// # Errors
    /// [`PassError`]; the seal is looked at first, in constant time.
    pub fn check(
        &self,
        own: StartId,
        errand: Errand,
        request: &[u8],
        text: &[u8],
        now_ns: u64,
    ) -> Result<Pass, PassError> {
        let bytes = from_hex(text).ok_or(PassError::Seal)?;
        let (fields, seal) = bytes.split_at(PASS_LEN - SEAL_LEN);
        self.sealed(own, errand, request, fields).verify_slice(seal).map_err(|_| PassError::Seal)?;
        let Some((&VERSION, fields)) = fields.split_first() else { return Err(PassError::Seal) };
        let (expires, nonce) = fields.split_first_chunk::<8>().ok_or(PassError::Seal)?;
        let expires_at_ns = u64::from_le_bytes(*expires);
        let life_ns = u64::try_from(PASS_LIFE.as_nanos()).unwrap_or(u64::MAX);
        match expires_at_ns > now_ns && expires_at_ns - now_ns <= life_ns {
            true => Ok(Pass { nonce: nonce.try_into().map_err(|_| PassError::Seal)?, expires_at_ns }),
            false => Err(PassError::Expired),
        }
    }

    fn sealed(&self, to: StartId, errand: Errand, request: &[u8], fields: &[u8]) -> Hmac<Sha256> {
        self.passes.clone().chain_update(fields).chain_update(to.0).chain_update([errand as u8]).chain_update(request)
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("any key length")
}

fn pass_fields(pass: &Pass) -> Vec<u8> {
    let expires = pass.expires_at_ns.to_le_bytes();
    [&[VERSION], expires.as_slice(), &pass.nonce].concat()
}

fn from_hex(text: &[u8]) -> Option<[u8; PASS_LEN]> {
    let mut bytes = [0; PASS_LEN];
    if text.len() != 2 * PASS_LEN {
        return None;
    }
    for (place, pair) in bytes.iter_mut().zip(text.chunks(2)) {
        let digit = |index: usize| pair.get(index).and_then(|byte| char::from(*byte).to_digit(16));
        *place = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}

impl fmt::Debug for FleetSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FleetSealer(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: StartId = StartId(Uuid::from_u128(0x0a));
    const SECOND: u64 = 1_000_000_000;

    fn sealer() -> FleetSealer {
        FleetSealer::new(&[7; 32])
    }

    fn greeting() -> Greeting {
        Greeting { node: NodeId(Uuid::from_u128(0x0b)), start: START, now_ns: 5 }
    }

    fn pass() -> Pass {
        Pass { nonce: [3; 16], expires_at_ns: 40 * SECOND }
    }

    /// A server of another build of this format is understood.
    #[test]
    fn known_ones_have_their_known_seals() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let question = sealer().question(&[1; 16]);
        let answer = sealer().answer(&question, &greeting()).unwrap();
        assert_eq!(
            [
                hex(&question[17..]),
                hex(&answer[41..]),
                sealer().pass(START, Errand::Rows, b"ticket", &pass())[50..].to_owned()
            ],
            [
                "41022e82f077b2f96bd9102f9b602f054a7aa864a111c3caf1f6504c6d27f5b1",
                "cb0998b3c47271b88fe173c62a34cffa35f6189650079bb67add964559252f6b",
                "d81f0beab211774ab31e574dc5a04d6c0b203b1762f28ad924fa4861a80cbe59",
            ]
        );
    }

    #[test]
    fn only_servers_of_the_fleet_greet_each_other() {
        let (own, other) = (sealer(), FleetSealer::new(&[8; 32]));
        let question = own.question(&[1; 16]);
        let answer = own.answer(&question, &greeting()).unwrap();
        assert_eq!(own.read_answer(&[1; 16], &answer), Some(greeting()));
        assert_eq!(own.read_answer(&[2; 16], &answer), None, "an answer that was heard before");
        assert_eq!(other.read_answer(&[1; 16], &answer), None);
        assert_eq!(other.answer(&question, &greeting()), Err(PassError::Seal));
        for bit in 0..question.len() * 8 {
            let mut bytes = question.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(own.answer(&bytes, &greeting()), Err(PassError::Seal), "bit {bit}");
        }
        for bit in 0..answer.len() * 8 {
            let mut bytes = answer.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(own.read_answer(&[1; 16], &bytes), None, "bit {bit}");
        }
        assert_eq!(own.answer(&question[1..], &greeting()), Err(PassError::Seal));
        assert_eq!(own.answer(&answer, &greeting()), Err(PassError::Seal));
    }

    /// Goal: a pass is good for one request at one start, for a short time.
    #[test]
    fn a_pass_is_good_for_what_it_was_made_for() {
        let (own, other) = (sealer(), FleetSealer::new(&[8; 32]));
        let text = own.pass(START, Errand::Rows, b"ticket", &pass());
        let at = |now_s: u64| own.check(START, Errand::Rows, b"ticket", text.as_bytes(), now_s * SECOND);
        assert_eq!(at(10), Ok(pass()));
        assert_eq!(
            [at(9), at(39), at(40), at(90)],
            [Err(PassError::Expired), Ok(pass()), Err(PassError::Expired), Err(PassError::Expired)]
        );
        let now = 10 * SECOND;
        let later = StartId(Uuid::from_u128(0x0c));
        assert_eq!(own.check(later, Errand::Rows, b"ticket", text.as_bytes(), now), Err(PassError::Seal));
        assert_eq!(own.check(START, Errand::Window, b"ticket", text.as_bytes(), now), Err(PassError::Seal));
        assert_eq!(own.check(START, Errand::Rows, b"other", text.as_bytes(), now), Err(PassError::Seal));
        assert_eq!(other.check(START, Errand::Rows, b"ticket", text.as_bytes(), now), Err(PassError::Seal));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(own.check(START, Errand::Rows, b"ticket", &bytes, now), Err(PassError::Seal), "digit {at}");
        }
        for text in ["", "00", &text[1..], &"x".repeat(text.len())] {
            assert_eq!(own.check(START, Errand::Rows, b"ticket", text.as_bytes(), now), Err(PassError::Seal));
        }
    }

    #[test]
    fn nothing_of_the_secret_prints() {
        assert_eq!(format!("{:?}", sealer()), "FleetSealer(..)");
    }
}
