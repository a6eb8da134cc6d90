use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::der::{self, sequence, tlv};
use crate::key::Key;
use crate::pem::pem;

/// Key usage bits (RFC 5280, 4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Signatures over anything but certificates.
    DigitalSignature,
    /// Agreement on keys.
    KeyAgreement,
    /// Signatures over certificates.
    KeyCertSign,
}

/// An extension as it will stand in the certificate.
#[derive(Clone, Debug)]
pub struct Extension {
    /// Its identifier, dotted.
    pub id: &'static str,
    /// Whether who does not know it must refuse the certificate.
    pub critical: bool,
    /// Its content.
    pub value: Vec<u8>,
}

/// What a certificate will say.
#[derive(Clone, Debug)]
pub struct CertificateSpec {
    /// Attributes of the subject: dotted identifier and value.
    pub subject: Vec<(&'static str, String)>,
    /// Whether it is an authority; none leaves basic constraints out.
    pub authority: Option<bool>,
    /// How many authorities may follow.
    pub path_len: Option<u8>,
    /// Key usage; none leaves it out.
    pub usage: Option<Usage>,
    /// Extended key usage, dotted; empty leaves it out.
    pub purposes: Vec<&'static str>,
    /// Alternative names: context tag (1 e-mail, 2 DNS, 6 URI) and value; empty leaves them out.
    pub names: Vec<(u8, &'static str)>,
    /// Whether key identifiers are there.
    pub key_ids: bool,
    /// Extensions besides.
    pub extensions: Vec<Extension>,
    /// Years of validity, the first and the last.
    pub years: (u16, u16),
}

const COMMON_NAME: &str = "2.5.4.3";

impl CertificateSpec {
    /// An authority by this common name.
    #[must_use]
    pub fn authority(name: &str) -> Self {
        Self {
            subject: vec![(COMMON_NAME, name.to_owned())],
            authority: Some(true),
            path_len: None,
            usage: Some(Usage::KeyCertSign),
            purposes: Vec::new(),
            names: Vec::new(),
            key_ids: true,
            extensions: Vec::new(),
            years: (2020, 2060),
        }
    }

    /// A signer by this common name.
    #[must_use]
    pub fn signer(name: &str) -> Self {
        Self {
            authority: Some(false),
            usage: Some(Usage::DigitalSignature),
            years: (2021, 2050),
            ..Self::authority(name)
        }
    }

    fn subject_der(&self) -> Vec<u8> {
        let attribute = |(kind, value): &(&'static str, String)| {
            tlv(der::SET, &sequence(&[der::oid(kind), tlv(der::UTF8, value.as_bytes())]))
        };
        sequence(&self.subject.iter().map(attribute).collect::<Vec<_>>())
    }

    fn extensions(&self, own: &Key, issuer: &Key) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let mut add = |id, critical, value| all.push(Extension { id, critical, value });
        if let Some(authority) = self.authority {
            let ca = if authority { tlv(0x01, &[0xff]) } else { Vec::new() };
            let path_len = self.path_len.map(|length| der::integer(&[length])).unwrap_or_default();
            add("2.5.29.19", true, sequence(&[ca, path_len]));
        }
        if let Some(usage) = self.usage {
            let (unused, bits) = match usage {
                Usage::DigitalSignature => (7, 0x80),
                Usage::KeyAgreement => (3, 0x08),
                Usage::KeyCertSign => (2, 0x04),
            };
            add("2.5.29.15", true, tlv(der::BITS, &[unused, bits]));
        }
        if self.key_ids {
            add("2.5.29.14", false, tlv(der::OCTETS, &key_id(own)));
            add("2.5.29.35", false, sequence(&[tlv(0x80, &key_id(issuer))]));
        }
        if !self.purposes.is_empty() {
            let purposes: Vec<_> = self.purposes.iter().map(|purpose| der::oid(purpose)).collect();
            add("2.5.29.37", false, sequence(&purposes));
        }
        if !self.names.is_empty() {
            let names: Vec<_> =
                self.names.iter().map(|(tag, name)| tlv(0x80 | tag, name.as_bytes())).collect();
            add("2.5.29.17", false, sequence(&names));
        }
        all.extend(self.extensions.iter().cloned());
        let encode = |extension: Extension| {
            let critical = if extension.critical { tlv(0x01, &[0xff]) } else { Vec::new() };
            sequence(&[der::oid(extension.id), critical, tlv(der::OCTETS, &extension.value)])
        };
        all.into_iter().map(encode).collect()
    }
}

fn key_id(key: &Key) -> Vec<u8> {
    Sha256::digest(key.point()).iter().take(20).copied().collect()
}

/// Somebody with a key and the certificates that say so.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The key.
    pub key: Key,
    /// The certificate and those of the authorities above, DER.
    pub chain: Vec<Vec<u8>>,
    name: Vec<u8>,
}

impl Identity {
    /// A root: certified by itself.
    #[must_use]
    pub fn root(spec: &CertificateSpec, key: Key) -> Self {
        let name = spec.subject_der();
        let certificate = certificate(spec, &key, &name, &key);
        Self { key, chain: vec![certificate], name }
    }

    /// Certifies somebody else.
    #[must_use]
    pub fn issue(&self, spec: &CertificateSpec, key: Key) -> Self {
        let mut chain = vec![certificate(spec, &key, &self.name, &self.key)];
        chain.extend(self.chain.iter().cloned());
        Self { key, chain, name: spec.subject_der() }
    }

    /// The certificates as text: its own, then those above it.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect()
    }

    /// `did:x509` by the root's SHA-256 and these predicates, such as `subject:CN:x`.
    #[must_use]
    pub fn did(&self, predicates: &str) -> String {
        let root = self.chain.last().map(Vec::as_slice).unwrap_or_default();
        format!("did:x509:0:sha256:{}::{predicates}", URL_SAFE_NO_PAD.encode(Sha256::digest(root)))
    }
}

fn certificate(spec: &CertificateSpec, key: &Key, issuer_name: &[u8], issuer: &Key) -> Vec<u8> {
    let algorithm = issuer.curve().certificate_algorithm();
    let time = |year: u16| tlv(der::GENERALIZED_TIME, format!("{year}0101000000Z").as_bytes());
    let date = |year: u16| {
        if year < 2050 { tlv(0x17, format!("{:02}0101000000Z", year % 100).as_bytes()) } else { time(year) }
    };
    let signed = sequence(&[
        tlv(0xa0, &der::integer(&[2])),
        der::integer(&key_id(key)),
        algorithm.clone(),
        issuer_name.to_vec(),
        sequence(&[date(spec.years.0), date(spec.years.1)]),
        spec.subject_der(),
        key.spki(),
        tlv(0xa3, &sequence(&spec.extensions(key, issuer))),
    ]);
    let signature = der::bits(&issuer.sign_der(&signed));
    sequence(&[signed, algorithm, signature])
}
