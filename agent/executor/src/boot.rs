//! What happens before the first byte of the host is read, and the last thing of all.

mod early_mounts;
mod hardware;
mod initdata;
mod lockdown;
mod modules;
mod own_root;
mod power;
mod security_context;

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use nix::sched::CloneFlags;
use policy_engine::authority::BootAuthority;
use policy_engine::request::DeviceTarget;
use rustix::fs::Mode;
use rustix::mount::MountPropagationFlags;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

pub use crate::loopback::LoopbackError;
use crate::mounts::CONTAINER_PLACES;

pub use early_mounts::EarlyMountError;
pub use initdata::{INITDATA_LENGTH_MAX, InitdataError, find_initdata};
pub use lockdown::LockdownError;
pub use modules::LoadModuleError;
pub use power::{MayPowerOff, power_off};
#[cfg(test)]
pub(crate) use security_context::publish;
pub use security_context::{PublishError, SecurityContext, publish_security_context};

/// The longest kernel command line read, in bytes: `COMMAND_LINE_SIZE` of x86.
const COMMAND_LINE_MAX: u64 = 2048;

/// Why the guest did not come up.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A file system that the guest needs is not there.
    #[error("cannot mount the guest's own file systems")]
    Mounts(#[source] EarlyMountError),
    /// The file system that the kernel unpacked the image into would stay in reach of containers.
    #[error("cannot leave the initial root")]
    OwnRoot(#[source] io::Error),
    /// A module of the image does not load.
    #[error("cannot load the modules of the image")]
    Modules(#[source] LoadModuleError),
    /// The kernel would take more code, or give more away, than the measured image promises.
    #[error("cannot lock the kernel down")]
    Lockdown(#[source] LockdownError),
    /// A container could not reach its own addresses.
    #[error("cannot bring up the loopback interface")]
    Loopback(#[source] LoopbackError),
    /// The memory of this process would be open to others.
    #[error("cannot close the process to debuggers")]
    NotDumpable(#[source] io::Error),
    /// A crash would write memory, and keys in it, to a file.
    #[error("cannot forbid core dumps")]
    CoreDumps(#[source] io::Error),
    /// The directories for mounts could not be made.
    #[error("cannot make the directories for mounts")]
    Directories(#[source] io::Error),
    /// Mounts would show outside.
    #[error("cannot enter a mount namespace")]
    MountNamespace(#[source] io::Error),
}

/// What is worth telling about a guest that came up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuestReport {
    /// Modules whose hardware is not there, by file name: `sev-guest.ko` under emulation, for instance.
    pub modules_without_hardware: Vec<String>,
}

/// Sets up the measured guest, of which the caller is process 1: modules, the lockdown of the kernel, a root of its own,
/// file systems, the loopback interface, and limits on what this process gives away.
///
/// # Errors
/// [`BootError`]; the guest is of no use then.
pub fn enter_guest(_: &BootAuthority) -> Result<GuestReport, BootError> {
    protect_process()?;
    // The last that is needed of the image's files.
    let modules_without_hardware = modules::load_all().map_err(BootError::Modules)?;
    lockdown::lock_kernel().map_err(BootError::Lockdown)?;
    let root = own_root::leave_initial().map_err(BootError::OwnRoot)?;
    early_mounts::mount_base().map_err(BootError::Mounts)?;
    early_mounts::mount_configfs().map_err(BootError::Mounts)?;
    early_mounts::enable_controllers().map_err(BootError::Mounts)?;
    crate::loopback::bring_up().map_err(BootError::Loopback)?;
    make_directories()?;
    own_root::close(&root).map_err(BootError::OwnRoot)?;
    Ok(GuestReport { modules_without_hardware })
}

/// Hides the kernel's messages from the host, which reads the console. For a guest with data of a tenant's in it.
///
/// # Errors
/// When the kernel does not take the setting.
pub fn hide_kernel_messages(_: &BootAuthority) -> Result<(), LockdownError> {
    lockdown::silence_kernel()
}

/// Sets up an ordinary machine, for development: a mount namespace of our own, so that no mount shows outside or
/// outlives this process, and the directories for mounts. To be called while the process has a single thread.
///
/// # Errors
/// [`BootError`]
pub fn prepare_directories(_: &BootAuthority) -> Result<(), BootError> {
    protect_process()?;
    nix::sched::unshare(CloneFlags::CLONE_NEWNS).map_err(|error| BootError::MountNamespace(error.into()))?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|error| BootError::MountNamespace(error.into()))?;
    make_directories()
}

/// The kernel's command line, which the launch measurement covers.
///
/// # Errors
/// When it does not read, is longer than the kernel keeps, or is no text.
pub fn kernel_command_line(_: &BootAuthority) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open("/proc/cmdline")?.take(COMMAND_LINE_MAX.saturating_add(1)).read_to_string(&mut text)?;
    if text.len() as u64 > COMMAND_LINE_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(text.trim_end_matches('\n').to_owned())
}

/// Keys and policies are in the memory of this process: nobody may attach to it, and it leaves no core file.
fn protect_process() -> Result<(), BootError> {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| BootError::NotDumpable(error.into()))?;
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none).map_err(|error| BootError::CoreDumps(error.into()))
}

fn make_directories() -> Result<(), BootError> {
    let places = CONTAINER_PLACES.into_iter().chain([DeviceTarget::DIRECTORY]);
    places.map(Path::new).try_for_each(fs::create_dir_all).map_err(BootError::Directories)
}
