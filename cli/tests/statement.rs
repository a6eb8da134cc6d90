//! `cce statement` as a program: what it signs is believed where it is to be, and nothing else is signed.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::disallowed_methods, reason = "what is tested is a program")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use attestation::verify::endorsement::{Endorsement, EndorsementError, TrustedEndorser};
use serde_json::Value;
use signed_statement::Envelope;
use statement_signer::{CertificateSpec, Curve, Identity, Key};

/// A folder with the key and the chain of a signer.
struct Signer(tempfile::TempDir);

impl Signer {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Identity::root(&CertificateSpec::authority("Root"), Key::new(Curve::P256, 1));
        let signer = root.issue(&CertificateSpec::signer("Maker"), Key::new(Curve::P384, 3));
        fs::write(folder.path().join("key.pem"), signer.key.pkcs8_pem()).unwrap();
        fs::write(folder.path().join("chain.pem"), signer.chain_pem()).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn sign(&self, kind: &str, payload: &Path, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cce"))
            .args(["--json", "statement", kind])
            .arg(payload)
            .arg("--key")
            .arg(self.path("key.pem"))
            .arg("--chain")
            .arg(self.path("chain.pem"))
            .arg("--output")
            .arg(self.path("out.cose"))
            .args(["--feed", "example.com/feed"])
            .args(more)
            .output()
            .unwrap()
    }
}

#[test]
fn a_signed_fragment_is_a_statement_of_its_signer() {
    let signer = Signer::new();
    let fragment = signer.write("f.rego", "package example\nsvn := \"1\"\n");
    let output = signer.sign("fragment", &fragment, &["--svn", "4"]);
    assert!(output.status.success(), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let statement = Envelope::parse(&fs::read(signer.path("out.cose")).unwrap()).unwrap().verify().unwrap();
    assert_eq!(answer["issuer"], statement.issuer());
    assert_eq!((statement.feed(), statement.svn()), ("example.com/feed", Some(4)));
    assert_eq!(statement.content_type(), Some("application/cose-x509+rego"));
    assert_eq!(statement.payload(), fs::read(fragment).unwrap());
}

#[test]
fn a_signed_endorsement_is_what_a_verifier_takes() {
    let signer = Signer::new();
    let measurement = "ab".repeat(48);
    let values = signer.write("r.json", &format!("{{\"measurement\":\"{measurement}\",\"vcpus\":2}}"));
    let output = signer.sign("endorsement", &values, &["--svn", "9"]);
    assert!(output.status.success(), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let issuer = answer["issuer"].as_str().unwrap().to_owned();
    let trusted =
        TrustedEndorser { issuer, feed: "example.com/feed".to_owned(), minimum_security_version: 9 };
    let envelope = fs::read(signer.path("out.cose")).unwrap();
    let newer = TrustedEndorser { minimum_security_version: 10, ..trusted.clone() };
    assert!(matches!(Endorsement::verify(&envelope, &[newer]), Err(EndorsementError::TooOld { .. })));
    let endorsement = Endorsement::verify(&envelope, &[trusted]).unwrap();
    assert_eq!((endorsement.measurement.to_string(), endorsement.security_version), (measurement, 9));
    assert!(Endorsement::verify(&envelope, &[TrustedEndorser::azure_confidential_containers()]).is_err());
}

#[test]
fn each_launch_of_an_image_has_an_endorsement_of_its_own() {
    let signer = Signer::new();
    let (firmware, igvm) = ("ab".repeat(48), "cd".repeat(48));
    let text = format!("{{\"measurement\":\"{firmware}\",\"igvm\":{{\"measurement\":\"{igvm}\"}}}}");
    let values = signer.write("r.json", &text);
    for (launch, measurement) in [("firmware", firmware), ("igvm", igvm)] {
        let output = signer.sign("endorsement", &values, &["--svn", "9", "--launch", launch]);
        assert!(output.status.success(), "{output:?}");
        let statement =
            Envelope::parse(&fs::read(signer.path("out.cose")).unwrap()).unwrap().verify().unwrap();
        let payload: Value = serde_json::from_slice(statement.payload()).unwrap();
        assert_eq!(payload["x-ms-sevsnpvm-launchmeasurement"], measurement);
    }
    let old = signer.write("old.json", &format!("{{\"measurement\":\"{}\"}}", "ab".repeat(48)));
    let output = signer.sign("endorsement", &old, &["--svn", "9", "--launch", "igvm"]);
    assert_eq!(output.status.code(), Some(2), "an image without an IGVM file has no such measurement");
}

#[test]
fn nothing_is_written_that_nobody_would_believe() {
    let signer = Signer::new();
    let fragment = signer.write("f.rego", "package example\n");
    let another = "did:x509:0:sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA::subject:CN:Maker";
    for more in [&["--issuer", another][..], &["--issuer", "somebody"], &["--svn", "minus"]] {
        let output = signer.sign("fragment", &fragment, more);
        assert_eq!(output.status.code(), Some(2), "{more:?}");
    }
    let values = signer.write("r.json", "{\"measurement\":\"abcd\"}");
    assert_eq!(signer.sign("endorsement", &values, &["--svn", "1"]).status.code(), Some(2));
    fs::write(signer.path("key.pem"), "no key").unwrap();
    assert_eq!(signer.sign("fragment", &fragment, &[]).status.code(), Some(2));
    assert!(!signer.path("out.cose").exists());
}
