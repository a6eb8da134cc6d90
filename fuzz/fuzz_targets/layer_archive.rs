//! A layer's archive, which comes from a registry: it is refused, or what is written of it is what is hashed.

#![no_main]

mod archive;

use std::io::Cursor;

use layer_format::layer::{Footer, hash_layer, write_layer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let archive = archive::archive(bytes);
    let mut image = Cursor::new(Vec::new());
    let written = write_layer(archive.as_slice(), &mut image, Footer::None);
    assert_eq!(written.ok().map(|image| image.digest), hash_layer(archive.as_slice()).ok());
});
