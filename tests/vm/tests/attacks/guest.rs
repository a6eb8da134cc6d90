//! A guest, and the host that attacks it.

use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use vm::{
    BootFiles, GuestDisk, Host, HostTool, Initdata, Layer, PERMISSIVE_POLICY, VirtualMachine, VmConfig,
};

/// A machine and the host's command line tool. It ends with this value.
pub(crate) struct Guest {
    pub(crate) machine: VirtualMachine,
    tool: HostTool,
    containers: u64,
}

/// A layer on a disk of the guest.
pub(crate) type Mounted<'a> = (GuestDisk, &'a Layer);

/// What a process in the guest did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What the guest answered to a request that it did not carry out.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: String,
    pub(crate) message: String,
}

impl Guest {
    /// Boots a machine of the usual size, as `adjust` changes it.
    pub(crate) fn start(host: &Host, name: &str, adjust: impl FnOnce(VmConfig) -> VmConfig) -> Self {
        let boot = BootFiles::in_folder(&host.image).unwrap();
        let config = VmConfig::new(name, boot, [0; 32])
            .with_initdata(Initdata::with_policy(PERMISSIVE_POLICY).unwrap());
        let machine = VirtualMachine::start(host, &adjust(config)).unwrap();
        let tool = HostTool::new(host, &machine);
        Self { machine, tool, containers: 0 }
    }

    /// `cce --json host ...` towards this guest.
    fn host(&self, args: &[&str]) -> Value {
        let output = self.command(args).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{args:?}: no JSON: {output:?}"))
    }

    fn command(&self, args: &[&str]) -> Command {
        self.tool.command(&[&["--timeout-ms", "300000"], args].concat())
    }

    /// Runs `script` to its end in a container on these layers, base first, with mount points from this number on.
    pub(crate) fn run(&mut self, first: usize, layers: &[Mounted<'_>], script: &str) -> Result<Ran, Refused> {
        let id = self.next_id();
        outcome(&self.container(&id, first, layers, &[], script))
    }

    /// Starts a container that stays, and returns its id.
    pub(crate) fn keep(&mut self, first: usize, layers: &[Mounted<'_>]) -> Result<String, Refused> {
        let id = self.next_id();
        let answer = self.container(&id, first, layers, &["--detach"], "busybox sleep 86400");
        if answer.get("status").is_some() { Err(refused(&answer)) } else { Ok(id) }
    }

    /// Runs `script` in a container that is there.
    pub(crate) fn exec(&self, id: &str, script: &str) -> Result<Ran, Refused> {
        outcome(&self.host(&["exec", "--id", id, "--", "/bin/busybox", "sh", "-c", script]))
    }

    /// Starts `script` in a container that is there, and goes on.
    pub(crate) fn begin(&self, id: &str, script: &str) -> Begun {
        self.begin_call(&["exec", "--id", id, "--", "/bin/busybox", "sh", "-c", script])
    }

    /// Starts to run `script` in a container on these layers, and goes on.
    pub(crate) fn begin_run(&mut self, first: usize, layers: &[Mounted<'_>], script: &str) -> Begun {
        let id = self.next_id();
        let args = self.run_arguments(&id, first, layers, &[], script);
        self.begin_call(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn begin_call(&self, args: &[&str]) -> Begun {
        let mut command = self.command(args);
        Begun(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Ends a container and removes it.
    pub(crate) fn remove(&self, id: &str) -> Result<(), Refused> {
        let answer = self.host(&["remove", "--id", id]);
        if answer["removed"] == true { Ok(()) } else { Err(refused(&answer)) }
    }

    pub(crate) fn assert_healthy(&self) {
        assert_eq!(self.host(&["health"])["status"], "SERVING");
    }

    /// Lines of the guest's console that the ext4 driver wrote.
    pub(crate) fn ext4_lines(&self) -> Vec<String> {
        let console = fs::read(self.machine.console_log()).unwrap();
        let console = String::from_utf8_lossy(&console);
        console.lines().filter(|line| line.contains("EXT4-fs")).map(str::to_owned).collect()
    }

    fn next_id(&mut self) -> String {
        self.containers += 1;
        format!("{:064x}", self.containers)
    }

    fn container(
        &self,
        id: &str,
        first: usize,
        layers: &[Mounted<'_>],
        more: &[&str],
        script: &str,
    ) -> Value {
        let args = self.run_arguments(id, first, layers, more, script);
        self.host(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn run_arguments(
        &self,
        id: &str,
        first: usize,
        layers: &[Mounted<'_>],
        more: &[&str],
        script: &str,
    ) -> Vec<String> {
        let first = first.to_string();
        let mut args = ["run", "--id", id, "--layer-first-number", &first].map(str::to_owned).to_vec();
        if self.containers > 1 {
            args.push("--no-sandbox".to_owned());
        }
        for (disk, layer) in layers {
            args.extend(layer.arguments(*disk));
        }
        args.extend(more.iter().map(|&arg| arg.to_owned()));
        args.extend(["/bin/busybox", "sh", "-c", script].map(|arg| format!("--arg={arg}")));
        args
    }
}

/// A call that is under way.
pub(crate) struct Begun(Child);

impl Begun {
    /// Whether there is an answer.
    pub(crate) fn is_over(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits for the answer.
    pub(crate) fn end(self) -> Result<Ran, Refused> {
        let output = self.0.wait_with_output().unwrap();
        outcome(&serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {output:?}")))
    }
}

fn outcome(answer: &Value) -> Result<Ran, Refused> {
    let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    if answer["exit_code"].is_null() {
        return Err(refused(answer));
    }
    Ok(Ran { stdout: text("stdout"), stderr: text("stderr") })
}

fn refused(answer: &Value) -> Refused {
    let text = |key: &str| answer[key].as_str().unwrap_or_else(|| panic!("no refusal: {answer}")).to_owned();
    Refused { status: text("status"), message: text("message") }
}
