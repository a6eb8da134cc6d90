//! The superblocks that say where a file system ends and a hash tree may start.

#![no_main]

use layer_format::filesystem::Filesystem;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for kind in [Filesystem::Ext4, Filesystem::Erofs, Filesystem::Squashfs] {
        if let Ok(size_bytes) = kind.size_bytes(bytes) {
            assert!(size_bytes > 0 && size_bytes.is_multiple_of(4096));
            // Nothing behind the first block says anything.
            let head = &bytes[..bytes.len().min(Filesystem::HEAD_SIZE)];
            assert_eq!(kind.size_bytes(head), Ok(size_bytes));
        }
    }
});
