//! Other runtimes, by their commands.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use policy_engine::request::DEFAULT_CAPABILITIES;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cgroups;
use crate::commands::Commands;
use crate::guest::Guest;

/// How often a runtime may fail before it is not asked any more.
const FAILURES_MAX: u32 = 3;

/// A runtime that is installed here.
pub(crate) struct Peer {
    name: &'static str,
    commands: Commands,
    /// Its state and its two bundles.
    directory: TempDir,
    runs: Cell<u32>,
    failed: Cell<u32>,
}

/// A container of a peer's that runs.
pub(crate) struct Running<'a> {
    peer: &'a Peer,
    id: String,
}

impl Peer {
    /// Those that run a container here; `remarks` says why others do not, and what is special.
    pub(crate) fn all(guest: &Guest, remarks: &mut Vec<String>) -> Vec<Self> {
        let hybrid = cgroups::is_hybrid();
        let mut peers = Vec::new();
        for name in ["crun", "runc", "youki"] {
            let peer = Self {
                name,
                // It refuses to see both.
                commands: Commands::new(hybrid && name == "crun"),
                directory: TempDir::new().unwrap(),
                runs: Cell::default(),
                failed: Cell::default(),
            };
            peer.write_bundle("true", &bundle(guest, &["/bin/true"], hybrid));
            peer.write_bundle("sleep", &bundle(guest, &["sleep", "600"], hybrid));
            match peer.try_run() {
                Ok(_) => peers.push(peer),
                Err(error) => remarks.push(format!("{name} is not measured: {error}")),
            }
        }
        if !hybrid {
            remarks.push("the peers filter no devices, ours do".to_owned());
        }
        peers
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// How often it failed or hung.
    pub(crate) fn failures(&self) -> Option<String> {
        let failed = self.failed.get();
        (failed > 0).then(|| format!("{} failed or hung {failed} times", self.name))
    }

    /// Runs a container; the milliseconds of the command, unless that fails.
    pub(crate) fn run(&self) -> Option<f64> {
        self.count(|| self.try_run())
    }

    /// Runs `count` containers at once; the milliseconds until all commands have ended, unless one fails.
    pub(crate) fn run_at_once(&self, count: usize) -> Option<f64> {
        self.count(|| self.commands.run((0..count).map(|_| self.run_arguments()).collect()))
    }

    /// Counts a failure. One that fails again and again is not asked any more: each may have hung for long.
    fn count(&self, run: impl FnOnce() -> Result<f64, String>) -> Option<f64> {
        if self.failed.get() >= FAILURES_MAX {
            return None;
        }
        run().inspect_err(|_| self.failed.set(self.failed.get() + 1)).ok()
    }

    /// Starts a container that runs on.
    pub(crate) fn start(&self) -> Option<Running<'_>> {
        let id = self.next_id();
        self.call(&["run", "--detach", "--bundle", &self.path("sleep"), &id]).ok()?;
        Some(Running { peer: self, id })
    }

    fn try_run(&self) -> Result<f64, String> {
        let arguments = self.run_arguments();
        let id = arguments.last().unwrap().clone();
        // What failed may be left behind.
        self.commands.run(vec![arguments]).inspect_err(|_| drop(self.call(&["delete", "--force", &id])))
    }

    fn call(&self, arguments: &[&str]) -> Result<f64, String> {
        let mut call = self.command();
        call.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self.commands.run(vec![call])
    }

    fn run_arguments(&self) -> Vec<String> {
        let mut call = self.command();
        call.extend(["run".to_owned(), "--bundle".to_owned(), self.path("true"), self.next_id()]);
        call
    }

    fn command(&self) -> Vec<String> {
        vec![self.name.to_owned(), "--root".to_owned(), self.path("state")]
    }

    fn next_id(&self) -> String {
        self.runs.set(self.runs.get() + 1);
        format!("bench-{}-{}", std::process::id(), self.runs.get())
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn write_bundle(&self, name: &str, config: &Value) {
        let directory = PathBuf::from(self.path(name));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("config.json"), config.to_string()).unwrap();
    }
}

impl Running<'_> {
    /// Executes a process; the milliseconds of the command, unless that fails.
    pub(crate) fn execute(&self) -> Option<f64> {
        self.peer.count(|| self.peer.call(&["exec", &self.id, "/bin/true"]))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.peer.call(&["delete", "--force", &self.id]);
    }
}

/// The configuration of a container that is as ours are. Where version 1 of cgroups does not filter devices, that is a
/// matter of eBPF, for which these runtimes need the right to lock any amount of memory: rare, and left out.
fn bundle(guest: &Guest, args: &[&str], device_filter: bool) -> Value {
    let namespaces = ["pid", "ipc", "uts", "mount", "cgroup"].map(|kind| json!({ "type": kind }));
    let mount = |destination: &str, kind: &str, options: &str| {
        let options: Vec<&str> = options.split(',').collect();
        json!({ "destination": destination, "type": kind, "source": kind, "options": options })
    };
    let devices: &[Value] = &[json!({ "allow": false, "access": "rwm" })];
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": args,
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": DEFAULT_CAPABILITIES,
                "effective": DEFAULT_CAPABILITIES,
                "permitted": DEFAULT_CAPABILITIES,
            },
            "noNewPrivileges": true,
        },
        "root": { "path": guest.root(), "readonly": false },
        "hostname": "inside",
        "mounts": [
            mount("/proc", "proc", "nosuid,noexec,nodev"),
            mount("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
            mount("/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
            mount("/dev/shm", "tmpfs", "nosuid,noexec,nodev,mode=1777,size=65536k"),
            mount("/dev/mqueue", "mqueue", "nosuid,noexec,nodev"),
            mount("/sys", "sysfs", "nosuid,noexec,nodev,ro"),
            mount("/sys/fs/cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
        ],
        "linux": {
            "namespaces": namespaces,
            "resources": { "devices": if device_filter { devices } else { &[] } },
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
                "/sys/devices/virtual/powercap", "/sys/firmware",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
