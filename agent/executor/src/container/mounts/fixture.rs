//! Mounts of requests for the tests of this module.

use policy_engine::request::ContainerMount;
use policy_engine::request::linux::IdMappings;

/// A mount without mapped ids.
pub(super) fn mount(destination: &str, source: &str, fstype: &str, options: &[&str]) -> ContainerMount {
    ContainerMount {
        destination: destination.parse().unwrap(),
        source: source.to_owned(),
        fstype: fstype.to_owned(),
        options: options.iter().map(|&option| option.to_owned()).collect(),
        id_mappings: IdMappings::default(),
    }
}
