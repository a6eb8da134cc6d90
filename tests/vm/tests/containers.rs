//! Containers on the guest's own kernel: dm-verity, erofs, dm-crypt with integrity.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests stop at the first surprise, and start programs of the host"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use vm::{
    BLOCK_BYTES, BootFiles, Disk, Host, HostTool, Initdata, Layer, LayerFiles, PERMISSIVE_POLICY,
    VirtualMachine, VmConfig,
};

/// Found again in a disk's file when it was written in the clear.
const MARKER: &str = "the-workload-wrote-this-and-nobody-else-reads-it";

/// A guest and the host's side of it. It ends with this value.
struct Guest {
    machine: VirtualMachine,
    tool: HostTool,
}

impl Guest {
    fn start(host: &Host, name: &str, disks: Vec<Disk>) -> Self {
        let boot = BootFiles::in_folder(&host.image).unwrap();
        let config = VmConfig::new(name, boot, [0; 32])
            .with_initdata(Initdata::with_policy(PERMISSIVE_POLICY).unwrap());
        let machine = VirtualMachine::start(host, &VmConfig { disks, ..config }).unwrap();
        let tool = HostTool::new(host, &machine);
        Self { machine, tool }
    }

    /// `cce --json host ...` towards this guest.
    fn host(&self, args: &[&str]) -> Value {
        self.tool.call(args).unwrap()
    }

    /// Runs `script` in a container on the layer of disk number `disk`.
    fn run(&self, disk: usize, layer: &Layer, more: &[&str], script: &str) -> Value {
        self.run_program(disk, layer, more, &["/bin/busybox", "sh", "-c", script])
    }

    /// Runs a program with arguments in a container on the layer of disk number `disk`.
    fn run_program(&self, disk: usize, layer: &Layer, more: &[&str], program: &[&str]) -> Value {
        let id = format!("{:032x}{disk:032x}", program.concat().len());
        let (layer, number) = (layer.arguments(self.machine.disks()[disk]), disk.to_string());
        let mut args = vec!["run", "--id", &id, "--layer-first-number", &number];
        args.extend(layer.iter().map(String::as_str));
        args.extend(more);
        args.extend(program.iter().flat_map(|&arg| ["--arg", arg]));
        self.host(&args)
    }

    fn assert_healthy(&self) {
        assert_eq!(self.host(&["health"])["status"], "SERVING");
    }
}

/// A root file system with busybox.
fn root() -> LayerFiles {
    let files = LayerFiles::of_busybox().unwrap();
    files.with("etc/name", "a layer").with("bin/interpreted", "#!/proc/self/exe\n")
}

/// The same as an ext4 layer.
fn ext4_layer(host: &Host, folder: &Path) -> Layer {
    Layer::build(host, folder.join("ext4.img"), &root()).unwrap()
}

/// The same as an erofs layer, by the tools of others.
fn erofs_layer(folder: &Path) -> Layer {
    let (root_folder, image) = (folder.join("root"), folder.join("erofs.img"));
    root().write_below(&root_folder).unwrap();
    assert!(
        Command::new("mkfs.erofs").arg("--quiet").arg(&image).arg(&root_folder).status().unwrap().success()
    );
    let data = fs::read(&image).unwrap();
    let hash_offset_bytes = data.len().next_multiple_of(BLOCK_BYTES);
    fs::OpenOptions::new().write(true).open(&image).unwrap().set_len(hash_offset_bytes as u64).unwrap();
    let mut command = Command::new("veritysetup");
    let blocks = data.len().div_ceil(BLOCK_BYTES);
    command.arg("format").arg(&image).arg(&image).arg(format!("--hash-offset={hash_offset_bytes}"));
    let output = command.arg(format!("--data-blocks={blocks}")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let root_hash = text.lines().find_map(|line| line.strip_prefix("Root hash:")).unwrap().trim().to_owned();
    Layer { image, hash_offset_bytes, root_hash }
}

/// A copy of `image` with the bit at `offset` changed.
fn flipped(image: &Path, name: &str, offset: usize) -> PathBuf {
    let mut bytes = fs::read(image).unwrap();
    bytes[offset] ^= 1;
    let copy = image.with_file_name(name);
    fs::write(&copy, bytes).unwrap();
    copy
}

#[test]
fn every_block_of_a_layer_is_what_the_root_hash_says() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let folder = TempDir::new().unwrap();
    let layer = ext4_layer(&host, folder.path());
    let image = &layer.image;
    let name_at = fs::read(image).unwrap().windows(7).position(|bytes| bytes == b"a layer").unwrap();
    let disks = [
        image.clone(),
        flipped(image, "superblock.img", 1024 + 56),
        flipped(image, "content.img", name_at),
        flipped(image, "tree.img", layer.hash_offset_bytes + BLOCK_BYTES),
    ];
    let guest = Guest::start(&host, "containers-verity", disks.iter().map(Disk::read_only).collect());

    let honest = guest.run(0, &layer, &[], "busybox cat /etc/name");
    assert_eq!(
        (honest["exit_code"].as_i64(), honest["stdout"].as_str()),
        (Some(0), Some("a layer")),
        "{honest}"
    );
    let other = Layer { root_hash: "ab".repeat(32), ..layer.clone() };
    assert_eq!(guest.run(0, &other, &["--no-sandbox"], "true")["status"], "DATA_LOSS");
    let superblock = guest.run(1, &layer, &["--no-sandbox"], "busybox echo superblock");
    assert_eq!(superblock["status"], "DATA_LOSS", "{superblock}");
    let content = guest.run(2, &layer, &["--no-sandbox"], "busybox cat /etc/name; busybox echo -n end");
    assert_eq!(content["stdout"], "end", "wrong bytes reached a container: {content}");
    assert!(content["stderr"].as_str().unwrap().contains("Input/output error"), "{content}");
    let tree = guest.run(3, &layer, &["--no-sandbox"], "busybox cat /etc/name /etc/name");
    assert_ne!(tree["exit_code"].as_i64(), Some(0), "{tree}");
    guest.assert_healthy();
}

/// CVE-2019-5736: as an interpreter, `/proc/self/exe` is the agent's image, which executes from nowhere any more.
#[test]
fn the_agents_image_is_no_interpreter_in_a_container() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let folder = TempDir::new().unwrap();
    let layer = ext4_layer(&host, folder.path());
    let guest = Guest::start(&host, "containers-interpreter", vec![layer.disk()]);
    let refused = guest.run_program(0, &layer, &[], &["/bin/interpreted"]);
    let said = refused["message"].as_str().unwrap_or_else(|| panic!("the agent's image ran: {refused}"));
    assert!(said.contains("Permission denied"), "{refused}");
    // For a process that is a program already it is that program.
    let ran = guest.run(0, &layer, &["--no-sandbox"], "/bin/interpreted");
    assert_eq!(ran["stderr"].as_str(), Some("exe: applet not found\n"), "{ran}");
    guest.assert_healthy();
}

#[test]
fn erofs_layers_of_other_tools_are_mounted() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let folder = TempDir::new().unwrap();
    let layer = erofs_layer(folder.path());
    let guest = Guest::start(&host, "containers-erofs", vec![layer.disk()]);
    let erofs = ["--layer-fstype", "erofs", "--scratch", "tmpfs"];
    let ran = guest.run(0, &layer, &erofs, "busybox cat /etc/name; busybox touch /etc/new");
    assert_eq!((ran["exit_code"].as_i64(), ran["stdout"].as_str()), (Some(0), Some("a layer")), "{ran}");
    guest.assert_healthy();
}

/// What is on a disk, from outside.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    anything: bool,
    mark: bool,
}

impl Seen {
    fn on(disk: &Path) -> Self {
        let bytes = fs::read(disk).unwrap();
        Self {
            anything: bytes.iter().any(|byte| *byte != 0),
            mark: bytes.windows(MARKER.len()).any(|bytes| bytes == MARKER.as_bytes()),
        }
    }
}

/// A container writes a mark to scratch on a disk; what was on that disk while it ran, and what is afterwards.
fn mark_on_scratch(name: &str, more: &[&str]) -> Option<(Seen, Seen)> {
    let host = Host::for_test().unwrap()?;
    let folder = TempDir::new().unwrap();
    let layer = ext4_layer(&host, folder.path());
    let scratch = folder.path().join("scratch.img");
    fs::File::create(&scratch).unwrap().set_len(64 << 20).unwrap();
    let disks = vec![layer.disk(), Disk::read_write(&scratch)];
    let guest = Guest::start(&host, name, disks);
    let device = guest.machine.disks()[1].pci_path();
    let script =
        format!("busybox echo -n {MARKER} >/tmp/mark; busybox sync; busybox cat /tmp/mark; busybox sleep 20");
    let args: Vec<&str> = ["--scratch", &device].iter().chain(more).copied().collect();
    let mut during = Seen::default();
    let ran = std::thread::scope(|scope| {
        let run = scope.spawn(|| guest.run(0, &layer, &args, &script));
        while !run.is_finished() {
            let seen = Seen::on(&scratch);
            during = Seen { anything: during.anything || seen.anything, mark: during.mark || seen.mark };
        }
        run.join().unwrap()
    });
    assert_eq!((ran["exit_code"].as_i64(), ran["stdout"].as_str()), (Some(0), Some(MARKER)), "{ran}");
    guest.assert_healthy();
    Some((during, Seen::on(&scratch)))
}

/// The stack of devices is also checked by the agent, against the kernel's own tables: it would have refused another.
#[test]
fn scratch_on_a_disk_is_for_the_guest_alone() {
    let Some((during, after)) = mark_on_scratch("containers-scratch", &[]) else { return };
    assert_eq!(during, Seen { anything: true, mark: false }, "the disk holds plaintext, or nothing");
    assert!(!after.mark, "the disk holds plaintext afterwards");
}

/// The policy of these tests allows it.
#[test]
fn plain_scratch_is_plain() {
    let Some((during, _)) = mark_on_scratch("containers-plain", &["--scratch-plain"]) else { return };
    assert!(during.mark, "the mark did not reach the disk");
}

/// Every controller that the guest's kernel has is in version 2 there.
#[test]
fn limits_hold_in_the_guest() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let folder = TempDir::new().unwrap();
    let layer = ext4_layer(&host, folder.path());
    let guest = Guest::start(&host, "containers-limits", vec![layer.disk()]);
    let disk = guest.run(0, &layer, &[], "busybox cat /sys/block/vda/dev");
    let disk = disk["stdout"].as_str().unwrap().trim().to_owned();

    let rate = format!("{disk}=1048576");
    let mut limits = vec!["--no-sandbox", "--memory-limit", "33554432", "--pids-limit", "8"];
    limits.extend(["--cpu-quota", "50000", "--read-rate", &rate]);
    let files = "cd /sys/fs/cgroup; busybox cat memory.max pids.max cpu.max io.max";
    let files = guest.run(0, &layer, &limits, files);
    let expected = format!("33554432\n8\n50000 100000\n{disk} rbps=1048576 wbps=max riops=max wiops=max\n");
    assert_eq!(files["stdout"].as_str(), Some(expected.as_str()), "{files}");
    // Asked for, and given: what is beyond a limit is not.
    let script = "busybox dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null; echo memory $?; \
                  busybox mknod /dev/disk b $(busybox cat /sys/block/vda/dev | busybox tr : ' ') 2>/dev/null; echo disk $?; \
                  for n in 1 2 3 4 5 6 7 8 9; do busybox sleep 60 & done; echo forked";
    let beyond = guest.run(0, &layer, &limits, script);
    assert_eq!(beyond["stdout"].as_str(), Some("memory 137\ndisk 1\n"), "{beyond}");
    assert!(beyond["stderr"].as_str().unwrap().contains("fork"), "{beyond}");
    let lifted = ["--no-sandbox", "--memory-limit", "-1", "--pids-limit", "-1"];
    let lifted = guest.run(0, &layer, &lifted, "cd /sys/fs/cgroup; busybox cat pids.max memory.max; true");
    assert_eq!(lifted["stdout"].as_str(), Some("max\nmax\n"), "{lifted}");
    guest.assert_healthy();
}
