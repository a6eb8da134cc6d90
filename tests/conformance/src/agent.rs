//! Finding or starting the agent under test.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use proto::kata::address::{ParseAddressError, ServerAddress};
use tempfile::TempDir;

use crate::connection::Connection;

/// Address of an agent that runs already.
pub const ADDRESS_VARIABLE: &str = "AGENT_ADDRESS";
/// Path of the built agent.
pub const BINARY_VARIABLE: &str = "CCE_AGENT_BIN";

/// How long an agent may take to listen.
const START_LIMIT: Duration = Duration::from_secs(30);
const START_POLL: Duration = Duration::from_millis(20);

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
    /// The program could not be started.
    #[error("starting the agent failed")]
    Start(#[source] io::Error),
    /// The program ended, or does not listen.
    #[error("the agent does not listen; it said: {log}")]
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

#[derive(Debug)]
struct Started {
    child: Child,
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

    fn start(binary: &Path, setup: &Setup) -> Result<Self, Unavailable> {
        let folder = TempDir::new().map_err(Unavailable::Prepare)?;
        let socket = folder.path().join("agent.sock");
        let configuration = write_files(folder.path(), &socket, setup).map_err(Unavailable::Prepare)?;
        let log = File::create(log_path(folder.path())).map_err(Unavailable::Prepare)?;
        let child = command(binary, &configuration, log).and_then(|mut command| command.spawn());
        let mut started = Started { child: child.map_err(Unavailable::Start)?, folder };
        let address = ServerAddress::UnixPath(socket);
        let begin = Instant::now();
        while Connection::open(&address).is_err() {
            let ended = !matches!(started.child.try_wait(), Ok(None));
            if ended || begin.elapsed() > START_LIMIT {
                return Err(Unavailable::Silent { log: started.log() });
            }
            sleep(START_POLL);
        }
        Ok(Self { address, started: Some(started) })
    }
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("agent.log")
}

/// Writes the policy and the configuration file; gives the path of the latter.
fn write_files(folder: &Path, socket: &Path, setup: &Setup) -> io::Result<PathBuf> {
    let policy = folder.join("policy.rego");
    fs::write(&policy, &setup.policy)?;
    let path = folder.join("agent.toml");
    let text = format!(
        "server_addr = \"unix://{}\"\npolicy_file = \"{}\"\n{}\n",
        socket.display(),
        policy.display(),
        setup.configuration
    );
    fs::write(&path, text)?;
    Ok(path)
}

/// The agent in mount and process namespaces of its own, with a /run of its own: it mounts there, and whatever it
/// leaves behind ends with it.
#[expect(
    clippy::disallowed_methods,
    reason = "tests start the agent; only the agent itself must not start others so"
)]
fn command(binary: &Path, configuration: &Path, log: File) -> io::Result<Command> {
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--propagation",
            "private",
            "--",
        ])
        .args(["sh", "-c", "mount -t tmpfs tmpfs /run && exec \"$0\" --config \"$1\""])
        .args([binary, configuration])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(command)
}

impl Started {
    fn log(&self) -> String {
        fs::read(log_path(self.folder.path()))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // `unshare` takes its namespaces down with it. An agent that ended already is no fault here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
