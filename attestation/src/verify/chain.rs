//! ARK → ASK → VCEK (AMD 57230, "VCEK Certificate and KDS Interface").

use p384::ecdsa::VerifyingKey;
use x509_cert::der;
use x509_cert::der::asn1::ObjectIdentifier;

use super::bundle::CertificateBundle;
use signed_statement::x509::{Certificate, IssueError};

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// The identity of a cloud provider, in a VLEK only.
const CSP_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.5");
/// Length of the RSA-4096 moduli of ARK and ASK, in bytes.
const RSA_KEY_LEN: usize = 512;

/// Why certificates are not a chain from an ARK to a VCEK.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// Not exactly one certificate of that kind.
    #[error("expected exactly one {0} certificate")]
    Role(&'static str),
    /// The report's key belongs to a cloud provider, not to the chip.
    #[error("the signing key is a VLEK, which is not supported: its chain goes through an ASVK, not an ASK")]
    VlekUnsupported,
    /// The signature algorithm is not the one AMD uses.
    #[error("the {0} is not signed with RSASSA-PSS and SHA-384")]
    Algorithm(&'static str),
    /// An authority's key is not RSA-4096.
    #[error("the {0} has no RSA key of 4096 bits")]
    KeySize(&'static str),
    /// The VCEK is not a P-384 key.
    #[error("the VCEK is not a P-384 key")]
    Vcek(#[source] p384::ecdsa::Error),
    /// The VCEK could sign certificates.
    #[error("the VCEK is a certification authority")]
    VcekAuthority,
    /// An extension is malformed.
    #[error("a malformed extension")]
    Extension(#[from] der::Error),
    /// A link is broken.
    #[error("the {subject} was not issued by the {issuer}")]
    Link {
        /// Whose certificate.
        subject: &'static str,
        /// By whom.
        issuer: &'static str,
        /// What is wrong.
        source: IssueError,
    },
}

/// The three certificates by role; nothing is verified yet.
pub(super) struct Chain<'a> {
    pub(super) vcek: &'a Certificate,
    pub(super) ask: &'a Certificate,
    pub(super) ark: &'a Certificate,
}

impl<'a> Chain<'a> {
    /// Finds the roles: the VCEK has an elliptic-curve key, the ARK is self-issued.
    pub(super) fn sort(bundle: &'a CertificateBundle) -> Result<Self, ChainError> {
        let is_endorsement_key =
            |c: &Certificate| c.content().subject_public_key_info.algorithm.oid == EC_PUBLIC_KEY;
        let only = |role: &'static str, matches: &dyn Fn(&Certificate) -> bool| {
            let mut found = bundle.certificates.iter().filter(|certificate| matches(certificate));
            match (found.next(), found.next()) {
                (Some(certificate), None) => Ok(certificate),
                _ => Err(ChainError::Role(role)),
            }
        };
        let vcek = only("VCEK", &is_endorsement_key)?;
        let ark = only("ARK", &|c| !is_endorsement_key(c) && c.is_self_issued())?;
        let ask = only("ASK", &|c| !is_endorsement_key(c) && !c.is_self_issued())?;
        Ok(Self { vcek, ask, ark })
    }

    /// The roles and their certificates, from the root.
    pub(super) fn by_role(&self) -> [(&'static str, &'a Certificate); 3] {
        [("ark", self.ark), ("ask", self.ask), ("vcek", self.vcek)]
    }

    /// Verifies each link up to the ARK, which still must be compared with a trusted root.
    pub(super) fn verify(&self) -> Result<(), ChainError> {
        let extensions = self.vcek.content().extensions.as_deref().unwrap_or_default();
        if extensions.iter().any(|extension| extension.extn_id == CSP_ID) {
            return Err(ChainError::VlekUnsupported);
        }
        for (role, certificate) in [("ARK", self.ark), ("ASK", self.ask), ("VCEK", self.vcek)] {
            if !certificate.is_signed_with_pss_sha384() {
                return Err(ChainError::Algorithm(role));
            }
        }
        for (role, certificate) in [("ARK", self.ark), ("ASK", self.ask)] {
            if certificate.public_key().map(|key| key.rsa_len()) != Ok(Some(RSA_KEY_LEN)) {
                return Err(ChainError::KeySize(role));
            }
        }
        if self.vcek.is_authority()? {
            return Err(ChainError::VcekAuthority);
        }
        self.vcek_key()?;
        link("ARK", self.ark, "ARK", self.ark, 0)?;
        link("ASK", self.ask, "ARK", self.ark, 0)?;
        link("VCEK", self.vcek, "ASK", self.ask, 0)
    }

    /// The key that must have signed the report.
    pub(super) fn vcek_key(&self) -> Result<VerifyingKey, ChainError> {
        let info = &self.vcek.content().subject_public_key_info;
        let curve = info.algorithm.parameters.as_ref().map(|any| any.decode_as::<ObjectIdentifier>());
        if curve != Some(Ok(SECP384R1)) {
            return Err(ChainError::Vcek(p384::ecdsa::Error::new()));
        }
        VerifyingKey::from_sec1_bytes(info.subject_public_key.raw_bytes()).map_err(ChainError::Vcek)
    }
}

fn link(
    subject: &'static str,
    certificate: &Certificate,
    issuer: &'static str,
    issuer_certificate: &Certificate,
    authorities_between: u8,
) -> Result<(), ChainError> {
    certificate.check_issued_by(issuer_certificate, authorities_between).map_err(|source| ChainError::Link {
        subject,
        issuer,
        source,
    })
}
