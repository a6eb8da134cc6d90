//! Extensions of certificates, by what path validation makes of them.

use x509_cert::TbsCertificate;
use x509_cert::der::asn1::{Ia5StringRef, ObjectIdentifier, PrintableStringRef, Utf8StringRef};
use x509_cert::der::{Any, Tag, Tagged as _};
use x509_cert::ext::Extension;
use x509_cert::name::Name;

pub(super) const SUBJECT_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
pub(super) const AUTHORITY_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
pub(super) const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
pub(super) const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// Extensions that may be critical. `did:x509` names them: path validation and predicates honour the first five, and
/// certificate policies bind nothing here because no policy is asked for (RFC 5280, 6.1.1: any-policy).
const CRITICAL_ALLOWED: [ObjectIdentifier; 9] = [
    ObjectIdentifier::new_unwrap("2.5.29.19"), // basic constraints
    ObjectIdentifier::new_unwrap("2.5.29.15"), // key usage
    ObjectIdentifier::new_unwrap("2.5.29.30"), // name constraints
    EXTENDED_KEY_USAGE,
    SUBJECT_ALT_NAME,
    ObjectIdentifier::new_unwrap("2.5.29.32"), // certificate policies
    ObjectIdentifier::new_unwrap("2.5.29.33"), // policy mappings
    ObjectIdentifier::new_unwrap("2.5.29.36"), // policy constraints
    ObjectIdentifier::new_unwrap("2.5.29.54"), // inhibit any-policy
];

/// Extensions that OpenSSL interprets though `did:x509` does not allow them to be critical. That is found later, and
/// named differently.
const CRITICAL_REFUSED_LATER: [ObjectIdentifier; 4] = [
    SUBJECT_KEY_ID,
    AUTHORITY_KEY_ID,
    ObjectIdentifier::new_unwrap("2.5.29.31"), // CRL distribution points
    ObjectIdentifier::new_unwrap("2.16.840.1.113730.1.1"), // Netscape certificate type
];

/// An extension that a certificate has twice.
pub(super) fn duplicate(content: &TbsCertificate) -> Option<ObjectIdentifier> {
    let extensions = content.extensions.as_deref().unwrap_or_default();
    let mut seen = std::collections::BTreeSet::new();
    extensions.iter().map(|extension| extension.extn_id).find(|id| !seen.insert(*id))
}

/// A critical extension that nobody interprets.
pub(super) fn has_unhandled_critical(content: &TbsCertificate) -> bool {
    critical(content).any(|id| !CRITICAL_ALLOWED.contains(&id) && !CRITICAL_REFUSED_LATER.contains(&id))
}

/// A critical extension beyond those that may be critical.
pub(super) fn has_unsupported_critical(content: &TbsCertificate) -> bool {
    critical(content).any(|id| !CRITICAL_ALLOWED.contains(&id))
}

fn critical(content: &TbsCertificate) -> impl Iterator<Item = ObjectIdentifier> + '_ {
    let extensions = content.extensions.as_deref().unwrap_or_default();
    extensions.iter().filter(|extension| extension.critical).map(|extension| extension.extn_id)
}

/// An extension by its identifier.
pub(super) fn find(content: &TbsCertificate, id: ObjectIdentifier) -> Option<&Extension> {
    content.extensions.as_deref().unwrap_or_default().iter().find(|extension| extension.extn_id == id)
}

/// The attributes of a name: type, and value as text; none for a value that is no text.
pub(crate) fn names(name: &Name) -> impl Iterator<Item = (ObjectIdentifier, Option<String>)> + '_ {
    name.0.iter().flat_map(|set| set.0.iter()).map(|attribute| (attribute.oid, text(&attribute.value)))
}

/// The text of a directory string (RFC 5280, 4.1.2.4) or IA5 string.
fn text(value: &Any) -> Option<String> {
    match value.tag() {
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().ok().map(|text| text.as_str().to_owned()),
        Tag::PrintableString => {
            value.decode_as::<PrintableStringRef<'_>>().ok().map(|text| text.as_str().to_owned())
        }
        Tag::Ia5String => value.decode_as::<Ia5StringRef<'_>>().ok().map(|text| text.as_str().to_owned()),
        // Latin-1 in practice; each byte is a code point.
        Tag::TeletexString => Some(value.value().iter().map(|byte| char::from(*byte)).collect()),
        Tag::BmpString => {
            let units: Option<Vec<u16>> = value
                .value()
                .chunks(2)
                .map(|unit| <[u8; 2]>::try_from(unit).ok().map(u16::from_be_bytes))
                .collect();
            String::from_utf16(&units?).ok()
        }
        _ => None,
    }
}
