use std::path::Path;

use super::*;

/// The method's own vectors: each resolves to the document, or fails with the message.
#[test]
fn the_methods_vectors_agree() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/did-x509/vectors.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("skipped: the vectors are not beside this checkout");
        return;
    };
    let vectors: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(!vectors.is_empty());
    for vector in vectors {
        let chain: Vec<Vec<u8>> = vector["input"]["chain"]
            .as_array()
            .unwrap()
            .iter()
            .map(|certificate| base64url(certificate.as_str().unwrap()))
            .collect();
        let given = match resolve(vector["input"]["did"].as_str().unwrap(), &chain) {
            Ok(document) => serde_json::json!({ "document": document }),
            Err(error) => serde_json::json!({ "error": error.to_string() }),
        };
        assert_eq!(given, vector["output"], "{}", vector["id"]);
    }
}

fn base64url(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}
