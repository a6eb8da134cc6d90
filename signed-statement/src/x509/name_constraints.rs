//! Name constraints (RFC 5280, 4.2.1.10): which names an authority may speak for. Without them an authority that is
//! trusted for one domain could vouch for any issuer.

use std::collections::BTreeSet;

use x509_cert::der::Encode as _;
use x509_cert::der::asn1::{Ia5String, ObjectIdentifier};
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{NameConstraints, SubjectAltName};
use x509_cert::name::{Name, RelativeDistinguishedName};

use super::certificate::Certificate;
use super::extensions::names;
use super::path::PathError;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const EMAIL_ADDRESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1");

/// Checks the names of each certificate against the constraints of each authority above it.
pub(super) fn check(path: &[&Certificate]) -> Result<(), PathError> {
    for (position, certificate) in path.iter().enumerate().rev() {
        // Self-issued authorities carry a name that was checked already (6.1.3).
        if position > 0 && certificate.is_self_issued() {
            continue;
        }
        let above = path.iter().skip(position.saturating_add(1)).rev();
        let mut names = None;
        for authority in above {
            if let Some((_, constraints)) = authority.content().get::<NameConstraints>()? {
                let names = match &mut names {
                    Some(names) => names,
                    none => none.insert(names_of(certificate, position == 0)?),
                };
                for name in names {
                    check_name(name, &constraints)?;
                }
            }
        }
    }
    Ok(())
}

/// Every name that a certificate states: the subject, its addresses, the alternative names; of the signer also common
/// names that look like host names, when it states no other host names.
fn names_of(certificate: &Certificate, is_signer: bool) -> Result<Vec<GeneralName>, PathError> {
    let content = certificate.content();
    let mut found = Vec::new();
    if !content.subject.0.is_empty() {
        found.push(GeneralName::DirectoryName(content.subject.clone()));
    }
    for (kind, value) in names(&content.subject) {
        if kind == EMAIL_ADDRESS {
            found.push(GeneralName::Rfc822Name(ia5(value)?));
        }
    }
    let alternative = content.get::<SubjectAltName>()?.map(|(_, names)| names.0).unwrap_or_default();
    let has_host_name = alternative.iter().any(|name| matches!(name, GeneralName::DnsName(_)));
    found.extend(alternative);
    if is_signer && !has_host_name {
        for (kind, value) in names(&content.subject) {
            if kind == COMMON_NAME && value.as_deref().is_some_and(is_host_name) {
                found.push(GeneralName::DnsName(ia5(value)?));
            }
        }
    }
    Ok(found)
}

fn ia5(value: Option<String>) -> Result<Ia5String, PathError> {
    value.and_then(|value| Ia5String::new(&value).ok()).ok_or(PathError::NameSyntax)
}

/// Labels of letters, digits, hyphens and underscores, at least two of them.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    text.contains('.') && text.split('.').all(label)
}

fn check_name(name: &GeneralName, constraints: &NameConstraints) -> Result<(), PathError> {
    let permitted = constraints.permitted_subtrees.as_deref().unwrap_or_default();
    let excluded = constraints.excluded_subtrees.as_deref().unwrap_or_default();
    let kind = std::mem::discriminant(name);
    let of_kind = |subtrees: &&GeneralSubtree| std::mem::discriminant(&subtrees.base) == kind;
    let (mut allowed, mut limited) = (false, false);
    for subtree in permitted.iter().filter(of_kind) {
        limited = true;
        allowed |= is_within(name, subtree)?;
    }
    if limited && !allowed {
        return Err(PathError::NotPermitted);
    }
    for subtree in excluded.iter().filter(of_kind) {
        if is_within(name, subtree)? {
            return Err(PathError::Excluded);
        }
    }
    Ok(())
}

fn is_within(name: &GeneralName, subtree: &GeneralSubtree) -> Result<bool, PathError> {
    if subtree.minimum != 0 || subtree.maximum.is_some() {
        return Err(PathError::ConstraintDistance);
    }
    match (name, &subtree.base) {
        (GeneralName::DirectoryName(name), GeneralName::DirectoryName(base)) => directory(name, base),
        (GeneralName::DnsName(name), GeneralName::DnsName(base)) => Ok(host(name.as_str(), base.as_str())),
        (GeneralName::Rfc822Name(name), GeneralName::Rfc822Name(base)) => email(name.as_str(), base.as_str()),
        (GeneralName::UniformResourceIdentifier(name), GeneralName::UniformResourceIdentifier(base)) => {
            uri(name.as_str(), base.as_str())
        }
        (GeneralName::IpAddress(name), GeneralName::IpAddress(base)) => {
            address(name.as_bytes(), base.as_bytes())
        }
        _ => Err(PathError::ConstraintType),
    }
}

/// The base is the beginning of the name.
fn directory(name: &Name, base: &Name) -> Result<bool, PathError> {
    for (position, set) in base.0.iter().enumerate() {
        let Some(own) = name.0.get(position) else { return Ok(false) };
        if canonical(own)? != canonical(set)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The attributes of one step of a name. Letter case, spaces around words and the kind of string do not count
/// (RFC 5280, 7.1): an excluded name must not get through in another spelling.
fn canonical(set: &RelativeDistinguishedName) -> Result<BTreeSet<(ObjectIdentifier, Vec<u8>)>, PathError> {
    let step = Name::from(vec![set.clone()]);
    let values = names(&step).zip(set.0.iter());
    values
        .map(|((kind, text), attribute)| match text {
            Some(text) => {
                let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
                Ok((kind, words.join(" ").into_bytes()))
            }
            None => Ok((kind, attribute.value.to_der()?)),
        })
        .collect()
}

/// The base itself, or labels in front of it.
fn host(name: &str, base: &str) -> bool {
    let Some(front_len) = name.len().checked_sub(base.len()) else { return false };
    let Some((front, end)) = name.split_at_checked(front_len) else { return false };
    let boundary = front.is_empty() || base.is_empty() || base.starts_with('.') || front.ends_with('.');
    boundary && end.eq_ignore_ascii_case(base)
}

/// One mailbox, all mailboxes of a host, or with a leading dot those of all hosts in a domain.
fn email(name: &str, base: &str) -> Result<bool, PathError> {
    let (local, domain) = name.rsplit_once('@').ok_or(PathError::NameSyntax)?;
    if base.is_empty() || base.starts_with('.') {
        return Ok(domain.len() > base.len() && host(domain, base) || base.is_empty());
    }
    Ok(match base.rsplit_once('@') {
        Some((base_local, base_domain)) => {
            (base_local.is_empty() || base_local == local) && domain.eq_ignore_ascii_case(base_domain)
        }
        None => domain.eq_ignore_ascii_case(base),
    })
}

/// The host of the address, or with a leading dot all hosts in a domain.
fn uri(name: &str, base: &str) -> Result<bool, PathError> {
    let (_, rest) = name.split_once("://").ok_or(PathError::NameSyntax)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let name_host =
        authority.split(':').next().filter(|host| !host.is_empty()).ok_or(PathError::NameSyntax)?;
    Ok(if base.starts_with('.') {
        name_host.len() > base.len() && host(name_host, base)
    } else {
        name_host.eq_ignore_ascii_case(base)
    })
}

/// An address in a range: the base is an address and a mask of the same length.
fn address(name: &[u8], base: &[u8]) -> Result<bool, PathError> {
    let (range, mask) = base.split_at_checked(base.len() / 2).ok_or(PathError::NameSyntax)?;
    if !matches!(name.len(), 4 | 16) || !matches!(base.len(), 8 | 32) {
        return Err(PathError::NameSyntax);
    }
    let within = name.iter().zip(range).zip(mask).all(|((byte, range), mask)| byte & mask == range & mask);
    Ok(name.len() == range.len() && within)
}
