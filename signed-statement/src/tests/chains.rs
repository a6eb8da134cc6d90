use statement_signer::{Cbor, Extension, Usage};

use super::*;
use crate::ParseEnvelopeError;
use crate::x509::{Certificate, PathError, Rules, validate};

fn path_error(signer: &Identity) -> PathError {
    match verify(&statement(signer).sign(signer)) {
        Err(VerifyError::Chain(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// A signer below an authority like this.
fn below(authority: CertificateSpec) -> Identity {
    root().issue(&authority, Key::new(Curve::P256, 2)).issue(&signer_spec(), Key::new(Curve::P384, 3))
}

#[test]
fn the_chain_goes_from_the_signer_upwards() {
    let mut reordered = signer();
    reordered.chain.swap(1, 2);
    assert!(matches!(path_error(&reordered), PathError::Order));
    let mut without_authority = signer();
    without_authority.chain.remove(1);
    assert!(matches!(path_error(&without_authority), PathError::NoIssuer));
    let mut with_stranger = signer();
    let stranger = Identity::root(&CertificateSpec::authority("Stranger"), Key::new(Curve::P256, 7));
    with_stranger.chain.insert(1, stranger.chain[0].clone());
    assert!(matches!(path_error(&with_stranger), PathError::Order));
    let mut root_first = signer();
    root_first.chain.rotate_right(1);
    assert!(matches!(path_error(&root_first), PathError::SelfSignedBefore | PathError::NoIssuer));
}

#[test]
fn a_chain_may_end_below_its_root() {
    let mut partial = signer();
    partial.chain.pop();
    assert!(is_believed(&statement(&partial).sign(&partial)));
}

#[test]
fn a_chain_has_at_least_two_certificates_and_at_most_a_hundred() {
    let alone = Identity::root(&signer_spec(), Key::new(Curve::P256, 1));
    assert!(matches!(path_error(&alone), PathError::Length { given: 1 }));
    let mut long = signer();
    let extra = long.chain[2].clone();
    long.chain.resize(101, extra);
    let parsed = Envelope::parse(&statement(&long).sign(&long));
    assert!(matches!(parsed, Err(ParseEnvelopeError::ChainLength { given: 101 })));
    let mut single = statement(&alone);
    single.protected = vec![(Cbor::Int(99), Cbor::Null)];
    assert!(Envelope::parse(&single.sign(&alone)).is_ok());
}

#[test]
fn only_authorities_issue() {
    let authority = || CertificateSpec::authority("Authority");
    let not_authority = CertificateSpec { authority: Some(false), ..authority() };
    assert!(matches!(path_error(&below(not_authority)), PathError::NotAuthority));
    let unconstrained = CertificateSpec { authority: None, ..authority() };
    assert!(matches!(path_error(&below(unconstrained)), PathError::NotAuthority));
    let other_usage = CertificateSpec { usage: Some(Usage::DigitalSignature), ..authority() };
    assert!(matches!(path_error(&below(other_usage)), PathError::NotAuthority));
    // Without the key usage extension a key is for everything.
    let no_usage = below(CertificateSpec { usage: None, ..authority() });
    assert!(is_believed(&statement(&no_usage).sign(&no_usage)));
}

#[test]
fn a_signature_is_by_the_next_key() {
    let mut forged = root();
    forged.key = Key::new(Curve::P384, 8);
    let mut authority = CertificateSpec::authority("Authority");
    authority.key_ids = false;
    let signer =
        forged.issue(&authority, Key::new(Curve::P256, 2)).issue(&signer_spec(), Key::new(Curve::P384, 3));
    assert!(matches!(path_error(&signer), PathError::Signature(_)));
}

#[test]
fn the_root_of_a_chain_signed_itself() {
    let mut signer = signer();
    let root = signer.chain.last_mut().unwrap();
    *root.last_mut().unwrap() ^= 1;
    assert!(matches!(path_error(&signer), PathError::Signature(_)));
}

#[test]
fn path_lengths_are_kept() {
    let root = |path_len| {
        let spec = CertificateSpec { path_len: Some(path_len), ..CertificateSpec::authority("Root") };
        let authority = CertificateSpec::authority("Authority");
        Identity::root(&spec, Key::new(Curve::P384, 1))
            .issue(&authority, Key::new(Curve::P256, 2))
            .issue(&signer_spec(), Key::new(Curve::P384, 3))
    };
    assert!(is_believed(&statement(&root(1)).sign(&root(1))));
    assert!(matches!(path_error(&root(0)), PathError::PathLength));
}

#[test]
fn unknown_critical_extensions_are_refused() {
    let with = |id: &'static str, critical: bool| {
        let extension = Extension { id, critical, value: vec![5, 0] };
        below(CertificateSpec { extensions: vec![extension], ..CertificateSpec::authority("Authority") })
    };
    let ignored = with("1.2.3.4", false);
    assert!(is_believed(&statement(&ignored).sign(&ignored)));
    assert!(matches!(path_error(&with("1.2.3.4", true)), PathError::UnhandledCritical));
    // CRL distribution points: OpenSSL reads them, nothing here does.
    assert!(matches!(path_error(&with("2.5.29.31", true)), PathError::UnsupportedCritical));
}

/// Name constraints with one subtree: 0xa0 permitted, 0xa1 excluded; of host names below a domain.
fn constraints(kind: u8, domain: &str) -> Extension {
    let length = u8::try_from(domain.len()).unwrap();
    let mut value = vec![0x30, length + 6, kind, length + 4, 0x30, length + 2, 0x82, length];
    value.extend(domain.as_bytes());
    Extension { id: "2.5.29.30", critical: true, value }
}

#[test]
fn authorities_speak_for_the_names_they_may() {
    let signer = |constraint: Extension, name: &'static str| {
        let spec =
            CertificateSpec { extensions: vec![constraint], ..CertificateSpec::authority("Authority") };
        let leaf = CertificateSpec { names: vec![(2, name)], ..signer_spec() };
        root().issue(&spec, Key::new(Curve::P256, 2)).issue(&leaf, Key::new(Curve::P384, 3))
    };
    for name in ["example.com", "a.example.com", "A.EXAMPLE.COM"] {
        let signer = signer(constraints(0xa0, "example.com"), name);
        assert!(is_believed(&statement(&signer).sign(&signer)), "{name}");
    }
    for name in ["example.org", "badexample.com", "com", "example.com.evil.org"] {
        let signer = signer(constraints(0xa0, "example.com"), name);
        assert!(matches!(path_error(&signer), PathError::NotPermitted), "{name}");
    }
    let excluded = signer(constraints(0xa1, "example.com"), "a.Example.com");
    assert!(matches!(path_error(&excluded), PathError::Excluded));
}

#[test]
fn common_names_that_are_host_names_are_constrained_too() {
    let spec = CertificateSpec {
        extensions: vec![constraints(0xa0, "example.com")],
        ..CertificateSpec::authority("Authority")
    };
    let authority = root().issue(&spec, Key::new(Curve::P256, 2));
    let named = |name: &str| {
        let leaf = CertificateSpec { purposes: vec![PURPOSE], ..CertificateSpec::signer(name) };
        authority.issue(&leaf, Key::new(Curve::P384, 3))
    };
    assert!(is_believed(&statement(&named("a.example.com")).sign(&named("a.example.com"))));
    assert!(is_believed(&statement(&named("No host name")).sign(&named("No host name"))));
    assert!(matches!(path_error(&named("a.example.org")), PathError::NotPermitted));
}

#[test]
fn authorities_are_valid_at_the_end_of_the_signers_certificate() {
    let short_lived = CertificateSpec { years: (2020, 2040), ..CertificateSpec::authority("Authority") };
    assert!(matches!(path_error(&below(short_lived)), PathError::Validity));
    // The present time plays no part: all of this is long over.
    let spec = |name: &str| CertificateSpec { years: (2000, 2010), ..CertificateSpec::authority(name) };
    let leaf = CertificateSpec { years: (2001, 2002), ..signer_spec() };
    let expired = Identity::root(&spec("Root"), Key::new(Curve::P384, 1))
        .issue(&spec("Authority"), Key::new(Curve::P256, 2))
        .issue(&leaf, Key::new(Curve::P384, 3));
    assert!(is_believed(&statement(&expired).sign(&expired)));
}

#[test]
fn keys_for_other_uses_sign_no_statements() {
    let spec = CertificateSpec { usage: Some(Usage::KeyAgreement), ..signer_spec() };
    let signer = authority().issue(&spec, Key::new(Curve::P384, 3));
    assert!(matches!(verify(&statement(&signer).sign(&signer)), Err(VerifyError::KeyUsage)));
}

#[test]
fn the_resolver_wants_the_whole_profile_and_statements_what_security_needs() {
    let spec = CertificateSpec { key_ids: false, ..CertificateSpec::authority("Authority") };
    let signer = below(spec);
    assert!(is_believed(&statement(&signer).sign(&signer)));
    let chain: Vec<_> = signer.chain.iter().map(|der| Certificate::parse(der.clone()).unwrap()).collect();
    let error = validate(&chain, Rules::DidX509).unwrap_err();
    assert_eq!(error.to_string(), "Missing Authority Key Identifier");
}
