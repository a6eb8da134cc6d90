//! Boots the guest image in QEMU as a hypervisor would, for tests, the demo and people who try things.
//!
//! The host side of a machine is four things: QEMU, the vsock back-end, the emulated secure processor, and the disks.
//! What a real hypervisor hands to the secure processor at launch (HOST_DATA, and the measurement of the very files
//! that are booted) is handed to the emulated one before QEMU starts.

#![forbid(unsafe_code)]

mod accelerator;
mod config;
mod disk;
mod error;
mod host;
mod host_tool;
mod igvm;
mod initdata;
mod layer;
mod machine;
pub mod machine_code;
mod process;
mod qemu;
mod qmp;
mod vsock;

pub use self::igvm::{GdbError, LaunchError};
pub use accelerator::{Accelerator, Emulation};
pub use config::{BootFiles, IgvmLaunch, Refusal, VmConfig};
pub use disk::{Access, Disk, GuestDisk, MemoryBus, PersistentMemory};
pub use error::{AttachError, StartError};
pub use host::{Host, HostError};
pub use host_tool::{CallError, HostTool, PERMISSIVE_POLICY, cce};
pub use initdata::{Initdata, InitdataError};
pub use layer::{BLOCK_BYTES, Layer, LayerError, LayerFiles};
pub use machine::VirtualMachine;
pub use qmp::QmpError;
pub use vsock::GUEST_CID;

/// vsock port on which the agent serves.
pub const AGENT_PORT: u32 = 1024;
/// vsock port on the host at which the emulated secure processor listens.
pub const PSP_PORT: u32 = 4050;
