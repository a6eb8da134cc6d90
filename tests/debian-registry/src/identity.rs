//! Who servers of tests are.

use std::fs;
use std::path::{Path, PathBuf};

use statement_signer::{CertificateSpec, Curve, Identity, Key};

/// The authority that tests trust.
pub fn authority() -> Identity {
    Identity::root(&CertificateSpec::authority("Test authority"), Key::new(Curve::P384, 7))
}

/// A server on this machine, certified by the authority.
pub fn certified(authority: &Identity) -> Identity {
    let spec = CertificateSpec { names: vec![(2, "localhost")], ..CertificateSpec::signer("Test registry") };
    authority.issue(&spec, Key::new(Curve::P256, 11))
}

/// Certificates and key as files, PEM.
pub(crate) fn write_identity(folder: &Path, who: &Identity) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    fs::write(&certificate, who.chain_pem()).unwrap();
    fs::write(&key, who.key.pkcs8_pem()).unwrap();
    (certificate, key)
}
