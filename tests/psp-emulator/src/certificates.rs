//! ARK, ASK and VCEK certificates with the shape of AMD's (AMD 57230).

use std::str::FromStr as _;
use std::time::Duration;

use rsa::pkcs1::RsaPssParams;
use rsa::rand_core::OsRng;
use rsa::sha2::Sha384;
use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _};
use rsa::{RsaPrivateKey, pss};
use x509_cert::certificate::{TbsCertificate, Version};
use x509_cert::der::asn1::{Any, BitString, Ia5StringRef, ObjectIdentifier, OctetString, UtcTime};
use x509_cert::der::flagset::FlagSet;
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{self, DateTime, Decode as _, Encode as _, EncodePem as _};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{self, AlgorithmIdentifierOwned, EncodePublicKey, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};
use x509_cert::{Certificate, der::oid::AssociatedOid};

use crate::firmware::{CHIP_ID, TCB};
use crate::keys::Keys;

const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const STRUCT_VERSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.1");
const PRODUCT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.2");
const HARDWARE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.4");
/// Object identifiers of the TCB's parts, in the order of its bytes.
const TCB_PARTS: [ObjectIdentifier; 8] = [
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.1"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.2"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.4"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.5"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.6"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.7"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.3"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.8"),
];
/// Start and end of validity, in seconds since 1970: 2024-01-01 and 2049-01-01.
const VALIDITY_S: [u64; 2] = [1_704_067_200, 2_493_072_000];
const SALT_LEN: u8 = 48;

/// Why certificates cannot be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueCertificatesError {
    /// Encoding failed.
    #[error("cannot encode a certificate")]
    Encode(#[from] der::Error),
    /// A public key cannot be encoded.
    #[error("cannot encode a public key")]
    PublicKey(#[from] spki::Error),
    /// Signing failed.
    #[error("cannot sign a certificate")]
    Sign(#[from] rsa::signature::Error),
}

/// The chain as PEM.
pub(crate) struct ChainPem {
    pub(crate) vcek: String,
    pub(crate) ask: String,
    pub(crate) ark: String,
}

/// Issues the three certificates.
pub(crate) fn issue(keys: &Keys) -> Result<ChainPem, IssueCertificatesError> {
    let ark_name = name("ARK-Emulated")?;
    let ask_name = name("SEV-Emulated")?;
    let ark = Subject {
        serial: 1,
        name: ark_name.clone(),
        key: encode_key(&keys.ark.to_public_key())?,
        extensions: authority_extensions(None)?,
    };
    let ask = Subject {
        serial: 2,
        name: ask_name.clone(),
        key: encode_key(&keys.ask.to_public_key())?,
        extensions: authority_extensions(Some(0))?,
    };
    let vcek = Subject {
        serial: 0,
        name: name("SEV-VCEK")?,
        key: encode_key(&keys.vcek.public_key())?,
        extensions: vcek_extensions()?,
    };
    Ok(ChainPem {
        ark: sign(content(ark, ark_name.clone())?, &keys.ark)?,
        ask: sign(content(ask, ark_name)?, &keys.ark)?,
        vcek: sign(content(vcek, ask_name)?, &keys.ask)?,
    })
}

/// Whom a certificate is about.
struct Subject {
    serial: u8,
    name: Name,
    key: SubjectPublicKeyInfoOwned,
    extensions: Vec<Extension>,
}

fn encode_key(key: &impl EncodePublicKey) -> Result<SubjectPublicKeyInfoOwned, IssueCertificatesError> {
    Ok(SubjectPublicKeyInfoOwned::from_der(key.to_public_key_der()?.as_bytes())?)
}

/// What lets ARK and ASK sign certificates.
fn authority_extensions(path_len_constraint: Option<u8>) -> Result<Vec<Extension>, IssueCertificatesError> {
    let constraints = BasicConstraints { ca: true, path_len_constraint };
    let usage = KeyUsage(FlagSet::from(KeyUsages::KeyCertSign));
    Ok(vec![
        extension(BasicConstraints::OID, true, constraints.to_der()?)?,
        extension(KeyUsage::OID, true, usage.to_der()?)?,
    ])
}

/// What AMD certifies of a chip.
fn vcek_extensions() -> Result<Vec<Extension>, IssueCertificatesError> {
    let mut extensions = vec![
        extension(STRUCT_VERSION, false, 0_u8.to_der()?)?,
        extension(PRODUCT_NAME, false, Ia5StringRef::new("Milan-B0")?.to_der()?)?,
    ];
    for (part, number) in TCB_PARTS.into_iter().zip(TCB.0) {
        extensions.push(extension(part, false, number.to_der()?)?);
    }
    // The identity stands there bare, not wrapped in another DER type.
    extensions.push(extension(HARDWARE_ID, false, CHIP_ID.as_bytes().to_vec())?);
    Ok(extensions)
}

fn extension(oid: ObjectIdentifier, critical: bool, value: Vec<u8>) -> Result<Extension, der::Error> {
    Ok(Extension { extn_id: oid, critical, extn_value: OctetString::new(value)? })
}

fn content(subject: Subject, issuer: Name) -> Result<TbsCertificate, IssueCertificatesError> {
    let [not_before, not_after] = VALIDITY_S.map(|seconds| {
        let date = DateTime::from_unix_duration(Duration::from_secs(seconds))?;
        Ok::<_, der::Error>(Time::UtcTime(UtcTime::from_date_time(date)?))
    });
    Ok(TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&[subject.serial])?,
        signature: signature_algorithm()?,
        issuer,
        validity: Validity { not_before: not_before?, not_after: not_after? },
        subject: subject.name,
        subject_public_key_info: subject.key,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(subject.extensions),
    })
}

fn name(common_name: &str) -> Result<Name, der::Error> {
    Name::from_str(&format!("CN={common_name},O=Emulated Secure Processor,OU=For Tests Only"))
}

/// RSASSA-PSS with SHA-384 and a salt of 48 bytes.
fn signature_algorithm() -> Result<AlgorithmIdentifierOwned, der::Error> {
    let parameters = Any::encode_from(&RsaPssParams::new::<Sha384>(SALT_LEN))?;
    Ok(AlgorithmIdentifierOwned { oid: RSA_PSS, parameters: Some(parameters) })
}

fn sign(content: TbsCertificate, key: &RsaPrivateKey) -> Result<String, IssueCertificatesError> {
    let signature =
        pss::SigningKey::<Sha384>::new(key.clone()).try_sign_with_rng(&mut OsRng, &content.to_der()?)?;
    let certificate = Certificate {
        tbs_certificate: content,
        signature_algorithm: signature_algorithm()?,
        signature: BitString::from_bytes(&signature.to_vec())?,
    };
    Ok(certificate.to_pem(LineEnding::LF)?)
}
