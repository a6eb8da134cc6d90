//! What hardware there is, in the words by which the kernel finds drivers (`modalias`).
//!
//! The host decides over hardware, and a driver without any is code that only an attacker would miss. What a driver
//! is left out for must never be a check: see the list of the image's modules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;

use rustix::fs::{Dir, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::mounts::{Filesystem, INERT};

/// The longest alias that is read, in bytes: sysfs shows no more of a file.
const ALIAS_MAX: u64 = 4096;

/// What is on some of the kernel's buses.
#[derive(Debug, Default)]
pub(super) struct Hardware {
    aliases: BTreeMap<String, Vec<String>>,
}

impl Hardware {
    /// Looks at the buses that these patterns are about. Sysfs is mounted for it, where no path leads to.
    pub(super) fn find<'a>(patterns: impl Iterator<Item = &'a str>) -> io::Result<Self> {
        let buses: BTreeSet<&str> = patterns.map(bus_of).collect();
        if buses.is_empty() {
            return Ok(Self::default());
        }
        let sysfs = Filesystem::open("sysfs")?.mount(INERT)?;
        let on_bus = |bus: &str| Ok((bus.to_owned(), aliases(&sysfs, bus)?));
        Ok(Self { aliases: buses.into_iter().map(on_bus).collect::<io::Result<_>>()? })
    }

    /// Whether there is something that this pattern of a module's is about.
    pub(super) fn has(&self, pattern: &str) -> bool {
        self.aliases.get(bus_of(pattern)).into_iter().flatten().any(|alias| matches(pattern, alias))
    }
}

/// `acpi` of `acpi*:ACPI0012:*`.
fn bus_of(pattern: &str) -> &str {
    pattern.split(['*', ':']).next().unwrap_or(pattern)
}

/// The aliases of the devices on a bus. Of processors, which are alike, those that the kernel puts together.
fn aliases(sysfs: &OwnedFd, bus: &str) -> io::Result<Vec<String>> {
    if bus == "cpu" {
        return Ok(alias(sysfs, "devices/system/cpu/modalias")?.into_iter().collect());
    }
    let directory = format!("bus/{bus}/devices");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let devices = match openat(sysfs, &directory, flags, Mode::empty()) {
        // A bus without a driver in the kernel has no devices.
        Err(Errno::NOENT) => return Ok(Vec::new()),
        devices => devices?,
    };
    let mut found = Vec::new();
    for device in Dir::read_from(&devices)? {
        let device = device?;
        let name = device.file_name().to_string_lossy();
        if !name.starts_with('.') {
            found.extend(alias(&devices, &format!("{name}/modalias"))?);
        }
    }
    Ok(found)
}

/// One alias; none for a device that has none, or that the host has just taken away.
fn alias(directory: &OwnedFd, path: &str) -> io::Result<Option<String>> {
    let mut text = String::new();
    let read = openat(directory, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(io::Error::from)
        .and_then(|file| File::from(file).take(ALIAS_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOENT | Errno::NODEV)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an alias is one that the pattern is about; `*` stands for anything.
fn matches(pattern: &str, alias: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == alias };
    let Some(mut alias) = alias.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        match alias.split_once(part) {
            Some((_, behind)) => alias = behind,
            None => return false,
        }
    }
    alias.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_about_what_it_says() {
        for (pattern, alias) in [
            ("platform:sev-guest", "platform:sev-guest"),
            ("virtio:d00000008v*", "virtio:d00000008v00001AF4"),
            ("acpi*:ACPI0012:*", "acpi:ACPI0012:"),
            (
                "cpu:type:x86,ven*fam*mod*:feature:*0099*",
                "cpu:type:x86,ven0002fam000Fmod006B:feature:,0000,0099,",
            ),
            ("a*a", "aa"),
        ] {
            assert!(matches(pattern, alias), "{pattern} {alias}");
        }
        for (pattern, alias) in [
            ("platform:sev-guest", "platform:sev-guest2"),
            ("virtio:d00000008v*", "virtio:d00000002v00001AF4"),
            ("virtio:d00000008v*", "avirtio:d00000008v00001AF4"),
            (
                "cpu:type:x86,ven*fam*mod*:feature:*0099*",
                "cpu:type:x86,ven0002fam000Fmod006B:feature:,0000,0098,",
            ),
            (
                "cpu:type:x86,ven*fam*mod*:feature:*0099*",
                "cpu:type:x86,0099,ven0002fam000Fmod006B:feature:,0000,",
            ),
            ("a*a", "a"),
        ] {
            assert!(!matches(pattern, alias), "{pattern} {alias}");
        }
    }

    #[test]
    fn the_bus_is_what_comes_first() {
        assert_eq!(bus_of("acpi*:ACPI0012:*"), "acpi");
        assert_eq!(bus_of("virtio:d00000008v*"), "virtio");
    }

    #[test]
    fn this_machine_has_a_processor_and_nothing_made_up() {
        let patterns = ["cpu:type:*", "virtio:d7FFFFFFFv*", "no-such-bus:*"];
        let Ok(hardware) = Hardware::find(patterns.into_iter()) else {
            assert!(!rustix::process::geteuid().is_root(), "root can mount a sysfs");
            return;
        };
        assert_eq!(patterns.map(|pattern| hardware.has(pattern)), [true, false, false]);
    }
}
