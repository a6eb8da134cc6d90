//! A thousand layers, mounted and unmounted: nothing is left of them.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vm::{Host, Layer, LayerFiles, VmConfig};

use crate::guest::{Guest, Mounted};

/// Layers of a container, and containers one after the other. Agents take up to 128.
const LAYERS: usize = 125;
const CONTAINERS: usize = 8;
/// What the allocators of agent and kernel may keep, in KiB: one and a half for each of a thousand layers. The kernel keeps
/// records of addresses that are free, and pages that have room. A link for each layer would not fit in
/// (docs/decisions/0023-locked-kernel.md).
const KEPT_KIB_MAX: i64 = 1500;
/// The kernel frees some of what it unmounts later.
const SETTLE_ATTEMPTS: u32 = 40;
const SETTLE_INTERVAL: Duration = Duration::from_millis(500);

/// Mapped devices; open files of the guest; memory of all processes, and of the kernel, in KiB; what the kernel has of mounts
/// and of file systems.
const LOOK: &str = "echo devices $(busybox ls /sys/block | busybox grep -c dm-); \
    echo files $(busybox cut -f 1 /proc/sys/fs/file-nr); \
    busybox awk '/^(AnonPages|SUnreclaim|VmallocUsed|Percpu):/ {print $1, $2}' /proc/meminfo; \
    busybox awk '/^(mnt_cache|ext4_inode_cache|bdev_cache|dm_io|dm_bufio_buffer)/ {print $1, $2}' /proc/slabinfo; \
    echo filesystems $(busybox ls /sys/fs/ext4 | busybox grep -c dm-); \
    echo allocators $(busybox ls /sys/kernel/slab | busybox grep -c dm_bufio)";

/// What each of the kernel's allocators of objects holds, in KiB.
const LOOK_AT_SLABS: &str = "busybox awk 'NR > 2 {print $1, $15 * $6 * 4}' /proc/slabinfo";
/// Growth of such an allocator that is told, in KiB.
const TOLD_KIB: i64 = 64;

type Figures = BTreeMap<String, i64>;

fn look(guest: &Guest, container: &str, script: &str) -> Figures {
    let ran = guest.exec(container, script).unwrap();
    let figure = |line: &str| {
        let (name, number) = line.split_once(' ').unwrap();
        (name.to_owned(), number.parse().unwrap())
    };
    ran.stdout.lines().map(figure).collect()
}

/// What grew by more than it may. Counts are exact, but for open files, which each CPU counts apart.
fn grown(before: &Figures, now: &Figures) -> Vec<(String, i64)> {
    let growth = |(name, before): (&String, &i64)| (name.clone(), now[name] - before);
    let allowed = |name: &str| match name {
        "devices" | "filesystems" | "allocators" => 0,
        "files" => 128,
        "AnonPages:" | "SUnreclaim:" | "VmallocUsed:" | "Percpu:" => KEPT_KIB_MAX,
        // Objects that the kernel keeps for the next who asks.
        _ => 400,
    };
    before.iter().map(growth).filter(|(name, growth)| *growth > allowed(name)).collect()
}

/// Mounts the layers, all at the same time, and unmounts them.
fn cycle(guest: &mut Guest, layers: &[Mounted<'_>]) {
    let ran = guest.run(0, layers, "busybox cat small; busybox ls /sys/block | busybox grep -c dm-").unwrap();
    assert_eq!(ran.stdout, format!("a file{}\n", layers.len()), "{ran:?}");
}

#[test]
fn a_thousand_layers_leave_nothing() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let folder = TempDir::new().unwrap();
    let busybox = Layer::of_busybox(&host, folder.path()).unwrap();
    let files = LayerFiles::default().with("small", "a file");
    let small = Layer::build(&host, folder.path().join("small.img"), &files).unwrap();
    let disks = vec![busybox.disk(), small.disk()];
    let mut guest = Guest::start(&host, "attacks-many", |config| VmConfig { disks, ..config });
    let [base, disk] = guest.machine.disks().try_into().unwrap();
    let mut layers: Vec<Mounted<'_>> = vec![(base, &busybox)];
    layers.extend((0..LAYERS).map(|_| (disk, &small)));

    let keeper = guest.keep(0, &[(base, &busybox)]).unwrap();
    // Tables and allocators grow to their size.
    (0..2).for_each(|_| cycle(&mut guest, &layers));
    let before = look(&guest, &keeper, LOOK);
    let slabs_before = look(&guest, &keeper, LOOK_AT_SLABS);
    let start = Instant::now();
    (0..CONTAINERS).for_each(|_| cycle(&mut guest, &layers));
    let elapsed = start.elapsed();
    let mut now = look(&guest, &keeper, LOOK);
    for _ in 0..SETTLE_ATTEMPTS {
        if grown(&before, &now).is_empty() {
            break;
        }
        thread::sleep(SETTLE_INTERVAL);
        now = look(&guest, &keeper, LOOK);
    }
    println!("{} layers in {elapsed:?}", LAYERS * CONTAINERS);
    for (name, count) in &before {
        println!("{name:<20} {count:>9} before, {:>9} after", now[name]);
    }
    for (name, kib) in look(&guest, &keeper, LOOK_AT_SLABS) {
        let growth = kib - slabs_before.get(&name).copied().unwrap_or_default();
        if growth.abs() >= TOLD_KIB {
            println!("{name:<20} {growth:>+9} KiB of objects");
        }
    }
    assert!(before["devices"] == 1 && now["devices"] == 1, "only the base is left");
    assert_eq!(grown(&before, &now), []);
    guest.assert_healthy();
}
