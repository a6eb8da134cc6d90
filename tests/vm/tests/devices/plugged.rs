//! Disks that are plugged in while the guest runs, virtio's persistent memory, roots in Kata's multi-layer form, and a disk
//! that is a layer first and scratch afterwards.

use std::fs;

use tempfile::TempDir;
use vm::{Disk, Host, MemoryBus, PersistentMemory, VmConfig};

use crate::{Guest, MODULE_MIB, images, layer, memory_of, with};

/// Bytes of a disk that a scratch fits on.
const SCRATCH_BYTES: u64 = 64 << 20;

#[test]
fn disks_are_plugged_in_and_used_again() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let folder = TempDir::new().unwrap();
    let ext4 = images::ext4(&host, folder.path());
    let (base, above) =
        (images::own_erofs(&host, folder.path()), images::own_erofs_above(&host, folder.path()));
    let memory = memory_of(&ext4, folder.path());
    let reused = folder.path().join("reused.img");
    fs::copy(&ext4.file, &reused).unwrap();
    fs::OpenOptions::new().write(true).open(&reused).unwrap().set_len(SCRATCH_BYTES).unwrap();

    let mut guest = Guest::start(&host, "devices-plugged", |config| VmConfig {
        scsi_disks: vec![Disk::read_only(&base.file)],
        persistent_memory: vec![PersistentMemory {
            bus: MemoryBus::Virtio,
            file: memory,
            size_mib: MODULE_MIB,
        }],
        spare_places: 2,
        ..config
    });

    // erofs as the project writes it, found behind the file system.
    guest.assert_runs(&layer("scsi:0:0", &base, "erofs"), "true", "");
    // Persistent memory of a virtio device that the host would let be written.
    let script = "busybox cat /sys/block/pmem0/ro; busybox grep -c dax /proc/mounts; true";
    guest.assert_runs(&layer("/dev/pmem0", &ext4, "ext4"), script, "1\n0\n");

    // On the SCSI bus that is there.
    guest.machine.attach_scsi_disk(5, &Disk::read_write(&ext4.file)).unwrap();
    let plugged = layer("scsi:0:5", &ext4, "ext4");
    guest.assert_runs(&plugged, "busybox cat /sys/bus/scsi/devices/*:0:0:5/block/*/ro", "1\n");
    guest.machine.detach_scsi_disk(5).unwrap();
    guest.assert_refused(&plugged, "SCSI");
    guest.machine.attach_scsi_disk(5, &Disk::read_only(&above.file)).unwrap();

    // A disk that is a layer, and then nothing but a disk.
    let disk = guest.machine.attach_disk(&Disk::read_write(&reused)).unwrap().pci_path();
    guest.assert_runs(&layer(&disk, &ext4, "ext4"), "busybox cat /sys/block/vdb/ro", "1\n");
    let base = layer("scsi:0:0", &base, "erofs");
    let writes = "echo written > /name && busybox cat /name; busybox cat /sys/block/vdb/ro";
    guest.assert_runs(&with(&base, &["--scratch", &disk]), writes, "written\n0\n");

    // Two layers in the multi-layer form: above memory, and above the same disk. And the other way round.
    let above = layer("scsi:0:5", &above, "erofs");
    let form = ["--layer-fstype", "erofs", "--multi-layer"];
    let root = [&base[..4], &above[..4], &form].concat();
    let script = "busybox ls -d /tmp; busybox cat /etc/name; echo ' written' > /name && busybox cat /name";
    for scratch in [vec![], vec!["--scratch", &disk]] {
        let ran = guest.run(&with(&root, &scratch), script);
        assert_eq!(ran["stdout"], "a layer above written\n", "{scratch:?}: {ran}");
    }
    let turned = [&above[..4], &base[..4], &form].concat();
    guest.assert_runs(&turned, "true", "");
    guest.assert_healthy();
}
