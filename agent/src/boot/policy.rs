//! The policy, and what initdata has beside it, on its way into the guest: bounded, decoded, and bound to HOST_DATA.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use attestation::report::{HostData, ReportData};
use attestation::source::{ReportError, ReportSource};
use flate2::bufread::GzDecoder;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// The longest policy or initdata accepted, in bytes, also after decompression.
///
/// Attack: a length or a gzip bomb of the host's that exhausts memory before anything is verified.
pub(super) const DOCUMENT_MAX_BYTES: u64 = 8 << 20;
/// The version of initdata that this agent reads.
const INITDATA_VERSION: &str = "0.1.0";
/// The key of the policy in initdata.
const POLICY_KEY: &str = "policy.rego";

/// A policy whose digest was in HOST_DATA. Nothing else makes one.
#[derive(Debug)]
pub(crate) struct BoundPolicy {
    /// The exact bytes of the policy.
    pub(crate) text: Vec<u8>,
    /// The other files of the initdata, by name: the digest is over all of them.
    pub(crate) files: BTreeMap<String, String>,
}

/// A policy as it was delivered, with the digest that HOST_DATA must hold.
#[derive(Debug)]
pub(super) struct DeliveredPolicy {
    text: Vec<u8>,
    files: BTreeMap<String, String>,
    digest: [u8; 32],
}

/// Why there is no bound policy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error("cannot read the policy file")]
    Read(#[source] std::io::Error),
    #[error("the policy or initdata has more than {DOCUMENT_MAX_BYTES} bytes")]
    TooLong,
    #[error("the initdata is not one gzip stream")]
    Decompress(#[source] std::io::Error),
    #[error("there is data behind the gzip stream of the initdata")]
    TrailingData,
    #[error("the initdata is not UTF-8 text")]
    Text(#[source] std::str::Utf8Error),
    /// What the parser says may repeat a line with a login.
    #[error("the initdata has no valid form at line {line}")]
    Parse { line: usize },
    #[error("the initdata has version {0:?}, not {INITDATA_VERSION:?}")]
    Version(String),
    #[error("the digest algorithm {0:?} of the initdata is not known")]
    Algorithm(String),
    #[error("the initdata has no {POLICY_KEY}")]
    NoPolicy,
    #[error("there is no report to compare HOST_DATA with")]
    Report(#[source] ReportError),
    #[error("HOST_DATA is {host_data}, but the policy that was delivered has digest {delivered}")]
    Mismatch { host_data: HostData, delivered: HostData },
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Initdata {
    version: String,
    algorithm: String,
    data: BTreeMap<String, String>,
}

impl DeliveredPolicy {
    /// Reads a policy that is a plain file: its digest is that of the file.
    pub(super) fn from_file(path: &Path) -> Result<Self, PolicyError> {
        let file = std::fs::File::open(path).map_err(PolicyError::Read)?;
        let text = read_bounded(file).map_err(PolicyError::Read)?.ok_or(PolicyError::TooLong)?;
        Ok(Self { digest: Sha256::digest(&text).into(), text, files: BTreeMap::new() })
    }

    /// Reads a policy out of Kata's initdata, gzip over TOML: its digest is that of the TOML's bytes.
    pub(super) fn from_initdata(compressed: &[u8]) -> Result<Self, PolicyError> {
        let mut decoder = GzDecoder::new(compressed);
        let document =
            read_bounded(&mut decoder).map_err(PolicyError::Decompress)?.ok_or(PolicyError::TooLong)?;
        if !decoder.into_inner().is_empty() {
            return Err(PolicyError::TrailingData);
        }
        let text = std::str::from_utf8(&document).map_err(PolicyError::Text)?;
        let initdata: Initdata =
            toml::from_str(text).map_err(|error| PolicyError::Parse { line: line_of(&document, &error) })?;
        if initdata.version != INITDATA_VERSION {
            return Err(PolicyError::Version(initdata.version));
        }
        let digest = initdata_digest(&initdata.algorithm, &document)?;
        let mut files = initdata.data;
        let policy = files.remove(POLICY_KEY).ok_or(PolicyError::NoPolicy)?;
        Ok(Self { text: policy.into_bytes(), files, digest })
    }

    /// Compares the digest with HOST_DATA, which the host set at launch and cannot change.
    ///
    /// Attack: a host that launches the tenant's guest with a policy of its own.
    pub(super) fn bind(self, reports: &dyn ReportSource) -> Result<BoundPolicy, PolicyError> {
        let report = reports.report(&ReportData::new([0; 64])).map_err(PolicyError::Report)?;
        let delivered = HostData::new(self.digest);
        if report.host_data() != delivered {
            return Err(PolicyError::Mismatch { host_data: report.host_data(), delivered });
        }
        Ok(BoundPolicy { text: self.text, files: self.files })
    }
}

/// The line of a document, counted from 1, that its parser complains of.
pub(super) fn line_of(document: &[u8], error: &toml::de::Error) -> usize {
    let before = error.span().and_then(|span| document.get(..span.start)).unwrap_or_default();
    before.iter().filter(|&&byte| byte == b'\n').count().saturating_add(1)
}

/// The document's digest in the 32 bytes that HOST_DATA has; longer digests are cut, as the host cuts them.
fn initdata_digest(algorithm: &str, document: &[u8]) -> Result<[u8; 32], PolicyError> {
    let cut = |digest: &[u8]| digest.first_chunk::<32>().copied();
    let digest = match algorithm {
        "sha256" | "sha-256" => cut(&Sha256::digest(document)),
        "sha384" | "sha-384" => cut(&Sha384::digest(document)),
        "sha512" | "sha-512" => cut(&Sha512::digest(document)),
        _ => None,
    };
    digest.ok_or_else(|| PolicyError::Algorithm(algorithm.chars().take(32).collect()))
}

/// Reads to the end; `None` past [`DOCUMENT_MAX_BYTES`].
fn read_bounded(reader: impl std::io::Read) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(DOCUMENT_MAX_BYTES.saturating_add(1)).read_to_end(&mut bytes)?;
    let fits = u64::try_from(bytes.len()).is_ok_and(|length| length <= DOCUMENT_MAX_BYTES);
    Ok(fits.then_some(bytes))
}

#[cfg(test)]
mod tests;
