//! Judging an encoded message before it is decoded.
//!
//! Attack: a decoded message takes far more memory than its bytes. An empty `Storage` is two bytes on the wire and
//! 176 in memory, and an unknown field in it takes some 500 more, so that one frame of 4 MiB becomes 575 MiB.
//! [`check`] walks the bytes, allocates nothing, and refuses a message of too many parts; it also refuses fields
//! that the contract does not have, which a decoder would keep and nobody would judge.

/// The most parts of a request of `grpc.AgentService`: each field on the wire is one, at every depth, and each byte
/// of a list of numbers. A real container request has a few hundred.
pub const REQUEST_PARTS_MAX: usize = 16 * 1024;
/// The most parts of the `ttrpc.Request` around it: five fields and some metadata.
pub const ENVELOPE_PARTS_MAX: usize = 128;
/// Deepest nesting that the contract has is 6; the walk recurses.
const DEPTH_MAX: u32 = 8;

/// Why a message is not to be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoundsError {
    /// The contract has no such message.
    #[error("there is no such message")]
    UnknownMessage,
    /// The message has a field that the contract does not have.
    #[error("{message} has no field {number}")]
    UnknownField {
        /// Full name of the message.
        message: &'static str,
        /// The number on the wire.
        number: u64,
    },
    /// A field is encoded as another type than the contract's.
    #[error("field {number} of {message} is of another type")]
    WireType {
        /// Full name of the message.
        message: &'static str,
        /// The number on the wire.
        number: u64,
    },
    /// A number without an end, or a length beyond the message.
    #[error("{message} ends early")]
    Truncated {
        /// Full name of the message.
        message: &'static str,
    },
    /// More parts than allowed.
    #[error("the message has too many parts")]
    TooManyParts,
    /// Messages within messages, deeper than the contract has them.
    #[error("the message is nested too deeply")]
    TooDeep,
}

/// A message of the contract.
#[derive(Debug)]
struct Shape {
    name: &'static str,
    fields: &'static [(u64, Kind)],
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A number or truth value, or a list of them.
    Varint,
    /// A string or bytes.
    Bytes,
    /// The message at this place of [`SCHEMA`].
    Message(usize),
}

const SCHEMA: &[Shape] = include!(concat!(env!("OUT_DIR"), "/schema.rs"));

/// Checks that the message of this type, such as `grpc.CreateContainerRequest` or `ttrpc.Request`, has only fields
/// of the contract and at most `parts_max` parts.
///
/// # Errors
/// When it does not, or is not a message at all. Text that is not UTF-8 is left to the decoder.
pub fn check(message_type: &str, encoded: &[u8], parts_max: usize) -> Result<(), BoundsError> {
    let shape = SCHEMA.iter().find(|shape| shape.name == message_type).ok_or(BoundsError::UnknownMessage)?;
    let mut parts = Parts { left: parts_max };
    walk(shape, encoded, &mut parts, DEPTH_MAX)
}

/// How many more parts may come.
struct Parts {
    left: usize,
}

impl Parts {
    fn take(&mut self, count: usize) -> Result<(), BoundsError> {
        self.left = self.left.checked_sub(count).ok_or(BoundsError::TooManyParts)?;
        Ok(())
    }
}

fn walk(shape: &Shape, encoded: &[u8], parts: &mut Parts, depth: u32) -> Result<(), BoundsError> {
    let depth = depth.checked_sub(1).ok_or(BoundsError::TooDeep)?;
    let message = shape.name;
    let truncated = BoundsError::Truncated { message };
    let mut rest = encoded;
    while !rest.is_empty() {
        parts.take(1)?;
        let tag = take_varint(&mut rest).ok_or(truncated)?;
        let (number, wire_type) = (tag >> 3, tag & 7);
        let field = shape.fields.iter().find(|(known, _)| *known == number);
        let (_, kind) = field.ok_or(BoundsError::UnknownField { message, number })?;
        match (kind, wire_type) {
            (Kind::Varint, 0) => {
                take_varint(&mut rest).ok_or(truncated)?;
            }
            // A packed list: a number takes at least a byte.
            (Kind::Varint, 2) => parts.take(take_bytes(&mut rest).ok_or(truncated)?.len())?,
            (Kind::Bytes, 2) => {
                take_bytes(&mut rest).ok_or(truncated)?;
            }
            (Kind::Message(place), 2) => {
                let nested = take_bytes(&mut rest).ok_or(truncated)?;
                let shape = SCHEMA.get(*place).ok_or(BoundsError::UnknownMessage)?;
                walk(shape, nested, parts, depth)?;
            }
            _ => return Err(BoundsError::WireType { message, number }),
        }
    }
    Ok(())
}

/// Takes a base-128 number of at most ten bytes.
fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f).wrapping_shl(shift);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Takes a length and as many bytes.
fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_varint(rest)?).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use protobuf::{Message as _, MessageField};

    use super::*;
    use crate::kata::{METHODS, agent, oci};

    const CREATE: &str = "grpc.CreateContainerRequest";

    fn check_create(encoded: &[u8]) -> Result<(), BoundsError> {
        check(CREATE, encoded, REQUEST_PARTS_MAX)
    }

    #[test]
    fn every_request_of_the_contract_has_a_shape() {
        for method in METHODS {
            assert_eq!(check(method.request_type, b"", 0), Ok(()), "{}", method.request_type);
        }
        assert_eq!(check("ttrpc.Request", b"", 0), Ok(()));
        assert_eq!(check("grpc.Nothing", b"", 0), Err(BoundsError::UnknownMessage));
    }

    #[test]
    fn a_real_request_passes() {
        let texts = |count: usize| vec!["text".to_owned(); count];
        let request = agent::CreateContainerRequest {
            container_id: "c".repeat(64),
            storages: vec![agent::Storage { options: texts(4), shared: true, ..Default::default() }; 20],
            OCI: MessageField::some(oci::Spec {
                Process: MessageField::some(oci::Process {
                    Args: texts(5),
                    Env: texts(50),
                    User: MessageField::some(oci::User {
                        AdditionalGids: vec![1, 70_000],
                        ..Default::default()
                    }),
                    OOMScoreAdj: -999,
                    ..Default::default()
                }),
                Annotations: BTreeMap::from([("key".to_owned(), "value".to_owned())]),
                Linux: MessageField::some(oci::Linux {
                    Seccomp: MessageField::some(oci::LinuxSeccomp {
                        Syscalls: vec![oci::LinuxSyscall { Names: texts(300), ..Default::default() }; 8],
                        ..Default::default()
                    }),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(check_create(&request.write_to_bytes().unwrap()), Ok(()));
    }

    #[test]
    fn many_small_parts_are_refused_and_one_large_one_is_not() {
        let storage = b"\x2a\x00";
        assert_eq!(check_create(&storage.repeat(REQUEST_PARTS_MAX)), Ok(()));
        assert_eq!(check_create(&storage.repeat(REQUEST_PARTS_MAX + 1)), Err(BoundsError::TooManyParts));
        let data = agent::CopyFileRequest { data: vec![0; 4 << 20], ..Default::default() };
        let encoded = data.write_to_bytes().unwrap();
        assert_eq!(check("grpc.CopyFileRequest", &encoded, REQUEST_PARTS_MAX), Ok(()));
        let numbers = agent::AddSwapRequest { PCIPath: vec![1; REQUEST_PARTS_MAX], ..Default::default() };
        let encoded = numbers.write_to_bytes().unwrap();
        let refused = check("grpc.AddSwapRequest", &encoded, REQUEST_PARTS_MAX);
        assert_eq!(refused, Err(BoundsError::TooManyParts));
    }

    #[test]
    fn parts_count_at_every_depth() {
        // OCI { Mounts { } Mounts { } } and a container id: four parts.
        let encoded = b"\x32\x04\x2a\x00\x2a\x00\x0a\x01c";
        assert_eq!(check(CREATE, encoded, 4), Ok(()));
        assert_eq!(check(CREATE, encoded, 3), Err(BoundsError::TooManyParts));
    }

    #[test]
    fn what_the_contract_does_not_have_is_refused() {
        let storage = "grpc.Storage";
        let cases: [(&[u8], BoundsError); 8] = [
            (b"\x98\x06\x00", BoundsError::UnknownField { message: CREATE, number: 99 }),
            (b"\x2a\x03\x98\x06\x00", BoundsError::UnknownField { message: storage, number: 99 }),
            (b"\x00", BoundsError::UnknownField { message: CREATE, number: 0 }),
            (b"\x08\x00", BoundsError::WireType { message: CREATE, number: 1 }),
            (b"\x2b\x2c", BoundsError::WireType { message: CREATE, number: 5 }),
            (b"\x0a\x02c", BoundsError::Truncated { message: CREATE }),
            (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", BoundsError::Truncated { message: CREATE }),
            (b"\x48\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", BoundsError::Truncated { message: CREATE }),
        ];
        for (encoded, error) in cases {
            assert_eq!(check_create(encoded), Err(error), "{encoded:02x?}");
        }
    }

    #[test]
    fn what_passes_has_no_unknown_fields_when_decoded() {
        let encoded = b"\x0a\x01c\x2a\x02\x40\x01";
        assert_eq!(check_create(encoded), Ok(()));
        let request = agent::CreateContainerRequest::parse_from_bytes(encoded).unwrap();
        assert_eq!(request.write_to_bytes().unwrap(), encoded);
    }
}
