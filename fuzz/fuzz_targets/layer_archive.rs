//! A layer's archive, which comes from a registry: it is hashed or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _hashed_or_refused = layer_format::layer::hash_layer(bytes);
});
