//! A `did:x509` name and a chain, both of which the host chooses: what parses keeps its text, what does not match is
//! refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use signed_statement::did::{Did, resolve};

fuzz_target!(|input: (&str, Vec<Vec<u8>>)| {
    let (name, chain) = input;
    if let Ok(did) = name.parse::<Did>() {
        assert!(name.starts_with(did.as_str()));
        assert!(did.as_str().parse::<Did>().is_ok_and(|again| again == did));
    }
    let _resolved_or_refused = resolve(name, &chain);
});
