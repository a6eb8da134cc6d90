//! The certificates that come with a report: a PEM bundle, or the JSON of a cloud's certificate cache.

use super::pem::{self, ParsePemError};
use crate::report::Tcb;
use signed_statement::x509::{Certificate, ParseCertificateError};

/// Longest bundle that is read, in bytes; real ones have 6 to 7 KiB.
pub const MAX_BUNDLE_LEN: usize = 64 * 1024;

/// Why bytes are not a certificate bundle.
#[derive(Debug, thiserror::Error)]
pub enum ParseBundleError {
    /// More than [`MAX_BUNDLE_LEN`] bytes.
    #[error("the certificates have {given} bytes, at most {MAX_BUNDLE_LEN} are read")]
    TooLong {
        /// Bytes given.
        given: usize,
    },
    /// Not ASCII text.
    #[error("the certificates are not ASCII text")]
    NotText,
    /// The PEM text is wrong.
    #[error("the certificates are not strict PEM")]
    Pem(#[from] ParsePemError),
    /// The JSON of a certificate cache is wrong.
    #[error("not the JSON of a certificate cache")]
    Json(#[from] serde_json::Error),
    /// `tcbm` is not 16 hexadecimal digits.
    #[error("tcbm is not a number of 16 hexadecimal digits")]
    Tcbm,
    /// Not three certificates.
    #[error("expected three certificates (VCEK, ASK, ARK), found {given}")]
    Count {
        /// Certificates found.
        given: usize,
    },
    /// A certificate is wrong.
    #[error("certificate {number} is not acceptable")]
    Certificate {
        /// Which, from 1.
        number: usize,
        /// What is wrong.
        source: ParseCertificateError,
    },
}

/// What `http://169.254.169.254/metadata/THIM/amd/certification` answers.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CertificateCache {
    vcek_cert: String,
    certificate_chain: String,
    tcbm: String,
    /// How long to keep the answer: the one value that no report confirms, and that is not used.
    #[serde(rename = "cacheControl")]
    _cache_control: String,
}

/// Certificates and, from a cache, the TCB that they are for. Parsed, not yet trusted.
#[derive(Clone, Debug)]
pub struct CertificateBundle {
    pub(super) certificates: Vec<Certificate>,
    pub(super) claimed_tcb: Option<Tcb>,
}

impl CertificateBundle {
    /// Reads VCEK, ASK and ARK in any order as strict PEM, or the JSON of a certificate cache (`vcekCert`,
    /// `certificateChain`, `tcbm`, `cacheControl`).
    ///
    /// # Errors
    /// When the text is too long or anything but that, byte for byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseBundleError> {
        if bytes.len() > MAX_BUNDLE_LEN {
            return Err(ParseBundleError::TooLong { given: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ParseBundleError::NotText)?;
        let (ders, claimed_tcb) =
            if text.starts_with('{') { parse_cache(text)? } else { (pem::parse(text)?, None) };
        if ders.len() != 3 {
            return Err(ParseBundleError::Count { given: ders.len() });
        }
        Ok(Self { certificates: parse_certificates(ders)?, claimed_tcb })
    }
}

fn parse_cache(text: &str) -> Result<(Vec<Vec<u8>>, Option<Tcb>), ParseBundleError> {
    let cache: CertificateCache = serde_json::from_str(text)?;
    let mut ders = pem::parse(&cache.vcek_cert)?;
    ders.extend(pem::parse(&cache.certificate_chain)?);
    let digits =
        cache.tcbm.len() == 16 && cache.tcbm.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let number =
        u64::from_str_radix(&cache.tcbm, 16).ok().filter(|_| digits).ok_or(ParseBundleError::Tcbm)?;
    Ok((ders, Some(Tcb(number.to_le_bytes()))))
}

/// Reads DER certificates.
pub(super) fn parse_certificates(ders: Vec<Vec<u8>>) -> Result<Vec<Certificate>, ParseBundleError> {
    ders.into_iter()
        .zip(1..)
        .map(|(der, number)| {
            Certificate::parse(der)
                .and_then(|certificate| {
                    certificate.check_no_unusual_critical_extension().map(|()| certificate)
                })
                .map_err(|source| ParseBundleError::Certificate { number, source })
        })
        .collect()
}
