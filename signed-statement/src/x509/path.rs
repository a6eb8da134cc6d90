//! Path validation (RFC 5280, 6), with the last certificate as trust anchor. Whether the anchor deserves trust is
//! decided by whoever compares its fingerprint. No clock is asked.

use x509_cert::der;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BasicConstraints, KeyUsage, SubjectKeyIdentifier};

use super::certificate::{Certificate, IssueError};
use super::{extensions, name_constraints, profile};

/// The most certificates in a chain.
pub const CHAIN_LEN_MAX: usize = 100;

/// Which chains are acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Of signed statements: what security needs. In the place of the present time stands the last moment of the
    /// signer's certificate: authorities that were not valid then are refused.
    Statement,
    /// Of the `did:x509` resolver: also the whole certificate profile of RFC 5280, and no times at all.
    DidX509,
}

/// Why certificates are no valid path. The messages of steps that OpenSSL has are OpenSSL's: the test vectors of
/// `did:x509` compare them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// Fewer than two, or more than [`CHAIN_LEN_MAX`].
    #[error("the chain has {given} certificates, expected 2 to {CHAIN_LEN_MAX}")]
    Length {
        /// Certificates given.
        given: usize,
    },
    /// No certificate of the chain issued this one.
    #[error("unable to get local issuer certificate")]
    NoIssuer,
    /// A self-signed certificate that is not the last.
    #[error("self-signed certificate in certificate chain")]
    SelfSignedBefore,
    /// The certificates are a path in another order, or only some of them are.
    #[error("supplied chain does not match the verified chain")]
    Order,
    /// A critical extension that nobody here interprets.
    #[error("unhandled critical extension")]
    UnhandledCritical,
    /// A critical extension that may not be critical.
    #[error("an unsupported critical extension")]
    UnsupportedCritical,
    /// An issuer that is no certification authority.
    #[error("invalid CA certificate")]
    NotAuthority,
    /// More authorities below one than it allows.
    #[error("path length constraint exceeded")]
    PathLength,
    /// A signature is wrong, or of an algorithm that is not supported.
    #[error("certificate signature failure")]
    Signature(#[source] IssueError),
    /// An issuer's key is not supported.
    #[error("unable to decode issuer public key")]
    Key,
    /// A name outside the names that an authority may speak for.
    #[error("permitted subtree violation")]
    NotPermitted,
    /// A name that an authority may not speak for.
    #[error("excluded subtree violation")]
    Excluded,
    /// A constraint that cannot be checked.
    #[error("unsupported name constraint type")]
    ConstraintType,
    /// A constraint with distances, which RFC 5280 forbids.
    #[error("name constraints minimum and maximum not supported")]
    ConstraintDistance,
    /// A name or constraint that cannot be read.
    #[error("unsupported or invalid name syntax")]
    NameSyntax,
    /// An authority was not valid at the end of the signer's certificate.
    #[error("an authority was not valid at the end of the signer's certificate")]
    Validity,
    /// The certificate profile of RFC 5280 is not kept.
    #[error("{0}")]
    Profile(&'static str),
    /// An extension is malformed.
    #[error("a malformed extension")]
    Extension(#[from] der::Error),
}

/// Validates `chain`, the signer's certificate first, each issued by the next.
///
/// # Errors
/// Naming the first step that fails.
pub fn validate(chain: &[Certificate], rules: Rules) -> Result<(), PathError> {
    if !(2..=CHAIN_LEN_MAX).contains(&chain.len()) {
        return Err(PathError::Length { given: chain.len() });
    }
    let path = build(chain)?;
    check_authorities(&path, rules)?;
    check_signatures(&path)?;
    name_constraints::check(&path)?;
    if path.len() != chain.len() || path.iter().zip(chain).any(|(found, given)| found.der() != given.der()) {
        return Err(PathError::Order);
    }
    if rules == Rules::Statement {
        if chain.iter().any(Certificate::has_unsupported_critical_extension) {
            return Err(PathError::UnsupportedCritical);
        }
        check_validity(chain)?;
    }
    Ok(())
}

/// Finds the path from the first certificate to the last, which is the anchor.
fn build(chain: &[Certificate]) -> Result<Vec<&Certificate>, PathError> {
    let Some(([first, between @ ..], anchor)) = chain.split_last().map(|(anchor, rest)| (rest, anchor))
    else {
        return Err(PathError::Length { given: chain.len() });
    };
    let mut path = vec![first];
    let mut left: Vec<&Certificate> = between.iter().collect();
    let mut current = first;
    loop {
        if may_have_issued(anchor, current)? {
            path.push(anchor);
            return Ok(path);
        }
        if may_have_issued(current, current)? {
            return Err(PathError::SelfSignedBefore);
        }
        let mut found = None;
        for (index, candidate) in left.iter().enumerate() {
            if may_have_issued(candidate, current)? {
                found = Some(index);
                break;
            }
        }
        current = left.remove(found.ok_or(PathError::NoIssuer)?);
        path.push(current);
    }
}

/// Whether names, key identifiers and kinds of keys fit. Signatures are checked on the finished path.
fn may_have_issued(issuer: &Certificate, subject: &Certificate) -> Result<bool, PathError> {
    if subject.content().issuer != issuer.content().subject {
        return Ok(false);
    }
    let authority = subject.content().get::<AuthorityKeyIdentifier>()?.map(|(_, id)| id);
    if let Some(authority) = authority {
        let own = issuer.content().get::<SubjectKeyIdentifier>()?.map(|(_, id)| id.0);
        let key_differs =
            matches!((&authority.key_identifier, &own), (Some(named), Some(own)) if named != own);
        let serial = &issuer.content().serial_number;
        let serial_differs = authority.authority_cert_serial_number.is_some_and(|named| named != *serial);
        if key_differs || serial_differs {
            return Ok(false);
        }
    }
    Ok(issuer.public_key().map_or(true, |key| subject.is_signed_by_key_like(&key)))
}

/// Extensions, authority and path length of each certificate.
fn check_authorities(path: &[&Certificate], rules: Rules) -> Result<(), PathError> {
    // Authorities below the one at hand that count for its path length.
    let mut below = 0_usize;
    for (position, certificate) in path.iter().enumerate() {
        let content = certificate.content();
        if extensions::has_unhandled_critical(content) {
            return Err(PathError::UnhandledCritical);
        }
        let constraints = content.get::<BasicConstraints>()?.map(|(_, constraints)| constraints);
        let may_sign = content.get::<KeyUsage>()?.is_none_or(|(_, usage)| usage.key_cert_sign());
        let is_authority = may_sign && constraints.as_ref().is_some_and(|constraints| constraints.ca);
        if position > 0 && !is_authority {
            return Err(PathError::NotAuthority);
        }
        if rules == Rules::DidX509 {
            profile::check(certificate, position, path.len())?;
        }
        let limit = constraints.and_then(|constraints| constraints.path_len_constraint);
        if position > 1 && limit.is_some_and(|limit| below > usize::from(limit)) {
            return Err(PathError::PathLength);
        }
        if position > 0 && !certificate.is_self_issued() {
            below = below.saturating_add(1);
        }
    }
    Ok(())
}

/// The signature of each certificate by the next; of the last by itself, when it says so.
fn check_signatures(path: &[&Certificate]) -> Result<(), PathError> {
    let anchor = path.last().filter(|anchor| anchor.is_self_issued()).copied();
    let links = path.iter().copied().zip(path.iter().skip(1).copied().chain(anchor));
    for (subject, issuer) in links.collect::<Vec<_>>().into_iter().rev() {
        let key = issuer.public_key().map_err(|_| PathError::Key)?;
        subject.check_signature(&key).map_err(PathError::Signature)?;
    }
    Ok(())
}

fn check_validity(chain: &[Certificate]) -> Result<(), PathError> {
    let Some((signer, authorities)) = chain.split_first() else { return Ok(()) };
    let end = signer.content().validity.not_after.to_unix_duration();
    let valid = authorities.iter().all(|authority| {
        let validity = &authority.content().validity;
        validity.not_before.to_unix_duration() <= end && end <= validity.not_after.to_unix_duration()
    });
    if valid { Ok(()) } else { Err(PathError::Validity) }
}
