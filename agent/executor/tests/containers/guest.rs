//! A guest for one test: an engine, a runtime, and a root file system made of busybox.

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use executor::container::{Container, CreateError, CreateOptions, ExecError, Process, create};
use executor::launcher::Launcher;
use policy_engine::authority::BootAuthority;
use policy_engine::request::linux::{IdMappings, LinuxSettings, ProcessSettings};
use policy_engine::request::{
    CapabilitySets, ContainerKind, ContainerMount, CreateContainer, DEFAULT_CAPABILITIES, ExecInContainer,
    ProcessSpec, Resources, ShutdownContainer, User,
};
use policy_engine::{ContainerId, Engine};
use rustix::mount::{MountPropagationFlags, mount_change};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 31] = [
    "cat", "chroot", "dd", "echo", "env", "false", "find", "grep", "head", "hostname", "id", "kill", "ln",
    "ls", "mkdir", "mknod", "mount", "nsenter", "ps", "pwd", "readlink", "sh", "sleep", "stat", "stty",
    "test", "touch", "true", "tty", "umount", "unshare",
];

/// A supplementary group of the agent's own.
const AGENTS_GROUP: u32 = 4711;

static LAUNCHER: OnceLock<Launcher> = OnceLock::new();
static LEAKED: OnceLock<fs::File> = OnceLock::new();

/// Why containers cannot be made here.
pub(crate) fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("this is not root".to_owned());
    }
    if !Path::new(BUSYBOX).exists() {
        return Some(format!("there is no {BUSYBOX}"));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    (!mounts.contains(" - cgroup2 ")).then(|| "no cgroup v2 file system is mounted".to_owned())
}

/// Starts the launcher, where nobody else's mounts come and go: tests compare what there is.
pub(crate) fn boot() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    let leaked = fs::File::open("/etc/passwd").unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    LEAKED.set(leaked).expect("the first");
    // A group that no container has.
    rustix::thread::set_thread_groups(&[rustix::process::Gid::from_raw(AGENTS_GROUP)]).unwrap();
    let authority = BootAuthority::take().expect("the first to ask");
    LAUNCHER.set(Launcher::start(&authority).expect("a launcher")).expect("the first launcher");
}

pub(crate) fn launcher() -> &'static Launcher {
    LAUNCHER.get().expect("booted")
}

/// A descriptor that was open when the launcher was forked, and that `execve` does not close.
pub(crate) fn leaked() -> &'static fs::File {
    LEAKED.get().expect("booted")
}

pub(crate) struct Guest {
    pub(crate) engine: Engine,
    pub(crate) runtime: Runtime,
    pub(crate) directory: TempDir,
}

/// A policy that allows everything, with or without access to streams.
pub(crate) fn policy(stdio: bool) -> String {
    format!(
        "package policy\napi_version := \"0.10.0\"\nframework_version := \"0.2.3\"\n\
         create_container := {{\"allowed\": true, \"env_list\": input.envList, \"allow_stdio_access\": {stdio}}}\n\
         exec_in_container := {{\"allowed\": true, \"env_list\": input.envList}}\n\
         signal_container_process := {{\"allowed\": true}}\nshutdown_container := {{\"allowed\": true}}\n\
         get_properties := {{\"allowed\": true}}\nlinux_settings := {{\"allowed\": true}}\n"
    )
}

impl Guest {
    pub(crate) fn new() -> Self {
        Self::with_stdio(true)
    }

    pub(crate) fn with_stdio(stdio: bool) -> Self {
        let directory = TempDir::new().unwrap();
        let root = directory.path().join("root");
        for name in ["bin", "etc", "proc", "sys", "dev", "tmp", "root", "home"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::copy(BUSYBOX, root.join("bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/home:/bin/sh\n")
            .unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_io().build().unwrap();
        Self { engine: Engine::load(policy(stdio).as_bytes()).unwrap(), runtime, directory }
    }

    /// The path of a file in the container's root.
    pub(crate) fn root(&self) -> std::path::PathBuf {
        self.directory.path().join("root")
    }

    pub(crate) fn request(&self, args: &[&str]) -> CreateContainer {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        CreateContainer {
            container_id: format!("test-{}-{number}", std::process::id()).parse().unwrap(),
            kind: ContainerKind::Workload,
            process: process(args),
            rootfs: self.root().to_str().unwrap().parse().unwrap(),
            readonly_rootfs: false,
            mounts: Vec::new(),
            privileged: false,
            hostname: Some("inside".parse().unwrap()),
            masked_paths: Vec::new(),
            readonly_paths: Vec::new(),
            resources: Resources::default(),
            seccomp: None,
            linux: LinuxSettings::default(),
            allow_stdio_access: false,
        }
    }

    pub(crate) fn options(&self) -> CreateOptions {
        let sources = self.directory.path().join("volumes");
        CreateOptions {
            bind_source_directories: vec![sources.to_str().unwrap().parse().unwrap()],
            ..CreateOptions::default()
        }
    }

    pub(crate) fn try_create(&self, request: CreateContainer) -> Result<Container, CreateError> {
        self.try_create_with(request, &self.options())
    }

    pub(crate) fn try_create_with(
        &self,
        request: CreateContainer,
        options: &CreateOptions,
    ) -> Result<Container, CreateError> {
        let _context = self.runtime.enter();
        let rootfs = fs::File::open(self.root()).unwrap();
        let permit = self.engine.decide(request).expect("allowed");
        create(launcher(), permit, rootfs.as_fd(), options)
    }

    pub(crate) fn create(&self, request: CreateContainer) -> Container {
        self.try_create(request).unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    pub(crate) fn start(&self, request: CreateContainer) -> Container {
        let container = self.create(request);
        container.start().unwrap_or_else(|error| panic!("{}", chain(&error)));
        container
    }

    /// Runs a container to its end: exit code, standard output, standard error.
    pub(crate) fn run(&self, request: CreateContainer) -> (i32, String, String) {
        let container = self.start(request);
        let result = self.finish(container.init());
        self.remove(container);
        result
    }

    /// Runs a shell script in a container of its own.
    pub(crate) fn script(&self, script: &str) -> (i32, String, String) {
        self.run(self.request(&["sh", "-c", script]))
    }

    /// Reads a process's streams to their ends and waits for it.
    pub(crate) fn finish(&self, process: &Process) -> (i32, String, String) {
        self.runtime.block_on(async {
            let (mut output, mut error) = (Vec::new(), Vec::new());
            loop {
                let chunk = process.read_stdout(4096).await.unwrap();
                if chunk.is_empty() {
                    break;
                }
                output.extend(chunk);
            }
            while let Ok(chunk) = process.read_stderr(4096).await {
                if chunk.is_empty() {
                    break;
                }
                error.extend(chunk);
            }
            let code = process.wait().await.get();
            (code, String::from_utf8(output).unwrap(), String::from_utf8(error).unwrap())
        })
    }

    pub(crate) fn exec(
        &self,
        container: &Container,
        id: &str,
        process: ProcessSpec,
    ) -> Result<Process, ExecError> {
        let _context = self.runtime.enter();
        let request =
            ExecInContainer { container_id: container.id().clone(), exec_id: id.parse().unwrap(), process };
        container.exec(launcher(), self.engine.decide(request).expect("allowed"))
    }

    pub(crate) fn remove(&self, container: Container) {
        let id: ContainerId = container.id().clone();
        let permit = self.engine.decide(ShutdownContainer { container_id: id }).expect("allowed");
        container.remove(permit).unwrap();
        assert!(!self.engine.is_poisoned());
    }

    /// Makes the source of a bind mount and returns its path.
    pub(crate) fn volume(&self, name: &str) -> String {
        let path = self.directory.path().join("volumes").join(name);
        fs::create_dir_all(&path).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

pub(crate) fn bind(source: &str, destination: &str, options: &[&str]) -> ContainerMount {
    ContainerMount {
        destination: destination.parse().unwrap(),
        source: source.to_owned(),
        fstype: "bind".to_owned(),
        options: options.iter().map(|&option| option.to_owned()).collect(),
        id_mappings: IdMappings::default(),
    }
}

pub(crate) fn process(args: &[&str]) -> ProcessSpec {
    let capabilities: Vec<String> = DEFAULT_CAPABILITIES.iter().map(|&name| name.to_owned()).collect();
    ProcessSpec {
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        env: vec!["PATH=/bin".to_owned()],
        cwd: "/".parse().unwrap(),
        user: User::default(),
        umask: 0o022,
        capabilities: CapabilitySets {
            bounding: capabilities.clone(),
            effective: capabilities.clone(),
            inheritable: Vec::new(),
            permitted: capabilities,
            ambient: Vec::new(),
        },
        no_new_privileges: true,
        rlimits: Vec::new(),
        terminal: None,
        oom_score_adj: None,
        settings: ProcessSettings::default(),
    }
}

/// Gives a process one capability more.
pub(crate) fn grant(process: &mut ProcessSpec, capability: &str) {
    let sets = &mut process.capabilities;
    for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
        set.push(capability.to_owned());
    }
}

/// The children of this process, by number and name.
pub(crate) fn children() -> Vec<(i32, String)> {
    let own = std::process::id().to_string();
    let names =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let child = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.split_once(") ")?;
        (rest.split(' ').nth(1)? == own).then(|| (pid, name.split_once('(').unwrap().1.to_owned()))
    };
    names.filter_map(|name| child(name.parse().ok()?)).collect()
}

/// The launchers, by number.
pub(crate) fn launchers() -> Vec<i32> {
    let launchers = children().into_iter().filter(|(pid, name)| name == "launcher" && !is_contained(*pid));
    launchers.map(|(pid, _)| pid).collect()
}

/// Whether a process has a number in a pid namespace besides ours: one of a container, also before its program.
fn is_contained(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_none_or(|numbers| numbers.split_whitespace().count() > 1)
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
