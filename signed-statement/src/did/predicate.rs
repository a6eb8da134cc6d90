//! Predicates: what a name demands of the signer's certificate.

use super::leaf::{AlternativeName, FULCIO_FIELDS, FULCIO_USER_NAME, Leaf};
use super::resolve::DidError;
use super::syntax::decode;

/// Checks that the certificate is as the predicate demands.
pub(super) fn check(name: &str, value: &str, leaf: &Leaf) -> Result<(), DidError> {
    match name {
        "subject" => subject(value, leaf),
        "san" => alternative_name(value, leaf),
        "eku" => purpose(value, leaf),
        "fulcio-issuer" => fulcio_issuer(value, leaf),
        "fulcio" => fulcio(value, leaf),
        _ => Err(DidError::UnknownPredicate),
    }
}

/// Percent-encoding is taken off exactly once, after the value was split.
fn scalar(encoded: &str) -> Result<String, DidError> {
    let bytes = decode(encoded.as_bytes()).ok_or(DidError::PredicateValue)?;
    String::from_utf8(bytes).map_err(|_| DidError::Utf8)
}

fn subject(value: &str, leaf: &Leaf) -> Result<(), DidError> {
    let items: Vec<&str> = value.split(':').collect();
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(DidError::SubjectPairs);
    }
    let mut keys: Vec<&str> = pairs.iter().map(|[key, _]| *key).collect();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() != pairs.len() {
        return Err(DidError::SubjectDuplicate);
    }
    for [key, value] in pairs {
        let own = leaf.subject.get(*key).ok_or(DidError::SubjectKey)?;
        if scalar(value)? != *own {
            return Err(DidError::Subject);
        }
    }
    Ok(())
}

fn alternative_name(value: &str, leaf: &Leaf) -> Result<(), DidError> {
    let parts: Vec<&str> = value.split(':').collect();
    if parts.first() == Some(&"othername") {
        if parts.len() != 3 {
            return Err(DidError::OtherNameParts);
        }
    } else if parts.len() != 2 {
        return Err(DidError::NameParts);
    }
    let names = leaf.names.as_ref().ok_or(DidError::NoAlternativeName)?;
    let wanted = match parts.as_slice() {
        ["othername", FULCIO_USER_NAME, name] => AlternativeName::UserName(scalar(name)?),
        ["othername", ..] => return Err(DidError::OtherNameType),
        ["email", email] => AlternativeName::Email(scalar(email)?),
        ["dns", name] => AlternativeName::Dns(scalar(name)?),
        ["uri", uri] => AlternativeName::Uri(scalar(uri)?),
        _ => return Err(DidError::Name),
    };
    if names.contains(&wanted) { Ok(()) } else { Err(DidError::Name) }
}

fn purpose(value: &str, leaf: &Leaf) -> Result<(), DidError> {
    let purposes = leaf.purposes.as_ref().ok_or(DidError::NoPurpose)?;
    if purposes.iter().any(|purpose| purpose == value) { Ok(()) } else { Err(DidError::Purpose) }
}

fn fulcio_issuer(value: &str, leaf: &Leaf) -> Result<(), DidError> {
    let issuer = leaf.fulcio_issuer.as_ref().ok_or(DidError::NoFulcioIssuer)?;
    let wanted = scalar(value)?;
    if issuer.strip_prefix("https://") == Some(&*wanted) { Ok(()) } else { Err(DidError::FulcioIssuer) }
}

fn fulcio(value: &str, leaf: &Leaf) -> Result<(), DidError> {
    let (field, encoded) =
        value.split_once(':').filter(|(_, encoded)| !encoded.contains(':')).ok_or(DidError::FulcioParts)?;
    if !FULCIO_FIELDS.iter().any(|(_, known)| *known == field) {
        return Err(DidError::FulcioField);
    }
    let wanted = scalar(encoded)?;
    let own = leaf.fulcio.get(field).ok_or(DidError::NoFulcio)?;
    if wanted == *own { Ok(()) } else { Err(DidError::Fulcio) }
}
