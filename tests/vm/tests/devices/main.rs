//! Layers from every kind of disk: SCSI, persistent memory, partitions; ext4, erofs, squashfs; trees with and without
//! a superblock. And what a host can say of them that is not so.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "tests stop at the first surprise, and start programs of the host"
)]

mod images;
mod plugged;

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use images::{BLOCK_BYTES, Image};
use serde_json::Value;
use tempfile::TempDir;
use vm::{BootFiles, Disk, Host, HostTool, Initdata, MemoryBus, PersistentMemory, VirtualMachine, VmConfig};

/// Allows every layer but one, so that what stops the others is the guest.
const POLICY: &str = r#"package policy

import rego.v1

api_version := "0.10.0"
framework_version := "0.2.3"

default mount_device := {"allowed": false}
mount_device := {"allowed": true} if not startswith(input.deviceHash, "deadbeef")
unmount_device := {"allowed": true}
scratch_mount := {"allowed": true}
scratch_unmount := {"allowed": true}
mount_overlay := {"allowed": true}
unmount_overlay := {"allowed": true}
shutdown_container := {"allowed": true}
create_container := {
    "allowed": true,
    "env_list": input.envList,
    "caps_list": input.capabilities,
    "allow_stdio_access": true,
}
"#;
const SALT: &str = "5a17";
/// Linux takes persistent memory in pieces of 2 MiB.
const MODULE_MIB: u32 = 128;

/// A guest and the host's side of it. It ends with this value.
struct Guest {
    machine: VirtualMachine,
    tool: HostTool,
    runs: Cell<u32>,
}

impl Guest {
    fn start(host: &Host, name: &str, configure: impl FnOnce(VmConfig) -> VmConfig) -> Self {
        let boot = BootFiles::in_folder(&host.image).unwrap();
        let config = VmConfig::new(name, boot, [0; 32]).with_initdata(Initdata::with_policy(POLICY).unwrap());
        let machine = VirtualMachine::start(host, &configure(config)).unwrap();
        let tool = HostTool::new(host, &machine);
        Self { machine, tool, runs: Cell::new(0) }
    }

    /// `cce --json host ...` towards this guest.
    fn host(&self, args: &[&str]) -> Value {
        self.tool.call(args).unwrap()
    }

    /// Runs `script` in a container whose layers and scratch the arguments describe.
    fn run(&self, layer: &[&str], script: &str) -> Value {
        let run = self.runs.get();
        self.runs.set(run + 1);
        let (id, number) = (format!("{run:064x}"), run.to_string());
        let mut args = vec!["run", "--id", &id];
        if !layer.contains(&"--multi-layer") {
            args.extend(["--layer-first-number", &number]);
        }
        if run > 0 {
            args.push("--no-sandbox");
        }
        args.extend(layer);
        args.extend(["/bin/busybox", "sh", "-c", script].iter().flat_map(|arg| ["--arg", arg]));
        self.host(&args)
    }

    /// Runs a container that prints the layer's name, then what `script` prints.
    fn assert_runs(&self, layer: &[&str], script: &str, printed: &str) {
        let ran = self.run(layer, &format!("busybox cat /etc/name; {script}"));
        let expected = format!("a layer{printed}");
        let outcome = (ran["exit_code"].as_i64(), ran["stdout"].as_str());
        assert_eq!(outcome, (Some(0), Some(expected.as_str())), "{layer:?}: {ran}");
    }

    /// A layer that is not mounted, for a reason that the guest gives.
    fn assert_refused(&self, layer: &[&str], reason: &str) {
        let refused = self.run(layer, "true");
        let message = refused["message"].as_str().unwrap_or_default();
        assert!(message.contains(reason), "{layer:?}: {refused}");
    }

    fn assert_healthy(&self) {
        assert_eq!(self.host(&["health"])["status"], "SERVING");
    }
}

/// A file for persistent memory with this layer at its start.
fn memory_of(image: &Image, folder: &Path) -> PathBuf {
    let file = folder.join("memory.img");
    fs::copy(&image.file, &file).unwrap();
    let bytes = u64::from(MODULE_MIB) << 20;
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(bytes).unwrap();
    file
}

/// The arguments of a layer on `device`.
fn layer<'a>(device: &'a str, image: &'a Image, filesystem: &'a str) -> Vec<&'a str> {
    vec!["--layer-device", device, "--layer-root-hash", &image.root_hash, "--layer-fstype", filesystem]
}

fn with<'a>(layer: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [layer, more].concat()
}

#[test]
fn layers_come_from_every_kind_of_disk() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let folder = TempDir::new().unwrap();
    let ext4 = images::ext4(&host, folder.path());
    let erofs = images::erofs(folder.path());
    let squashfs = images::bare_squashfs(folder.path(), SALT);
    let table = folder.path().join("gpt.img");
    images::partitioned(&table, &[&ext4.file, &squashfs.file]);
    let module = memory_of(&ext4, folder.path());

    let guest = Guest::start(&host, "devices-kinds", |config| VmConfig {
        disks: vec![Disk::read_write(&table)],
        scsi_disks: vec![Disk::read_only(&erofs.file), Disk::read_write(&table)],
        persistent_memory: vec![PersistentMemory {
            bus: MemoryBus::Nvdimm,
            file: module,
            size_mib: MODULE_MIB,
        }],
        ..config
    });
    let pci_path = guest.machine.disks()[0].pci_path();

    // Found behind the file system, on a SCSI disk.
    guest.assert_runs(&layer("scsi:0:0", &erofs, "erofs"), "true", "");
    // On persistent memory that the host would let be written.
    let script = "busybox cat /sys/block/pmem0/ro; busybox grep -c dax /proc/mounts; true";
    guest.assert_runs(&layer("/dev/pmem0", &ext4, "ext4"), script, "1\n0\n");
    // In a partition, by a PCI path and by a node, writable disks both; without a superblock too.
    let (offset, data_bytes) = (squashfs.data_bytes.to_string(), ext4.data_bytes.to_string());
    let bare = ["--layer-hash-offset", &offset, "--layer-no-superblock", "--layer-salt", SALT];
    let second = layer(&pci_path, &squashfs, "squashfs");
    let second = with(&second, &["--layer-partition", "2"]);
    let script = "busybox cat /sys/class/block/vda/ro /sys/class/block/vda2/ro";
    guest.assert_runs(&with(&second, &bare), script, "1\n1\n");
    let at_offset = ["--layer-partition", "1", "--layer-hash-offset", &data_bytes];
    guest.assert_runs(&with(&layer("mmio:/dev/vda", &ext4, "ext4"), &at_offset), "true", "");
    let scsi_partition = layer("scsi:0:1", &ext4, "ext4");
    guest.assert_runs(&with(&scsi_partition, &["--layer-partition", "1"]), "true", "");

    // Another partition, none, another salt, another tree, another file system.
    guest.assert_refused(&with(&scsi_partition, &["--layer-partition", "2"]), "file system");
    guest.assert_refused(&with(&scsi_partition, &["--layer-partition", "3"]), "partition");
    guest.assert_refused(&layer("scsi:0:7", &erofs, "erofs"), "SCSI");
    let salt = format!("{SALT}00");
    let longer = ["--layer-hash-offset", &offset, "--layer-no-superblock", "--layer-salt", &salt];
    guest.assert_refused(&with(&second, &longer), "does not match the root hash");
    guest.assert_refused(&with(&second, &bare[..2]), "superblock");
    guest.assert_refused(&layer("/dev/pmem0", &erofs, "ext4"), "does not match the root hash");
    guest.assert_refused(&layer("/dev/pmem0", &ext4, "erofs"), "file system");
    let denied = Image { root_hash: "deadbeef".repeat(8), ..erofs };
    guest.assert_refused(&layer("scsi:0:0", &denied, "erofs"), "denied");
    guest.assert_healthy();
}

/// dm-verity itself accepts both: the root hash is over the top of the tree alone.
#[test]
fn a_tree_is_neither_cut_short_nor_mounted_itself() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let folder = TempDir::new().unwrap();
    let image = images::bare_squashfs(folder.path(), SALT);
    let data_blocks = image.data_bytes / BLOCK_BYTES;
    let tree = images::blocks(&image.file, data_blocks, u64::MAX / BLOCK_BYTES);
    let (shorter, levels) = (folder.path().join("shorter.img"), folder.path().join("levels.img"));
    let data = images::blocks(&image.file, 0, data_blocks - 1);
    fs::write(&shorter, [data, tree.clone()].concat()).unwrap();
    // The top of the tree as the only block of data, with a tree behind it that nobody reads.
    let top = &tree[..usize::try_from(BLOCK_BYTES).unwrap()];
    fs::write(&levels, [top, top].concat()).unwrap();

    let guest = Guest::start(&host, "devices-trees", |config| VmConfig {
        scsi_disks: [&image.file, &shorter, &levels].map(Disk::read_only).into(),
        ..config
    });
    let at = |device: &str, offset: u64| {
        let offset = offset.to_string();
        let bare = ["--layer-no-superblock", "--layer-salt", SALT, "--layer-hash-offset", &offset];
        with(&layer(device, &image, "squashfs"), &bare).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    guest.assert_runs(&borrowed(&at("scsi:0:0", image.data_bytes)), "true", "");
    guest.assert_refused(&borrowed(&at("scsi:0:1", image.data_bytes - BLOCK_BYTES)), "longer than");
    guest.assert_refused(&borrowed(&at("scsi:0:2", BLOCK_BYTES)), "no usable file system");
    guest.assert_healthy();
}

fn borrowed(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}
