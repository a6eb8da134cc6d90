//! A layer's archive, of which an erofs image is made: what is written is what is hashed.

#![no_main]

mod archive;

use std::io::Cursor;

use layer_format::layer::{Footer, MkfsVersion, hash_erofs_layer, write_erofs_layer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let archive = archive::archive(bytes);
    let bytes = archive.as_slice();
    let mut image = Cursor::new(Vec::new());
    let written = write_erofs_layer(bytes, &mut image, Footer::None, MkfsVersion::V1_9_3, || Ok([7; 16]));
    let hashed = hash_erofs_layer(bytes, MkfsVersion::V1_9_3, || Ok([7; 16]));
    assert_eq!(written.ok().map(|image| image.digest), hashed.ok());
});
