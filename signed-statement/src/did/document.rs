//! DID documents (specification, "DID Document Shape").

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use x509_cert::ext::pkix::KeyUsage;

use super::resolve::DidError;
use super::syntax::Did;
use crate::public_key::KeyNumbers;
use crate::x509::Certificate;

const CONTEXT: &str = "https://www.w3.org/ns/cid/v1";
const METHOD_TYPE: &str = "JsonWebKey";

/// What a name resolves to: the signer's key, and what it may be used for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DidDocument {
    /// The vocabulary.
    #[serde(rename = "@context")]
    pub context: &'static str,
    /// The name.
    pub id: String,
    /// The key.
    pub verification_method: [VerificationMethod; 1],
    /// Reference to the key, when it may prove presence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<[String; 1]>,
    /// Reference to the key, when it may sign statements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assertion_method: Option<[String; 1]>,
    /// Reference to the key, when it may agree on keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_agreement: Option<[String; 1]>,
}

/// A key with its name in the document.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationMethod {
    /// The document's name and `#0`.
    pub id: String,
    /// How the key is written.
    #[serde(rename = "type")]
    pub method_type: &'static str,
    /// The document's name.
    pub controller: String,
    /// The key.
    pub public_key_jwk: Jwk,
}

/// A JSON Web Key (RFC 7518, 6); numbers in base64url.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kty")]
pub enum Jwk {
    /// A point of an elliptic curve.
    #[serde(rename = "EC")]
    Ec {
        /// The curve.
        crv: &'static str,
        /// The x coordinate.
        x: String,
        /// The y coordinate.
        y: String,
    },
    /// An RSA key.
    #[serde(rename = "RSA")]
    Rsa {
        /// The modulus.
        n: String,
        /// The public exponent.
        e: String,
    },
}

impl DidDocument {
    pub(super) fn new(did: &Did, signer: &Certificate) -> Result<Self, DidError> {
        let key = signer.public_key().map_err(DidError::Key)?;
        let usage = signer.content().get::<KeyUsage>()?.map(|(_, usage)| usage);
        let signs = usage.is_none_or(|usage| usage.digital_signature());
        let agrees = usage.is_none_or(|usage| usage.key_agreement());
        if !signs && !agrees {
            return Err(DidError::KeyUsage);
        }
        let id = did.as_str().to_owned();
        let reference = format!("{id}#0");
        let reference_if = |allowed: bool| allowed.then(|| [reference.clone()]);
        Ok(Self {
            context: CONTEXT,
            authentication: reference_if(signs),
            assertion_method: reference_if(signs),
            key_agreement: reference_if(agrees),
            verification_method: [VerificationMethod {
                id: reference.clone(),
                method_type: METHOD_TYPE,
                controller: id.clone(),
                public_key_jwk: Jwk::new(&key.numbers()),
            }],
            id,
        })
    }
}

impl Jwk {
    fn new(numbers: &KeyNumbers) -> Self {
        let text = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        match numbers {
            KeyNumbers::Ec { curve, x, y } => Self::Ec { crv: curve.name(), x: text(x), y: text(y) },
            KeyNumbers::Rsa { modulus, exponent } => Self::Rsa { n: text(modulus), e: text(exponent) },
        }
    }
}
