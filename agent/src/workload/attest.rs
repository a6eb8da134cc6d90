//! `POST /attest/raw`: what a workload binds into its report.

use std::fmt::Write as _;

use attestation::ReportData;
use attestation::source::ReportError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Why there is no report for a workload.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttestError {
    #[error("the body is not the JSON object that is expected")]
    Json(#[source] serde_json::Error),
    #[error("the body has either `runtime_data` or `report_data`")]
    Fields,
    #[error("`runtime_data` is empty")]
    Empty,
    #[error("the data is not base64")]
    Base64(#[source] base64::DecodeError),
    #[error("`report_data` has 64 bytes, not {0}")]
    Length(usize),
    #[error("the secure processor gave no report")]
    Report(#[source] ReportError),
    #[error("the guest is going down")]
    Stopped,
}

#[derive(serde::Deserialize)]
struct Body {
    /// Bytes whose SHA-256 goes into the report, as the SKR side-car does it.
    runtime_data: Option<String>,
    /// The report's own 64 bytes.
    report_data: Option<String>,
}

/// The REPORT_DATA that `body` asks for.
pub(super) fn report_data(body: &[u8]) -> Result<ReportData, AttestError> {
    let body: Body = serde_json::from_slice(body).map_err(AttestError::Json)?;
    match (body.runtime_data, body.report_data) {
        (Some(text), None) => {
            let data = BASE64.decode(text).map_err(AttestError::Base64)?;
            if data.is_empty() { Err(AttestError::Empty) } else { Ok(ReportData::from_runtime_data(&data)) }
        }
        (None, Some(text)) => {
            let data = BASE64.decode(text).map_err(AttestError::Base64)?;
            let bytes: [u8; 64] = data.as_slice().try_into().map_err(|_| AttestError::Length(data.len()))?;
            Ok(ReportData::new(bytes))
        }
        _ => Err(AttestError::Fields),
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtime_data_is_hashed_and_report_data_is_not() {
        let hashed = report_data(br#"{"runtime_data":"ewogICAiYWtleSIgOiAiYXZhbHVlIgp9Cg=="}"#).unwrap();
        assert_eq!(hashed, ReportData::from_runtime_data(b"{\n   \"akey\" : \"avalue\"\n}\n"));
        let own = BASE64.encode([7u8; 64]);
        let raw = report_data(format!(r#"{{"report_data":"{own}"}}"#).as_bytes()).unwrap();
        assert_eq!(raw, ReportData::new([7; 64]));
    }

    #[test]
    fn other_bodies_are_refused() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"runtime_data":""}"#,
            r#"{"runtime_data":"?"}"#,
            r#"{"report_data":"AAAA"}"#,
            r#"{"runtime_data":"AAAA","report_data":"AAAA"}"#,
        ] {
            assert!(report_data(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn bytes_are_written_in_two_digits() {
        assert_eq!(hexadecimal(&[0, 0xab, 0xff]), "00abff");
    }
}
