//! The certificate profile (RFC 5280, 4): duties of who issues. A path that breaks one is no weaker, so that only the
//! `did:x509` resolver asks, which shall agree with others; messages are OpenSSL's.

use x509_cert::Version;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, SubjectAltName, SubjectKeyIdentifier,
};

use super::certificate::Certificate;
use super::extensions::{self, AUTHORITY_KEY_ID, SUBJECT_ALT_NAME, SUBJECT_KEY_ID};
use super::path::PathError;

/// Checks the certificate at `position` of a path of `length` certificates.
pub(super) fn check(certificate: &Certificate, position: usize, length: usize) -> Result<(), PathError> {
    check_constraints(certificate)?;
    check_names(certificate)?;
    check_key_identifiers(certificate, position, length)
}

fn require(condition: bool, message: &'static str) -> Result<(), PathError> {
    if condition { Ok(()) } else { Err(PathError::Profile(message)) }
}

fn is_authority(certificate: &Certificate) -> Result<bool, PathError> {
    Ok(certificate.content().get::<BasicConstraints>()?.is_some_and(|(_, constraints)| constraints.ca))
}

/// Basic constraints (4.2.1.9) and key usage (4.2.1.3).
fn check_constraints(certificate: &Certificate) -> Result<(), PathError> {
    let constraints = certificate.content().get::<BasicConstraints>()?;
    let usage = certificate.content().get::<KeyUsage>()?.map(|(_, usage)| usage);
    let signs = usage.is_some_and(|usage| usage.key_cert_sign());
    if let Some((critical, constraints)) = constraints {
        if constraints.path_len_constraint.is_some() {
            require(constraints.ca, "Path length invalid for non-CA cert")?;
            require(usage.is_none() || signs, "Path length given without key usage keyCertSign")?;
        }
        require(!constraints.ca || critical, "Basic Constraints of CA cert not marked critical")?;
    }
    if is_authority(certificate)? {
        require(usage.is_some(), "CA cert does not include key usage extension")
    } else {
        require(!signs, "Key usage keyCertSign invalid for non-CA cert")
    }
}

/// Issuer, subject and alternative names (4.1.2.4, 4.1.2.6, 4.2.1.6).
fn check_names(certificate: &Certificate) -> Result<(), PathError> {
    let content = certificate.content();
    require(!content.issuer.0.is_empty(), "Issuer name empty")?;
    let names = content.get::<SubjectAltName>()?.map(|(_, names)| names.0);
    let subject_empty = content.subject.0.is_empty();
    let signs_lists = content.get::<KeyUsage>()?.is_some_and(|(_, usage)| usage.crl_sign());
    let must_be_named = is_authority(certificate)? || signs_lists || names.is_none();
    require(!(must_be_named && subject_empty), "Subject name empty")?;
    let critical = is_critical(extensions::find(content, SUBJECT_ALT_NAME));
    require(
        !(subject_empty && names.is_some()) || critical,
        "Empty Subject with Subject Alternative Name not marked critical",
    )?;
    require(names.is_none_or(|names| !names.is_empty()), "Empty Subject Alternative Name extension")
}

/// Key identifiers (4.2.1.1, 4.2.1.2), and that extensions need version 3 (4.1.2.1).
fn check_key_identifiers(certificate: &Certificate, position: usize, length: usize) -> Result<(), PathError> {
    let content = certificate.content();
    require(
        !is_critical(extensions::find(content, AUTHORITY_KEY_ID)),
        "Authority Key Identifier marked critical",
    )?;
    require(
        !is_critical(extensions::find(content, SUBJECT_KEY_ID)),
        "Subject Key Identifier marked critical",
    )?;
    if content.version != Version::V3 {
        return require(
            content.extensions.as_deref().unwrap_or_default().is_empty(),
            "Using cert extension requires at least X509v3",
        );
    }
    let is_last = position.saturating_add(1) == length;
    let names_authority =
        content.get::<AuthorityKeyIdentifier>()?.is_some_and(|(_, id)| id.key_identifier.is_some());
    require(is_last || names_authority, "Missing Authority Key Identifier")?;
    let has_identifier = content.get::<SubjectKeyIdentifier>()?.is_some();
    require(!is_authority(certificate)? || has_identifier, "Missing Subject Key Identifier")
}

fn is_critical(extension: Option<&Extension>) -> bool {
    extension.is_some_and(|extension| extension.critical)
}
