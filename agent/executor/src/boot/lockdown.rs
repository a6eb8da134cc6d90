//! What the kernel gives up when its modules are loaded: before the host says anything and before a container runs.
//!
//! The command line does its part before (no tracefs, no keyboard). A setting that does not take ends the boot: the
//! measurement promises a kernel that has all of them. Those marked "for good" are never given back, not even to a
//! container that may write to `/proc/sys`.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::termios::{
    ControlModes, LocalModes, OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr,
};

use crate::mounts::{Filesystem, INERT};
use crate::procfs::PrivateProcfs;

/// The longest setting that is read back, in bytes.
const VALUE_MAX: u64 = 256;
/// The kernel writes nothing below this level to its console, however bad it is.
const NO_MESSAGES: &str = "0";

/// Why the kernel is not locked down.
#[derive(Debug, thiserror::Error)]
pub enum LockdownError {
    /// The settings are out of reach.
    #[error("cannot mount a procfs for the settings of the kernel")]
    Procfs(#[source] io::Error),
    /// The level of lockdown is out of reach.
    #[error("cannot mount a securityfs for the lockdown of the kernel")]
    Securityfs(#[source] io::Error),
    /// The kernel refuses a setting, or has no such one.
    #[error("cannot set `{setting}` of the kernel")]
    Set {
        /// Its path below `/proc/sys`, or `lockdown` itself.
        setting: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The kernel took the value and has another one.
    #[error("`{setting}` of the kernel is `{found}` after it was set to `{value}`")]
    Differs {
        /// Its path below `/proc/sys`, or `lockdown` itself.
        setting: &'static str,
        /// What was written.
        value: &'static str,
        /// What is read.
        found: String,
    },
    /// The console would take what the host types.
    #[error("cannot close the input of the console")]
    Console(#[source] io::Error),
}

/// What it means that the kernel does not know a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    /// The kernel has not got what the setting switches off: it is as old as that, or older.
    NoSuchFeature,
    /// Something may be open that nothing closes.
    Fatal,
}

struct Setting {
    /// Path below `/proc/sys`.
    path: &'static str,
    value: &'static str,
    absence: Absence,
}

const fn setting(path: &'static str, value: &'static str, absence: Absence) -> Setting {
    Setting { path, value, absence }
}

/// In the order in which they are set, each with the attack that it stops.
const SETTINGS: &[Setting] = &[
    // The kernel starts programs of its own accord, as root outside of every container: to load a module, to switch
    // off. A file that somebody puts where it looks would be run. First, the programs have no name;
    setting("kernel/modprobe", "", Absence::NoSuchFeature),
    setting("kernel/poweroff_cmd", "", Absence::Fatal),
    // then, a core dump goes to no program (CVE-2022-0492 and others escape by such a one);
    setting("kernel/core_pattern", "core", Absence::NoSuchFeature),
    // and last, any program of the kernel's is without capabilities. For good.
    setting("kernel/usermodehelper/bset", "0\t0", Absence::Fatal),
    setting("kernel/usermodehelper/inheritable", "0\t0", Absence::Fatal),
    // Code for the kernel, also signed one with a known hole that the host brings along. For good.
    setting("kernel/modules_disabled", "1", Absence::NoSuchFeature),
    // Another kernel in the place of the measured one. For good.
    setting("kernel/kexec_load_disabled", "1", Absence::NoSuchFeature),
    // Keys that dump memory and registers to the host's side of the console, or kill every process.
    setting("kernel/sysrq", "0", Absence::NoSuchFeature),
    // Addresses of the kernel, for a container that looks for its way into it.
    setting("kernel/kptr_restrict", "2", Absence::Fatal),
    setting("kernel/dmesg_restrict", "1", Absence::Fatal),
    // Programs that a container without rights has the kernel verify, compile and run. For good.
    setting("kernel/unprivileged_bpf_disabled", "1", Absence::NoSuchFeature),
    // Constants of a container's seccomp filter that become instructions of the kernel.
    setting("net/core/bpf_jit_harden", "2", Absence::NoSuchFeature),
    // Counters by which a container watches the kernel and its neighbours.
    setting("kernel/perf_event_paranoid", "3", Absence::NoSuchFeature),
    // System calls that no seccomp profile sees, by a ring of requests in memory.
    setting("kernel/io_uring_disabled", "2", Absence::Fatal),
    // Page faults that a container answers as late as it likes, while the kernel is at a place where that hurts.
    setting("vm/unprivileged_userfaultfd", "0", Absence::NoSuchFeature),
    // A container without rights that makes itself root of a user namespace, and so reaches the kernel's code for
    // mounts and networks. The launcher has the right, and makes those that the policy grants.
    setting("kernel/unprivileged_userns_clone", "0", Absence::Fatal),
    // A null pointer of the kernel's that leads to memory of a container's.
    setting("vm/mmap_min_addr", "65536", Absence::Fatal),
    // Links and pipes that one container leaves for another in a directory that both write to.
    setting("fs/protected_symlinks", "1", Absence::Fatal),
    setting("fs/protected_hardlinks", "1", Absence::Fatal),
    setting("fs/protected_fifos", "1", Absence::Fatal),
    setting("fs/protected_regular", "1", Absence::Fatal),
    // Opening a program that a container holds a lease on, which takes as long as the container likes.
    setting("fs/leases-enable", "0", Absence::NoSuchFeature),
    // The memory of a program that has changed its rights, in a file.
    setting("fs/suid_dumpable", "0", Absence::Fatal),
];

/// How far the kernel is locked down: nobody changes its memory or reads it, not through `/dev/mem`, a kernel to boot,
/// debugfs or BPF. For good. Not on the command line: under it a module has to be signed, and the measurement is what
/// says which modules load.
const LEVEL: &[Setting] = &[setting("lockdown", "confidentiality", Absence::Fatal)];

/// Locks the kernel down. What needs a module has been loaded before.
pub(super) fn lock_kernel() -> Result<(), LockdownError> {
    let procfs = PrivateProcfs::with_sysctls().map_err(LockdownError::Procfs)?;
    apply(&procfs, SETTINGS)?;
    let securityfs = Filesystem::open("securityfs").and_then(|securityfs| securityfs.mount(INERT));
    apply(&SecurityFs(securityfs.map_err(LockdownError::Securityfs)?), LEVEL)?;
    close_console_input().map_err(LockdownError::Console)
}

/// Has the kernel write nothing to the console any more. A kernel that panics writes its registers and its stack there,
/// which are memory of the tenant's, and the console is the host's.
pub(super) fn silence_kernel() -> Result<(), LockdownError> {
    let procfs = PrivateProcfs::with_sysctls().map_err(LockdownError::Procfs)?;
    let setting = "kernel/printk";
    let error = |source| LockdownError::Set { setting, source };
    procfs.set(setting, NO_MESSAGES).map_err(error)?;
    let levels = procfs.get(setting).map_err(error)?;
    // The first of four levels is that of the console.
    match levels.split_ascii_whitespace().next() {
        Some(NO_MESSAGES) => Ok(()),
        _ => Err(LockdownError::Differs { setting, value: NO_MESSAGES, found: levels }),
    }
}

/// The settings of a kernel.
trait Kernel {
    /// Sets a setting, named by its path.
    fn set(&self, path: &str, value: &str) -> io::Result<()>;
    /// Its value, without the end of the line.
    fn get(&self, path: &str) -> io::Result<String>;
}

impl Kernel for PrivateProcfs {
    fn set(&self, path: &str, value: &str) -> io::Result<()> {
        // The end of the line makes an empty value one that is written at all.
        self.write(&format!("sys/{path}"), format!("{value}\n").as_bytes())
    }

    fn get(&self, path: &str) -> io::Result<String> {
        let value = self.read(&format!("sys/{path}"), VALUE_MAX)?;
        Ok(String::from_utf8_lossy(&value).trim_end_matches('\n').to_owned())
    }
}

/// The kernel's security modules, attached to no directory tree.
struct SecurityFs(OwnedFd);

impl SecurityFs {
    fn open(&self, path: &str, access: OFlags) -> io::Result<File> {
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(openat(&self.0, path, flags, Mode::empty())?))
    }
}

impl Kernel for SecurityFs {
    /// The kernel refuses the level that it has already.
    fn set(&self, path: &str, value: &str) -> io::Result<()> {
        if self.get(path)? == value {
            Ok(())
        } else {
            self.open(path, OFlags::WRONLY)?.write_all(value.as_bytes())
        }
    }

    fn get(&self, path: &str) -> io::Result<String> {
        let mut levels = String::new();
        self.open(path, OFlags::RDONLY)?.take(VALUE_MAX).read_to_string(&mut levels)?;
        Ok(chosen(&levels).to_owned())
    }
}

/// `integrity` of `none [integrity] confidentiality`.
fn chosen(levels: &str) -> &str {
    levels.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("", |(level, _)| level)
}

fn apply(kernel: &impl Kernel, settings: &[Setting]) -> Result<(), LockdownError> {
    for &Setting { path, value, absence } in settings {
        let error = |source| LockdownError::Set { setting: path, source };
        match kernel.set(path, value) {
            Err(missing)
                if missing.kind() == io::ErrorKind::NotFound && absence == Absence::NoSuchFeature =>
            {
                continue;
            }
            set => set.map_err(error)?,
        }
        let found = kernel.get(path).map_err(error)?;
        if found != value {
            return Err(LockdownError::Differs { setting: path, value, found });
        }
    }
    Ok(())
}

/// Turns the receiver of the console off, and the echo. Nobody reads what the host types; neither does it wait in the
/// kernel for somebody who would.
fn close_console_input() -> io::Result<()> {
    let console = rustix::stdio::stdin();
    let mut modes = match tcgetattr(console) {
        // A machine without a console has no input either.
        Err(Errno::NOTTY) => return Ok(()),
        modes => modes?,
    };
    modes.control_modes.remove(ControlModes::CREAD);
    modes.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
    tcsetattr(console, OptionalActions::Now, &modes)?;
    Ok(tcflush(console, QueueSelector::IFlush)?)
}

#[cfg(test)]
mod tests;
