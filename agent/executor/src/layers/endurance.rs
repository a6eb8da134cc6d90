//! A thousand layers, mounted and unmounted: nothing is left of them, nor of their copies where there is no device mapper.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::retry::retry;
use crate::test_bench::{Disk, permissive_engine, unmount_device, with_private_mounts};

/// Layers that are mounted at the same time, and how often.
const AT_ONCE: u32 = 10;
const ROUNDS: u32 = 100;
/// Rounds before the first look: the allocator grows to its size.
const WARM_UP: u32 = 10;
/// What the allocator may take more after the first look, in KiB: a quarter for each layer.
const GROWTH_KIB_MAX: u64 = 256;
/// The kernel lets go of a loop device when it has time to.
const DETACH_ATTEMPTS: u32 = 250;

/// What this process has.
#[derive(Debug)]
struct Holdings {
    descriptors: usize,
    mounts: usize,
    anonymous_kib: u64,
}

impl Holdings {
    fn take() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        Self {
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            mounts: mountinfo().lines().count(),
            anonymous_kib: line.trim().trim_end_matches(" kB").parse().unwrap(),
        }
    }
}

fn mountinfo() -> String {
    fs::read_to_string("/proc/thread-self/mountinfo").unwrap()
}

/// The loop devices below the layers that are mounted, by the third field of `mountinfo`.
fn loop_devices() -> impl Iterator<Item = u32> {
    let mounts = mountinfo();
    let of_layers: Vec<_> = mounts.lines().filter(|line| line.contains(" /run/mounts/scsi/m")).collect();
    let number = |line: &str| line.split(' ').nth(2)?.strip_prefix("7:")?.parse().ok();
    of_layers.into_iter().filter_map(number).collect::<Vec<_>>().into_iter()
}

/// Whether a copy of a layer is behind this loop device. Other programs have loop devices of their own.
fn holds_copy(number: u32) -> bool {
    let file = PathBuf::from(format!("/sys/block/loop{number}/loop/backing_file"));
    fs::read_to_string(file).is_ok_and(|name| name.starts_with("/memfd:layer"))
}

#[test]
fn a_thousand_layers_leave_nothing() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let disk = Disk::with_files(&[("a", "content")]);
        let mut devices = BTreeSet::new();
        let mut round = || {
            let layers: Vec<_> = (0..AT_ONCE).map(|number| disk.mount(&engine, number)).collect();
            devices.extend(loop_devices());
            layers.into_iter().for_each(|layer| unmount_device(&engine, layer));
        };
        (0..WARM_UP).for_each(|_| round());
        let before = Holdings::take();
        (0..ROUNDS).for_each(|_| round());
        let after = Holdings::take();
        println!("{} layers: {before:?}, {after:?}, loop devices {devices:?}", AT_ONCE * ROUNDS);
        assert_eq!((after.descriptors, after.mounts), (before.descriptors, before.mounts));
        assert!(after.anonymous_kib <= before.anonymous_kib + GROWTH_KIB_MAX, "{:?}", (before, after));
        let are_copied = crate::devices::mapper().unwrap().is_none();
        assert_eq!(devices.len() >= AT_ONCE as usize, are_copied, "{devices:?}");
        for number in devices {
            let gone = || if holds_copy(number) { Err(number) } else { Ok(()) };
            retry(DETACH_ATTEMPTS, |_| true, gone).unwrap();
        }
    });
}
