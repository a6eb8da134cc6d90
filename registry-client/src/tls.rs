//! TLS without C: rustls with the cryptography of graviola.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, pem};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::connect::Stream;

/// Who certifies registries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TrustAnchors {
    /// The authorities that Mozilla's browser trusts, as they were when this program was built.
    #[default]
    Mozilla,
    /// These certificates, PEM, and no others.
    Pem(Vec<u8>),
    /// Those that Mozilla's browser trusts, and the certificates in each of these texts, PEM.
    MozillaAnd(Vec<Vec<u8>>),
}

/// Why there is no client with this configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The cryptography is written for processors since about 2014.
    #[error("TLS needs a processor with {0}")]
    Processor(&'static str),
    /// The certificates are no PEM.
    #[error("the certificates of authorities are malformed")]
    Pem(#[source] pem::Error),
    /// A certificate is none.
    #[error("the certificate of an authority is malformed")]
    Certificate(#[source] rustls::Error),
    /// A text has no certificate.
    #[error("there are no certificates of authorities")]
    NoCertificate,
    /// The cryptography and the protocol do not fit.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// What begins TLS.
#[derive(Clone)]
pub(crate) struct Tls(TlsConnector);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    pub(crate) fn new(trust_anchors: &TrustAnchors) -> Result<Self, ConfigError> {
        check_processor()?;
        let mut roots = RootCertStore::empty();
        let texts = match trust_anchors {
            TrustAnchors::Mozilla => &[][..],
            TrustAnchors::Pem(text) => std::slice::from_ref(text),
            TrustAnchors::MozillaAnd(texts) => texts,
        };
        for text in texts {
            add_certificates(&mut roots, text)?;
        }
        if !matches!(trust_anchors, TrustAnchors::Pem(_)) {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls_graviola::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(ConfigError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Speaks TLS over a connection, with who proves to be this host.
    pub(crate) async fn connect(&self, host: &str, stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(self.0.connect(name, stream).await?))
    }
}

fn add_certificates(roots: &mut RootCertStore, text: &[u8]) -> Result<(), ConfigError> {
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(text) {
        roots.add(certificate.map_err(ConfigError::Pem)?).map_err(ConfigError::Certificate)?;
    }
    if roots.len() == before { Err(ConfigError::NoCertificate) } else { Ok(()) }
}

/// Looks for what graviola needs: where it is missing, graviola panics.
fn check_processor() -> Result<(), ConfigError> {
    for (is_there, feature) in [
        (is_x86_feature_detected!("adx"), "ADX"),
        (is_x86_feature_detected!("aes"), "AES"),
        (is_x86_feature_detected!("avx"), "AVX"),
        (is_x86_feature_detected!("avx2"), "AVX2"),
        (is_x86_feature_detected!("bmi1"), "BMI1"),
        (is_x86_feature_detected!("bmi2"), "BMI2"),
        (is_x86_feature_detected!("pclmulqdq"), "PCLMULQDQ"),
        (is_x86_feature_detected!("ssse3"), "SSSE3"),
    ] {
        if !is_there {
            return Err(ConfigError::Processor(feature));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_has_to_be_given() {
        assert!(Tls::new(&TrustAnchors::Mozilla).is_ok());
        assert!(matches!(Tls::new(&TrustAnchors::Pem(Vec::new())), Err(ConfigError::NoCertificate)));
        let of_nobody = TrustAnchors::MozillaAnd(vec![b"certificate".to_vec()]);
        assert!(matches!(Tls::new(&of_nobody), Err(ConfigError::NoCertificate)));
        let broken = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".to_vec();
        assert!(matches!(Tls::new(&TrustAnchors::Pem(broken)), Err(ConfigError::Certificate(_))));
        let cut = b"-----BEGIN CERTIFICATE-----\nMAA=\n".to_vec();
        assert!(matches!(Tls::new(&TrustAnchors::Pem(cut)), Err(ConfigError::Pem(_))));
    }
}
