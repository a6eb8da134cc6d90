//! The root keys that a caller trusts.

use sev::certs::snp::builtin;
use x509_cert::der;

use super::bundle::{ParseBundleError, parse_certificates};
use super::pem;
use signed_statement::x509::{Certificate, IssueError};

/// Why a root cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustRootsError {
    /// The text is no PEM bundle of certificates.
    #[error("cannot read the root certificates")]
    Read(#[from] ParseBundleError),
    /// There are none.
    #[error("there is no root certificate")]
    None,
    /// A certificate is not a root.
    #[error("root certificate {number} is not self-signed")]
    NotSelfSigned {
        /// Which, from 1.
        number: usize,
        /// What is wrong.
        source: IssueError,
    },
    /// The key cannot be encoded.
    #[error("the root key is malformed")]
    Key(#[from] der::Error),
}

/// Public keys of the ARKs that a caller trusts.
#[derive(Clone, Debug)]
pub struct TrustedRoots {
    keys: Vec<Vec<u8>>,
}

impl TrustedRoots {
    /// AMD's roots for Milan, Genoa and Turin.
    ///
    /// # Errors
    /// Never for the certificates that are built in.
    pub fn amd() -> Result<Self, TrustRootsError> {
        let mut keys = Vec::new();
        for pem in [builtin::milan::ARK, builtin::genoa::ARK, builtin::turin::ARK] {
            keys.extend(Self::from_pem(pem)?.keys);
        }
        Ok(Self { keys })
    }

    /// The self-signed certificates in `pem`.
    ///
    /// # Errors
    /// When there is none, or one is not a self-signed certification authority.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TrustRootsError> {
        let text = std::str::from_utf8(pem).map_err(|_| ParseBundleError::NotText)?;
        let certificates = parse_certificates(pem::parse(text).map_err(ParseBundleError::from)?)?;
        if certificates.is_empty() {
            return Err(TrustRootsError::None);
        }
        let mut keys = Vec::new();
        for (certificate, number) in certificates.iter().zip(1..) {
            certificate
                .check_issued_by(certificate, 0)
                .map_err(|source| TrustRootsError::NotSelfSigned { number, source })?;
            keys.push(certificate.public_key_der()?);
        }
        Ok(Self { keys })
    }

    /// Whether the key of `certificate` is one of the roots.
    pub(super) fn contain(&self, certificate: &Certificate) -> bool {
        certificate.public_key_der().is_ok_and(|key| self.keys.contains(&key))
    }
}
