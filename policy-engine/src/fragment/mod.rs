//! Fragments and trust lists: what others signed and the tenant's policy lets in.
//!
//! The way of a fragment: its envelope is verified ([`signed_statement`]), before a byte of its text is looked at. Then
//! the policy is asked whether it wants a fragment of this issuer, feed, version and these receipts, and with which
//! parameters. Only then is the text parsed, in a package of its own; and the policy is asked again, once for each set of
//! parameters, what it takes from it. All of it happens, or nothing.

mod statement;

pub(crate) use statement::{Fragment, TrustListStatement};

use signed_statement::{ParseTrustListError, TrustListError};

use crate::denial::Denial;
use crate::evaluator::LoadError;
use crate::evaluator::limits::{FRAGMENT_BYTES_MAX, FRAGMENTS_BYTES_MAX, FRAGMENTS_MAX};

/// What a fragment became part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentLoaded {
    /// The package of its text.
    pub namespace: String,
    /// With how many sets of parameters its objects were taken in.
    pub parameter_sets: usize,
    /// Whether the policy's own rules may refer to the package from now on.
    pub namespace_kept: bool,
    /// Whether the same fragment was taken in before, with the same parameters: then nothing changed.
    pub was_loaded: bool,
}

/// Why a fragment is not taken in. The policy's state is as before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FragmentError {
    /// An earlier effect ended in an unknown state.
    #[error("the guest is in an inconsistent state after an earlier failure and only takes things down")]
    Poisoned,
    /// A permit is outstanding: changes are decided one at a time.
    #[error("another change is under way")]
    Busy,
    /// The issuer signed something else than a fragment.
    #[error("a statement of type {given} is no fragment")]
    ContentType {
        /// Its media type.
        given: String,
    },
    /// Larger than [`FRAGMENT_BYTES_MAX`].
    #[error("the fragment has {bytes} bytes, more than {FRAGMENT_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// [`FRAGMENTS_MAX`] fragments, or [`FRAGMENTS_BYTES_MAX`] of them, were taken in already.
    #[error("more than {FRAGMENTS_MAX} fragments or {FRAGMENTS_BYTES_MAX} bytes of them")]
    TooMany,
    /// Not UTF-8.
    #[error("the fragment is not UTF-8 text")]
    Text(#[source] std::str::Utf8Error),
    /// The first line is not `package NAME`.
    #[error("the fragment's first line is not a package of one name")]
    Package,
    /// The name belongs to the framework, the API, the policy or the data.
    #[error("the namespace {namespace} is reserved")]
    Reserved {
        /// The name.
        namespace: String,
    },
    /// Another fragment has the name, and the policy may refer to it.
    #[error("the namespace {namespace} belongs to a fragment that was loaded before")]
    NamespaceTaken {
        /// The name.
        namespace: String,
    },
    /// The policy does not want it.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The policy's parameters are not a list of objects.
    #[error("the policy's parameters for the fragment are malformed")]
    Parameters,
    /// A package can be referred to only when there is one set of parameters.
    #[error("the fragment cannot be kept as a namespace with {sets} sets of parameters")]
    SeveralParameterSets {
        /// How many sets.
        sets: usize,
    },
    /// The text is not acceptable Rego.
    #[error("the fragment is not accepted")]
    Load(#[source] LoadError),
    /// The policy cannot be asked.
    #[error("the policy cannot be asked about fragments")]
    Policy(#[source] LoadError),
}

/// What a trust list added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustListLoaded {
    /// The ledgers whose receipts count from now on, sorted.
    pub ledgers: Vec<String>,
}

/// Why a transparency trust list is not taken in. The ledgers that count are as before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadTrustListError {
    /// An earlier effect ended in an unknown state.
    #[error("the guest is in an inconsistent state after an earlier failure and only takes things down")]
    Poisoned,
    /// A permit is outstanding: changes are decided one at a time.
    #[error("another change is under way")]
    Busy,
    /// The issuer signed something else than a trust list.
    #[error("the statement's type is not that of a trust list")]
    ContentType,
    /// The list has no version: an old one could not be told from a new one.
    #[error("the trust list has no security version")]
    NoVersion,
    /// The payload is no trust list.
    #[error("the trust list is malformed")]
    Parse(#[from] ParseTrustListError),
    /// The policy does not want it.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The policy's answer names no ledger of the list.
    #[error("the policy allows no ledger of the trust list")]
    NoLedger,
    /// More ledgers or keys than are kept.
    #[error("the ledgers of the trust list are too many")]
    TooMany(#[from] TrustListError),
    /// The policy cannot be asked.
    #[error("the policy cannot be asked about trust lists")]
    Policy(#[source] LoadError),
}
