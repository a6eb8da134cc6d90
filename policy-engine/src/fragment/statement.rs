//! From a verified statement to what the policy is asked about.

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use signed_statement::{TrustList, VerifiedReceipt, VerifiedStatement, media_type};

use super::{FragmentError, LoadTrustListError};
use crate::evaluator::RESERVED_NAMESPACES;
use crate::evaluator::limits::FRAGMENT_BYTES_MAX;

/// A statement that is Rego of some package. The text is not parsed yet.
#[derive(Debug)]
pub(crate) struct Fragment<'a> {
    statement: &'a VerifiedStatement,
    receipts: Vec<VerifiedReceipt>,
    pub(crate) namespace: &'a str,
    pub(crate) text: &'a str,
}

impl<'a> Fragment<'a> {
    pub(crate) fn read(
        statement: &'a VerifiedStatement,
        receipts: Vec<VerifiedReceipt>,
    ) -> Result<Self, FragmentError> {
        // What was signed as something else must not become policy. Signers write several types for Rego.
        if let Some(given) = statement.content_type().filter(|given| !is_rego(given)) {
            return Err(FragmentError::ContentType { given: given.to_owned() });
        }
        let payload = statement.payload();
        if payload.len() > FRAGMENT_BYTES_MAX {
            return Err(FragmentError::TooLarge { bytes: payload.len() });
        }
        let text = std::str::from_utf8(payload).map_err(FragmentError::Text)?;
        let namespace = namespace(text).ok_or(FragmentError::Package)?;
        if RESERVED_NAMESPACES.contains(&namespace) {
            return Err(FragmentError::Reserved { namespace: namespace.to_owned() });
        }
        Ok(Self { statement, receipts, namespace, text })
    }

    /// The question to the policy: `input` of `load_fragment`.
    pub(crate) fn question(&self, loaded: bool) -> Json {
        json!({
            "issuer": self.statement.issuer(),
            "feed": self.statement.feed(),
            "namespace": self.namespace,
            "fragment_loaded": loaded,
            "has_header_svn": self.statement.svn().is_some(),
            "header_svn": self.statement.svn(),
            "receipts": self.receipts,
        })
    }

    /// What tells this fragment with these parameters from all others.
    pub(crate) fn identity(&self, parameters: &[Json]) -> [u8; 32] {
        let text: [u8; 32] = Sha256::digest(self.text).into();
        let statement = self.statement;
        let parts = json!([statement.issuer(), statement.feed(), statement.svn(), text, parameters]);
        Sha256::digest(parts.to_string()).into()
    }
}

/// Whether an issuer gives Rego this type. The last one is that of `az confcom` before it had one for Rego; no other
/// kind of statement has it.
fn is_rego(media_type: &str) -> bool {
    media_type == media_type::FRAGMENT
        || media_type.ends_with("+rego")
        || media_type.ends_with("/rego")
        || media_type == "application/unknown+json"
}

/// The name in the first line, which is `package`, blanks and one name: a fragment cannot choose a package inside
/// another one, and nobody has to parse Rego to see which one it chose.
fn namespace(text: &str) -> Option<&str> {
    let line = text.split('\n').next()?.strip_prefix("package ")?;
    let name = line.trim_start_matches(' ').trim_ascii_end();
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (starts && rest).then_some(name)
}

/// A statement that is a list of ledgers.
#[derive(Debug)]
pub(crate) struct TrustListStatement<'a> {
    statement: &'a VerifiedStatement,
    svn: u64,
    pub(crate) list: TrustList,
}

impl<'a> TrustListStatement<'a> {
    pub(crate) fn read(statement: &'a VerifiedStatement) -> Result<Self, LoadTrustListError> {
        if statement.content_type() != Some(media_type::TRUST_LIST) {
            return Err(LoadTrustListError::ContentType);
        }
        let svn = statement.svn().ok_or(LoadTrustListError::NoVersion)?;
        Ok(Self { statement, svn, list: TrustList::parse(statement.payload())? })
    }

    /// What the list is about: requirements of receipts name it.
    pub(crate) fn subject(&self) -> &str {
        self.statement.feed()
    }

    /// The question to the policy: `input` of `load_transparency_trust_list`.
    pub(crate) fn question(&self) -> Json {
        json!({
            "issuer": self.statement.issuer(),
            "subject": self.subject(),
            "svn": self.svn,
            "ledgers": self.list.ledgers().collect::<Vec<_>>(),
        })
    }

    /// The ledgers of the list that the policy's answer names.
    pub(crate) fn allowed(&self, answer: &Json) -> Result<Vec<&str>, LoadTrustListError> {
        let named = answer.get("allowed_ledgers").and_then(Json::as_array).map(Vec::as_slice);
        let named: Vec<_> = named.unwrap_or_default().iter().filter_map(Json::as_str).collect();
        let allowed: Vec<_> = self.list.ledgers().filter(|ledger| named.contains(ledger)).collect();
        if allowed.is_empty() { Err(LoadTrustListError::NoLedger) } else { Ok(allowed) }
    }
}
