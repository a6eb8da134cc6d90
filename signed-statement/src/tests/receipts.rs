use statement_signer::{Cbor, Ledger, trust_list};

use super::*;
use crate::{
    KEYS_MAX, ParseEnvelopeError, ParseReceiptError, ParseTrustListError, Receipt, ReceiptError, TrustList,
    TrustedLedgers, VerifiedReceipt,
};

fn ledger(name: &str, secret: u16) -> Ledger {
    let key = Key::new(Curve::P384, secret);
    Ledger { name: name.to_owned(), key_id: format!("{secret}").into_bytes(), key }
}

/// A statement with these receipts of it.
fn registered(ledgers: &[&Ledger]) -> VerifiedStatement {
    let envelope = statement(&signer()).sign(&signer());
    let receipts = ledgers.iter().map(|ledger| Cbor::Bytes(ledger.receipt(&envelope))).collect();
    with_receipts(receipts).unwrap().verify().unwrap()
}

fn with_receipts(receipts: Vec<Cbor>) -> Result<Envelope, ParseEnvelopeError> {
    let mut spec = statement(&signer());
    spec.unprotected = vec![(Cbor::Int(394), Cbor::Array(receipts))];
    // Signed with the same nonce: the envelope is the registered one.
    Envelope::parse(&spec.sign(&signer()))
}

fn trusting(subject: &str, ledgers: &[Ledger]) -> TrustedLedgers {
    let list = TrustList::parse(&trust_list(ledgers)).unwrap();
    let mut trusted = TrustedLedgers::default();
    trusted.add(subject, &list, list.ledgers()).unwrap();
    trusted
}

#[test]
fn a_receipt_of_a_trusted_ledger_counts() {
    let (a, b) = (ledger("a.example.com", 11), ledger("b.example.com", 12));
    let verified = trusting("list", std::slice::from_ref(&a)).verified_receipts(&registered(&[&a, &b]));
    let expected =
        VerifiedReceipt { ledger: "a.example.com".to_owned(), list_subjects: vec!["list".to_owned()] };
    assert_eq!(verified, [expected]);
    assert_eq!(
        serde_json::to_value(&verified).unwrap(),
        serde_json::json!([{ "issuer": "a.example.com", "ttl_subjects": ["list"] }])
    );
}

#[test]
fn nothing_counts_without_trust() {
    let a = ledger("a.example.com", 11);
    assert_eq!(TrustedLedgers::default().verified_receipts(&registered(&[&a])), []);
    assert_eq!(trusting("list", &[a]).verified_receipts(&registered(&[])), []);
}

#[test]
fn a_ledger_does_not_speak_for_another() {
    let (a, b) = (ledger("a.example.com", 11), ledger("b.example.com", 12));
    let trusted = trusting("list", &[a.clone(), b.clone()]);
    // B's key in A's name, under B's key identifier and under A's.
    let forged = Ledger { name: a.name.clone(), ..b.clone() };
    assert_eq!(trusted.verified_receipts(&registered(&[&forged])), []);
    let forged = Ledger { key: b.key.clone(), ..a.clone() };
    assert_eq!(trusted.verified_receipts(&registered(&[&forged])), []);
    assert_eq!(trusted.verified_receipts(&registered(&[&a, &b])).len(), 2);
}

#[test]
fn a_receipt_is_of_one_statement() {
    let a = ledger("a.example.com", 11);
    let other = StatementSpec { payload: b"package other".to_vec(), ..statement(&signer()) };
    let receipt = a.receipt(&other.sign(&signer()));
    let statement = with_receipts(vec![Cbor::Bytes(receipt.clone())]).unwrap().verify().unwrap();
    assert_eq!(trusting("list", std::slice::from_ref(&a)).verified_receipts(&statement), []);
    let key = TrustList::parse(&trust_list(&[a])).unwrap();
    assert!(key.keys("a.example.com").is_some());
    let receipt = Receipt::parse(&receipt).unwrap();
    let any_key = crate::x509::Certificate::parse(signer().chain[0].clone()).unwrap().public_key().unwrap();
    assert_eq!(receipt.verify(statement.registered_sha256(), &any_key), Err(ReceiptError::OtherStatement));
}

#[test]
fn no_bit_of_a_receipt_can_change() {
    let a = ledger("a.example.com", 11);
    let trusted = trusting("list", std::slice::from_ref(&a));
    let envelope = statement(&signer()).sign(&signer());
    let receipt = a.receipt(&envelope);
    for bit in (0..receipt.len() * 8).step_by(23) {
        let mut flipped = receipt.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(envelope) = with_receipts(vec![Cbor::Bytes(flipped)]) {
            assert_eq!(trusted.verified_receipts(&envelope.verify().unwrap()), [], "bit {bit}");
        }
    }
}

#[test]
fn receipts_are_well_formed_and_few() {
    let error = with_receipts(vec![Cbor::Bytes(b"\x80".to_vec())]).unwrap_err();
    assert!(matches!(error, ParseEnvelopeError::Receipt { number: 1, source: ParseReceiptError::Cose(_) }));
    assert!(matches!(with_receipts(vec![Cbor::Null]), Err(ParseEnvelopeError::Receipts)));
    let many = vec![Cbor::Bytes(Vec::new()); crate::RECEIPTS_MAX + 1];
    assert!(matches!(with_receipts(many), Err(ParseEnvelopeError::Receipts)));
    // A statement is no receipt.
    let error = Receipt::parse(&statement(&signer()).sign(&signer())).unwrap_err();
    assert_eq!(error, ParseReceiptError::Header(crate::HeaderError::Missing("vds")));
}

#[test]
fn receipts_of_other_kinds_of_ledgers_are_left_out() {
    let a = ledger("a.example.com", 11);
    let receipt = a.receipt(&statement(&signer()).sign(&signer()));
    // The last protected header: data structure 395 is 2.
    let position = receipt.windows(4).position(|window| window == b"\x19\x01\x8b\x02").unwrap();
    let mut other = receipt.clone();
    other[position + 3] = 1;
    assert_eq!(Receipt::parse(&other), Err(ParseReceiptError::DataStructure(1)));
    let both = with_receipts(vec![Cbor::Bytes(other), Cbor::Bytes(receipt)]).unwrap().verify().unwrap();
    assert_eq!(both.receipts().len(), 1);
    assert_eq!(trusting("list", std::slice::from_ref(&a)).verified_receipts(&both).len(), 1);
}

#[test]
fn lists_vouch_together_and_a_changed_key_loses_its_vouchers() {
    let a = ledger("a.example.com", 11);
    let mut trusted = trusting("first", std::slice::from_ref(&a));
    let list = TrustList::parse(&trust_list(std::slice::from_ref(&a))).unwrap();
    trusted.add("second", &list, ["a.example.com"]).unwrap();
    let statement = registered(&[&a]);
    assert_eq!(trusted.verified_receipts(&statement)[0].list_subjects, ["first", "second"]);
    let changed = Ledger { key: Key::new(Curve::P384, 13), ..a.clone() };
    let list = TrustList::parse(&trust_list(std::slice::from_ref(&changed))).unwrap();
    trusted.add("third", &list, ["a.example.com"]).unwrap();
    assert_eq!(trusted.verified_receipts(&statement), []);
    assert_eq!(trusted.verified_receipts(&registered(&[&changed]))[0].list_subjects, ["third"]);
}

#[test]
fn only_allowed_ledgers_are_taken_from_a_list() {
    let (a, b) = (ledger("a.example.com", 11), ledger("b.example.com", 12));
    let list = TrustList::parse(&trust_list(&[a.clone(), b.clone()])).unwrap();
    assert_eq!(list.ledgers().collect::<Vec<_>>(), ["a.example.com", "b.example.com"]);
    let mut trusted = TrustedLedgers::default();
    trusted.add("list", &list, ["b.example.com", "c.example.com"]).unwrap();
    assert_eq!(trusted.verified_receipts(&registered(&[&a])), []);
    assert_eq!(trusted.verified_receipts(&registered(&[&b])).len(), 1);
}

#[test]
fn trust_lists_are_well_formed() {
    let list = |keys: Cbor| {
        let entry = Cbor::Map(vec![(Cbor::Int(1), keys)]);
        TrustList::parse(&Cbor::Map(vec![("a.example.com".into(), entry)]).encode())
    };
    let key = ledger("a.example.com", 11).cose_key();
    // A key that is not understood is left out; a list of none is refused.
    let parsed = list(Cbor::Array(vec![Cbor::Null, key.clone()])).unwrap();
    assert_eq!(parsed.keys("a.example.com").unwrap().ids().collect::<Vec<_>>(), [b"11"]);
    assert!(matches!(list(Cbor::Array(vec![Cbor::Null])), Err(ParseTrustListError::NoKey(_))));
    assert_eq!(list(Cbor::Array(Vec::new())), Err(ParseTrustListError::Keys));
    assert_eq!(list(Cbor::Array(vec![key; KEYS_MAX + 1])), Err(ParseTrustListError::Keys));
    assert_eq!(TrustList::parse(&Cbor::Map(Vec::new()).encode()), Err(ParseTrustListError::Ledgers));
    assert_eq!(TrustList::parse(&Cbor::Array(Vec::new()).encode()), Err(ParseTrustListError::Ledgers));
    assert!(matches!(TrustList::parse(b""), Err(ParseTrustListError::Cbor(_))));
}
