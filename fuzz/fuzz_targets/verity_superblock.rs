//! The dm-verity superblock of a disk: what is accepted is what would be written.

#![no_main]

use layer_format::verity::VeritySuperblock;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(superblock) = VeritySuperblock::parse(bytes) {
        let written = superblock.format();
        assert_eq!(VeritySuperblock::parse(&written), Ok(superblock));
    }
});
