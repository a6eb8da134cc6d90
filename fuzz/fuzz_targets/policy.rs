//! A policy: it loads or is refused, within bounds. It is the tenant's, but is read before anybody could object.

#![no_main]

use libfuzzer_sys::fuzz_target;
use policy_engine::Engine;

fuzz_target!(|text: &str| {
    let _loaded_or_refused = Engine::load(text.as_bytes());
    let policy =
        format!("package policy\n\napi_version := \"0.10.0\"\nframework_version := \"0.2.3\"\n{text}");
    let _loaded_or_refused = Engine::load(policy.as_bytes());
});
