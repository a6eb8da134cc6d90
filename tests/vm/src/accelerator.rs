//! Hardware acceleration where it truly works, software emulation elsewhere.
//!
//! `/dev/kvm` says little: nested and paravirtual hypervisors offer one that does not run an ordinary kernel. So the
//! image's own kernel is tried on it once, without an initrd: where KVM works, it panics and the machine ends.

use std::{fs, path::Path, time::Duration};

use crate::{error::StartError, host::Host, process::Daemon};

/// Chooses the accelerator; `auto` or nothing means to try.
const VARIABLE: &str = "CCE_VM_ACCELERATOR";
/// A kernel that runs on hardware has panicked long before.
const TRIAL_LIMIT: Duration = Duration::from_secs(20);

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The CPU.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

/// How QEMU's translator runs several virtual CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emulation {
    /// In turn. What one changes in the code of the kernel, the others see.
    InTurn,
    /// At the same time: faster, but a CPU may run a translation of code that another one is just changing. The kernel
    /// puts a breakpoint (`int3`) where it changes itself, takes it away, and stops when it is hit afterwards; it happens
    /// once in some fifty boots.
    AtOnce,
}

impl Accelerator {
    /// The accelerator that the environment asks for, else the one that works here. The answer is kept in `folder`.
    pub(crate) fn choose(host: &Host, vmlinuz: &Path, folder: &Path) -> Result<Self, StartError> {
        if let Some(chosen) = std::env::var(VARIABLE).ok().and_then(|name| Self::named(&name)) {
            return Ok(chosen);
        }
        let answer = folder.join("accelerator");
        if let Some(known) = fs::read_to_string(&answer).ok().and_then(|name| Self::named(name.trim())) {
            return Ok(known);
        }
        let found = if kvm_runs(host, vmlinuz, folder)? { Self::Kvm } else { Self::Tcg };
        fs::write(&answer, found.name()).map_err(|source| StartError::Log { path: answer, source })?;
        Ok(found)
    }

    /// The accelerator's name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Kvm, Self::Tcg].into_iter().find(|accelerator| accelerator.name() == name)
    }

    /// QEMU's arguments.
    pub(crate) fn arguments(self, emulation: Emulation) -> [&'static str; 4] {
        match (self, emulation) {
            (Self::Kvm, _) => ["-accel", "kvm", "-cpu", "host"],
            (Self::Tcg, Emulation::InTurn) => ["-accel", "tcg,thread=single", "-cpu", "max"],
            (Self::Tcg, Emulation::AtOnce) => ["-accel", "tcg,thread=multi", "-cpu", "max"],
        }
    }
}

fn kvm_runs(host: &Host, vmlinuz: &Path, folder: &Path) -> Result<bool, StartError> {
    if fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_err() {
        return Ok(false);
    }
    let console = folder.join("kvm-console.log");
    let mut arguments: Vec<String> =
        Accelerator::Kvm.arguments(Emulation::InTurn).map(str::to_owned).to_vec();
    let machine = ["-machine", "q35", "-m", "256M", "-nodefaults", "-display", "none", "-no-reboot"];
    arguments.extend(machine.map(str::to_owned));
    arguments.extend(["-append", "console=ttyS0 panic=-1", "-kernel"].map(str::to_owned));
    arguments.push(vmlinuz.display().to_string());
    arguments.extend(["-serial".to_owned(), format!("file:{}", console.display())]);
    let mut trial = Daemon::start("QEMU with KVM", &host.qemu, &arguments, folder.join("kvm-qemu.log"))?;
    let spawn_error = |source| StartError::Spawn { name: "QEMU with KVM", source };
    let ended_well =
        trial.wait(Some(TRIAL_LIMIT)).map_err(spawn_error)?.is_some_and(|status| status.success());
    let said = fs::read(&console).unwrap_or_default();
    Ok(ended_well && String::from_utf8_lossy(&said).contains("Kernel panic"))
}
