//! What predicates see of a certificate (specification, "Certificate Chain JSON Model").

use std::collections::BTreeMap;

use x509_cert::der::asn1::{ObjectIdentifier, Utf8StringRef};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};
use x509_cert::name::Name;

use super::resolve::DidError;
use crate::x509::{Certificate, names};

/// The short names of attributes (RFC 4514, 3); all others go by their numbers.
const LABELS: [(ObjectIdentifier, &str); 7] = [
    (ObjectIdentifier::new_unwrap("2.5.4.3"), "CN"),
    (ObjectIdentifier::new_unwrap("2.5.4.7"), "L"),
    (ObjectIdentifier::new_unwrap("2.5.4.8"), "ST"),
    (ObjectIdentifier::new_unwrap("2.5.4.10"), "O"),
    (ObjectIdentifier::new_unwrap("2.5.4.11"), "OU"),
    (ObjectIdentifier::new_unwrap("2.5.4.6"), "C"),
    (ObjectIdentifier::new_unwrap("2.5.4.9"), "STREET"),
];

/// The issuer that Fulcio verified, as raw UTF-8.
const FULCIO_ISSUER: &str = "1.3.6.1.4.1.57264.1.1";
/// What an alternative name of another type may be: a user name that Fulcio verified.
pub(super) const FULCIO_USER_NAME: &str = "1.3.6.1.4.1.57264.1.7";
/// What else Fulcio verified, as UTF8String, by the name of the field.
pub(super) const FULCIO_FIELDS: [(&str, &str); 17] = [
    ("1.3.6.1.4.1.57264.1.8", "issuer"),
    ("1.3.6.1.4.1.57264.1.9", "build-signer-uri"),
    ("1.3.6.1.4.1.57264.1.10", "build-signer-digest"),
    ("1.3.6.1.4.1.57264.1.11", "runner-environment"),
    ("1.3.6.1.4.1.57264.1.12", "source-repository-uri"),
    ("1.3.6.1.4.1.57264.1.13", "source-repository-digest"),
    ("1.3.6.1.4.1.57264.1.14", "source-repository-ref"),
    ("1.3.6.1.4.1.57264.1.15", "source-repository-identifier"),
    ("1.3.6.1.4.1.57264.1.16", "source-repository-owner-uri"),
    ("1.3.6.1.4.1.57264.1.17", "source-repository-owner-identifier"),
    ("1.3.6.1.4.1.57264.1.18", "build-config-uri"),
    ("1.3.6.1.4.1.57264.1.19", "build-config-digest"),
    ("1.3.6.1.4.1.57264.1.20", "build-trigger"),
    ("1.3.6.1.4.1.57264.1.21", "run-invocation-uri"),
    ("1.3.6.1.4.1.57264.1.22", "source-repository-visibility-at-signing"),
    ("1.3.6.1.4.1.57264.1.23", "deployment-environment"),
    ("1.3.6.1.4.1.57264.1.24", "token-subject"),
];

/// An alternative name that predicates can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AlternativeName {
    Email(String),
    Dns(String),
    Uri(String),
    UserName(String),
    /// A directory name; there, and nothing asks for it.
    Directory,
}

/// The facts of one certificate.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) subject: BTreeMap<String, String>,
    pub(super) purposes: Option<Vec<String>>,
    pub(super) names: Option<Vec<AlternativeName>>,
    pub(super) fulcio_issuer: Option<String>,
    pub(super) fulcio: BTreeMap<&'static str, String>,
}

impl Leaf {
    pub(super) fn read(certificate: &Certificate) -> Result<Self, DidError> {
        let content = certificate.content();
        attributes(&content.issuer)?;
        let mut leaf = Self {
            subject: attributes(&content.subject)?,
            purposes: None,
            names: None,
            fulcio_issuer: None,
            fulcio: BTreeMap::new(),
        };
        if let Some((_, usage)) = content.get::<ExtendedKeyUsage>()? {
            leaf.purposes = Some(usage.0.iter().map(ToString::to_string).collect());
        }
        if let Some((_, names)) = content.get::<SubjectAltName>().map_err(|_| DidError::GeneralName)? {
            leaf.names = Some(names.0.iter().map(alternative_name).collect::<Result<_, _>>()?);
        }
        for extension in content.extensions.as_deref().unwrap_or_default() {
            let (id, value) = (extension.extn_id.to_string(), extension.extn_value.as_bytes());
            let field = FULCIO_FIELDS.iter().find(|(known, _)| *known == id).map(|(_, field)| *field);
            if extension.critical && (id == FULCIO_ISSUER || field.is_some()) {
                return Err(DidError::CriticalFulcio);
            }
            if id == FULCIO_ISSUER {
                let issuer = std::str::from_utf8(value).map_err(|_| DidError::FulcioValue)?;
                leaf.fulcio_issuer = Some(issuer.to_owned());
            } else if let Some(field) = field {
                leaf.fulcio.insert(field, utf8_string(value)?);
            }
        }
        Ok(leaf)
    }
}

/// The attributes of a name, each of which may be there once: of two organisations nobody could say which one counts.
fn attributes(name: &Name) -> Result<BTreeMap<String, String>, DidError> {
    let mut found = BTreeMap::new();
    for (kind, value) in names(name) {
        let label = LABELS.iter().find(|(known, _)| *known == kind).map(|(_, label)| (*label).to_owned());
        let label = label.unwrap_or_else(|| kind.to_string());
        let value = value.ok_or(DidError::NameValue)?;
        if found.insert(label, value).is_some() {
            return Err(DidError::DuplicateAttribute);
        }
    }
    Ok(found)
}

fn alternative_name(name: &GeneralName) -> Result<AlternativeName, DidError> {
    match name {
        GeneralName::Rfc822Name(email) => Ok(AlternativeName::Email(email.to_string())),
        GeneralName::DnsName(name) => Ok(AlternativeName::Dns(name.to_string())),
        GeneralName::UniformResourceIdentifier(uri) => Ok(AlternativeName::Uri(uri.to_string())),
        GeneralName::DirectoryName(name) => attributes(name).map(|_| AlternativeName::Directory),
        GeneralName::OtherName(other) if other.type_id.to_string() == FULCIO_USER_NAME => {
            Ok(AlternativeName::UserName(utf8_string(&other.value.to_der()?)?))
        }
        GeneralName::EdiPartyName(_) => Err(DidError::GeneralName),
        _ => Err(DidError::AlternativeName),
    }
}

/// Exactly one UTF8String in DER.
fn utf8_string(der: &[u8]) -> Result<String, DidError> {
    let text = Utf8StringRef::from_der(der).map_err(|_| DidError::Utf8String)?;
    Ok(text.as_str().to_owned())
}
