//! `COSE_Sign1` (RFC 9052) with the headers of an endorsement.

use ciborium::Value;
use rsa::RsaPublicKey;
use rsa::pss;
use rsa::sha2::Sha384;
use rsa::signature::Verifier as _;

const TAG_SIGN1: u64 = 18;
const LABEL_ALGORITHM: i64 = 1;
const LABEL_CRITICAL: i64 = 2;
const LABEL_CONTENT_TYPE: i64 = 3;
const LABEL_X5CHAIN: i64 = 33;
/// RSASSA-PSS with SHA-384 (RFC 8230).
const PS384: i64 = -38;
const CONTENT_TYPE: &str = "application/json";

/// Why bytes are not the `COSE_Sign1` of an endorsement.
#[derive(Debug, thiserror::Error)]
pub enum ParseSign1Error {
    /// Not CBOR.
    #[error("not CBOR")]
    Cbor(#[source] ciborium::de::Error<std::io::Error>),
    /// Bytes follow.
    #[error("{0} bytes follow the CBOR item")]
    Trailing(usize),
    /// Not a tagged array of four.
    #[error("not a tagged array of header, header, payload and signature")]
    Structure,
    /// A header stands there twice.
    #[error("a protected header is there twice")]
    DuplicateHeader,
    /// A header is missing or has another type.
    #[error("the protected header {0} is missing or malformed")]
    Header(&'static str),
    /// Headers that a reader must understand.
    #[error("critical headers are not supported")]
    Critical,
    /// Another signature algorithm.
    #[error("signature algorithm {0} is not supported (-38, PS384, is)")]
    Algorithm(i128),
    /// Another payload.
    #[error("content type {0:?} is not supported ({CONTENT_TYPE:?} is)")]
    ContentType(String),
    /// What was signed cannot be encoded.
    #[error("cannot encode what was signed")]
    Encode(#[source] ciborium::ser::Error<std::io::Error>),
}

/// A parsed envelope; the signature is not yet verified.
pub(super) struct Sign1 {
    /// DER certificates, the signer's first.
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) issuer: String,
    pub(super) feed: String,
    pub(super) payload: Vec<u8>,
    /// `Sig_structure`: the bytes that were signed.
    signed: Vec<u8>,
    signature: Vec<u8>,
}

impl Sign1 {
    /// Reads an envelope. Unprotected headers are ignored: anybody can change them.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ParseSign1Error> {
        let Value::Tag(TAG_SIGN1, content) = read_value(bytes)? else {
            return Err(ParseSign1Error::Structure);
        };
        let Ok([Value::Bytes(protected), Value::Map(_), Value::Bytes(payload), Value::Bytes(signature)]) =
            content
                .into_array()
                .map_err(|_| ParseSign1Error::Structure)
                .and_then(|items| <[Value; 4]>::try_from(items).map_err(|_| ParseSign1Error::Structure))
        else {
            return Err(ParseSign1Error::Structure);
        };
        let headers = Headers::parse(&protected)?;
        headers.check_fixed()?;
        let structure = Value::Array(vec![
            Value::Text("Signature1".to_owned()),
            Value::Bytes(protected),
            Value::Bytes(Vec::new()),
            Value::Bytes(payload.clone()),
        ]);
        let mut signed = Vec::new();
        ciborium::into_writer(&structure, &mut signed).map_err(ParseSign1Error::Encode)?;
        Ok(Self {
            chain: headers.chain()?,
            issuer: headers.text("iss")?,
            feed: headers.text("feed")?,
            payload,
            signed,
            signature,
        })
    }

    /// Verifies the envelope's signature with the signer's key.
    pub(super) fn verify_signature(&self, key: RsaPublicKey) -> Result<(), rsa::signature::Error> {
        let signature = pss::Signature::try_from(self.signature.as_slice())?;
        pss::VerifyingKey::<Sha384>::new(key).verify(&self.signed, &signature)
    }
}

/// Reads exactly one CBOR item.
fn read_value(bytes: &[u8]) -> Result<Value, ParseSign1Error> {
    let mut rest = bytes;
    let value = ciborium::from_reader(&mut rest).map_err(ParseSign1Error::Cbor)?;
    if rest.is_empty() { Ok(value) } else { Err(ParseSign1Error::Trailing(rest.len())) }
}

/// The protected headers.
struct Headers(Vec<(Value, Value)>);

impl Headers {
    fn parse(protected: &[u8]) -> Result<Self, ParseSign1Error> {
        let headers = read_value(protected)?.into_map().map_err(|_| ParseSign1Error::Structure)?;
        let mut labels: Vec<&Value> = Vec::new();
        for (label, _) in &headers {
            if labels.contains(&label) {
                return Err(ParseSign1Error::DuplicateHeader);
            }
            labels.push(label);
        }
        Ok(Self(headers))
    }

    fn get(&self, label: &Value) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key == label).map(|(_, value)| value)
    }

    /// The headers that must have one value.
    fn check_fixed(&self) -> Result<(), ParseSign1Error> {
        if self.get(&LABEL_CRITICAL.into()).is_some() {
            return Err(ParseSign1Error::Critical);
        }
        let algorithm = self
            .get(&LABEL_ALGORITHM.into())
            .and_then(Value::as_integer)
            .ok_or(ParseSign1Error::Header("alg"))?;
        if algorithm != PS384.into() {
            return Err(ParseSign1Error::Algorithm(algorithm.into()));
        }
        match self.get(&LABEL_CONTENT_TYPE.into()).and_then(Value::as_text) {
            Some(CONTENT_TYPE) => Ok(()),
            Some(other) => Err(ParseSign1Error::ContentType(other.to_owned())),
            None => Err(ParseSign1Error::Header("content type")),
        }
    }

    fn chain(&self) -> Result<Vec<Vec<u8>>, ParseSign1Error> {
        const MALFORMED: ParseSign1Error = ParseSign1Error::Header("x5chain");
        self.get(&LABEL_X5CHAIN.into())
            .and_then(Value::as_array)
            .ok_or(MALFORMED)?
            .iter()
            .map(|certificate| certificate.as_bytes().cloned().ok_or(MALFORMED))
            .collect()
    }

    fn text(&self, label: &'static str) -> Result<String, ParseSign1Error> {
        self.get(&label.into())
            .and_then(Value::as_text)
            .map(str::to_owned)
            .ok_or(ParseSign1Error::Header(label))
    }
}
