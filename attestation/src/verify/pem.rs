//! Strict PEM: one spelling per certificate.
//!
//! Ordinary readers skip text between blocks, blank lines and odd line lengths, so a certificate can vanish from a
//! bundle or change its text without anybody noticing. Here each byte is determined by the certificates.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----\n";
const END: &str = "-----END CERTIFICATE-----";
/// Base64 characters in every line but the last of a block (RFC 7468).
const LINE_LEN: usize = 64;

/// Why text is not a strict PEM bundle.
#[derive(Debug, thiserror::Error)]
pub enum ParsePemError {
    /// Something else stands where a certificate must begin.
    #[error("certificate {block}: expected its BEGIN line and nothing else")]
    Begin {
        /// Which block, from 1.
        block: usize,
    },
    /// The certificate does not end.
    #[error("certificate {block}: its END line is missing or misplaced")]
    End {
        /// Which block, from 1.
        block: usize,
    },
    /// A line of base64 has not the length that it must have.
    #[error("certificate {block}: base64 lines must have {LINE_LEN} characters, the last 1 to {LINE_LEN}")]
    LineLength {
        /// Which block, from 1.
        block: usize,
    },
    /// The base64 is not canonical.
    #[error("certificate {block}: not canonical base64")]
    Base64 {
        /// Which block, from 1.
        block: usize,
        /// What the decoder met.
        source: base64::DecodeError,
    },
}

/// Reads the DER of all certificates in `text`.
///
/// # Errors
/// When a byte is anywhere but where it must be.
pub(super) fn parse(text: &str) -> Result<Vec<Vec<u8>>, ParsePemError> {
    let mut certificates: Vec<Vec<u8>> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let block = certificates.len().saturating_add(1);
        let body = rest.strip_prefix(BEGIN).ok_or(ParsePemError::Begin { block })?;
        let (base64, after) = body.split_once(END).ok_or(ParsePemError::End { block })?;
        // The very last line may lack its line feed.
        rest = match after.strip_prefix('\n') {
            Some(rest) => rest,
            None if after.is_empty() => after,
            None => return Err(ParsePemError::End { block }),
        };
        certificates.push(decode(base64, block)?);
    }
    Ok(certificates)
}

fn decode(base64: &str, block: usize) -> Result<Vec<u8>, ParsePemError> {
    let lines = base64.strip_suffix('\n').ok_or(ParsePemError::End { block })?;
    let mut text = String::with_capacity(lines.len());
    let mut lines = lines.split('\n').peekable();
    while let Some(line) = lines.next() {
        let expected = if lines.peek().is_some() { LINE_LEN..=LINE_LEN } else { 1..=LINE_LEN };
        if !expected.contains(&line.len()) {
            return Err(ParsePemError::LineLength { block });
        }
        text.push_str(line);
    }
    STANDARD.decode(text).map_err(|source| ParsePemError::Base64 { block, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";

    #[test]
    fn blocks_parse() {
        assert_eq!(parse(ONE).unwrap(), [[0, 1, 2]]);
        assert_eq!(parse(&ONE.repeat(3)).unwrap().len(), 3);
        assert_eq!(parse(ONE.trim_end()).unwrap(), [[0, 1, 2]]);
        assert_eq!(parse("").unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn any_other_spelling_is_refused() {
        for text in [
            &format!("subject: x\n{ONE}"),
            &format!("\n{ONE}"),
            &format!("{ONE}\n"),
            &ONE.replace('\n', "\r\n"),
            &ONE.replace("AAEC", "AAEC\n"),
            &ONE.replace("AAEC", "AA\nEC"),
            &ONE.replace("AAEC", "AAEC "),
            &ONE.replace("AAEC\n", "AAEC"),
            &ONE.replace("AAEC", "AAF="),
            &ONE.replace("AAEC", "AAA"),
            &ONE.replace("END CERTIFICATE", "END CERTIFICATF"),
            &ONE.replace("CERTIFICATE", "X509 CERTIFICATE"),
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
