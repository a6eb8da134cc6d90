//! A disk that goes away, or never answers, while a container reads it.

use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use vm::{BLOCK_BYTES, Host, Layer, LayerFiles, VmConfig};

use crate::guest::Guest;

/// Reads the file past the guest's memory again and again, until it does not read.
const READ_ON: &str =
    "echo reading; while busybox dd if=/tree/large of=/dev/null bs=65536 iflag=direct; do :; done";
/// One pass, and what was read.
const READ_ONCE: &str = "busybox dd if=/tree/large bs=65536 iflag=direct | busybox sha256sum";
/// A reader is on its way within that time, and stays on it.
const A_WHILE: Duration = Duration::from_secs(3);

/// Bytes of the large file.
const LARGE_BYTES: usize = 512 * BLOCK_BYTES;

/// A layer with a large file.
fn large_layer(host: &Host, folder: &TempDir, fill: u8) -> Layer {
    let files = LayerFiles::default().with("tree/large", vec![fill; LARGE_BYTES]);
    Layer::build(host, folder.path().join(format!("large-{fill}.img")), &files).unwrap()
}

#[test]
fn a_disk_that_is_taken_away_is_an_error_of_its_reader_alone() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let folder = TempDir::new().unwrap();
    let busybox = Layer::of_busybox(&host, folder.path()).unwrap();
    let (first, second) = (large_layer(&host, &folder, 1), large_layer(&host, &folder, 2));
    let disks = vec![busybox.disk(), first.disk()];
    let mut guest = Guest::start(&host, "attacks-detached", |config| VmConfig { disks, ..config });
    let [base, disk] = guest.machine.disks().try_into().unwrap();
    let reader = guest.keep(0, &[(disk, &first), (base, &busybox)]).unwrap();
    let sibling = guest.keep(1, &[(base, &busybox)]).unwrap();
    let mut reading = guest.begin(&reader, READ_ON);
    thread::sleep(A_WHILE);
    assert!(!reading.is_over(), "the disk is there, and reads: {:?}", reading.end());

    guest.machine.detach_disk(disk).unwrap();
    let ran = reading.end().unwrap();
    assert!(ran.stdout.starts_with("reading") && ran.stderr.contains("Input/output error"), "{ran:?}");
    guest.assert_healthy();
    assert_eq!(guest.exec(&sibling, "echo here").unwrap().stdout, "here\n");
    // What was in memory may still be read; what comes from the disk is an error.
    let again = guest.exec(&reader, READ_ONCE).unwrap();
    assert!(again.stderr.contains("Input/output error"), "{again:?}");

    // In its place another layer is mounted, beside the one that has no disk any more.
    let disk = guest.machine.attach_disk(&second.disk()).unwrap();
    let script = "busybox cut -c 1 tree/large | busybox tr '\\002' 2";
    let ran = guest.run(1, &[(base, &busybox), (disk, &second)], script).unwrap();
    assert_eq!(ran.stdout.trim_end(), "2", "{ran:?}");
    guest.remove(&reader).unwrap();
    let ran = guest.run(1, &[(base, &busybox), (disk, &second)], script).unwrap();
    assert_eq!(ran.stdout.trim_end(), "2", "{ran:?}");
    guest.assert_healthy();
}

#[test]
fn a_disk_that_never_answers_holds_up_its_readers_alone() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let folder = TempDir::new().unwrap();
    let busybox = Layer::of_busybox(&host, folder.path()).unwrap();
    let (first, second) = (large_layer(&host, &folder, 1), large_layer(&host, &folder, 2));
    let disks = vec![busybox.disk(), first.disk(), second.disk()];
    let mut guest = Guest::start(&host, "attacks-frozen", |config| VmConfig { disks, ..config });
    let [base, frozen, other] = guest.machine.disks().try_into().unwrap();
    let reader = guest.keep(0, &[(frozen, &first), (base, &busybox)]).unwrap();
    let honest = guest.exec(&reader, READ_ONCE).unwrap();

    guest.machine.freeze_disk(frozen).unwrap();
    let mut reading = guest.begin(&reader, READ_ONCE);
    thread::sleep(A_WHILE);
    assert!(!reading.is_over(), "nothing was read: {:?}", reading.end());
    // The agent serves, and makes containers on other disks.
    guest.assert_healthy();
    assert_eq!(guest.exec(&reader, "echo here").unwrap().stdout, "here\n");
    let ran = guest.run(1, &[(base, &busybox), (other, &second)], "busybox wc -c tree/large").unwrap();
    assert_eq!(ran.stdout, format!("{LARGE_BYTES} tree/large\n"));
    assert!(!reading.is_over());

    guest.machine.thaw_disk(frozen).unwrap();
    assert_eq!(reading.end().unwrap().stdout, honest.stdout);
    guest.remove(&reader).unwrap();

    // A mount waits for a disk that is late, and the changes behind it wait too; what changes nothing is served.
    let layers = [(base, &busybox), (other, &second)];
    guest.machine.freeze_disk(other).unwrap();
    let mut mounting = guest.begin_run(0, &layers, "busybox wc -c tree/large");
    thread::sleep(A_WHILE);
    assert!(!mounting.is_over(), "nothing was mounted: {:?}", mounting.end());
    guest.assert_healthy();
    guest.machine.thaw_disk(other).unwrap();
    assert_eq!(mounting.end().unwrap().stdout, ran.stdout);

    // It does not wait for ever. The changes behind it are done then, but nothing more is asked of that disk.
    guest.machine.freeze_disk(other).unwrap();
    let mounting = guest.begin_run(0, &layers, "busybox true");
    let behind = guest.begin_run(2, &[(base, &busybox)], "echo here");
    let refused = mounting.end().unwrap_err();
    assert!(refused.message.contains("does not answer"), "{refused:?}");
    assert_eq!(behind.end().unwrap().stdout, "here\n");
    let refused = guest.run(0, &layers, "busybox true").unwrap_err();
    assert!(refused.message.contains("has not answered"), "{refused:?}");

    // When it answers, what was begun is undone, and it may come again.
    guest.machine.thaw_disk(other).unwrap();
    thread::sleep(A_WHILE);
    assert_eq!(guest.run(0, &layers, "busybox wc -c tree/large").unwrap().stdout, ran.stdout);
    guest.assert_healthy();
}
