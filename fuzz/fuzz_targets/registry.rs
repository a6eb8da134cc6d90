//! What names images, what registries ask for, and logins to them: texts that keep their meaning, or are refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use registry_client::{Authority, Digest, Logins, Reference, parse_challenges};

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string().parse().as_ref(), Ok(&reference));
        assert!(!reference.repository().split('/').any(|part| part.starts_with('.') || part.is_empty()));
    }
    if let Ok(authority) = text.parse::<Authority>() {
        assert_eq!(authority.to_string().parse().as_ref(), Ok(&authority));
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(logins) = Logins::parse(text)
        && let Ok(all) = logins.all()
    {
        for (registry, credentials) in all {
            assert_eq!(logins.credentials(&registry), Ok(Some(credentials)));
        }
    }
    if let Ok(challenges) = parse_challenges(text) {
        for challenge in challenges {
            assert!(!challenge.scheme.is_empty());
        }
    }
});
