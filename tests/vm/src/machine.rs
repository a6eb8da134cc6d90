//! A running machine: QEMU, its vsock back-end and its secure processor, ended together.

use std::{
    fs,
    io::Write as _,
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use guest_image::{Launch, LaunchMeasurement};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    AGENT_PORT, Accelerator, Disk, GuestDisk, Host, PSP_PORT, VmConfig,
    error::{AttachError, StartError},
    igvm::{self, Loader},
    process::{Daemon, POLL_INTERVAL},
    qemu::{self, Files, Place, VSOCK_DEVICE},
    qmp::{Qmp, QmpError},
    vsock::VsockSockets,
};

/// The host's programs are up at once; the secure processor may have to make its keys first.
const PROGRAM_LIMIT: Duration = Duration::from_secs(60);
/// `vhost-device-vsock` loses connections for good that come while the guest's driver sets its queues up.
const DRIVER_SETTLE_TIME: Duration = Duration::from_millis(100);
/// A serial port takes a few bytes at a time.
const INPUT_LIMIT: Duration = Duration::from_secs(30);
/// QEMU ends at once when it is told to.
const QUIT_LIMIT: Duration = Duration::from_secs(10);

/// A running machine whose agent answers. It ends with this value.
#[derive(Debug)]
pub struct VirtualMachine {
    // The order is that of the end: QEMU before what it talks to, the sockets last.
    qemu: Daemon,
    _vsock: Daemon,
    _psp: Daemon,
    qmp: Qmp,
    sockets: VsockSockets,
    places: Vec<Place>,
    boot_disks: Vec<GuestDisk>,
    measurement: LaunchMeasurement,
    accelerator: Accelerator,
    boot_time: Duration,
    logs: PathBuf,
    console_input: PathBuf,
    _run: TempDir,
}

/// What kernels say whose machine is at fault. The emulation of a busy machine may stand still for so long that a clock
/// runs ahead of the work: the key of the modules is not loaded in time (`-ETIMEDOUT`), or the timer seems not to work.
/// The third is that of [`crate::Emulation::AtOnce`].
const EMULATION_FAULTS: [&str; 3] = [
    "Problem loading in-kernel X.509 certificate (-110)",
    "IO-APIC + timer doesn't work!",
    "Oops: int3: 0000",
];

/// Starts of a machine whose emulation fails.
const ATTEMPTS: u8 = 3;
/// So much of a console tells why a kernel stopped.
const TOLD_LINES: usize = 40;

/// What the guest wrote to its console, as far as it is text.
fn console(logs: &Path) -> String {
    String::from_utf8_lossy(&fs::read(logs.join("console.log")).unwrap_or_default()).into_owned()
}

/// Whether the guest's kernel did not come up because of the machine that emulates it.
fn emulation_failed(console: &str) -> bool {
    EMULATION_FAULTS.iter().any(|words| console.contains(words))
}

fn with_console(source: StartError, console: &str) -> StartError {
    let lines: Vec<_> = console.lines().collect();
    let told = lines.get(lines.len().saturating_sub(TOLD_LINES)..).unwrap_or_default().join("\n");
    StartError::Guest { console: told, source: Box::new(source) }
}

impl VirtualMachine {
    /// Starts a machine, and waits until its agent answers.
    ///
    /// # Errors
    /// A part is missing, a program ends, or the agent does not answer in time. Logs stay in [`Host::logs`].
    pub fn start(host: &Host, config: &VmConfig) -> Result<Self, StartError> {
        let logs = host.logs(&config.name);
        for _ in 1..ATTEMPTS {
            match Self::start_once(host, config) {
                // The agent had no chance.
                Err(_) if emulation_failed(&console(&logs)) => {}
                outcome => return outcome.map_err(|source| with_console(source, &console(&logs))),
            }
        }
        Self::start_once(host, config).map_err(|source| with_console(source, &console(&logs)))
    }

    fn start_once(host: &Host, config: &VmConfig) -> Result<Self, StartError> {
        let logs = host.logs(&config.name);
        let folder_error = |path: &Path| {
            let path = path.to_owned();
            move |source| StartError::Folder { path, source }
        };
        // The logs are those of the last start.
        drop(fs::remove_dir_all(&logs));
        fs::create_dir_all(&logs).map_err(folder_error(&logs))?;
        // A socket's path has at most 107 bytes, which the folder of the logs may exceed.
        let run =
            tempfile::Builder::new().prefix("vm-").tempdir().map_err(folder_error(&std::env::temp_dir()))?;
        let loader = config.igvm.as_ref().map(Loader::read).transpose()?;
        let accelerator = Accelerator::choose(host, &config.boot.vmlinuz, &host.logs(""))?;
        let mut measurement = measure(config)?;
        if let Some(loader) = &loader {
            loader.measurement().clone_into(&mut measurement.measurement);
        }
        let disks = qemu::boot_disks(config, &logs)?;
        let places = qemu::places(disks.len(), config.spare_places)?;
        let sockets = VsockSockets::in_folder(run.path());
        let deadline = Instant::now().checked_add(PROGRAM_LIMIT).unwrap_or_else(Instant::now);

        let psp = start_psp(host, config, &measurement, &sockets, &logs, deadline)?;
        let log = logs.join("vsock.log");
        let mut vsock =
            Daemon::start("vhost-device-vsock", &host.vhost_device_vsock, &sockets.backend_arguments(), log)?;
        vsock.wait_for_socket(&sockets.backend, deadline)?;

        let control = run.path().join("qmp.sock");
        let console = logs.join("console.log");
        let console_input = run.path().join("console.sock");
        let mut arguments = qemu::arguments(
            config,
            &disks,
            accelerator,
            &places,
            &Files { sockets: &sockets, control: &control, console: &console, console_input: &console_input },
        );
        let debugger = run.path().join("gdb.sock");
        if let Some(loader) = &loader {
            arguments.extend(loader.arguments(run.path())?);
            let socket = format!("unix:{},server=on,wait=off", debugger.display());
            arguments.extend(["-S".to_owned(), "-gdb".to_owned(), socket]);
        }
        let command = logs.join("qemu-command.txt");
        fs::write(&command, format!("{} {}\n", host.qemu.display(), arguments.join(" ")))
            .map_err(|source| StartError::Log { path: command, source })?;
        let start = Instant::now();
        let mut qemu = Daemon::start("QEMU", &host.qemu, &arguments, logs.join("qemu.log"))?;
        qemu.wait_for_socket(&control, deadline)?;
        let qmp = Qmp::connect(&control)?;
        if let Some(loader) = &loader {
            igvm::start(loader, &debugger)?;
        }
        let mut machine = Self {
            qemu,
            _vsock: vsock,
            _psp: psp,
            qmp,
            sockets,
            boot_disks: places.iter().map(|place| place.address).take(config.disks.len()).collect(),
            places,
            measurement,
            accelerator,
            boot_time: Duration::ZERO,
            logs,
            console_input,
            _run: run,
        };
        machine.wait_until_ready(start, config.ready_limit)?;
        Ok(machine)
    }

    /// First until the guest's driver has its queues, as QEMU says it; then until the agent accepts a connection.
    fn wait_until_ready(&mut self, start: Instant, limit: Duration) -> Result<(), StartError> {
        let console = self.console_log();
        let mut driver_is_up = false;
        loop {
            self.qemu.check_running()?;
            if !driver_is_up {
                driver_is_up = self.vsock_driver_is_up().or_else(|error| self.end_behind(error))?;
                std::thread::sleep(if driver_is_up { DRIVER_SETTLE_TIME } else { POLL_INTERVAL });
            } else if self.sockets.answers(AGENT_PORT) {
                self.boot_time = start.elapsed();
                return Ok(());
            } else {
                std::thread::sleep(POLL_INTERVAL);
            }
            if start.elapsed() > limit {
                let what = if driver_is_up { "the agent" } else { "the guest's vsock driver" };
                return Err(StartError::NotReady { what, log: console });
            }
        }
    }

    /// QEMU's control socket fails when QEMU ends, which tells more.
    fn end_behind(&mut self, error: QmpError) -> Result<bool, StartError> {
        self.qemu.wait(Some(QUIT_LIMIT)).map_err(|source| StartError::Spawn { name: "QEMU", source })?;
        self.qemu.check_running()?;
        Err(error.into())
    }

    fn vsock_driver_is_up(&mut self) -> Result<bool, QmpError> {
        let path = format!("/machine/peripheral/{VSOCK_DEVICE}/virtio-backend");
        let status = self.qmp.execute("x-query-virtio-status", json!({ "path": path }))?;
        let flags = status.pointer("/status/statuses").and_then(Value::as_array);
        let is_driver_ok = |flag: &Value| flag.as_str().is_some_and(|text| text.contains("DRIVER_OK"));
        Ok(flags.is_some_and(|flags| flags.iter().any(is_driver_ok)))
    }

    /// The agent's address, as a host's client takes it: hybrid vsock.
    #[must_use]
    pub fn agent_address(&self) -> String {
        format!("hvsock://{}:{AGENT_PORT}", self.sockets.guest.display())
    }

    /// Listens for a guest that dials this port of the host's.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn listen(&self, port: u32) -> std::io::Result<UnixListener> {
        UnixListener::bind(self.sockets.host_listener(port))
    }

    /// Where the disks are that were there at boot, in the order of the configuration.
    #[must_use]
    pub fn disks(&self) -> &[GuestDisk] {
        &self.boot_disks
    }

    /// The measurement of exactly the files that were booted, as reports carry it.
    #[must_use]
    pub fn measurement(&self) -> &LaunchMeasurement {
        &self.measurement
    }

    /// What runs the guest's instructions.
    #[must_use]
    pub fn accelerator(&self) -> Accelerator {
        self.accelerator
    }

    /// Time from the start of QEMU until the agent answered.
    #[must_use]
    pub fn boot_time(&self) -> Duration {
        self.boot_time
    }

    /// Time that QEMU's threads have computed so far: what the guest has cost, however busy the host is.
    ///
    /// # Errors
    /// The system does not say.
    pub fn computing_time(&self) -> std::io::Result<Duration> {
        self.qemu.computing_time()
    }

    /// The folder of the logs.
    #[must_use]
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Everything that the guest wrote to its serial console.
    #[must_use]
    pub fn console_log(&self) -> PathBuf {
        self.logs.join("console.log")
    }

    /// Certificates of the emulated secure processor (VCEK, ASK, ARK), as PEM.
    #[must_use]
    pub fn certificate_chain(&self) -> PathBuf {
        self.logs.join("chain.pem")
    }

    /// The root certificate to trust for this machine's reports, as PEM.
    #[must_use]
    pub fn root_certificate(&self) -> PathBuf {
        self.logs.join("ark.pem")
    }

    /// Number of virtual CPUs that the guest has brought into paged mode.
    ///
    /// # Errors
    /// QEMU does not answer.
    pub fn started_vcpus(&mut self) -> Result<usize, AttachError> {
        let command = json!({ "command-line": "info registers -a" });
        let registers = self.qmp.execute("human-monitor-command", command)?;
        // The highest bit of CR0 is paging.
        let is_paged = |word: &str| {
            word.strip_prefix("CR0=")
                .is_some_and(|value| value.starts_with(['8', '9', 'a', 'b', 'c', 'd', 'e', 'f']))
        };
        Ok(registers.as_str().unwrap_or_default().split_whitespace().filter(|word| is_paged(word)).count())
    }

    /// Types on the serial console, as a host can, and waits until the guest's serial port has taken it.
    ///
    /// # Errors
    /// QEMU or the guest does not take it.
    pub fn type_on_console(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut console = UnixStream::connect(&self.console_input)?;
        console.set_read_timeout(Some(INPUT_LIMIT))?;
        console.write_all(bytes)?;
        console.shutdown(Shutdown::Write)?;
        // QEMU closes its side when it has read, and so passed on, everything.
        std::io::copy(&mut console, &mut std::io::sink()).map(drop)
    }

    /// Presses these keys of the keyboard at once, by QEMU's names.
    ///
    /// # Errors
    /// QEMU knows no such key.
    pub fn press_keys(&mut self, keys: &[&str]) -> Result<(), QmpError> {
        let keys: Vec<_> = keys.iter().map(|key| json!({ "type": "qcode", "data": key })).collect();
        self.qmp.execute("send-key", json!({ "keys": keys })).map(drop)
    }

    /// Adds a disk while the guest runs.
    ///
    /// # Errors
    /// The machine has no free place, or QEMU refuses.
    pub fn attach_disk(&mut self, disk: &Disk) -> Result<GuestDisk, AttachError> {
        let place = self.places.iter_mut().find(|place| !place.taken).ok_or(AttachError::NoPlace)?;
        let address = place.address;
        self.qmp.execute("blockdev-add", qemu::blockdev(&address.node_name(), disk))?;
        let device = json!({
            "driver": "virtio-blk-pci",
            "id": address.device_id(),
            "drive": address.node_name(),
            "bus": address.port_id(),
        });
        if let Err(refused) = self.qmp.execute("device_add", device) {
            self.qmp.execute("blockdev-del", json!({ "node-name": address.node_name() }))?;
            return Err(refused.into());
        }
        place.taken = true;
        Ok(address)
    }

    /// Takes a disk away while the guest runs, and waits until it is gone.
    ///
    /// # Errors
    /// There is no such disk, QEMU refuses, or the guest does not let go.
    pub fn detach_disk(&mut self, disk: GuestDisk) -> Result<(), AttachError> {
        self.qmp.execute("device_del", json!({ "id": disk.device_id() }))?;
        self.qmp.wait_for_removal(&disk.device_id())?;
        self.qmp.execute("blockdev-del", json!({ "node-name": disk.node_name() }))?;
        if let Some(place) = self.places.iter_mut().find(|place| place.address == disk) {
            place.taken = false;
        }
        Ok(())
    }

    /// Adds a disk to the SCSI bus of a machine that has one, as this logical unit of target 0, while the guest runs.
    ///
    /// # Errors
    /// The machine has no SCSI bus, the unit is taken, or QEMU refuses.
    pub fn attach_scsi_disk(&mut self, unit: u16, disk: &Disk) -> Result<(), AttachError> {
        let node = qemu::unit_node(unit);
        self.qmp.execute("blockdev-add", qemu::blockdev(&node, disk))?;
        if let Err(refused) = self.qmp.execute("device_add", qemu::scsi_disk(unit)) {
            self.qmp.execute("blockdev-del", json!({ "node-name": node }))?;
            return Err(refused.into());
        }
        Ok(())
    }

    /// Takes a disk off the SCSI bus while the guest runs.
    ///
    /// # Errors
    /// There is no such disk, or QEMU refuses.
    pub fn detach_scsi_disk(&mut self, unit: u16) -> Result<(), AttachError> {
        let node = qemu::unit_node(unit);
        self.qmp.execute("device_del", json!({ "id": node }))?;
        self.qmp.wait_for_removal(&node)?;
        self.qmp.execute("blockdev-del", json!({ "node-name": node }))?;
        Ok(())
    }

    /// Lets no more reads of a disk come to an end: what the guest asks of it waits for hours.
    ///
    /// # Errors
    /// There is no such disk, or QEMU refuses.
    pub fn freeze_disk(&mut self, disk: GuestDisk) -> Result<(), AttachError> {
        self.limit_reads(disk, 1)
    }

    /// Lets the reads of a frozen disk come to an end.
    ///
    /// # Errors
    /// There is no such disk, or QEMU refuses.
    pub fn thaw_disk(&mut self, disk: GuestDisk) -> Result<(), AttachError> {
        self.limit_reads(disk, 0)
    }

    /// At most so many bytes a second; 0 is no limit.
    fn limit_reads(&mut self, disk: GuestDisk, bytes_per_s: u32) -> Result<(), AttachError> {
        let limits = json!({
            "id": format!("/machine/peripheral/{}/virtio-backend", disk.device_id()),
            "bps": 0, "bps_rd": bytes_per_s, "bps_wr": 0,
            "iops": 0, "iops_rd": 0, "iops_wr": 0,
        });
        self.qmp.execute("block_set_io_throttle", limits)?;
        Ok(())
    }

    /// Waits until the machine ends by itself: the guest powered off or panicked.
    ///
    /// # Errors
    /// QEMU cannot be waited for, or did not end in time.
    pub fn wait(mut self, limit: Option<Duration>) -> Result<(), StartError> {
        let waited = self.qemu.wait(limit).map_err(|source| StartError::Spawn { name: "QEMU", source })?;
        waited
            .map(drop)
            .ok_or(StartError::NotReady { what: "the end of the machine", log: self.console_log() })
    }

    /// Ends the machine as a host does that pulls the plug.
    ///
    /// # Errors
    /// QEMU does not answer or does not end.
    pub fn stop(mut self) -> Result<(), StartError> {
        match self.qmp.execute("quit", json!({})) {
            // QEMU may close the socket before it answers.
            Ok(_) | Err(QmpError::Socket(_)) => self.wait(Some(QUIT_LIMIT)),
            Err(other) => Err(other.into()),
        }
    }
}

fn measure(config: &VmConfig) -> Result<LaunchMeasurement, StartError> {
    let launch = Launch {
        kernel: &config.boot.vmlinuz,
        initrd: &config.boot.initrd,
        command_line: &config.boot.command_line,
        vcpus: config.vcpus,
        firmware: None,
    };
    Ok(launch.measure()?)
}

fn start_psp(
    host: &Host,
    config: &VmConfig,
    measurement: &LaunchMeasurement,
    sockets: &VsockSockets,
    logs: &Path,
    deadline: Instant,
) -> Result<Daemon, StartError> {
    let socket = sockets.host_listener(PSP_PORT);
    let arguments = [
        "--keys".to_owned(),
        host.psp_keys().display().to_string(),
        "--cert-chain-out".to_owned(),
        logs.join("chain.pem").display().to_string(),
        "--ark-out".to_owned(),
        logs.join("ark.pem").display().to_string(),
        "--listen".to_owned(),
        format!("unix://{}", socket.display()),
        "--host-data".to_owned(),
        hex::encode(config.host_data),
        "--measurement".to_owned(),
        measurement.measurement.clone(),
    ];
    let mut psp = Daemon::start("psp-emulator", &host.psp_emulator, &arguments, logs.join("psp.log"))?;
    psp.wait_for_socket(&socket, deadline)?;
    Ok(psp)
}
