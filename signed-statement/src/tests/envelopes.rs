use statement_signer::{Cbor, sign1};

use super::*;
use crate::{HeaderError, ParseEnvelopeError, ParseSign1Error, SignatureError};

fn header_error(spec: &StatementSpec) -> HeaderError {
    match Envelope::parse(&spec.sign(&signer())) {
        Err(ParseEnvelopeError::Header(error) | ParseEnvelopeError::Cose(ParseSign1Error::Header(error))) => {
            error
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_statement_says_what_was_signed() {
    for curve in [Curve::P256, Curve::P384, Curve::P521] {
        let signer = authority().issue(&signer_spec(), Key::new(curve, 9));
        let verified = verify(&statement(&signer).sign(&signer)).unwrap();
        assert_eq!(verified.issuer(), signer.did(&format!("eku:{PURPOSE}")));
        assert_eq!((verified.feed(), verified.svn()), (FEED, Some(3)));
        assert_eq!(verified.content_type(), Some(crate::media_type::FRAGMENT));
        assert_eq!(verified.payload(), b"package example");
        assert!(verified.receipts().is_empty());
    }
}

#[test]
fn the_tag_may_be_left_out() {
    let bytes = statement(&signer()).sign(&signer());
    let untagged = bytes.strip_prefix(b"\xd2").unwrap();
    // A ledger registers the tagged form, whatever form arrives.
    assert_eq!(verify(untagged).unwrap(), verify(&bytes).unwrap());
}

#[test]
fn no_bit_of_the_envelope_can_change() {
    let bytes = statement(&signer()).sign(&signer());
    assert!(is_believed(&bytes));
    // Each bit costs signature checks: a prime step visits header, chain, payload and signature in a second.
    for bit in (0..bytes.len() * 8).step_by(53) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!is_believed(&flipped), "bit {bit}");
    }
    for length in (0..bytes.len()).step_by(97) {
        assert!(!is_believed(&bytes[..length]), "{length} bytes");
    }
    assert!(!is_believed(&[&bytes[..], b"\x00"].concat()));
}

#[test]
fn classic_headers_say_the_same_as_claims() {
    let signer = signer();
    let mut classic = statement(&signer);
    let (issuer, feed, _) = classic.claims.take().unwrap();
    classic.text_headers = Some((issuer.clone(), feed.clone()));
    let verified = verify(&classic.sign(&signer)).unwrap();
    assert_eq!((verified.issuer(), verified.feed(), verified.svn()), (&*issuer, &*feed, None));

    let mut both = statement(&signer);
    both.text_headers = Some((issuer.clone(), feed.clone()));
    assert!(is_believed(&both.sign(&signer)));
    both.text_headers = Some((issuer.clone(), "another".to_owned()));
    assert_eq!(header_error(&both), HeaderError::Conflict("feed"));
    both.text_headers = Some(("another".to_owned(), feed));
    assert_eq!(header_error(&both), HeaderError::Conflict("iss"));

    let mut neither = statement(&signer);
    neither.claims = None;
    assert_eq!(header_error(&neither), HeaderError::Missing("iss"));
    neither.claims = Some((issuer, String::new(), None));
    assert_eq!(header_error(&neither), HeaderError::Missing("feed"));
}

#[test]
fn unprotected_headers_say_nothing() {
    let signer = signer();
    let plain = statement(&signer);
    let mut spec = plain.clone();
    let claims = vec![(Cbor::Int(1), "did:x509:0:x".into()), (Cbor::from("svn"), Cbor::Int(9))];
    spec.unprotected = vec![
        (Cbor::Int(1), Cbor::Int(-7)),
        (Cbor::Int(2), Cbor::Array(vec![Cbor::Int(99)])),
        (Cbor::Int(3), "text/plain".into()),
        (Cbor::Int(15), Cbor::Map(claims)),
        (Cbor::Int(33), Cbor::Bytes(vec![1, 2, 3])),
        ("iss".into(), "another".into()),
        ("feed".into(), "another".into()),
    ];
    let given = verify(&spec.sign(&signer)).unwrap();
    let expected = verify(&plain.sign(&signer)).unwrap();
    assert_eq!((given.issuer(), given.feed(), given.svn()), (expected.issuer(), FEED, Some(3)));
    assert_eq!(given.content_type(), expected.content_type());
}

#[test]
fn critical_headers_are_understood_or_the_statement_is_refused() {
    let signer = signer();
    let with = |critical: Cbor| {
        let mut spec = statement(&signer);
        spec.protected = vec![(Cbor::Int(2), critical)];
        spec
    };
    assert!(is_believed(&with(Cbor::Array(vec![Cbor::Int(15), Cbor::Int(33)])).sign(&signer)));
    // Unknown, not there, empty, no list.
    assert_eq!(header_error(&with(Cbor::Array(vec![Cbor::Int(99)]))), HeaderError::Critical);
    assert_eq!(header_error(&with(Cbor::Array(vec!["iss".into()]))), HeaderError::Critical);
    assert_eq!(header_error(&with(Cbor::Array(Vec::new()))), HeaderError::Malformed("crit"));
    assert_eq!(header_error(&with(Cbor::Int(15))), HeaderError::Malformed("crit"));
}

#[test]
fn the_algorithm_is_supported_and_of_the_key() {
    let signer = signer();
    let with = |algorithm: i64| StatementSpec { algorithm: Some(algorithm), ..statement(&signer) };
    for unsupported in [-8, -257, -65535, 0, 5] {
        assert_eq!(header_error(&with(unsupported)), HeaderError::Algorithm(unsupported.into()));
    }
    for for_rsa in [-37, -38, -39] {
        let error = verify(&with(for_rsa).sign(&signer)).unwrap_err();
        assert!(matches!(error, VerifyError::Signature(SignatureError::OtherKey)), "{error:?}");
    }
    // Signed with SHA-384, said to be signed with SHA-256.
    let error = verify(&with(-7).sign(&signer)).unwrap_err();
    assert!(matches!(error, VerifyError::Signature(SignatureError::Wrong)), "{error:?}");
}

#[test]
fn another_key_does_not_sign_for_the_chain() {
    let (mut thief, owner) = (signer(), signer());
    thief.key = Key::new(Curve::P384, 4);
    let error = verify(&statement(&owner).sign(&thief)).unwrap_err();
    assert!(matches!(error, VerifyError::Signature(SignatureError::Wrong)), "{error:?}");
}

#[test]
fn headers_have_the_types_they_must_have() {
    let signer = signer();
    let claims = |svn: Cbor| {
        let mut spec = statement(&signer);
        let (issuer, feed, _) = spec.claims.take().unwrap();
        let claims = vec![
            (Cbor::Int(1), issuer.as_str().into()),
            (Cbor::Int(2), feed.as_str().into()),
            (Cbor::from("svn"), svn),
        ];
        spec.protected = vec![(Cbor::Int(15), Cbor::Map(claims))];
        spec
    };
    assert!(is_believed(&claims(Cbor::Int(i64::MAX)).sign(&signer)));
    for svn in [Cbor::Int(-1), "1".into(), Cbor::Null] {
        assert_eq!(header_error(&claims(svn)), HeaderError::Malformed("svn"));
    }
    let mut spec = statement(&signer);
    spec.content_type = None;
    spec.protected = vec![(Cbor::Int(3), Cbor::Bool(true))];
    assert_eq!(header_error(&spec), HeaderError::Malformed("content type"));
    spec.protected = vec![(Cbor::Int(3), Cbor::Int(50))];
    assert_eq!(verify(&spec.sign(&signer)).unwrap().content_type(), Some("50"));
}

#[test]
fn a_label_stands_once() {
    let mut spec = statement(&signer());
    spec.protected = vec![(Cbor::Int(1), Cbor::Int(-35))];
    let parsed = Envelope::parse(&spec.sign(&signer()));
    assert!(matches!(parsed, Err(ParseEnvelopeError::Cose(ParseSign1Error::Protected(_)))), "{parsed:?}");
}

#[test]
fn structures_of_another_kind_are_refused() {
    let key = Key::new(Curve::P256, 1);
    let detached =
        sign1(&statement_signer::protected_header(&statement(&signer()), &signer()), vec![], None, &key);
    assert!(matches!(Envelope::parse(&detached), Err(ParseEnvelopeError::Detached)));
    for bytes in
        [&b""[..], b"\xd2", b"\xd2\x80", b"\x00", b"\xd2\x84\x40\xa0\x40\x00", b"\xd1\x84\x40\xa0\x40\x40"]
    {
        assert!(matches!(Envelope::parse(bytes), Err(ParseEnvelopeError::Cose(_))), "{bytes:?}");
    }
    assert!(matches!(
        Envelope::parse(b"\x84\x40\xa0\x40\x40"),
        Err(ParseEnvelopeError::Header(HeaderError::Missing("alg")))
    ));
    let long = vec![0; crate::ENVELOPE_LEN_MAX + 1];
    assert!(matches!(Envelope::parse(&long), Err(ParseEnvelopeError::TooLong { .. })));
}
