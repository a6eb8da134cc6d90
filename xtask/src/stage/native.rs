//! The story without a virtual machine: the agent is a process in namespaces of its own, its disks are loop
//! devices, and what a hypervisor would set at launch is given to the emulated secure processor.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256, Sha384};

use super::{Guest, Launch, Stage};
use crate::command::Run;

/// How long an agent, or the emulated secure processor, may take to come up. Making its keys for the first
/// time takes most of it.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// This machine.
pub(crate) struct Native {
    pub(crate) agent: PathBuf,
    pub(crate) psp: PathBuf,
    /// Where the emulated secure processor keeps its keys.
    pub(crate) keys: PathBuf,
    pub(crate) dir: PathBuf,
}

/// The processes and devices of a guest.
struct Alive {
    children: Vec<Child>,
    loop_devices: Vec<String>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _gone = child.kill();
            let _reaped = child.wait();
        }
        for device in &self.loop_devices {
            let _detached = Run::new("losetup").arg("--detach").arg(device).stdout();
        }
    }
}

impl Stage for Native {
    fn launch(&self, launch: &Launch<'_>) -> anyhow::Result<Guest> {
        let dir = self.dir.join(launch.name);
        // Sockets of an earlier guest would be in the way.
        if dir.exists() {
            fs::remove_dir_all(&dir).context("cannot remove an earlier guest's directory")?;
        }
        fs::create_dir_all(&dir).context("cannot create the guest's directory")?;
        let mut alive = Alive { children: Vec::new(), loop_devices: Vec::new() };
        for disk in launch.disks {
            let losetup = Run::new("losetup").args(["--read-only", "--find", "--show"]).arg(disk);
            alive.loop_devices.push(losetup.stdout()?.trim().to_owned());
        }
        let measurement = hex::encode(Sha384::digest(fs::read(&self.agent)?));
        let psp_socket = dir.join("psp.sock");
        let host_data = hex::encode(Sha256::digest(fs::read(launch.host_data_of)?));
        let psp = self.start_psp(&psp_socket, &host_data, &measurement, &dir)?;
        alive.children.push(psp);
        let agent_socket = dir.join("agent.sock");
        let config = format!(
            "server_addr = \"unix://{}\"\npolicy_file = \"{}\"\npsp = \"unix://{}\"\n",
            agent_socket.display(),
            launch.policy.display(),
            psp_socket.display()
        );
        fs::write(dir.join("agent.toml"), config).context("cannot write the agent's configuration")?;
        let log = dir.join("agent.log");
        let mut agent = self.start_agent(&dir, &log)?;
        let answered = wait_for(&mut agent, &agent_socket, &log);
        alive.children.push(agent);
        answered?;
        Ok(Guest {
            address: format!("unix://{}", agent_socket.display()),
            devices: alive.loop_devices.clone(),
            certificates: dir.join("chain.pem"),
            root: dir.join("ark.pem"),
            measurement,
            measured: "MEASUREMENT stands for the agent binary: no virtual machine was launched",
            started: "a process of this machine, in namespaces of its own".to_owned(),
            host_data_document: launch.host_data_of.to_owned(),
            _alive: Box::new(alive),
        })
    }
}

impl Native {
    fn start_psp(
        &self,
        socket: &Path,
        host_data: &str,
        measurement: &str,
        dir: &Path,
    ) -> anyhow::Result<Child> {
        let log = dir.join("psp.log");
        let mut psp = command(&self.psp)
            .arg("--keys")
            .arg(&self.keys)
            .arg("--cert-chain-out")
            .arg(dir.join("chain.pem"))
            .arg("--ark-out")
            .arg(dir.join("ark.pem"))
            .args(["--listen", &format!("unix://{}", socket.display())])
            .args(["--host-data", host_data, "--measurement", measurement])
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("cannot start the emulated secure processor")?;
        wait_for(&mut psp, socket, &log)?;
        Ok(psp)
    }

    /// Starts the agent where it sees no processes and mounts but its own. Killing it ends its containers.
    fn start_agent(&self, dir: &Path, log: &Path) -> anyhow::Result<Child> {
        command("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts", "--mount-proc"])
            .args(["--propagation", "private", "sh", "-c"])
            .arg("mount -t tmpfs -o mode=755 tmpfs /run && exec \"$0\" --config \"$1\"")
            .arg(&self.agent)
            .arg(dir.join("agent.toml"))
            .stdout(Stdio::null())
            .stderr(File::create(log)?)
            .spawn()
            .context("cannot start the agent")
    }
}

/// Waits until `socket` accepts, or `child` ends, whose log then says why.
fn wait_for(child: &mut Child, socket: &Path, log: &Path) -> anyhow::Result<()> {
    let began = Instant::now();
    while std::os::unix::net::UnixStream::connect(socket).is_err() {
        if child.try_wait()?.is_some() {
            let said = fs::read_to_string(log).unwrap_or_default();
            let words = said.lines().last().unwrap_or("it ended without a word");
            anyhow::bail!("{}", words.trim().trim_start_matches("ERROR "));
        }
        ensure!(began.elapsed() < START_TIMEOUT, "nobody answers at {}", socket.display());
        sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a task runs on a developer's machine, not in the guest")]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}
