//! # Sealed order, format 1 (little-endian)
//!
//! | offset | bytes | field   | a reader must                                 |
//! |-------:|------:|---------|-----------------------------------------------|
//! |      0 |     1 | version | 1                                             |
//! |      1 |     1 | verb    | the one that is asked for                     |
//! |      2 |    16 | session | the one that is asked for                     |
//! |     18 |     8 | expires | refuse in the past, and too far in the future |
//!
//! The seal is HMAC-SHA256 of these bytes. They do not travel: the request has the fields, and the server puts them together
//! again. The key comes from the one the catalog keeps, so whoever can read the data directory can give orders, nobody
//! else can, and an order for one server is worth nothing at another. It is used for nothing else: a ticket is never an
//! order. An order that is heard twice does no more than once: a final session stays final, a deleted one is not found.

use std::fmt;
use std::time::Duration;

use hmac::Hmac;
use hmac::Mac;
use sha2::Sha256;

use crate::model::Order;

const VERSION: u8 = 1;

/// What makes the key of orders another than that of tickets.
const PURPOSE: &[u8] = b"tessera: key that seals orders, 1";

const VERB_AT: usize = size_of::<u8>();
const SESSION_AT: usize = VERB_AT + size_of::<u8>();
const EXPIRES_AT: usize = SESSION_AT + 16;
const ORDER_LEN: usize = EXPIRES_AT + size_of::<i64>();
const _: () = assert!(ORDER_LEN == 26, "format 1 is frozen: make a format 2 instead");

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    #[error(
        "the order is not sealed with the key of this server's data directory: name the directory that this server runs on, \
         or the server that runs on the directory"
    )]
    Seal,
    #[error("the order has expired: give it again; if it repeats, the clocks of the two machines differ")]
    Expired,
    #[error("the order is good for longer than {} s: the clock it was made with is ahead", OrderSealer::LIFE_MAX.as_secs())]
    Early,
}

/// Seals orders, and tells those it sealed from others.
#[derive(Clone)]
pub struct OrderSealer {
    /// Holds the key, already hashed in.
    seal: Hmac<Sha256>,
}

impl OrderSealer {
    /// How long an order may be good for at most.
    pub const LIFE_MAX: Duration = Duration::from_secs(120);

    /// * `key`: the one that the catalog keeps.
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    pub fn new(key: [u8; 32]) -> Self {
        let keyed = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).expect("any key length");
        let own = keyed(&key).chain_update(PURPOSE).finalize().into_bytes();
        Self { seal: keyed(&own) }
    }

    pub fn seal(&self, order: &Order) -> [u8; 32] {
        self.seal.clone().chain_update(bytes(order)).finalize().into_bytes().into()
    }

    /// Whether the order may be carried out. The seal is looked at first, in constant time.
    ///
    /// * `now_ns`: Unix time.
    ///
    /// # Errors
    /// [`OrderError`]
    pub fn check(&self, order: &Order, seal: &[u8; 32], now_ns: i64) -> Result<(), OrderError> {
        self.seal.clone().chain_update(bytes(order)).verify_slice(seal).map_err(|_| OrderError::Seal)?;
        let left_ns = i128::from(order.expires_at_ns) - i128::from(now_ns);
        match left_ns {
            ..=0 => Err(OrderError::Expired),
            left if left > Self::LIFE_MAX.as_nanos() as i128 => Err(OrderError::Early),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for OrderSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OrderSealer(..)")
    }
}

fn bytes(order: &Order) -> [u8; ORDER_LEN] {
    let mut bytes = [0; ORDER_LEN];
    let fields =
        [&[VERSION, order.verb as u8], order.session.0.as_bytes().as_slice(), &order.expires_at_ns.to_le_bytes()];
    for (place, byte) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
        *place = *byte;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::auth::Ticket;
    use crate::auth::TicketSealer;
    use crate::model::OrderVerb;
    use crate::model::SessionId;
    use crate::model::TimeRange;
    use crate::model::TopicId;

    const SECOND: i64 = 1_000_000_000;

    fn order() -> Order {
        Order { verb: OrderVerb::Finalize, session: SessionId(Uuid::from_u128(0x0102)), expires_at_ns: 60 * SECOND }
    }

    fn sealer() -> OrderSealer {
        OrderSealer::new([7; 32])
    }

    /// An order sealed by another build of this format is understood.
    #[test]
    fn a_known_order_has_its_known_seal() {
        let hex: String = sealer().seal(&order()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "0c04874b5c7c9f3dedb4691badbf2b5a96a7d5dd076b3caa7513360639b9f43d");
        assert_eq!(sealer().check(&order(), &sealer().seal(&order()), 0), Ok(()));
    }

    /// Goal: a seal is good for the one order it was made for, with the one key.
    #[test]
    fn every_field_and_the_key_are_under_the_seal() {
        let seal = sealer().seal(&order());
        let others = [
            Order { verb: OrderVerb::FinalizeWritten, ..order() },
            Order { verb: OrderVerb::Discard, ..order() },
            Order { session: SessionId(Uuid::from_u128(0x0103)), ..order() },
            Order { expires_at_ns: 60 * SECOND + 1, ..order() },
        ];
        for other in others {
            assert_eq!(sealer().check(&other, &seal, 0), Err(OrderError::Seal), "{other:?}");
        }
        assert_eq!(OrderSealer::new([8; 32]).check(&order(), &seal, 0), Err(OrderError::Seal));
        for bit in 0..256 {
            let mut flipped = seal;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(sealer().check(&order(), &flipped, 0), Err(OrderError::Seal), "bit {bit}");
        }
    }

    #[test]
    fn an_order_is_good_for_a_short_time_only() {
        let seal = sealer().seal(&order());
        let at = |now_s: i64| sealer().check(&order(), &seal, now_s * SECOND);
        assert_eq!([at(0), at(59), at(-60)], [Ok(()); 3]);
        assert_eq!(
            [at(60), at(61), at(-61)],
            [Err(OrderError::Expired), Err(OrderError::Expired), Err(OrderError::Early)]
        );
    }

    /// Anybody is given tickets: none of them may be an order.
    #[test]
    fn the_seal_of_a_ticket_is_none_of_an_order() {
        let ticket = Ticket { topic: TopicId(Uuid::from_u128(0x0102)), range: TimeRange::ALL };
        let sealed = TicketSealer::new([7; 32]).seal(&ticket);
        let seal: [u8; 32] = sealed[sealed.len() - 32..].try_into().unwrap();
        assert_eq!(sealer().check(&order(), &seal, 0), Err(OrderError::Seal));
        let plain = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap().chain_update(bytes(&order())).finalize();
        assert_eq!(sealer().check(&order(), &plain.into_bytes().into(), 0), Err(OrderError::Seal));
    }

    #[test]
    fn the_key_never_prints() {
        assert_eq!(format!("{:?}", sealer()), "OrderSealer(..)");
    }
}
