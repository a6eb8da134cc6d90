//! Layers whose root hashes the reference tool computed.
#![cfg(feature = "build")]

use std::fs::{self, File};
use std::path::Path;

use layer_format::layer::hash_layer;

#[test]
fn root_hashes_are_those_of_the_reference_tool() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/layers");
    let Ok(table) = fs::read_to_string(folder.join("roothash.tsv")) else {
        eprintln!("skipped: there are no vectors at {}", folder.display());
        return;
    };
    let mut checked = 0;
    for line in table.lines() {
        let [name, _, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let archive = File::open(folder.join(name).with_extension("tar")).unwrap();
        let digest = hash_layer(archive).unwrap();
        assert_eq!(digest.root_hash.to_string(), expected, "{name}: {} bytes", digest.data_size_bytes);
        checked += 1;
    }
    assert!(checked > 0);
}
