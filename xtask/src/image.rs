//! `cargo xtask image`: builds the measured guest image and prints what a tenant compares reports with.

use std::path::PathBuf;

use guest_image::Flavour;

use crate::artifacts;

/// The flavours by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FlavourName {
    /// Reports come from the secure processor.
    Production,
    /// Reports may come from the emulated secure processor of the virtual machine harness.
    Development,
}

impl FlavourName {
    /// What is built for this name.
    pub(crate) fn flavour(self) -> Flavour {
        match self {
            Self::Production => Flavour::Production,
            Self::Development => Flavour::Development { psp_port: vm::PSP_PORT },
        }
    }
}

/// Arguments of `cargo xtask image`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the image is for
    #[arg(long, value_enum, default_value = "production")]
    flavour: FlavourName,
    /// Measure with this firmware: OVMF built for SEV-SNP with kernel hashes
    #[arg(long)]
    firmware: Option<PathBuf>,
    /// Memory of a guest that is launched from the IGVM file, in MiB; it is measured
    #[arg(long, default_value_t = artifacts::MEMORY_MIB)]
    memory: u32,
    /// Print one JSON object: the reference values
    #[arg(long)]
    json: bool,
}

/// Builds the image.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let image = artifacts::image(args.flavour.flavour(), args.firmware.clone(), args.memory)?;
    let reference = &image.reference;
    if args.json {
        println!("{}", serde_json::to_string(reference)?);
        return Ok(());
    }
    let covers = match reference.measurement.firmware_sha256 {
        Some(_) => "firmware, kernel, initrd, command line and virtual CPUs",
        None => "kernel, initrd, command line and virtual CPUs; no firmware was given",
    };
    println!("measurement   {}", reference.measurement.measurement);
    println!("              of {covers}");
    println!("IGVM launch   {}", reference.igvm.measurement);
    println!(
        "              of {} virtual CPUs and {} MiB of memory",
        reference.igvm.vcpus, reference.igvm.memory_mib
    );
    println!("IGVM file     {}  {}", reference.igvm.sha256, image.igvm.display());
    println!("kernel        {}  {}", reference.kernel.sha256, image.vmlinuz.display());
    println!("initrd        {}  {}", reference.initrd.sha256, image.initrd.display());
    println!(
        "              {} bytes, {} modules",
        reference.initrd.size_bytes,
        reference.image.modules.len()
    );
    println!("command line  {}  {}", reference.command_line.sha256, image.command_line);
    println!("from          {} ({})", reference.kernel_package.name, reference.kernel_package.sha256);
    Ok(())
}
