//! Names and paths that the host chooses: one spelling each, and never out of their directory.

#![no_main]

use libfuzzer_sys::fuzz_target;
use policy_engine::request::{BlockSource, DeviceTarget, Hostname};
use policy_engine::{ContainerId, GuestPath};
use proto::kata::address::ServerAddress;

fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<ContainerId>() {
        assert_eq!(id.as_str(), text);
        assert!(!text.contains('/') && !text.starts_with('.'));
    }
    if let Ok(path) = text.parse::<GuestPath>() {
        assert_eq!(path.as_str(), text);
        assert!(path.as_path().is_absolute() && !text.split('/').any(|part| part == ".."));
    }
    if let Ok(target) = text.parse::<DeviceTarget>() {
        assert!(target.path().as_str().starts_with("/run/mounts/scsi/m"));
    }
    if let Ok(source) = text.parse::<BlockSource>() {
        assert_eq!(source.to_string().parse::<BlockSource>().as_ref(), Ok(&source));
    }
    if let Ok(name) = text.parse::<Hostname>() {
        assert!(name.as_str().len() <= 64);
    }
    if let Ok(address) = text.parse::<ServerAddress>() {
        assert_eq!(address.to_string().parse().as_ref(), Ok(&address));
    }
});
