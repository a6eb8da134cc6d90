//! Finds the real evidence that tests read.

use std::path::Path;

/// A file of the real evidence set; nothing in a checkout without the vectors.
pub(crate) fn read(name: &str) -> Option<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/evidence/aci-milan-1");
    let bytes = std::fs::read(folder.join(name)).ok();
    if bytes.is_none() {
        println!("skipped: the vectors are not beside this checkout ({name})");
    }
    bytes
}
