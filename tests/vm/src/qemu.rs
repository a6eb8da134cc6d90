//! QEMU's command line.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    Accelerator, Disk, GuestDisk, PersistentMemory, VmConfig,
    disk::{Access, MAX_DISKS, MemoryBus},
    error::StartError,
    vsock::VsockSockets,
};

/// Name of the vsock device.
pub(crate) const VSOCK_DEVICE: &str = "vsock0";
/// Place of the vsock device on the root bus.
const VSOCK_SLOT: &str = "0x03";
/// Place of the SCSI controller on the root bus.
const SCSI_SLOT: &str = "0x04";

/// A place for a disk, and whether one is there.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) address: GuestDisk,
    pub(crate) taken: bool,
}

/// Sockets and files through which the harness sees the machine.
pub(crate) struct Files<'a> {
    /// The vsock back-end.
    pub(crate) sockets: &'a VsockSockets,
    /// The control socket.
    pub(crate) control: &'a Path,
    /// What the guest writes to its serial console.
    pub(crate) console: &'a Path,
    /// Where the host types on it.
    pub(crate) console_input: &'a Path,
}

/// The disks that are there at boot: the configured ones, then the policy's.
pub(crate) fn boot_disks(config: &VmConfig, logs: &Path) -> Result<Vec<Disk>, StartError> {
    let mut disks = config.disks.clone();
    if let Some(initdata) = &config.initdata {
        let path = logs.join("initdata.img");
        fs::write(&path, initdata.disk()?)
            .map_err(|source| StartError::Folder { path: path.clone(), source })?;
        disks.push(Disk::read_only(path));
    }
    Ok(disks)
}

/// Places for so many disks, and free ones behind them.
pub(crate) fn places(disks: usize, spare: u8) -> Result<Vec<Place>, StartError> {
    let taken = (0..disks).map(|_| true).chain((0..spare).map(|_| false));
    (0..=u8::MAX)
        .zip(taken)
        .map(|(number, taken)| {
            let address = GuestDisk::numbered(number).ok_or(StartError::TooManyDisks { limit: MAX_DISKS })?;
            Ok(Place { address, taken })
        })
        .collect()
}

/// QEMU's command line.
pub(crate) fn arguments(
    config: &VmConfig,
    disks: &[Disk],
    accelerator: Accelerator,
    places: &[Place],
    files: &Files<'_>,
) -> Vec<String> {
    let memory = config.memory_mib;
    let mut arguments: Vec<String> = accelerator.arguments(config.emulation).map(str::to_owned).to_vec();
    let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
    add("-machine", machine(config));
    add("-m", memory_size(config));
    // The vsock back-end reads and writes the guest's memory.
    add("-object", format!("memory-backend-memfd,id=memory,size={memory}M,share=on"));
    add("-smp", config.vcpus.to_string());
    add("-display", "none".to_owned());
    if config.igvm.is_none() {
        add("-kernel", config.boot.vmlinuz.display().to_string());
        add("-initrd", config.boot.initrd.display().to_string());
        add("-append", config.boot.command_line.clone());
    }
    let (console, input) = (files.console.display(), files.console_input.display());
    add(
        "-chardev",
        format!("socket,id=console,path={input},server=on,wait=off,logfile={console},logappend=off"),
    );
    add("-serial", "chardev:console".to_owned());
    add("-qmp", format!("unix:{},server=on,wait=off", files.control.display()));
    add("-chardev", format!("socket,id=vsock,path={}", files.sockets.backend.display()));
    add(
        "-device",
        format!("vhost-user-vsock-pci,id={VSOCK_DEVICE},chardev=vsock,bus=pcie.0,addr={VSOCK_SLOT}"),
    );
    for place in places {
        add("-device", place.address.port_argument());
    }
    for (place, disk) in places.iter().zip(disks) {
        add("-blockdev", blockdev(&place.address.node_name(), disk).to_string());
        let (id, node, port) =
            (place.address.device_id(), place.address.node_name(), place.address.port_id());
        add("-device", format!("virtio-blk-pci,id={id},drive={node},bus={port}"));
    }
    arguments.extend(scsi_disks(&config.scsi_disks));
    arguments.extend(persistent_memory(&config.persistent_memory));
    arguments.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned));
    arguments
}

fn machine(config: &VmConfig) -> String {
    let has_modules = config.persistent_memory.iter().any(|memory| memory.bus == MemoryBus::Nvdimm);
    let modules = if has_modules { ",nvdimm=on" } else { "" };
    format!("q35,memory-backend=memory{modules}")
}

/// Memory, and room for persistent memory behind it.
fn memory_size(config: &VmConfig) -> String {
    let memory = config.memory_mib;
    if config.persistent_memory.is_empty() {
        return format!("{memory}M");
    }
    let sizes = config.persistent_memory.iter().map(|module| module.size_mib);
    let total = sizes.fold(memory, u32::saturating_add);
    format!("{memory}M,slots={},maxmem={total}M", config.persistent_memory.len())
}

/// One controller with all disks, where there are any.
fn scsi_disks(disks: &[Disk]) -> Vec<String> {
    if disks.is_empty() {
        return Vec::new();
    }
    let mut arguments =
        vec!["-device".to_owned(), format!("virtio-scsi-pci,id=scsi,bus=pcie.0,addr={SCSI_SLOT}")];
    for (disk, unit) in disks.iter().zip(0..) {
        arguments.extend(["-blockdev".to_owned(), blockdev(&unit_node(unit), disk).to_string()]);
        arguments.extend(["-device".to_owned(), scsi_disk(unit).to_string()]);
    }
    arguments
}

/// A disk on the SCSI bus, for QEMU's command line and its control socket alike.
pub(crate) fn scsi_disk(unit: u16) -> Value {
    json!({
        "driver": "scsi-hd",
        "id": unit_node(unit),
        "bus": "scsi.0",
        "channel": 0,
        "scsi-id": 0,
        "lun": unit,
        "drive": unit_node(unit),
    })
}

/// The name of a logical unit and of its file.
pub(crate) fn unit_node(unit: u16) -> String {
    format!("unit{unit}")
}

/// Memory over files. The back-end of the vsock device needs all memory to be shared.
fn persistent_memory(modules: &[PersistentMemory]) -> Vec<String> {
    let module = |(number, module): (usize, &PersistentMemory)| {
        let PersistentMemory { bus, file, size_mib } = module;
        let backend = format!(
            "memory-backend-file,id=module{number},mem-path={},size={size_mib}M,share=on",
            file.display()
        );
        let driver = match bus {
            MemoryBus::Nvdimm => "nvdimm",
            MemoryBus::Virtio => "virtio-pmem-pci,bus=pcie.0",
        };
        ["-object".to_owned(), backend, "-device".to_owned(), format!("{driver},memdev=module{number}")]
    };
    modules.iter().enumerate().flat_map(module).collect()
}

/// QEMU's view of a disk's file, for its command line and its control socket alike. Without locks: a hostile host
/// attaches one file twice, or writes to it while the guest reads.
pub(crate) fn blockdev(node_name: &str, disk: &Disk) -> Value {
    let read_only = disk.access == Access::ReadOnly;
    json!({
        "driver": "raw",
        "node-name": node_name,
        "read-only": read_only,
        "file": { "driver": "file", "filename": disk.file, "read-only": read_only, "locking": "off" },
    })
}
