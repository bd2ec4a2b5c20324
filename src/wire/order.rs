//! Orders of whoever runs the server. Ours alone: the prefix keeps them apart from every action of the protocol to come.

use super::ActionRequest;
use super::WireError;
use super::body::Body;
use crate::model::Locator;
use crate::model::NameError;
use crate::model::Order;
use crate::model::OrderVerb;
use crate::model::SequenceName;

pub(super) const FINALIZE: &str = "tessera_session_finalize";
pub(super) const DISCARD: &str = "tessera_session_discard";

/// Name and body of the action that carries an order.
///
/// * `sequence`: of the session; only there for the address to be whole.
pub fn order_action(sequence: &SequenceName, order: &Order, seal: &[u8; 32]) -> (&'static str, serde_json::Value) {
    let kind = match order.verb {
        OrderVerb::Finalize | OrderVerb::FinalizeWritten => FINALIZE,
        OrderVerb::Discard => DISCARD,
    };
    let locator = Locator::Session { sequence: sequence.clone(), session: order.session };
    let seal: String = seal.iter().map(|byte| format!("{byte:02x}")).collect();
    let body = serde_json::json!({
        "locator": locator.to_string(),
        "drop_unwritten": order.verb == OrderVerb::FinalizeWritten,
        "expires_at_ns": order.expires_at_ns,
        "seal": seal,
    });
    (kind, body)
}

pub(super) fn finalize(body: &Body) -> Result<ActionRequest, WireError> {
    let verb = if body.flag("drop_unwritten") { OrderVerb::FinalizeWritten } else { OrderVerb::Finalize };
    read(body, verb)
}

pub(super) fn discard(body: &Body) -> Result<ActionRequest, WireError> {
    read(body, OrderVerb::Discard)
}

fn read(body: &Body, verb: OrderVerb) -> Result<ActionRequest, WireError> {
    let key = "locator";
    let session = match body.locator(key)? {
        Locator::Session { session, .. } => session,
        other => return Err(WireError::Name { key, cause: NameError::Locator(other.to_string()) }),
    };
    let expires = "expires_at_ns";
    let expires_at_ns = body.integer(expires)?.ok_or(WireError::Missing { what: "action body", key: expires })?;
    // The text is not repeated: a seal with a slip of the pen is still nearly a seal.
    let malformed = WireError::Type { key: "seal", expected: "64 hexadecimal digits", found: "another text" };
    let seal = digits(&body.text("seal")?).ok_or(malformed)?;
    Ok(ActionRequest::Order { order: Order { verb, session, expires_at_ns }, seal })
}

fn digits(text: &str) -> Option<[u8; 32]> {
    let pairs = text.as_bytes().as_chunks::<2>().0;
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Vec<u8> = pairs.iter().map(byte).collect::<Option<_>>()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::SessionId;

    #[test]
    fn every_order_comes_back_as_it_was_given() {
        let sequence = SequenceName::parse("drive").unwrap();
        let seal = std::array::from_fn(|at| at as u8 * 8 + 7);
        for verb in [OrderVerb::Finalize, OrderVerb::FinalizeWritten, OrderVerb::Discard] {
            let order = Order { verb, session: SessionId(Uuid::from_u128(5)), expires_at_ns: -7 };
            let (kind, body) = order_action(&sequence, &order, &seal);
            let parsed = ActionRequest::parse(kind, body.to_string().as_bytes());
            assert_eq!(parsed, Ok(ActionRequest::Order { order, seal }));
        }
    }

    #[test]
    fn an_order_without_a_seal_or_an_end_is_refused() {
        let locator = "drive:00000000000000000000000000000005";
        let seal = "ab".repeat(32);
        let bodies = [
            format!(r#"{{"locator": "{locator}", "expires_at_ns": 5}}"#),
            format!(r#"{{"locator": "{locator}", "seal": "{seal}"}}"#),
            format!(r#"{{"locator": "{locator}", "expires_at_ns": 5, "seal": "{}"}}"#, "é".repeat(32)),
            format!(r#"{{"locator": "{locator}", "expires_at_ns": 5, "seal": "{seal}0"}}"#),
            format!(r#"{{"locator": "{locator}", "expires_at_ns": 5, "seal": "+{}"}}"#, &seal[1..]),
            format!(r#"{{"locator": "drive", "expires_at_ns": 5, "seal": "{seal}"}}"#),
        ];
        for body in bodies {
            for kind in [FINALIZE, DISCARD] {
                assert!(ActionRequest::parse(kind, body.as_bytes()).is_err(), "{body}");
            }
        }
    }
}
