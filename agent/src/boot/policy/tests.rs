use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const DOCUMENT: &str =
    "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\n\"policy.rego\" = '''\npackage policy\n'''\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_digest_is_over_the_document() {
    let delivered = DeliveredPolicy::from_initdata(&gzip(DOCUMENT.as_bytes())).unwrap();
    assert_eq!(delivered.text, b"package policy\n");
    assert_eq!(delivered.digest, <[u8; 32]>::from(Sha256::digest(DOCUMENT)));
    let document = DOCUMENT.replace("sha256", "sha384");
    let delivered = DeliveredPolicy::from_initdata(&gzip(document.as_bytes())).unwrap();
    assert_eq!(delivered.digest[..], Sha384::digest(&document)[..32]);
}

#[test]
fn the_digest_covers_every_file() {
    let with = |name: &str, text: &str| {
        let document = format!("{DOCUMENT}{name:?} = {text:?}\n");
        DeliveredPolicy::from_initdata(&gzip(document.as_bytes())).unwrap()
    };
    let delivered = with("cdh.toml", "[image]");
    assert_eq!(delivered.text, b"package policy\n");
    assert_eq!(delivered.files, BTreeMap::from([("cdh.toml".to_owned(), "[image]".to_owned())]));
    for other in [with("cdh.toml", "[image] "), with("cdh.tom", "[image]")] {
        assert_ne!(other.digest, delivered.digest);
    }
}

#[test]
fn what_is_malformed_is_told_by_its_line_alone() {
    let document = format!("{DOCUMENT}\"auth.json\" = sesame\n");
    let error = DeliveredPolicy::from_initdata(&gzip(document.as_bytes())).unwrap_err();
    assert!(matches!(error, PolicyError::Parse { line: 7 }), "{error:?}");
}

#[test]
fn data_behind_the_stream_is_refused() {
    let mut two_members = gzip(DOCUMENT.as_bytes());
    two_members.extend(gzip(b"x"));
    assert!(matches!(DeliveredPolicy::from_initdata(&two_members), Err(PolicyError::TrailingData)));
    let mut padded = gzip(DOCUMENT.as_bytes());
    padded.push(0);
    assert!(matches!(DeliveredPolicy::from_initdata(&padded), Err(PolicyError::TrailingData)));
}

#[test]
fn a_decompression_bomb_is_refused() {
    let bomb = gzip(&vec![b' '; (DOCUMENT_MAX_BYTES + 1) as usize]);
    assert!(bomb.len() < 64 * 1024);
    assert!(matches!(DeliveredPolicy::from_initdata(&bomb), Err(PolicyError::TooLong)));
}

#[test]
fn documents_of_another_form_are_refused() {
    for (from, to) in [
        ("0.1.0", "0.2.0"),
        ("sha256", "md5"),
        ("policy.rego", "policy.reg"),
        ("[data]", "[data]\n\"policy.rego\" = \"\""),
        ("[data]", "extra = 1\n[data]"),
    ] {
        let document = DOCUMENT.replace(from, to);
        assert!(DeliveredPolicy::from_initdata(&gzip(document.as_bytes())).is_err(), "{document}");
    }
    let truncated = gzip(DOCUMENT.as_bytes());
    assert!(DeliveredPolicy::from_initdata(&truncated[..truncated.len() - 9]).is_err());
    assert!(DeliveredPolicy::from_initdata(b"").is_err());
    assert!(DeliveredPolicy::from_initdata(&gzip(&[0xff, 0xfe])).is_err());
}
