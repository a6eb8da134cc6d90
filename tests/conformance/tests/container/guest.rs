//! A guest with disks, and the calls of a host that is honest.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use conformance::agent::{ADDRESS_VARIABLE, AgentUnderTest, BINARY_VARIABLE, Setup};
use conformance::connection::{self, Answer};
use proto::kata::Empty;
use proto::kata::agent::{
    CreateContainerRequest, CreateSandboxRequest, ReadStreamRequest, ReadStreamResponse,
    RemoveContainerRequest, SignalProcessRequest, StartContainerRequest, WaitProcessRequest,
    WaitProcessResponse, WriteStreamRequest, WriteStreamResponse,
};
use protobuf::Message;
use tempfile::TempDir;
use ttrpc::Code;

use crate::disks::{Cce, Layer, Policy};
use crate::image;

/// Path of the built `cce`; beside the agent if it is not set.
const CCE_VARIABLE: &str = "CCE_BIN";
const SERVICE: &str = "grpc.AgentService";
/// The sandbox of every test.
pub(crate) const SANDBOX: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
/// How long what ends in the background may take to be gone.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);
const SETTLE_POLL: Duration = Duration::from_millis(50);

/// A refusal.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    pub(crate) message: String,
}

/// An agent under test with the disks that its host attached. Fields end in this order.
pub(crate) struct Guest {
    pub(crate) agent: AgentUnderTest,
    /// Base first.
    pub(crate) layers: Vec<Layer>,
    pub(crate) command: Vec<String>,
    pub(crate) policy: String,
    pub(crate) folder: TempDir,
}

impl Guest {
    /// Starts a guest without a sandbox; `None`, except in CI, where a test has to be skipped.
    pub(crate) fn without_sandbox(policy: &Policy) -> Option<Self> {
        Self::configured(policy, |_| String::new())
    }

    /// The same with further lines of the configuration file, made when the folder of the guest is there.
    pub(crate) fn configured(policy: &Policy, lines: impl FnOnce(&Path) -> String) -> Option<Self> {
        match Self::start(policy, lines) {
            Ok(guest) => Some(guest),
            Err(reason) if env::var_os("CI").is_none() => {
                println!("skipped: {reason}");
                None
            }
            Err(reason) => panic!("{reason}"),
        }
    }

    /// Starts a guest with a sandbox.
    pub(crate) fn new(policy: &Policy) -> Option<Self> {
        let guest = Self::without_sandbox(policy)?;
        guest.create_sandbox(SANDBOX).unwrap();
        Some(guest)
    }

    /// The error is a reason to skip; anything else panics.
    fn start(policy: &Policy, lines: impl FnOnce(&Path) -> String) -> Result<Self, String> {
        if env::var_os(ADDRESS_VARIABLE).is_some() {
            return Err(format!("{ADDRESS_VARIABLE} names an agent that has a policy already"));
        }
        let agent = env::var_os(BINARY_VARIABLE).ok_or_else(|| format!("{BINARY_VARIABLE} is not set"))?;
        let cce =
            env::var_os(CCE_VARIABLE).map_or_else(|| Path::new(&agent).with_file_name("cce"), PathBuf::from);
        for (file, what) in
            [(Path::new(image::BUSYBOX), "Debian's busybox-static"), (&cce, "the built `cce`")]
        {
            if !file.is_file() {
                return Err(format!("{what} is missing at {}", file.display()));
            }
        }
        if !nix::unistd::geteuid().is_root() {
            return Err("starting an agent and attaching disks needs root".to_owned());
        }
        let folder = TempDir::new().unwrap();
        let image = image::write(folder.path());
        let cce = Cce(cce);
        let text = cce.create_policy(&image, folder.path(), policy);
        let setup = Setup { policy: text.clone(), configuration: lines(folder.path()) };
        let agent = AgentUnderTest::find(&setup).unwrap_or_else(|error| panic!("{error}: {error:?}"));
        let layers = cce.build_layers(&image, &folder.path().join("layers"));
        Ok(Self { agent, layers, command: policy.command.clone(), policy: text, folder })
    }

    /// Calls a method.
    pub(crate) fn call<R: Message>(&self, method: &str, request: &impl Message) -> Result<R, Refused> {
        let request = connection::request(SERVICE, method, &request.write_to_bytes().unwrap());
        let answer = connection::call(self.agent.address(), &request);
        let Answer { code, message, payload } = answer
            .unwrap_or_else(|error| panic!("{method}: {error:?}\nthe agent said: {}", self.agent.log()));
        if code == Code::OK {
            Ok(R::parse_from_bytes(&payload).unwrap())
        } else {
            Err(Refused { code, message })
        }
    }

    /// Calls a method with an empty response.
    pub(crate) fn order(&self, method: &str, request: &impl Message) -> Result<(), Refused> {
        self.call::<Empty>(method, request).map(|_| ())
    }

    pub(crate) fn create_sandbox(&self, id: &str) -> Result<(), Refused> {
        self.order("CreateSandbox", &CreateSandboxRequest { sandbox_id: id.to_owned(), ..Default::default() })
    }

    pub(crate) fn create(&self, request: &CreateContainerRequest) -> Result<(), Refused> {
        self.order("CreateContainer", request)
    }

    pub(crate) fn start_container(&self, id: &str) -> Result<(), Refused> {
        let request = StartContainerRequest { container_id: id.to_owned(), ..Default::default() };
        self.order("StartContainer", &request)
    }

    /// Creates and starts the policy's container.
    pub(crate) fn launch(&self, id: &str) {
        self.launch_as(&self.container(id));
    }

    /// Creates and starts a container.
    pub(crate) fn launch_as(&self, request: &CreateContainerRequest) {
        self.create(request).unwrap();
        self.start_container(&request.container_id).unwrap();
    }

    pub(crate) fn exec(&self, id: &str, exec_id: &str, command: &[&str]) -> Result<(), Refused> {
        self.order("ExecProcess", &self.exec_request(id, exec_id, command))
    }

    pub(crate) fn remove(&self, id: &str) -> Result<(), Refused> {
        let request = RemoveContainerRequest { container_id: id.to_owned(), ..Default::default() };
        self.order("RemoveContainer", &request)
    }

    pub(crate) fn signal(&self, id: &str, exec_id: &str, signal: u32) -> Result<(), Refused> {
        let (container_id, exec_id) = (id.to_owned(), exec_id.to_owned());
        self.order(
            "SignalProcess",
            &SignalProcessRequest { container_id, exec_id, signal, ..Default::default() },
        )
    }

    /// The exit code of a process, once it ended.
    pub(crate) fn wait(&self, id: &str, exec_id: &str) -> Result<i32, Refused> {
        let (container_id, exec_id) = (id.to_owned(), exec_id.to_owned());
        let request = WaitProcessRequest { container_id, exec_id, ..Default::default() };
        self.call::<WaitProcessResponse>("WaitProcess", &request).map(|response| response.status)
    }

    /// One piece of an output: `ReadStdout` or `ReadStderr`. Empty at its end.
    pub(crate) fn read(&self, method: &str, id: &str, exec_id: &str) -> Result<Vec<u8>, Refused> {
        let (container_id, exec_id) = (id.to_owned(), exec_id.to_owned());
        let request = ReadStreamRequest { container_id, exec_id, len: 4096, ..Default::default() };
        self.call::<ReadStreamResponse>(method, &request).map(|response| response.data)
    }

    /// All of an output, as text.
    pub(crate) fn read_to_end(&self, method: &str, id: &str, exec_id: &str) -> String {
        let mut all = Vec::new();
        loop {
            let piece = self.read(method, id, exec_id).unwrap();
            if piece.is_empty() {
                return String::from_utf8(all).unwrap();
            }
            all.extend_from_slice(&piece);
        }
    }

    pub(crate) fn write(&self, id: &str, exec_id: &str, data: &[u8]) -> Result<u32, Refused> {
        let (container_id, exec_id) = (id.to_owned(), exec_id.to_owned());
        let request = WriteStreamRequest { container_id, exec_id, data: data.to_vec(), ..Default::default() };
        self.call::<WriteStreamResponse>("WriteStdin", &request).map(|response| response.len)
    }

    /// Runs a process of the policy in a container and returns its output; it must succeed.
    pub(crate) fn output_of(&self, id: &str, exec_id: &str, command: &[&str]) -> String {
        self.exec(id, exec_id, command).unwrap();
        let output = self.read_to_end("ReadStdout", id, exec_id);
        let errors = self.read_to_end("ReadStderr", id, exec_id);
        assert_eq!((self.wait(id, exec_id).unwrap(), errors.as_str()), (0, ""), "{command:?}: {output}");
        output
    }

    /// Runs the policy's container to its end and removes it; it must succeed. Returns its output.
    pub(crate) fn run(&self, id: &str) -> String {
        self.launch(id);
        let output = self.read_to_end("ReadStdout", id, "");
        let errors = self.read_to_end("ReadStderr", id, "");
        assert_eq!((self.wait(id, "").unwrap(), errors.as_str()), (0, ""), "{output}");
        self.remove(id).unwrap();
        output
    }

    /// What is mounted where the agent lives.
    pub(crate) fn mount_points(&self) -> Vec<String> {
        let table = fs::read_to_string(self.proc_path("mountinfo")).unwrap();
        table.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect()
    }

    /// What there is where the agent makes directories to mount on, also what is mounted.
    pub(crate) fn made_directories(&self) -> Vec<PathBuf> {
        let root = self.proc_path("root");
        let mut directories: Vec<_> =
            ["run/kata-containers", "run/gcs"].into_iter().map(|place| root.join(place)).collect();
        let mut made = Vec::new();
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten() {
                directories.push(entry.unwrap().path());
                made.extend(directories.last().cloned());
            }
        }
        made.sort();
        made
    }

    /// The line of the mount at `point` where the agent lives.
    pub(crate) fn mount_of(&self, point: &str) -> Option<String> {
        let table = fs::read_to_string(self.proc_path("mountinfo")).unwrap();
        table.lines().find(|line| line.split(' ').nth(4) == Some(point)).map(str::to_owned)
    }

    /// Memory of the agent that is its own and in RAM, in KiB.
    pub(crate) fn anonymous_kib(&self) -> u64 {
        let status = fs::read_to_string(self.proc_path("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The number of descriptors that the agent has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(self.proc_path("fd")).unwrap().count()
    }

    /// Whether `condition` comes true: the agent notices a little later that its host hung up.
    pub(crate) fn settles(condition: impl Fn() -> bool) -> bool {
        let begin = Instant::now();
        while !condition() {
            if begin.elapsed() > SETTLE_LIMIT {
                return false;
            }
            sleep(SETTLE_POLL);
        }
        true
    }

    fn proc_path(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.agent.process_id().unwrap().to_string()).join(file)
    }
}

/// An id as containerd makes them.
pub(crate) fn id(number: u8) -> String {
    format!("{number:02x}").repeat(32)
}
