//! The story in a virtual machine: the measured image, booted by QEMU.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use vm::{BootFiles, Disk, Host, Initdata, VirtualMachine, VmConfig};

use super::{Guest, Launch, Stage};

/// QEMU and the image.
pub(crate) struct Machine {
    pub(crate) host: Host,
}

impl Stage for Machine {
    fn launch(&self, launch: &Launch<'_>) -> anyhow::Result<Guest> {
        let delivered = initdata(launch.policy)?;
        let bound = initdata(launch.host_data_of)?;
        let files = self.host.target.join("demo").join(launch.name);
        fs::create_dir_all(&files).context("cannot create the guest's directory")?;
        let initdata_disk = files.join("initdata.img");
        fs::write(&initdata_disk, delivered.disk()?).context("cannot write the initdata disk")?;
        let document = files.join("initdata.toml");
        fs::write(&document, bound.document()).context("cannot write the initdata document")?;

        let boot = BootFiles::in_folder(&self.host.image)?;
        let mut config = VmConfig::new(launch.name, boot, bound.digest());
        config.disks.extend(launch.disks.iter().map(Disk::read_only));
        config.disks.push(Disk::read_only(&initdata_disk));
        let machine = start(&self.host, &config)?;
        let devices = machine.disks().iter().take(launch.disks.len());
        Ok(Guest {
            address: machine.agent_address(),
            devices: devices.map(|disk| disk.pci_path()).collect(),
            certificates: machine.certificate_chain(),
            root: machine.root_certificate(),
            measurement: machine.measurement().measurement.clone(),
            measured: "MEASUREMENT covers kernel, initrd and command line",
            host_data_document: document,
            started: format!("booted by QEMU in {:.1} s", machine.boot_time().as_secs_f32()),
            _alive: Box::new(machine),
        })
    }
}

fn initdata(policy: &Path) -> anyhow::Result<Initdata> {
    let text = fs::read_to_string(policy).context("cannot read the policy")?;
    Ok(Initdata::with_policy(&text)?)
}

/// Starts a machine. When it does not come up, the reason is what its agent said, if it said anything.
pub(crate) fn start(host: &Host, config: &VmConfig) -> anyhow::Result<VirtualMachine> {
    let logs = host.logs(&config.name);
    VirtualMachine::start(host, config)
        .map_err(|error| last_words(&logs).map_or_else(|| error.into(), anyhow::Error::msg))
}

/// What the agent said on the console before it switched the guest off.
fn last_words(logs: &Path) -> Option<String> {
    let console = fs::read(logs.join("console.log")).ok()?;
    let console = String::from_utf8_lossy(&console);
    let (_, words) = console.lines().rev().find_map(|line| line.split_once("ERROR "))?;
    Some(words.trim().to_owned())
}
