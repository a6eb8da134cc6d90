use super::*;
use crate::did::{Did, DidError, resolve};

/// A signer with everything that predicates ask for.
fn described() -> Identity {
    let mut spec = signer_spec();
    spec.subject.push(("2.5.4.10", "Example, Inc.".to_owned()));
    spec.subject.push(("1.2.3.4", "50% off: é".to_owned()));
    spec.names = vec![(1, "a@example.com"), (2, "a.example.com"), (6, "https://example.com/a?b")];
    spec.extensions = vec![
        statement_signer::Extension {
            id: "1.3.6.1.4.1.57264.1.1",
            critical: false,
            value: b"https://issuer.example.com".to_vec(),
        },
        statement_signer::Extension {
            id: "1.3.6.1.4.1.57264.1.24",
            critical: false,
            value: b"\x0c\x05alice".to_vec(),
        },
    ];
    authority().issue(&spec, Key::new(Curve::P384, 3))
}

fn error_of(predicates: &str) -> DidError {
    let signer = described();
    resolve(&signer.did(predicates), &signer.chain).unwrap_err()
}

#[test]
fn each_predicate_matches_what_the_certificate_says() {
    let signer = described();
    for predicates in [
        "subject:CN:Signer",
        "subject:O:Example%2C%20Inc.:CN:Signer",
        "subject:1.2.3.4:50%25%20off%3A%20%C3%A9",
        "san:email:a%40example.com",
        "san:dns:a.example.com",
        "san:uri:https%3A%2F%2Fexample.com%2Fa%3Fb",
        "eku:1.3.6.1.4.1.311.76.59.1.3",
        "fulcio-issuer:issuer.example.com",
        "fulcio:token-subject:alice",
        "subject:CN:Signer::eku:1.3.6.1.4.1.311.76.59.1.3::san:dns:a.example.com",
    ] {
        let did = signer.did(predicates);
        assert_eq!(resolve(&did, &signer.chain).unwrap().id, did);
    }
}

#[test]
fn each_predicate_is_refused_where_the_certificate_says_something_else() {
    assert!(matches!(error_of("subject:CN:signer"), DidError::Subject));
    assert!(matches!(error_of("subject:OU:Signer"), DidError::SubjectKey));
    assert!(matches!(error_of("subject:cn:Signer"), DidError::SubjectKey));
    assert!(matches!(error_of("subject:CN:Signer:O"), DidError::SubjectPairs));
    assert!(matches!(error_of("subject:CN:Signer:CN:Signer"), DidError::SubjectDuplicate));
    assert!(matches!(error_of("san:email:b%40example.com"), DidError::Name));
    assert!(matches!(error_of("san:dns:A.example.com"), DidError::Name));
    assert!(matches!(error_of("san:email:a.example.com"), DidError::Name));
    assert!(matches!(error_of("san:dns"), DidError::NameParts));
    assert!(matches!(error_of("san:dn:a"), DidError::Name));
    assert!(matches!(error_of("san:othername:1.2.3:a"), DidError::OtherNameType));
    assert!(matches!(error_of("san:othername:a"), DidError::OtherNameParts));
    assert!(matches!(error_of("eku:1.3.6.1.4.1.311.76.59.1.2"), DidError::Purpose));
    assert!(matches!(error_of("fulcio-issuer:example.com"), DidError::FulcioIssuer));
    assert!(matches!(error_of("fulcio-issuer:https%3A%2F%2Fissuer.example.com"), DidError::FulcioIssuer));
    assert!(matches!(error_of("fulcio:token-subject:bob"), DidError::Fulcio));
    assert!(matches!(error_of("fulcio:issuer:a"), DidError::NoFulcio));
    assert!(matches!(error_of("fulcio:color:a"), DidError::FulcioField));
    assert!(matches!(error_of("fulcio:issuer:a:b"), DidError::FulcioParts));
    assert!(matches!(error_of("color:red"), DidError::UnknownPredicate));
    // All of them must hold.
    assert!(matches!(error_of("subject:CN:Signer::eku:1.2.3"), DidError::Purpose));
}

#[test]
fn values_are_encoded_once_and_exactly() {
    assert!(matches!(error_of("subject:CN:Sign%65r%"), DidError::PredicateValue));
    assert!(matches!(error_of("subject:CN:%C3%28"), DidError::Utf8));
    assert!(matches!(error_of("subject:CN:Example+Inc"), DidError::PredicateValue));
    assert!(matches!(error_of("san:email:a@example.com"), DidError::PredicateValue));
    assert!(matches!(error_of("subject:CN:"), DidError::PredicateValue));
    assert!(matches!(error_of("subject"), DidError::PredicateValue));
    let signer = described();
    assert!(resolve(&signer.did("subject:CN:Sign%65r"), &signer.chain).is_ok());
}

#[test]
fn names_have_one_form() {
    let error = |text: &str| text.parse::<Did>().unwrap_err();
    assert!(matches!(error("did:web:0:sha256:AAAA::eku:1.2"), DidError::Prefix));
    assert!(matches!(error("did:x509:1:sha256:AAAA::eku:1.2"), DidError::Prefix));
    assert!(matches!(error("DID:x509:0:sha256:AAAA::eku:1.2"), DidError::Prefix));
    assert!(matches!(error("did:x509:0:sha1:AAAA::eku:1.2"), DidError::Hash));
    assert!(matches!(error("did:x509:0:sha256::eku:1.2"), DidError::Authority));
    assert!(matches!(error("did:x509:0:sha256:AAAA:BBBB::eku:1.2"), DidError::Authority));
    assert!(matches!(error("did:x509:0:sha256:AAAA"), DidError::NoPredicate));
    assert!(matches!(error("did:x509:0:sha256:AAAA::eku:1.2/x?y"), DidError::Path));
    assert!(matches!(error("did:x509:0:sha256:AAAA::eku:1.2?x/y"), DidError::Query));
    assert_eq!("did:x509:0:sha256:AAAA::eku:1.2#0".parse::<Did>().unwrap().as_str().len(), 31);
}

#[test]
fn the_fingerprint_is_of_an_authority_and_not_of_the_signer() {
    let signer = described();
    let mut itself = signer.clone();
    itself.chain = vec![signer.chain[0].clone()];
    let did = itself.did("subject:CN:Signer");
    assert!(matches!(resolve(&did, &signer.chain), Err(DidError::Fingerprint)));
    let mut middle = signer.clone();
    middle.chain.pop();
    assert!(resolve(&middle.did("subject:CN:Signer"), &signer.chain).is_ok());
}

#[test]
fn statements_of_other_issuers_are_refused() {
    let signer = signer();
    let refused = |issuer: String| {
        let mut spec = statement(&signer);
        spec.claims = Some((issuer, FEED.to_owned(), Some(3)));
        match verify(&spec.sign(&signer)) {
            Err(VerifyError::Issuer { source, .. }) => source,
            other => panic!("{other:?}"),
        }
    };
    let stranger = Identity::root(&CertificateSpec::authority("Stranger"), Key::new(Curve::P256, 7));
    assert!(matches!(refused(stranger.did(&format!("eku:{PURPOSE}"))), DidError::Fingerprint));
    assert!(matches!(refused(signer.did("eku:1.2.3")), DidError::Purpose));
    assert!(matches!(refused("CN=Signer".to_owned()), DidError::Prefix));
    assert!(matches!(refused(format!("{}#0", signer.did("subject:CN:Signer"))), DidError::Prefix));
    let without_purpose = authority().issue(&CertificateSpec::signer("Signer"), Key::new(Curve::P384, 3));
    let error = verify(&statement(&without_purpose).sign(&without_purpose)).unwrap_err();
    assert!(matches!(error, VerifyError::Issuer { source: DidError::NoPurpose, .. }), "{error:?}");
}

#[test]
fn ambiguous_names_are_refused() {
    let mut twice = signer_spec();
    twice.subject.push(("2.5.4.3", "Another".to_owned()));
    let signer = authority().issue(&twice, Key::new(Curve::P384, 3));
    let did = signer.did("subject:CN:Signer");
    assert!(matches!(resolve(&did, &signer.chain), Err(DidError::DuplicateAttribute)));
    let address = CertificateSpec { names: vec![(7, "\u{1}\u{2}\u{3}\u{4}")], ..signer_spec() };
    let signer = authority().issue(&address, Key::new(Curve::P384, 3));
    let did = signer.did("subject:CN:Signer");
    assert!(matches!(resolve(&did, &signer.chain), Err(DidError::AlternativeName)));
}
