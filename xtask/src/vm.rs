//! `cargo xtask vm`: boots the guest image and leaves it running for whoever wants to talk to its agent.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use vm::{BootFiles, Disk, Host, Initdata, VmConfig};

use crate::{artifacts, image::FlavourName, stage::start_machine};

/// Arguments of `cargo xtask vm`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which image to boot
    #[arg(long, value_enum, default_value = "development")]
    flavour: FlavourName,
    /// Policy in Rego, delivered as initdata and bound by HOST_DATA
    #[arg(long)]
    policy: Option<PathBuf>,
    /// Raw file that becomes a read-only disk; can be repeated
    #[arg(long = "disk")]
    disks: Vec<PathBuf>,
}

/// Boots a machine and waits for its end.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    artifacts::for_vm()?;
    let mut host = Host::find()?;
    if args.flavour == FlavourName::Production {
        let image = artifacts::image(args.flavour.flavour(), None, artifacts::MEMORY_MIB)?;
        host.image = image.vmlinuz.parent().context("the image has no folder")?.to_owned();
    }
    let mut config = VmConfig::new("interactive", BootFiles::in_folder(&host.image)?, [0; 32]);
    if let Some(path) = &args.policy {
        let policy = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        config = config.with_initdata(Initdata::with_policy(&policy)?);
    }
    let document = config.initdata.as_ref().map(|initdata| initdata.document().to_owned());
    config.disks = args.disks.iter().map(Disk::read_only).collect();
    println!("booting; console: {}", host.logs("interactive").join("console.log").display());
    let machine = start_machine(&host, &config)?;
    let seconds = machine.boot_time().as_secs_f32();
    println!(
        "agent        {} (after {seconds:.1} s, {})",
        machine.agent_address(),
        machine.accelerator().name()
    );
    println!("measurement  {}", machine.measurement().measurement);
    println!("chain        {}", machine.certificate_chain().display());
    println!("root         {}", machine.root_certificate().display());
    if let Some(document) = document {
        let file = machine.logs().join("initdata.toml");
        fs::write(&file, document).with_context(|| format!("cannot write {}", file.display()))?;
        println!("policy       {}, whose SHA-256 is HOST_DATA", file.display());
    }
    for (file, disk) in args.disks.iter().zip(machine.disks()) {
        println!("disk         PCI path {}, {}: {}", disk.pci_path(), disk.boot_device(), file.display());
    }
    println!("ctrl-c ends the machine");
    machine.wait(None)?;
    Ok(())
}
