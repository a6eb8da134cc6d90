use crate::cbor::Cbor;
use crate::certificate::Identity;
use crate::key::Key;

/// What a statement will say.
#[derive(Clone, Debug)]
pub struct StatementSpec {
    /// Issuer and feed as text headers.
    pub text_headers: Option<(String, String)>,
    /// Issuer, feed and security version as CWT claims.
    pub claims: Option<(String, String, Option<i64>)>,
    /// The media type.
    pub content_type: Option<&'static str>,
    /// The number of the algorithm; none means the key's own.
    pub algorithm: Option<i64>,
    /// Protected headers besides.
    pub protected: Vec<(Cbor, Cbor)>,
    /// Unprotected headers.
    pub unprotected: Vec<(Cbor, Cbor)>,
    /// What is said.
    pub payload: Vec<u8>,
}

impl StatementSpec {
    /// A statement with CWT claims.
    #[must_use]
    pub fn new(issuer: &str, feed: &str, svn: Option<i64>, payload: &[u8]) -> Self {
        Self {
            text_headers: None,
            claims: Some((issuer.to_owned(), feed.to_owned(), svn)),
            content_type: Some("application/cose-x509+rego"),
            algorithm: None,
            protected: Vec::new(),
            unprotected: Vec::new(),
            payload: payload.to_vec(),
        }
    }

    /// The envelope, signed by `signer` with its chain in it.
    #[must_use]
    pub fn sign(&self, signer: &Identity) -> Vec<u8> {
        sign1(&protected_header(self, signer), self.unprotected.clone(), Some(&self.payload), &signer.key)
    }
}

/// The protected header of a statement.
#[must_use]
pub fn protected_header(spec: &StatementSpec, signer: &Identity) -> Vec<(Cbor, Cbor)> {
    let algorithm = spec.algorithm.unwrap_or_else(|| signer.key.curve().cose_algorithm());
    let mut headers = vec![(Cbor::Int(1), Cbor::Int(algorithm))];
    if let Some(content_type) = spec.content_type {
        headers.push((Cbor::Int(3), content_type.into()));
    }
    if let Some((issuer, feed, svn)) = &spec.claims {
        let mut claims = vec![(Cbor::Int(1), issuer.as_str().into()), (Cbor::Int(2), feed.as_str().into())];
        claims.extend(svn.map(|svn| (Cbor::from("svn"), Cbor::Int(svn))));
        headers.push((Cbor::Int(15), Cbor::Map(claims)));
    }
    let chain = signer.chain.iter().cloned().map(Cbor::Bytes).collect();
    headers.push((Cbor::Int(33), Cbor::Array(chain)));
    if let Some((issuer, feed)) = &spec.text_headers {
        headers.push(("iss".into(), issuer.as_str().into()));
        headers.push(("feed".into(), feed.as_str().into()));
    }
    headers.extend(spec.protected.iter().cloned());
    headers
}

/// A tagged `COSE_Sign1`. A detached payload is signed by whoever knows it: see [`crate::Ledger`].
#[must_use]
pub fn sign1(
    protected: &[(Cbor, Cbor)],
    unprotected: Vec<(Cbor, Cbor)>,
    payload: Option<&[u8]>,
    key: &Key,
) -> Vec<u8> {
    let signed = payload.unwrap_or_default();
    let attached = payload.map_or(Cbor::Null, |payload| Cbor::Bytes(payload.to_vec()));
    sign1_over(protected, unprotected, attached, signed, key)
}

pub(crate) fn sign1_over(
    protected: &[(Cbor, Cbor)],
    unprotected: Vec<(Cbor, Cbor)>,
    attached: Cbor,
    signed: &[u8],
    key: &Key,
) -> Vec<u8> {
    let protected = Cbor::Bytes(Cbor::Map(protected.to_vec()).encode());
    let structure = Cbor::Array(vec![
        "Signature1".into(),
        protected.clone(),
        Cbor::Bytes(Vec::new()),
        Cbor::Bytes(signed.to_vec()),
    ]);
    let signature = Cbor::Bytes(key.sign(&structure.encode()));
    let content = Cbor::Array(vec![protected, Cbor::Map(unprotected), attached, signature]);
    Cbor::Tagged(18, Box::new(content)).encode()
}
