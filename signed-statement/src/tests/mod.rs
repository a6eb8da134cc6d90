#![expect(clippy::arithmetic_side_effects, reason = "offsets in small envelopes")]

//! Envelopes signed by known keys: what holds is believed, whatever is changed is refused.

mod chains;
mod envelopes;
mod issuers;
mod receipts;

use std::sync::LazyLock;

use statement_signer::{CertificateSpec, Curve, Identity, Key, StatementSpec};

use crate::{Envelope, VerifiedStatement, VerifyError};

const FEED: &str = "example.com/fragment";
const PURPOSE: &str = "1.3.6.1.4.1.311.76.59.1.3";

fn root() -> Identity {
    Identity::root(&CertificateSpec::authority("Root"), Key::new(Curve::P384, 1))
}

fn authority() -> Identity {
    root().issue(&CertificateSpec::authority("Authority"), Key::new(Curve::P256, 2))
}

fn signer_spec() -> CertificateSpec {
    CertificateSpec { purposes: vec![PURPOSE], ..CertificateSpec::signer("Signer") }
}

fn signer() -> Identity {
    static SIGNER: LazyLock<Identity> =
        LazyLock::new(|| authority().issue(&signer_spec(), Key::new(Curve::P384, 3)));
    SIGNER.clone()
}

fn statement(signer: &Identity) -> StatementSpec {
    StatementSpec::new(&signer.did(&format!("eku:{PURPOSE}")), FEED, Some(3), b"package example")
}

fn verify(bytes: &[u8]) -> Result<VerifiedStatement, VerifyError> {
    Envelope::parse(bytes).unwrap().verify()
}

/// Whether anybody believes the bytes.
fn is_believed(bytes: &[u8]) -> bool {
    Envelope::parse(bytes).is_ok_and(|envelope| envelope.verify().is_ok())
}
