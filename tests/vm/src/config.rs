//! What a machine is made of.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Emulation,
    disk::{Disk, PersistentMemory},
    error::StartError,
    initdata::Initdata,
};

/// A guest boots within seconds, and under software emulation on a busy machine within a minute.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// The files that are booted, exactly as QEMU gets them.
#[derive(Debug, Clone)]
pub struct BootFiles {
    /// The kernel image.
    pub vmlinuz: PathBuf,
    /// The initrd.
    pub initrd: PathBuf,
    /// The kernel command line.
    pub command_line: String,
}

impl BootFiles {
    /// The files of a built image, in the folder that it was built in.
    ///
    /// # Errors
    /// The command line does not read.
    pub fn in_folder(folder: &Path) -> Result<Self, StartError> {
        let path = folder.join("cmdline");
        let command_line = fs::read_to_string(&path).map_err(|source| StartError::Image { path, source })?;
        Ok(Self { vmlinuz: folder.join("vmlinuz"), initrd: folder.join("initrd.img"), command_line })
    }
}

/// A launch from an IGVM file.
#[derive(Debug, Clone)]
pub struct IgvmLaunch {
    /// The file.
    pub file: PathBuf,
    /// What the processor says to the first validation of a page of this kind, if it does not do it.
    pub refusal: Option<Refusal>,
}

/// A validation of memory that did not succeed, as it is when the host plays foul.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Whether the page is one of 2 MiB, else of 4 KiB.
    pub large: bool,
    /// Whether the processor says that the page was valid before, else that it failed.
    pub was_valid: bool,
}

/// A machine that is to be started.
#[derive(Debug, Clone)]
pub struct VmConfig {
    /// Names the folder of the logs: the test, or what the machine is for.
    pub name: String,
    /// What is booted.
    pub boot: BootFiles,
    /// Where given, the machine is launched from this IGVM file of the same image, without firmware.
    pub igvm: Option<IgvmLaunch>,
    /// The policy on a disk of its own, behind the others.
    pub initdata: Option<Initdata>,
    /// Given to the emulated secure processor as a hypervisor would give it at launch.
    pub host_data: [u8; 32],
    /// The disks that are there at boot, in the order of their places.
    pub disks: Vec<Disk>,
    /// Disks on a SCSI bus, as logical units of its target 0, in this order: `0:0`, `0:1`, ... Without any there is no bus.
    pub scsi_disks: Vec<Disk>,
    /// Persistent memory: `/dev/pmem0`, `/dev/pmem1`, ...
    pub persistent_memory: Vec<PersistentMemory>,
    /// Free places for disks that are added later.
    pub spare_places: u8,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Number of virtual CPUs; it is measured.
    pub vcpus: u32,
    /// How the virtual CPUs run where the host's run none.
    pub emulation: Emulation,
    /// How long the agent may take until it answers.
    pub ready_limit: Duration,
}

impl VmConfig {
    /// A machine of the usual size without disks.
    #[must_use]
    pub fn new(name: &str, boot: BootFiles, host_data: [u8; 32]) -> Self {
        Self {
            name: name.to_owned(),
            boot,
            igvm: None,
            initdata: None,
            host_data,
            disks: Vec::new(),
            scsi_disks: Vec::new(),
            persistent_memory: Vec::new(),
            spare_places: 0,
            memory_mib: 512,
            vcpus: 2,
            emulation: Emulation::InTurn,
            ready_limit: READY_LIMIT,
        }
    }

    /// The same machine with a policy, launched with the digest of its document as an honest host does it.
    #[must_use]
    pub fn with_initdata(self, initdata: Initdata) -> Self {
        Self { host_data: initdata.digest(), initdata: Some(initdata), ..self }
    }
}
