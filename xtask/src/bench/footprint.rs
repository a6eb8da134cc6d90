//! How large the agent is, on disk and in memory.

use std::fs;

use anyhow::Context as _;
use guest_image::Flavour;
use vm::{BootFiles, Disk, Host, Initdata, VirtualMachine, VmConfig};

use super::{Figure, Figures};
use crate::artifacts;
use crate::command::repository_root;

/// The smallest policy that loads.
const POLICY: &str = "package policy\n\napi_version := \"0.10.0\"\nframework_version := \"0.2.3\"\n";

/// Measures the production binary, and the memory of the development agent in a guest: the one that runs
/// without an SNP processor, and a little larger.
pub(super) fn measure() -> anyhow::Result<Figures> {
    let binary = artifacts::agent(Flavour::Production)?;
    let binary_bytes = fs::metadata(&binary).context("cannot read the agent's size")?.len();
    let resident_kib = resident_kib()?;
    Ok(Figures {
        bench: "footprint",
        figures: vec![
            Figure::new("agent_binary_bytes", binary_bytes as f64, "bytes")
                .beside("kata-agent", 30_380_000.0),
            Figure::new("agent_rss_bytes", resident_kib * 1024.0, "bytes").beside("kata-agent", 14_500_000.0),
        ],
        remarks: Vec::new(),
    })
}

/// What the agent says about itself on the guest's console when it is ready.
fn resident_kib() -> anyhow::Result<f64> {
    artifacts::for_vm()?;
    let host = Host::find()?;
    let initdata = Initdata::with_policy(POLICY)?;
    let disk = repository_root().join("target/bench-initdata.img");
    fs::write(&disk, initdata.disk()?).context("cannot write the initdata disk")?;
    let mut config = VmConfig::new("bench-footprint", BootFiles::in_folder(&host.image)?, initdata.digest());
    config.disks.push(Disk::read_only(disk));
    let machine = VirtualMachine::start(&host, &config)?;
    let console = fs::read(machine.console_log()).context("cannot read the console")?;
    let console = String::from_utf8_lossy(&console);
    let (words, _) = console.rsplit_once(" KiB resident").context("the agent did not say what it takes")?;
    let number = words.rsplit_once(' ').map_or(words, |(_, number)| number);
    number.parse().context("the agent did not say how much it takes")
}
