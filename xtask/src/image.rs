//! `cargo xtask image`: builds the measured guest image and prints what a tenant compares reports with.

use std::path::{Path, PathBuf};

use guest_image::{
    Flavour,
    reference::PartDigest,
    verification::{self, ListedFile},
};

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
    /// Build nothing: read the image that is there back, and compute its measurement a second time, by other code
    #[arg(long)]
    verify: bool,
    /// Build nothing: list what is in the initrd that is there
    #[arg(long, conflicts_with_all = ["verify", "json"])]
    list: bool,
}

/// Builds the image, or looks at the one that is there.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let folder = artifacts::image_folder().join(args.flavour.flavour().name());
    if args.list {
        return list(&folder);
    }
    if args.verify {
        let reference = verification::verify(&folder, args.firmware.as_deref())?;
        if args.json {
            println!("{}", serde_json::to_string(&reference)?);
        } else {
            println!(
                "{}  recomputed from the parts, and what the reference values say",
                reference.measurement.measurement
            );
        }
        return Ok(());
    }
    build(args)
}

/// What is in the initrd, read from its file.
fn list(folder: &Path) -> anyhow::Result<()> {
    let (mut files, mut bytes) = (0_usize, 0_usize);
    for ListedFile { path, permissions, content } in verification::list(folder)? {
        if let Some(PartDigest { sha256, size_bytes }) = content {
            println!("{permissions:04o} {size_bytes:>9} {sha256} /{path}");
            files = files.saturating_add(1);
            bytes = bytes.saturating_add(size_bytes);
        } else {
            println!("{permissions:04o} {:>9} {:64} /{path}", "-", "");
        }
    }
    println!("{files} files, {bytes} bytes");
    Ok(())
}

fn build(args: &Args) -> anyhow::Result<()> {
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
