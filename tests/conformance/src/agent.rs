//! Finding or starting the agent under test.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use proto::kata::address::{ParseAddressError, ServerAddress};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::cgroup::Cgroup;
use crate::connection::Connection;

/// Address of an agent that runs already.
pub const ADDRESS_VARIABLE: &str = "AGENT_ADDRESS";
/// Path of the built agent. The emulated secure processor, which gives it the HOST_DATA that its policy is bound to,
/// is looked for beside it.
pub const BINARY_VARIABLE: &str = "CCE_AGENT_BIN";

/// How long a program may take to listen. The secure processor makes its keys at its first start.
const START_LIMIT: Duration = Duration::from_secs(120);
const START_POLL: Duration = Duration::from_millis(20);
/// Name of the emulated secure processor's program.
const PSP_PROGRAM: &str = "psp-emulator";
/// Name of the folder of its keys, which all tests share, beside the folder of the programs.
const PSP_KEYS: &str = "psp-keys";
/// Measurement of the guest that is none.
const MEASUREMENT_HEX_DIGITS: usize = 96;

/// What an agent of ours is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The policy, as Rego.
    pub policy: String,
    /// Further lines of the configuration file, in TOML.
    pub configuration: String,
}

/// Why there is no agent to test.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// Neither variable is set.
    #[error("neither {ADDRESS_VARIABLE} nor {BINARY_VARIABLE} is set")]
    NotNamed,
    /// Namespaces and mounts are root's.
    #[error("starting an agent needs root")]
    NotRoot,
    /// The address given is none.
    #[error("{ADDRESS_VARIABLE} is no address")]
    Address(#[from] ParseAddressError),
    /// Files for the agent could not be written.
    #[error("preparing the agent's files failed")]
    Prepare(#[source] io::Error),
    /// A program could not be started.
    #[error("starting the agent or its secure processor failed")]
    Start(#[source] io::Error),
    /// A program ended, or does not listen.
    #[error("the agent or its secure processor does not listen; they said: {log}")]
    Silent {
        /// What it wrote.
        log: String,
    },
}

impl Unavailable {
    /// Whether this machine was not asked to test an agent, or cannot; anything else is a failure.
    #[must_use]
    pub fn is_reason_to_skip(&self) -> bool {
        matches!(self, Self::NotNamed | Self::NotRoot)
    }
}

/// An agent; one that was started here ends with this value.
#[derive(Debug)]
pub struct AgentUnderTest {
    address: ServerAddress,
    started: Option<Started>,
}

/// The agent and the secure processor beside it, the latter first, and what ends after them.
#[derive(Debug)]
struct Started {
    programs: Vec<Child>,
    _cgroup: Option<Cgroup>,
    folder: TempDir,
}

impl AgentUnderTest {
    /// The agent at `AGENT_ADDRESS`; else one started from `CCE_AGENT_BIN` with this set-up.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(setup: &Setup) -> Result<Self, Unavailable> {
        if let Ok(address) = env::var(ADDRESS_VARIABLE) {
            return Ok(Self { address: address.parse()?, started: None });
        }
        let binary = env::var_os(BINARY_VARIABLE).ok_or(Unavailable::NotNamed)?;
        if !nix::unistd::geteuid().is_root() {
            return Err(Unavailable::NotRoot);
        }
        Self::start(Path::new(&binary), setup)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// What an agent started here has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.started.as_ref().map(Started::log).unwrap_or_default()
    }

    /// Process id of an agent started here, as this process sees it: what its mounts and descriptors are looked up by.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        // The program started last is `unshare`, whose one child became the agent.
        let parent = self.started.as_ref()?.programs.last()?.id();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    fn start(binary: &Path, setup: &Setup) -> Result<Self, Unavailable> {
        let folder = TempDir::new().map_err(Unavailable::Prepare)?;
        let files = Files::write(folder.path(), setup).map_err(Unavailable::Prepare)?;
        let name = folder.path().file_name().unwrap_or_default().to_string_lossy().replace('.', "");
        let cgroup = Cgroup::create(&format!("conformance-{name}")).map_err(Unavailable::Prepare)?;
        let agent = agent(binary, &files, cgroup.as_ref());
        let mut started = Started { programs: Vec::new(), _cgroup: cgroup, folder };
        for (mut command, socket) in
            [(psp(binary, &files, setup), &files.psp_socket), (agent, &files.agent_socket)]
        {
            let log = File::options().append(true).open(&files.log).map_err(Unavailable::Prepare)?;
            let errors = log.try_clone().map_err(Unavailable::Prepare)?;
            command.stdin(Stdio::null()).stdout(log).stderr(errors);
            let child = command.spawn().map_err(Unavailable::Start)?;
            started.programs.push(child);
            started.wait_for(socket)?;
        }
        Ok(Self { address: ServerAddress::UnixPath(files.agent_socket), started: Some(started) })
    }
}

/// What the programs read and write.
struct Files {
    configuration: PathBuf,
    log: PathBuf,
    agent_socket: PathBuf,
    psp_socket: PathBuf,
}

impl Files {
    fn write(folder: &Path, setup: &Setup) -> io::Result<Self> {
        let files = Self {
            configuration: folder.join("agent.toml"),
            log: folder.join("log"),
            agent_socket: folder.join("agent.sock"),
            psp_socket: folder.join("psp.sock"),
        };
        let policy = folder.join("policy.rego");
        fs::write(&policy, &setup.policy)?;
        File::create(&files.log)?;
        // Agents of several tests run at once: each takes a free port for what workloads ask.
        let text = format!(
            "server_addr = \"unix://{}\"\npolicy_file = \"{}\"\npsp = \"unix://{}\"\n\
             workload_api = \"127.0.0.1:0\"\n{}\n",
            files.agent_socket.display(),
            policy.display(),
            files.psp_socket.display(),
            setup.configuration
        );
        fs::write(&files.configuration, text)?;
        Ok(files)
    }
}

#[expect(clippy::disallowed_methods, reason = "tests start programs; only the guest must not")]
fn program(name: &Path) -> Command {
    Command::new(name)
}

/// The secure processor of a guest that was launched with the digest of this policy.
fn psp(agent: &Path, files: &Files, setup: &Setup) -> Command {
    let mut command = program(&agent.with_file_name(PSP_PROGRAM));
    command
        .arg("--keys")
        .arg(agent.with_file_name("..").join(PSP_KEYS))
        .arg("--listen")
        .arg(format!("unix://{}", files.psp_socket.display()))
        .args(["--host-data", &hex::encode(Sha256::digest(&setup.policy))])
        .args(["--measurement", &"0".repeat(MEASUREMENT_HEX_DIGITS)]);
    command
}

/// The agent in mount and process namespaces of its own, with a /run and a root of cgroups of its own: it mounts
/// there, and whatever it leaves behind ends with it.
fn agent(binary: &Path, files: &Files, cgroup: Option<&Cgroup>) -> Command {
    const SCRIPT: &str = r#"mount -t tmpfs tmpfs /run &&
        if [ $# = 3 ]; then mount --bind "$2" "$3"; fi &&
        exec "$0" --config "$1""#;
    let mut command = program(Path::new("unshare"));
    command.args([
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--propagation",
        "private",
        "--",
    ]);
    command.args(["sh", "-c", SCRIPT]).args([binary, &files.configuration]);
    if let Some(cgroup) = cgroup {
        command.args([&cgroup.path, &cgroup.mount_point]);
    }
    command
}

impl Started {
    /// Waits until the program started last listens.
    fn wait_for(&mut self, socket: &Path) -> Result<(), Unavailable> {
        let address = ServerAddress::UnixPath(socket.to_owned());
        let begin = Instant::now();
        while Connection::open(&address).is_err() {
            let ended = !matches!(self.programs.last_mut().map(Child::try_wait), Some(Ok(None)));
            if ended || begin.elapsed() > START_LIMIT {
                return Err(Unavailable::Silent { log: self.log() });
            }
            sleep(START_POLL);
        }
        Ok(())
    }

    fn log(&self) -> String {
        fs::read(self.folder.path().join("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        for program in self.programs.iter_mut().rev() {
            // `unshare` takes its namespaces down with it. A program that ended already is no fault here.
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}
