//! Trust lists: which ledgers' receipts count, and the keys of those ledgers.

use std::collections::{BTreeMap, BTreeSet};

use crate::cbor::{self, CborError, Item};
use crate::cose::{CoseKeyError, read_key};
use crate::public_key::PublicKey;
use crate::statement::VerifiedStatement;

/// The most ledgers of one list, and the most keys of one ledger.
pub const KEYS_MAX: usize = 256;
/// The most ledgers of all lists together.
const LEDGERS_MAX: usize = 1024;
/// Where the entry of a ledger has its `COSE_KeySet`.
const ENTRY_KEYS: i64 = 1;

/// Why a payload is not a trust list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseTrustListError {
    /// Not CBOR.
    #[error("not acceptable CBOR")]
    Cbor(#[from] CborError),
    /// Not a map of ledgers, or none or too many.
    #[error("not a map of 1 to {KEYS_MAX} ledgers")]
    Ledgers,
    /// A ledger's entry has no list of keys, or none or too many.
    #[error("the entry of a ledger has not between 1 and {KEYS_MAX} keys")]
    Keys,
    /// None of a ledger's keys is usable.
    #[error("no key of a ledger is usable")]
    NoKey(#[source] CoseKeyError),
}

/// Why the keys of a list are not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustListError {
    /// More ledgers than are kept.
    #[error("more than {LEDGERS_MAX} ledgers")]
    TooManyLedgers,
    /// More keys of one ledger than are kept.
    #[error("more than {KEYS_MAX} keys of one ledger")]
    TooManyKeys,
}

/// The keys of one ledger by their identifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: BTreeMap<Vec<u8>, PublicKey>,
}

impl KeySet {
    /// Each key counts for itself (RFC 9052, 7): one that cannot be read is left out. Of two with one identifier the
    /// first counts.
    fn read(item: &Item<'_>) -> Result<Self, ParseTrustListError> {
        let items = item.as_array().filter(|items| (1..=KEYS_MAX).contains(&items.len()));
        let mut keys = BTreeMap::new();
        let mut unusable = None;
        for item in items.ok_or(ParseTrustListError::Keys)? {
            match read_key(item) {
                Ok((id, key)) => {
                    keys.entry(id.to_vec()).or_insert(key);
                }
                Err(error) => unusable = Some(error),
            }
        }
        match unusable {
            Some(error) if keys.is_empty() => Err(ParseTrustListError::NoKey(error)),
            _ => Ok(Self { keys }),
        }
    }

    /// The identifiers of the keys.
    pub fn ids(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.keys().map(Vec::as_slice)
    }
}

/// The payload of a trust list: the keys of each ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustList {
    ledgers: BTreeMap<String, KeySet>,
}

impl TrustList {
    /// Reads the payload of a statement of type [`media_type::TRUST_LIST`](crate::media_type::TRUST_LIST).
    ///
    /// # Errors
    /// When it is no list of ledgers with usable keys.
    pub fn parse(payload: &[u8]) -> Result<Self, ParseTrustListError> {
        let item = cbor::read(payload)?;
        let entries = item.as_map().map(|map| map.entries.as_slice()).unwrap_or_default();
        if !(1..=KEYS_MAX).contains(&entries.len()) {
            return Err(ParseTrustListError::Ledgers);
        }
        let ledgers = entries
            .iter()
            .map(|(ledger, entry)| {
                let ledger = ledger.as_text().ok_or(ParseTrustListError::Ledgers)?;
                let keys = entry.as_map().and_then(|entry| entry.number(ENTRY_KEYS));
                Ok((ledger.to_owned(), KeySet::read(keys.ok_or(ParseTrustListError::Keys)?)?))
            })
            .collect::<Result<_, ParseTrustListError>>()?;
        Ok(Self { ledgers })
    }

    /// The names of the ledgers, sorted.
    pub fn ledgers(&self) -> impl Iterator<Item = &str> {
        self.ledgers.keys().map(String::as_str)
    }

    /// The keys of a ledger.
    #[must_use]
    pub fn keys(&self, ledger: &str) -> Option<&KeySet> {
        self.ledgers.get(ledger)
    }
}

/// The ledgers that count, with their keys and who vouches for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedLedgers {
    ledgers: BTreeMap<String, BTreeMap<Vec<u8>, TrustedKey>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct TrustedKey {
    key: PublicKey,
    /// Subjects of the lists that have the key.
    lists: BTreeSet<String>,
}

/// A receipt that was proved.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct VerifiedReceipt {
    /// The ledger.
    #[serde(rename = "issuer")]
    pub ledger: String,
    /// The subjects of the trust lists that have the key it is signed with.
    #[serde(rename = "ttl_subjects")]
    pub list_subjects: Vec<String>,
}

impl TrustedLedgers {
    /// Takes in the keys that a list has for `allowed` ledgers. A key with the identifier of another one replaces it, and
    /// no other list vouches for it. All or nothing.
    ///
    /// # Errors
    /// When more would be kept than the limits allow.
    pub fn add<'a>(
        &mut self,
        subject: &str,
        list: &TrustList,
        allowed: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), TrustListError> {
        let mut ledgers = self.ledgers.clone();
        for ledger in allowed {
            let Some(new) = list.keys(ledger) else { continue };
            let keys: &mut BTreeMap<_, _> = ledgers.entry(ledger.to_owned()).or_default();
            for (id, key) in &new.keys {
                let lists = match keys.remove(id) {
                    Some(known) if known.key == *key => known.lists,
                    _ => BTreeSet::new(),
                };
                let mut trusted = TrustedKey { key: key.clone(), lists };
                trusted.lists.insert(subject.to_owned());
                keys.insert(id.clone(), trusted);
            }
            if keys.len() > KEYS_MAX {
                return Err(TrustListError::TooManyKeys);
            }
        }
        if ledgers.len() > LEDGERS_MAX {
            return Err(TrustListError::TooManyLedgers);
        }
        self.ledgers = ledgers;
        Ok(())
    }

    /// Whether no ledger counts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ledgers.is_empty()
    }

    /// The receipts of a statement that hold. A receipt is checked with the keys of the ledger that it names and no
    /// others, so that one ledger cannot speak for another; one that does not hold proves nothing and is left out.
    #[must_use]
    pub fn verified_receipts(&self, statement: &VerifiedStatement) -> Vec<VerifiedReceipt> {
        let verified = statement.receipts().iter().filter_map(|receipt| {
            let trusted = self.ledgers.get(receipt.ledger())?.get(receipt.key_id())?;
            receipt.verify(statement.registered_sha256(), &trusted.key).ok()?;
            let list_subjects = trusted.lists.iter().cloned().collect();
            Some(VerifiedReceipt { ledger: receipt.ledger().to_owned(), list_subjects })
        });
        verified.collect()
    }
}
