//! Sizes of requests, checked before anything reads them.

use arrow_flight::FlightDescriptor;
use prost::Message;

use crate::wire::DescriptorKind;

/// Bytes of an action's body.
pub(super) const ACTION_BYTES_MAX: usize = 1 << 20;
/// Bytes of any request but a DoPut's once it is inflated: an action's, with room to say by how much it is too large.
pub(super) const REQUEST_BYTES_MAX: usize = 2 * ACTION_BYTES_MAX;
/// Bytes of a ticket.
pub(super) const TICKET_BYTES_MAX: usize = 4 << 10;
/// Bytes of a descriptor, or of criteria.
pub(super) const DESCRIPTOR_BYTES_MAX: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum GuardError {
    #[error("{what} of {len} bytes: at most {max}")]
    TooLarge { what: &'static str, len: usize, max: usize },
    #[error("the first message of a DoPut has no descriptor: it must name the topic and carry its UUID")]
    DescriptorMissing,
    #[error("the descriptor is no FlightDescriptor: {cause}")]
    Descriptor { cause: String },
    #[error("the DoPut ended before its first message: send the descriptor and the schema")]
    NoMessage,
}

pub(super) fn check_len(what: &'static str, len: usize, max: usize) -> Result<(), GuardError> {
    if len > max { Err(GuardError::TooLarge { what, len, max }) } else { Ok(()) }
}

/// A descriptor as `wire` takes it.
pub(super) struct Descriptor {
    pub kind: DescriptorKind,
    pub command: bytes::Bytes,
    pub path: Vec<String>,
}

impl Descriptor {
    /// Reads the protobuf of a DoPut's descriptor.
    ///
    /// # Errors
    /// [`GuardError`] when it is missing, too large or no descriptor.
    pub fn decode(bytes: Option<&[u8]>) -> Result<Self, GuardError> {
        let bytes = bytes.ok_or(GuardError::DescriptorMissing)?;
        check_len("descriptor", bytes.len(), DESCRIPTOR_BYTES_MAX)?;
        let descriptor = FlightDescriptor::decode(bytes);
        Self::check(descriptor.map_err(|cause| GuardError::Descriptor { cause: cause.to_string() })?)
    }

    /// # Errors
    /// [`GuardError::TooLarge`].
    pub fn check(descriptor: FlightDescriptor) -> Result<Self, GuardError> {
        use arrow_flight::flight_descriptor::DescriptorType;
        let len = descriptor.encoded_len();
        check_len("descriptor", len, DESCRIPTOR_BYTES_MAX)?;
        let kind = match DescriptorType::try_from(descriptor.r#type) {
            Ok(DescriptorType::Cmd) => DescriptorKind::Command,
            Ok(DescriptorType::Path) => DescriptorKind::Path,
            Ok(DescriptorType::Unknown) | Err(_) => DescriptorKind::Unknown,
        };
        Ok(Self { kind, command: descriptor.cmd, path: descriptor.path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_measured_and_told_apart() {
        let command = FlightDescriptor::new_cmd(b"{}".to_vec());
        let read = Descriptor::decode(Some(&command.encode_to_vec())).unwrap();
        assert_eq!((read.kind, read.command.as_ref()), (DescriptorKind::Command, b"{}".as_ref()));
        let path = Descriptor::check(FlightDescriptor::new_path(vec!["drive".to_owned()])).unwrap();
        assert_eq!((path.kind, path.path), (DescriptorKind::Path, vec!["drive".to_owned()]));
        let large = FlightDescriptor::new_cmd(vec![b' '; DESCRIPTOR_BYTES_MAX + 1]);
        assert!(matches!(Descriptor::check(large), Err(GuardError::TooLarge { .. })));
        assert!(matches!(Descriptor::decode(Some(&[0xff; 9])), Err(GuardError::Descriptor { .. })));
        assert!(matches!(Descriptor::decode(None), Err(GuardError::DescriptorMissing)));
    }
}
