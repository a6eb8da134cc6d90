//! How long the guest takes to open its door, beside the least that a Linux guest with a door can be: busybox.
//!
//! Both are booted by the same kernel with the same command line on the same machine, in turn, and waited for in the
//! same way: until a connection to the agent's vsock port is accepted. What busybox's initrd does until then is mount
//! three file systems, load the three modules of vsock and start a program that listens. Ours loads all modules, locks
//! the kernel down, has its policy bound to a report and loads it.

mod busybox;
mod listener;

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;
use vm::{BootFiles, Emulation, Host, Initdata, VirtualMachine, VmConfig};

use super::{Figure, Figures, median};
use crate::{artifacts, command::repository_root, packages};

/// Boots of each.
const RUNS: u8 = 15;
/// The most that a boot may take, as a multiple of busybox's.
const RATIO_MAX: f64 = 1.25;
/// The smallest policy that loads.
const POLICY: &str = "package policy\n\napi_version := \"0.10.0\"\nframework_version := \"0.2.3\"\n";

/// What one boot took.
struct Boot {
    /// By the guest's clock, from the kernel's start to the open door.
    guest_s: f64,
    /// By the host's clock, from QEMU's start to the first connection.
    host_s: f64,
    /// Time that QEMU's threads computed until then.
    computed_s: f64,
}

/// Boots both in turn.
pub(super) fn measure() -> anyhow::Result<Figures> {
    packages::ensure(packages::FOR_TESTS)?;
    let image = artifacts::for_vm()?;
    let host = Host::find()?;
    let kernel = artifacts::kernel()?;
    let ours = BootFiles::in_folder(&host.image)?;
    let folder = repository_root().join("target/bench/boot");
    fs::create_dir_all(&folder).context("cannot create the folder of the benchmark")?;
    let yardstick = BootFiles { initrd: busybox::initrd(&kernel, &folder)?, ..ours.clone() };

    let (mut our_boots, mut yardstick_boots) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        our_boots.push(boot(&host, "bench-boot", &ours)?);
        yardstick_boots.push(boot(&host, "bench-boot-busybox", &yardstick)?);
    }
    let mut figures = Vec::new();
    for (name, value) in [
        ("kernel_to_door", (|boot| boot.guest_s) as fn(&Boot) -> f64),
        ("qemu_to_door", |boot| boot.host_s),
        ("qemu_computing", |boot| boot.computed_s),
    ] {
        let [ours, busybox] =
            [&our_boots, &yardstick_boots].map(|boots: &Vec<Boot>| median(boots.iter().map(value).collect()));
        figures.push(Figure::new(format!("{name}_s"), ours, "s").beside("busybox", busybox));
        let ratio = Figure::new(format!("{name}_ratio"), ours / busybox, "");
        figures.push(if name == "kernel_to_door" { ratio.at_most(RATIO_MAX) } else { ratio });
    }
    figures.push(Figure::new("initrd_bytes", image.reference.initrd.size_bytes as f64, "bytes"));
    let remarks = vec![format!(
        "medians of {RUNS} boots each, in turn; {} modules",
        image.reference.image.modules.len()
    )];
    Ok(Figures { bench: "boot", figures, remarks })
}

fn boot(host: &Host, name: &str, files: &BootFiles) -> anyhow::Result<Boot> {
    let config = VmConfig::new(name, files.clone(), [0; 32]).with_initdata(Initdata::with_policy(POLICY)?);
    // As on hardware: work that several CPUs share is done sooner.
    let config = VmConfig { emulation: Emulation::AtOnce, ..config };
    let machine = VirtualMachine::start(host, &config)?;
    let computed = machine.computing_time().context("cannot read QEMU's time")?;
    let guest_s = guest_clock(&machine.console_log())?;
    Ok(Boot { guest_s, host_s: machine.boot_time().as_secs_f64(), computed_s: computed.as_secs_f64() })
}

/// Both guests say on the console how long the kernel has been running when they are ready. The first connection may be
/// faster than the line.
fn guest_clock(console: &Path) -> anyhow::Result<f64> {
    for _ in 0..50 {
        let said = fs::read(console).context("cannot read the console")?;
        let said = String::from_utf8_lossy(&said);
        if let Some((words, _)) = said.rsplit_once(" s after the kernel's start") {
            let number = words.rsplit_once(' ').map_or(words, |(_, number)| number);
            return number.parse().context("the guest did not say when it was ready");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!("the guest did not say when it was ready: {}", console.display())
}
