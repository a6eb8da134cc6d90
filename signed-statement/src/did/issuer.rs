//! A name for a chain: the other end of [`Did::matches`](super::Did::matches).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::leaf::Leaf;
use super::syntax::encode;
use crate::x509::Certificate;

/// The `did:x509` that names a chain (DER, root last) by its root and by the common name of its first certificate; nothing
/// when there is no such name. Whoever signs may choose another name that the chain has.
#[must_use]
pub fn issuer_of(chain: &[Vec<u8>]) -> Option<String> {
    let root = URL_SAFE_NO_PAD.encode(Sha256::digest(chain.last()?));
    let signer = Leaf::read(&Certificate::parse(chain.first()?.clone()).ok()?).ok()?;
    let common_name = encode(signer.subject.get("CN")?);
    Some(format!("did:x509:0:sha256:{root}::subject:CN:{common_name}"))
}
