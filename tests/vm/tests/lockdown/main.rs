//! The guest's kernel takes nothing more after boot: seen, and tried, from inside a container.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests stop at the first surprise"
)]

mod program;
mod vsock;

use std::fs;
use std::io::Read as _;
use std::thread::sleep;
use std::time::Duration;

use lzma_rust2::XzReader;
use program::system_call;
use serde_json::Value;
use tempfile::TempDir;
use vm::{
    BootFiles, Host, HostTool, Initdata, Layer, LayerFiles, PERMISSIVE_POLICY, VirtualMachine, VmConfig,
};

/// What each setting is after boot. `net/core/bpf_jit_harden` shows in the guest's own network namespace only: that it
/// took is what the agent's boot depends on.
const SETTINGS: &str = "\
kernel/modprobe=
kernel/poweroff_cmd=
kernel/core_pattern=core
kernel/usermodehelper/bset=0\t0
kernel/usermodehelper/inheritable=0\t0
kernel/modules_disabled=1
kernel/kexec_load_disabled=1
kernel/sysrq=0
kernel/kptr_restrict=2
kernel/dmesg_restrict=1
kernel/unprivileged_bpf_disabled=1
kernel/perf_event_paranoid=3
kernel/io_uring_disabled=2
vm/unprivileged_userfaultfd=0
kernel/unprivileged_userns_clone=0
vm/mmap_min_addr=65536
fs/protected_symlinks=1
fs/protected_hardlinks=1
fs/protected_fifos=1
fs/protected_regular=1
fs/leases-enable=0
fs/suid_dumpable=0
";

/// What is never given back, and a value that would give it back.
const FOR_GOOD: [(&str, &str); 4] = [
    ("kernel/modules_disabled", "0"),
    ("kernel/kexec_load_disabled", "0"),
    ("kernel/unprivileged_bpf_disabled", "0"),
    ("kernel/usermodehelper/bset", "4294967295 511"),
];

/// Capabilities with which a container reaches the kernel's doors.
const CAPABILITIES: [&str; 9] = [
    "CAP_SYS_ADMIN",
    "CAP_SYS_MODULE",
    "CAP_SYS_BOOT",
    "CAP_SYS_RAWIO",
    "CAP_SYS_PTRACE",
    "CAP_SYSLOG",
    "CAP_NET_ADMIN",
    "CAP_BPF",
    "CAP_DAC_READ_SEARCH",
];

/// System calls by number (x86-64), each tried with zeros for arguments: refused before arguments are looked at.
const SYSTEM_CALLS: [(&str, u32); 5] = [
    ("init_module", 175),
    ("finit_module", 313),
    ("kexec_load", 246),
    ("kexec_file_load", 320),
    ("io_uring_setup", 425),
];
const EPERM: u8 = 1;

struct Guest {
    machine: VirtualMachine,
    tool: HostTool,
    layer: Layer,
    containers: u8,
}

impl Guest {
    /// A guest with a layer of busybox and these files.
    fn start(host: &Host, name: &str, files: LayerFiles) -> Self {
        let folder = TempDir::new().unwrap();
        let layer = Layer::build(host, folder.path().join("layer.img"), &files.with("mnt/", "")).unwrap();
        let boot = BootFiles::in_folder(&host.image).unwrap();
        let config = VmConfig::new(name, boot, [0; 32])
            .with_initdata(Initdata::with_policy(PERMISSIVE_POLICY).unwrap());
        let config = VmConfig { disks: vec![layer.disk()], ..config };
        let machine = VirtualMachine::start(host, &config).unwrap();
        let tool = HostTool::new(host, &machine);
        Self { machine, tool, layer, containers: 0 }
    }

    fn host(&self, args: &[&str]) -> Value {
        self.tool.call(args).unwrap()
    }

    /// Runs `script` in a container with these capabilities besides the usual ones; its standard output.
    fn run(&mut self, capabilities: &[&str], script: &str) -> String {
        let id = format!("{:064x}", self.containers);
        let layer = self.layer.arguments(self.machine.disks()[0]);
        let mut args = vec!["run", "--id", &id];
        args.extend(layer.iter().map(String::as_str));
        args.extend(capabilities.iter().flat_map(|&capability| ["--capability", capability]));
        args.extend((self.containers > 0).then_some("--no-sandbox"));
        args.extend(["/bin/busybox", "sh", "-c", script].iter().flat_map(|&arg| ["--arg", arg]));
        let ran = self.host(&args);
        self.containers += 1;
        ran["stdout"].as_str().unwrap_or_else(|| panic!("the container did not run: {ran}")).to_owned()
    }

    /// The agent's last line of a boot may come after the first connection.
    fn console_when_ready(&self) -> String {
        for _ in 0..100 {
            let console = self.console();
            if console.contains("after the kernel's start") && console.ends_with('\n') {
                return console;
            }
            sleep(Duration::from_millis(100));
        }
        panic!("the guest does not say that it is ready: {}", self.console())
    }

    fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.machine.console_log()).unwrap()).into_owned()
    }
}

/// A module of the image's kernel, signed by Debian, that is not in the image.
fn signed_module(host: &Host) -> Vec<u8> {
    let kernels = fs::read_dir(host.target.join("guest-image/kernel")).unwrap();
    let package = kernels.map(|entry| entry.unwrap().path()).find(|path| path.join("boot").is_dir()).unwrap();
    let release = fs::read_dir(package.join("lib/modules")).unwrap().next().unwrap().unwrap();
    let packed = fs::File::open(release.path().join("kernel/drivers/net/dummy.ko.xz")).unwrap();
    let mut module = Vec::new();
    XzReader::new(packed, false).read_to_end(&mut module).unwrap();
    assert!(module.ends_with(b"~Module signature appended~\n"));
    module
}

#[test]
fn the_kernel_is_locked_down_when_containers_run() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let files = LayerFiles::of_busybox().unwrap().with("dummy.ko", signed_module(&host));
    let files = SYSTEM_CALLS
        .into_iter()
        .fold(files, |files, (name, number)| files.with(format!("bin/{name}"), system_call(number)));
    // A program of the same kind that the kernel lets through: it answers 0 to root.
    let mut guest = Guest::start(&host, "lockdown", files.with("bin/getuid", system_call(102)));

    let listing: Vec<_> = SETTINGS.lines().map(|line| line.split_once('=').unwrap().0).collect();
    let script =
        format!("cd /proc/sys; for s in {}; do echo \"$s=$(busybox cat $s)\"; done", listing.join(" "));
    assert_eq!(guest.run(&[], &script), SETTINGS);

    // A procfs of its own, where nothing is masked or read-only.
    let settings: String = FOR_GOOD
        .iter()
        .map(|(setting, value)| {
            format!("echo '{value}' >sys/{setting}; echo \"{setting}=$(busybox cat sys/{setting})\"\n")
        })
        .collect();
    let script = format!("busybox mount -t proc proc /mnt && cd /mnt && {settings}");
    let kept = "kernel/modules_disabled=1\nkernel/kexec_load_disabled=1\nkernel/unprivileged_bpf_disabled=1\n\
                kernel/usermodehelper/bset=0\t0\n";
    assert_eq!(guest.run(&CAPABILITIES, &script), kept);

    let script = "busybox mount -t securityfs none /mnt && cd /mnt && (echo none >lockdown) 2>/dev/null; \
                  busybox cat lockdown";
    assert_eq!(guest.run(&CAPABILITIES, script), "none integrity [confidentiality]\n");

    let calls: String =
        SYSTEM_CALLS.iter().map(|(name, _)| format!("/bin/{name}; echo {name} $?\n")).collect();
    let refused: String = SYSTEM_CALLS.iter().map(|(name, _)| format!("{name} {EPERM}\n")).collect();
    assert_eq!(guest.run(&CAPABILITIES, &calls), refused);
    assert_eq!(guest.run(&CAPABILITIES, "/bin/getuid; echo $?"), "0\n");

    let tried = guest.run(
        &CAPABILITIES,
        "busybox insmod /dummy.ko 2>/dev/null; echo module $?\n\
         busybox mount -t debugfs none /mnt && (: >>/mnt/clear_warn_once) 2>/dev/null; echo debugfs $?\n\
         busybox umount /mnt\n\
         busybox mount -t tracefs none /mnt 2>/dev/null; echo tracefs $?\n\
         (echo b >/proc/sysrq-trigger) 2>/dev/null; echo sysrq $?\n\
         for device in 'mem 1 1' 'port 1 4' 'kmsg 1 11' 'ttyS0 4 64'; do set -- $device\n\
         busybox mknod /dev/try-$1 c $2 $3; (: </dev/try-$1) 2>/dev/null; echo $1 $?; done\n\
         busybox mount -t proc proc /mnt\n\
         busybox dd if=/mnt/kcore of=/dev/null bs=1 count=1 2>/dev/null; echo kcore $?\n",
    );
    let closed = ["module", "debugfs", "tracefs", "sysrq", "mem", "port", "kmsg", "ttyS0", "kcore"];
    for (line, door) in tried.lines().zip(closed) {
        let (name, code) = line.split_once(' ').unwrap();
        assert_eq!(name, door, "{tried}");
        assert!(["1", "255"].contains(&code), "{name} is open: {tried}");
    }
    assert_eq!(tried.lines().count(), closed.len(), "{tried}");

    let tried =
        guest.run(&[], "busybox unshare -U true 2>/dev/null; echo $?; busybox dmesg 2>/dev/null; echo $?");
    assert_eq!(tried, "1\n1\n");
    assert_eq!(guest.host(&["health"])["status"], "SERVING");
}

#[test]
fn what_the_host_types_goes_nowhere() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let mut guest = Guest::start(&host, "lockdown-console", LayerFiles::of_busybox().unwrap());
    let before = guest.console_when_ready();
    // Words, the characters that interrupt, stop and end what a terminal runs, and more than a terminal keeps.
    guest.machine.type_on_console(b"\rtyped-by-the-host\r\n\x03\x1c\x1a\x04").unwrap();
    guest.machine.type_on_console(&vec![b'x'; 8192]).unwrap();
    // The keyboard's ways to print registers, memory and tasks, to ask for SysRq, and to restart.
    for keys in [
        ["alt_r", "scroll_lock", ""],
        ["shift", "scroll_lock", ""],
        ["ctrl", "scroll_lock", ""],
        ["alt", "sysrq", "t"],
        ["ctrl", "alt", "delete"],
    ] {
        let keys: Vec<_> = keys.into_iter().filter(|key| !key.is_empty()).collect();
        guest.machine.press_keys(&keys).unwrap();
        // A key is pressed for a tenth of a second.
        sleep(Duration::from_millis(200));
    }
    assert_eq!(guest.run(&[], "echo ran"), "ran\n");
    assert_eq!(guest.host(&["health"])["status"], "SERVING");
    assert_eq!(guest.console(), before, "the console says more than before");
}
