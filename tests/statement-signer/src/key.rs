use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::der;
use crate::pem::pem;

/// A curve of NIST, with the hash function that is used with it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// P-256 with SHA-256.
    P256,
    /// P-384 with SHA-384.
    P384,
    /// P-521 with SHA-512.
    P521,
}

impl Curve {
    /// The number of its algorithm in COSE.
    #[must_use]
    pub fn cose_algorithm(self) -> i64 {
        match self {
            Self::P256 => -7,
            Self::P384 => -35,
            Self::P521 => -36,
        }
    }

    /// Its number in COSE keys.
    #[must_use]
    pub fn cose_curve(self) -> i64 {
        match self {
            Self::P256 => 1,
            Self::P384 => 2,
            Self::P521 => 3,
        }
    }

    /// The algorithm identifier of certificates signed with it.
    pub(crate) fn certificate_algorithm(self) -> Vec<u8> {
        der::sequence(&[der::oid(match self {
            Self::P256 => "1.2.840.10045.4.3.2",
            Self::P384 => "1.2.840.10045.4.3.3",
            Self::P521 => "1.2.840.10045.4.3.4",
        })])
    }
}

/// A signing key that everybody knows: its secret is a small number.
#[derive(Clone)]
pub struct Key {
    curve: Curve,
    secret: u16,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Key({:?}, {})", self.curve, self.secret)
    }
}

macro_rules! with_key {
    ($key:expr, $name:ident => $value:expr) => {{
        let number = |length: usize| {
            let mut bytes = vec![0; length.saturating_sub(2)];
            bytes.extend($key.secret.to_be_bytes());
            bytes
        };
        match $key.curve {
            Curve::P256 => p256::ecdsa::SigningKey::from_slice(&number(32)).map(|$name| $value),
            Curve::P384 => p384::ecdsa::SigningKey::from_slice(&number(48)).map(|$name| $value),
            Curve::P521 => p521::ecdsa::SigningKey::from_slice(&number(66)).map(|$name| $value),
        }
        .unwrap_or_default()
    }};
}

impl Key {
    /// The key whose secret number is `secret`, which is not zero.
    #[must_use]
    pub fn new(curve: Curve, secret: u16) -> Self {
        Self { curve, secret }
    }

    /// Its curve.
    #[must_use]
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// Its point, uncompressed.
    #[must_use]
    pub fn point(&self) -> Vec<u8> {
        with_key!(self, key => key.point())
    }

    fn digest(&self, message: &[u8]) -> Vec<u8> {
        match self.curve {
            Curve::P256 => Sha256::digest(message).to_vec(),
            Curve::P384 => Sha384::digest(message).to_vec(),
            Curve::P521 => Sha512::digest(message).to_vec(),
        }
    }

    /// Signs; R and S one after the other.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let digest = self.digest(message);
        with_key!(self, key => key.sign_digest(&digest))
    }

    /// Signs; R and S as a DER sequence.
    pub(crate) fn sign_der(&self, message: &[u8]) -> Vec<u8> {
        let signature = self.sign(message);
        let (r, s) = signature.split_at_checked(signature.len() / 2).unwrap_or_default();
        der::sequence(&[der::integer(r), der::integer(s)])
    }

    /// The key of a certificate.
    pub(crate) fn spki(&self) -> Vec<u8> {
        der::sequence(&[self.algorithm(), der::bits(&self.point())])
    }

    /// The key with its secret, as servers read it (RFC 5958 and RFC 5915).
    #[must_use]
    pub fn pkcs8(&self) -> Vec<u8> {
        let secret = with_key!(self, key => key.to_bytes().to_vec());
        let public = der::tlv(0xa1, &der::bits(&self.point()));
        let key = der::sequence(&[der::integer(&[1]), der::tlv(der::OCTETS, &secret), public]);
        der::sequence(&[der::integer(&[0]), self.algorithm(), der::tlv(der::OCTETS, &key)])
    }

    /// The same as text.
    #[must_use]
    pub fn pkcs8_pem(&self) -> String {
        pem("PRIVATE KEY", &self.pkcs8())
    }

    fn algorithm(&self) -> Vec<u8> {
        let curve = der::oid(match self.curve {
            Curve::P256 => "1.2.840.10045.3.1.7",
            Curve::P384 => "1.3.132.0.34",
            Curve::P521 => "1.3.132.0.35",
        });
        der::sequence(&[der::oid("1.2.840.10045.2.1"), curve])
    }
}

trait SigningKey {
    fn point(&self) -> Vec<u8>;
    fn sign_digest(&self, digest: &[u8]) -> Vec<u8>;
}

macro_rules! signing_key {
    ($curve:ident) => {
        impl SigningKey for $curve::ecdsa::SigningKey {
            fn point(&self) -> Vec<u8> {
                $curve::ecdsa::VerifyingKey::from(self).to_encoded_point(false).as_bytes().to_vec()
            }

            fn sign_digest(&self, digest: &[u8]) -> Vec<u8> {
                use $curve::ecdsa::signature::hazmat::PrehashSigner as _;
                let signed: Result<$curve::ecdsa::Signature, _> = self.sign_prehash(digest);
                signed.map(|signature| signature.to_bytes().to_vec()).unwrap_or_default()
            }
        }
    };
}

signing_key!(p256);
signing_key!(p384);
signing_key!(p521);
