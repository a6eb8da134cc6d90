//! A thousand layers, mounted and unmounted: nothing is left of them, nor of their copies where there is no device mapper.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::retry::retry;
use crate::test_bench::{Disk, permissive_engine, unmount_device, with_private_mounts};

/// Layers that are mounted at the same time.
const AT_ONCE: u32 = 10;
/// Rounds before the first look: the allocator grows to its size.
const WARM_UP: u32 = 10;
/// Looks, and rounds between one and the next.
const LOOKS: u32 = 4;
const ROUNDS: u32 = 25;
/// What a layer may leave in memory, in bytes, by the best of the looks: what the allocator takes now and then, it takes
/// in one piece, and a leak is in all of them.
const LEFT_BEHIND_MAX: u32 = 256;
/// What the allocator may take in all, in KiB.
const GROWTH_KIB_MAX: u32 = 512;
/// The kernel lets go of a loop device when it has time to.
const DETACH_ATTEMPTS: u32 = 250;

/// What this process has.
#[derive(Debug)]
struct Holdings {
    descriptors: usize,
    mounts: usize,
    anonymous_kib: u32,
}

impl Holdings {
    fn take() -> Self {
        // `RssAnon` of `status` is off by what each processor has not told yet.
        let memory = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let line = memory.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
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
        let mut rounds = |count| {
            for _ in 0..count {
                let layers: Vec<_> = (0..AT_ONCE).map(|number| disk.mount(&engine, number)).collect();
                devices.extend(loop_devices());
                layers.into_iter().for_each(|layer| unmount_device(&engine, layer));
            }
            Holdings::take()
        };
        let mut looks = vec![rounds(WARM_UP)];
        looks.extend((0..LOOKS).map(|_| rounds(ROUNDS)));
        println!("{} layers from one to the next: {looks:?}, loop devices {devices:?}", AT_ONCE * ROUNDS);
        let nothing_left =
            |look: &Holdings| (look.descriptors, look.mounts) == (looks[0].descriptors, looks[0].mounts);
        assert!(looks.iter().all(nothing_left), "{looks:?}");
        let growth_kib = |from: &Holdings, to: &Holdings| to.anonymous_kib.saturating_sub(from.anonymous_kib);
        let least_kib = looks.windows(2).map(|pair| growth_kib(&pair[0], &pair[1])).min().unwrap();
        assert!(least_kib * 1024 <= LEFT_BEHIND_MAX * AT_ONCE * ROUNDS, "{looks:?}");
        assert!(growth_kib(&looks[0], looks.last().unwrap()) <= GROWTH_KIB_MAX, "{looks:?}");

        let are_copied = crate::devices::mapper().unwrap().is_none();
        assert_eq!(devices.len() >= AT_ONCE as usize, are_copied, "{devices:?}");
        for number in devices {
            let gone = || if holds_copy(number) { Err(number) } else { Ok(()) };
            retry(DETACH_ATTEMPTS, |_| true, gone).unwrap();
        }
    });
}
