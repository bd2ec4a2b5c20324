//! # Ticket, format 1 (little-endian)
//!
//! | offset | bytes | field   | a reader must                                             |
//! |-------:|------:|---------|-----------------------------------------------------------|
//! |      0 |     1 | version | refuse all but 1; never a byte a topic's name begins with |
//! |      1 |    16 | topic   | –                                                         |
//! |     17 |     1 | bounds  | bit 0: start, bit 1: end; require the others to be zero   |
//! |     18 |     8 | start   | require zero when bit 0 is                                |
//! |     26 |     8 | end     | require zero when bit 1 is, and start < end               |
//! |     34 |    32 | seal    | HMAC-SHA256 of all before; check before the fields        |
//!
//! Tickets outlive a restart (the key is kept) but not a format: a client with an old one asks again.

use std::fmt;

use hmac::Hmac;
use hmac::Mac;
use sha2::Sha256;
use uuid::Uuid;

use crate::model::TimeRange;
use crate::model::TopicId;

const VERSION: u8 = 1;

const VERSION_AT: usize = 0;
const TOPIC_AT: usize = VERSION_AT + size_of::<u8>();
const BOUNDS_AT: usize = TOPIC_AT + 16;
const START_AT: usize = BOUNDS_AT + size_of::<u8>();
const END_AT: usize = START_AT + size_of::<i64>();
const SEAL_AT: usize = END_AT + size_of::<i64>();
/// Bytes of every ticket.
pub const TICKET_LEN: usize = SEAL_AT + 32;
const _: () = assert!(TICKET_LEN == 66, "format 1 is frozen: make a format 2 instead");

/// What a DoGet reads: one topic, between two times. The id is that of the topic, not of its name: a ticket never
/// reaches a later topic of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub topic: TopicId,
    pub range: TimeRange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    #[error("the ticket has {len} bytes: expected {TICKET_LEN}; ask for it again with GetFlightInfo")]
    Length { len: usize },
    #[error("the ticket is of format {found}: expected {VERSION}; ask for it again with GetFlightInfo")]
    Version { found: u8 },
    #[error("the ticket is not one of this server: ask for it again with GetFlightInfo")]
    Seal,
    #[error("the ticket is sealed but malformed: ask for it again with GetFlightInfo")]
    Malformed,
}

/// Makes tickets and opens them again.
#[derive(Clone)]
pub struct TicketSealer {
    /// Holds the key, already hashed in.
    seal: Hmac<Sha256>,
}

impl TicketSealer {
    /// `key`: random, kept by the catalog, where beside tickets only the key of orders is made from it; or that of a fleet.
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    pub fn new(key: [u8; 32]) -> Self {
        Self { seal: Hmac::new_from_slice(&key).expect("any key length") }
    }

    pub fn seal(&self, ticket: &Ticket) -> Vec<u8> {
        let (start, end) = (ticket.range.start(), ticket.range.end());
        let mut bytes = Vec::with_capacity(TICKET_LEN);
        bytes.push(VERSION);
        bytes.extend_from_slice(ticket.topic.0.as_bytes());
        bytes.push(u8::from(start.is_some()) | u8::from(end.is_some()) << 1);
        bytes.extend_from_slice(&start.unwrap_or_default().to_le_bytes());
        bytes.extend_from_slice(&end.unwrap_or_default().to_le_bytes());
        assert!(bytes.len() == SEAL_AT, "{} bytes before the seal", bytes.len());
        let seal = self.seal.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&seal);
        bytes
    }

    /// Opens a ticket of ours. The seal is compared in constant time.
    ///
    /// # Errors
    /// [`TicketError`]; what it tells is no help in making a ticket up.
    pub fn open(&self, bytes: &[u8]) -> Result<Ticket, TicketError> {
        let len = bytes.len();
        let fixed: &[u8; TICKET_LEN] = bytes.try_into().map_err(|_| TicketError::Length { len })?;
        let (fields, seal) = fixed.split_at(SEAL_AT);
        let (version, fields_after) = fields.split_first().ok_or(TicketError::Length { len })?;
        if *version != VERSION {
            return Err(TicketError::Version { found: *version });
        }
        self.seal.clone().chain_update(fields).verify_slice(seal).map_err(|_| TicketError::Seal)?;
        read(fields_after).ok_or(TicketError::Malformed)
    }
}

impl fmt::Debug for TicketSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSealer(..)")
    }
}

/// The fields behind the version.
fn read(bytes: &[u8]) -> Option<Ticket> {
    let (topic, bytes) = bytes.split_first_chunk::<{ BOUNDS_AT - TOPIC_AT }>()?;
    let (bounds, bytes) = bytes.split_first()?;
    let (start, end) = bytes.split_first_chunk::<{ END_AT - START_AT }>()?;
    if bounds & !0b11 != 0 {
        return None;
    }
    let bound = |bit: u8, bytes: [u8; 8]| match (bounds & bit != 0, i64::from_le_bytes(bytes)) {
        (true, time) => Some(Some(time)),
        (false, 0) => Some(None),
        (false, _) => None,
    };
    let range = TimeRange::new(bound(0b01, *start)?, bound(0b10, end.try_into().ok()?)?).ok()?;
    Some(Ticket { topic: TopicId(Uuid::from_bytes(*topic)), range })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ticket(start: Option<i64>, end: Option<i64>) -> Ticket {
        Ticket { topic: TopicId(Uuid::from_u128(0x0102)), range: TimeRange::new(start, end).unwrap() }
    }

    fn sealer() -> TicketSealer {
        TicketSealer::new([7; 32])
    }

    /// A ticket handed out yesterday opens today.
    #[test]
    fn a_known_ticket_opens() {
        let bytes = sealer().seal(&ticket(Some(-1), None));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "010000000000000000000000000000010201ffffffffffffffff0000000000000000a225105a02cc95db5c3368c8c222d32054a5c7e6ca22e5ec7d017f0569161027"
        );
        assert_eq!(sealer().open(&bytes), Ok(ticket(Some(-1), None)));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let sealed = sealer().seal(&ticket(Some(10), Some(20)));
        for bit in 0..sealed.len() * 8 {
            let mut bytes = sealed.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(sealer().open(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_ticket_of_another_length_key_or_kind_is_refused() {
        let sealed = sealer().seal(&ticket(None, None));
        assert_eq!(TicketSealer::new([8; 32]).open(&sealed), Err(TicketError::Seal));
        for len in 0..sealed.len() {
            assert_eq!(sealer().open(&sealed[..len]), Err(TicketError::Length { len }));
        }
        assert!(sealer().open(&[sealed.as_slice(), &[0]].concat()).is_err());
        assert!(matches!(sealer().open(b"drive/camera/front"), Err(TicketError::Length { len: 18 })));
        assert_eq!(sealer().open(&[b'a'; TICKET_LEN]), Err(TicketError::Version { found: b'a' }));
    }

    /// What only a slip of our own could seal.
    #[test]
    fn malformed_fields_are_refused_under_a_good_seal() {
        let sealed = sealer().seal(&ticket(Some(10), Some(20)));
        let broken = |at: usize, byte: u8| {
            let mut fields = sealed[..SEAL_AT].to_vec();
            fields[at] = byte;
            let seal = sealer().seal.chain_update(&fields).finalize().into_bytes();
            sealer().open(&[fields.as_slice(), &seal].concat())
        };
        assert_eq!(broken(BOUNDS_AT, 0b111), Err(TicketError::Malformed));
        assert_eq!(broken(BOUNDS_AT, 0b10), Err(TicketError::Malformed));
        assert_eq!(broken(START_AT, 20), Err(TicketError::Malformed));
        assert_eq!(broken(START_AT, 11), Ok(ticket(Some(11), Some(20))));
    }

    #[test]
    fn the_key_never_prints() {
        assert_eq!(format!("{:?}", sealer()), "TicketSealer(..)");
    }

    proptest! {
        #[test]
        fn every_ticket_comes_back(key: [u8; 32], topic: u128, start: Option<i64>, end: Option<i64>) {
            let range = TimeRange::new(start, end).unwrap_or(TimeRange::ALL);
            let ticket = Ticket { topic: TopicId(Uuid::from_u128(topic)), range };
            let sealer = TicketSealer::new(key);
            prop_assert_eq!(sealer.open(&sealer.seal(&ticket)), Ok(ticket));
        }

        #[test]
        fn any_other_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(sealer().open(&bytes).is_err());
        }
    }
}
