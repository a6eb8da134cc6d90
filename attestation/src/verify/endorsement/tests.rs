#![expect(clippy::arithmetic_side_effects, reason = "offsets in small files")]

use signed_statement::{CborError, ParseSign1Error};

use super::*;
use crate::evidence;
use crate::report::Report;

const FILE: &str = "body.uvm_reference_info.bin";

fn azure() -> [TrustedEndorser; 1] {
    [TrustedEndorser::azure_confidential_containers()]
}

#[test]
fn the_real_endorsement_is_about_the_real_report() {
    let (Some(bytes), Some(report)) = (evidence::read(FILE), evidence::read("snp_report.bin")) else {
        return;
    };
    let endorsement = Endorsement::verify(&bytes, &azure()).unwrap();
    assert_eq!(endorsement.measurement, Report::parse(&report).unwrap().measurement());
    assert_eq!(endorsement.security_version, 22);
}

#[test]
fn only_trusted_endorsers_are_believed() {
    let Some(bytes) = evidence::read(FILE) else { return };
    assert!(matches!(Endorsement::verify(&bytes, &[]), Err(EndorsementError::Untrusted { .. })));
    let mut other_feed = azure();
    other_feed[0].feed.push('2');
    assert!(matches!(Endorsement::verify(&bytes, &other_feed), Err(EndorsementError::Untrusted { .. })));
}

#[test]
fn an_old_image_is_not_good_enough() {
    let Some(bytes) = evidence::read(FILE) else { return };
    let mut trusted = azure();
    trusted[0].minimum_security_version = 22;
    assert_eq!(Endorsement::verify(&bytes, &trusted).unwrap().security_version, 22);
    trusted[0].minimum_security_version = 23;
    let refused = Endorsement::verify(&bytes, &trusted);
    assert!(matches!(refused, Err(EndorsementError::TooOld { given: 22, minimum: 23 })), "{refused:?}");
}

#[test]
fn no_bit_of_the_signed_parts_can_change() {
    let Some(bytes) = evidence::read(FILE) else { return };
    let (start, end) = unprotected_header(&bytes);
    // Signature checks of 3072 and 4096 bits: a prime step visits all kinds of bytes in a second or two.
    for bit in (0..bytes.len() * 8).step_by(151) {
        if (start..end).contains(&(bit / 8)) {
            continue;
        }
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Endorsement::verify(&flipped, &azure()).is_err(), "bit {bit}");
    }
}

/// Where the one unsigned part lies: after the protected header, before the payload.
fn unprotected_header(bytes: &[u8]) -> (usize, usize) {
    // Tag, array of four, byte string with a length of two bytes.
    let protected_len = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
    let payload = bytes.windows(3).rposition(|window| window == b"{\n ").unwrap();
    (5 + protected_len, payload - 2)
}

#[test]
fn other_bytes_are_refused() {
    for bytes in [&b""[..], b"\xd2", b"\xd2\x84\x40\xa0\x40\x40", b"\xd2\x80", b"\x00", &[0x9f; 1000]] {
        assert!(matches!(Endorsement::verify(bytes, &azure()), Err(EndorsementError::Parse(_))));
    }
    let long = vec![0; MAX_ENDORSEMENT_LEN + 1];
    assert!(matches!(Endorsement::verify(&long, &azure()), Err(EndorsementError::TooLong { .. })));
    let Some(mut bytes) = evidence::read(FILE) else { return };
    bytes.push(0);
    assert!(matches!(
        Endorsement::verify(&bytes, &azure()),
        Err(EndorsementError::Parse(ParseEnvelopeError::Cose(ParseSign1Error::Cbor(CborError::Trailing {
            count: 1
        }))))
    ));
}
