//! Public keys, and signatures checked with them.

use rsa::pkcs8::DecodePublicKey as _;
use rsa::signature::Verifier as _;
use rsa::signature::hazmat::PrehashVerifier;
use rsa::traits::PublicKeyParts as _;
use rsa::{RsaPublicKey, pkcs1v15, pss};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use x509_cert::der::Encode as _;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const SECP521R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// The shortest RSA modulus, in bytes: 2048 bits.
const RSA_LEN_MIN: usize = 256;
/// ECDSA takes the leftmost bits of a digest; the library wants at least half the length of a number of the curve, which
/// SHA-256 misses for P-521 by a byte. Zeros in front do not change the number.
const P521_DIGEST_LEN: usize = 66;

/// Why a key is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Another algorithm or curve.
    #[error("the key is of an algorithm or curve that is not supported")]
    Algorithm,
    /// Not on its curve, or not encoded as its algorithm demands.
    #[error("the key is malformed")]
    Malformed,
    /// An RSA modulus under 2048 or over 4096 bits, or an unusual exponent.
    #[error("the RSA key is too short, too long or has an unusual exponent")]
    Size,
}

/// What is wrong with a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The algorithm is for other keys than this one.
    #[error("the signature algorithm does not fit the key")]
    OtherKey,
    /// The signature is malformed or not of these bytes by this key.
    #[error("the signature is wrong")]
    Wrong,
}

/// A hash function of the SHA-2 family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    pub(crate) fn output_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// ECDSA; R and S one after the other, of the curve's length each (RFC 9053).
    EcdsaFixed,
    /// ECDSA; R and S as a DER sequence (RFC 5480).
    EcdsaDer,
    /// RSASSA-PSS with that many bytes of salt.
    Pss { salt_len: usize },
    /// RSASSA-PKCS1-v1_5.
    Pkcs1,
}

/// An elliptic curve of NIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// P-256.
    P256,
    /// P-384.
    P384,
    /// P-521.
    P521,
}

impl Curve {
    /// The name in JSON Web Keys (RFC 7518).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// The length of a coordinate, in bytes.
    #[must_use]
    pub fn coordinate_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// A public key that signatures are checked with.
#[derive(Clone, Debug)]
pub struct PublicKey {
    key: Key,
}

#[derive(Clone, Debug)]
enum Key {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(Box<P521>),
    Rsa(RsaPublicKey),
}

#[derive(Clone)]
struct P521(p521::ecdsa::VerifyingKey);

impl std::fmt::Debug for P521 {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("P521")
    }
}

/// The numbers of a public key, big-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyNumbers {
    /// A point; both coordinates have the curve's length.
    Ec {
        /// Which curve.
        curve: Curve,
        /// The x coordinate.
        x: Vec<u8>,
        /// The y coordinate.
        y: Vec<u8>,
    },
    /// An RSA key, without leading zeros.
    Rsa {
        /// The modulus.
        modulus: Vec<u8>,
        /// The public exponent.
        exponent: Vec<u8>,
    },
}

impl PublicKey {
    /// The key of a certificate.
    ///
    /// # Errors
    /// When the algorithm is not supported, or the key is none of it.
    pub fn from_spki(info: &SubjectPublicKeyInfoOwned) -> Result<Self, KeyError> {
        if info.algorithm.oid == RSA_ENCRYPTION {
            let der = info.to_der().map_err(|_| KeyError::Malformed)?;
            return Self::rsa(RsaPublicKey::from_public_key_der(&der).map_err(|_| KeyError::Malformed)?);
        }
        if info.algorithm.oid != EC_PUBLIC_KEY {
            return Err(KeyError::Algorithm);
        }
        // Curves by name only: parameters spelled out could describe a curve with a known weakness.
        let curve = info.algorithm.parameters.as_ref().map(|any| any.decode_as::<ObjectIdentifier>());
        let curve = match curve {
            Some(Ok(SECP256R1)) => Curve::P256,
            Some(Ok(SECP384R1)) => Curve::P384,
            Some(Ok(SECP521R1)) => Curve::P521,
            _ => return Err(KeyError::Algorithm),
        };
        let point = info.subject_public_key.as_bytes().ok_or(KeyError::Malformed)?;
        Self::ec(curve, point)
    }

    /// A point of a curve, encoded by SEC 1.
    pub(crate) fn ec(curve: Curve, point: &[u8]) -> Result<Self, KeyError> {
        let malformed = |_| KeyError::Malformed;
        let key = match curve {
            Curve::P256 => Key::P256(p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(malformed)?),
            Curve::P384 => Key::P384(p384::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(malformed)?),
            Curve::P521 => {
                let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(malformed)?;
                Key::P521(Box::new(P521(key)))
            }
        };
        Ok(Self { key })
    }

    /// An RSA key by its numbers, big-endian.
    pub(crate) fn rsa_numbers(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let number = rsa::BigUint::from_bytes_be;
        Self::rsa(RsaPublicKey::new(number(modulus), number(exponent)).map_err(|_| KeyError::Size)?)
    }

    fn rsa(key: RsaPublicKey) -> Result<Self, KeyError> {
        // The library refuses more than 4096 bits and even or huge exponents.
        if key.size() < RSA_LEN_MIN { Err(KeyError::Size) } else { Ok(Self { key: Key::Rsa(key) }) }
    }

    /// The curve of an elliptic-curve key.
    #[must_use]
    pub fn curve(&self) -> Option<Curve> {
        match self.key {
            Key::P256(_) => Some(Curve::P256),
            Key::P384(_) => Some(Curve::P384),
            Key::P521(_) => Some(Curve::P521),
            Key::Rsa(_) => None,
        }
    }

    /// The length of an RSA modulus, in bytes.
    #[must_use]
    pub fn rsa_len(&self) -> Option<usize> {
        if let Key::Rsa(key) = &self.key { Some(key.size()) } else { None }
    }

    /// The numbers of the key; equal for equal keys.
    #[must_use]
    pub fn numbers(&self) -> KeyNumbers {
        let ec = |curve: Curve, point: &[u8]| {
            let (x, y) = point
                .get(1..)
                .unwrap_or_default()
                .split_at_checked(curve.coordinate_len())
                .unwrap_or_default();
            KeyNumbers::Ec { curve, x: x.to_vec(), y: y.to_vec() }
        };
        match &self.key {
            Key::P256(key) => ec(Curve::P256, key.to_encoded_point(false).as_bytes()),
            Key::P384(key) => ec(Curve::P384, key.to_encoded_point(false).as_bytes()),
            Key::P521(key) => ec(Curve::P521, key.0.to_encoded_point(false).as_bytes()),
            Key::Rsa(key) => {
                KeyNumbers::Rsa { modulus: key.n().to_bytes_be(), exponent: key.e().to_bytes_be() }
            }
        }
    }

    /// Checks that `signature` is of `message`.
    pub(crate) fn verify(
        &self,
        scheme: Scheme,
        hash: Hash,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        if let Key::Rsa(key) = &self.key {
            return verify_rsa(key, scheme, hash, message, signature);
        }
        let der = match scheme {
            Scheme::EcdsaFixed => false,
            Scheme::EcdsaDer => true,
            Scheme::Pss { .. } | Scheme::Pkcs1 => return Err(SignatureError::OtherKey),
        };
        let digest = hash.digest(message);
        match &self.key {
            Key::P256(key) => {
                use p256::ecdsa::Signature;
                let read =
                    if der { Signature::from_der(signature) } else { Signature::from_slice(signature) };
                check_digest(key, &digest, read)
            }
            Key::P384(key) => {
                use p384::ecdsa::Signature;
                let read =
                    if der { Signature::from_der(signature) } else { Signature::from_slice(signature) };
                check_digest(key, &digest, read)
            }
            Key::P521(key) => {
                use p521::ecdsa::Signature;
                let read =
                    if der { Signature::from_der(signature) } else { Signature::from_slice(signature) };
                let mut padded = vec![0; P521_DIGEST_LEN.saturating_sub(digest.len())];
                padded.extend(digest);
                check_digest(&key.0, &padded, read)
            }
            Key::Rsa(_) => Err(SignatureError::OtherKey),
        }
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.numbers() == other.numbers()
    }
}

impl Eq for PublicKey {}

fn check_digest<S>(
    key: &impl PrehashVerifier<S>,
    digest: &[u8],
    signature: Result<S, rsa::signature::Error>,
) -> Result<(), SignatureError> {
    signature.and_then(|signature| key.verify_prehash(digest, &signature)).map_err(|_| SignatureError::Wrong)
}

fn verify_rsa(
    key: &RsaPublicKey,
    scheme: Scheme,
    hash: Hash,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let key = key.clone();
    let verified = match scheme {
        Scheme::Pss { salt_len } => pss::Signature::try_from(signature).and_then(|signature| match hash {
            Hash::Sha256 => {
                pss::VerifyingKey::<Sha256>::new_with_salt_len(key, salt_len).verify(message, &signature)
            }
            Hash::Sha384 => {
                pss::VerifyingKey::<Sha384>::new_with_salt_len(key, salt_len).verify(message, &signature)
            }
            Hash::Sha512 => {
                pss::VerifyingKey::<Sha512>::new_with_salt_len(key, salt_len).verify(message, &signature)
            }
        }),
        Scheme::Pkcs1 => pkcs1v15::Signature::try_from(signature).and_then(|signature| match hash {
            Hash::Sha256 => pkcs1v15::VerifyingKey::<Sha256>::new(key).verify(message, &signature),
            Hash::Sha384 => pkcs1v15::VerifyingKey::<Sha384>::new(key).verify(message, &signature),
            Hash::Sha512 => pkcs1v15::VerifyingKey::<Sha512>::new(key).verify(message, &signature),
        }),
        Scheme::EcdsaFixed | Scheme::EcdsaDer => return Err(SignatureError::OtherKey),
    };
    verified.map_err(|_| SignatureError::Wrong)
}
