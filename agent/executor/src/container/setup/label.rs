//! Labels of security modules that a program gets when it is executed.

use std::io;

use rustix::io::Errno;

use crate::container::report::{AtStep as _, Failure, Step};
use crate::container::settings::SettingsPlan;
use crate::procfs::PrivateProcfs;

/// The kernel takes longer labels of no module.
const LABEL_LENGTH_MAX: u64 = 4096;

/// Asks for the labels. A kernel without the module cannot enforce them, which is an error: `EOPNOTSUPP`.
pub(super) fn set(settings: &SettingsPlan) -> Result<(), Failure> {
    if let Some(profile) = &settings.apparmor_profile {
        set_apparmor(profile).on(Step::AppArmor, profile)?;
    }
    if let Some(label) = &settings.selinux_label {
        set_selinux(label).on(Step::SeLinux, label)?;
    }
    Ok(())
}

fn set_apparmor(profile: &str) -> io::Result<()> {
    let procfs = PrivateProcfs::of_processes()?;
    // There when the kernel has AppArmor, and answers when that is on.
    procfs.read("self/attr/apparmor/current", LABEL_LENGTH_MAX).map_err(|_| Errno::OPNOTSUPP)?;
    procfs.write("self/attr/apparmor/exec", format!("exec {profile}").as_bytes())
}

/// The files are those of whatever module is on. SELinux without a policy takes any label and enforces none; its own is a
/// word then. With one, every label has parts.
fn set_selinux(label: &str) -> io::Result<()> {
    let procfs = PrivateProcfs::of_processes()?;
    let own = procfs.read("self/attr/current", LABEL_LENGTH_MAX).map_err(|_| Errno::OPNOTSUPP)?;
    if own.iter().filter(|byte| **byte == b':').count() < 2 {
        return Err(Errno::OPNOTSUPP.into());
    }
    // The session keyring that follows belongs to the container as well.
    procfs.write("self/attr/keycreate", label.as_bytes())?;
    procfs.write("self/attr/exec", label.as_bytes())
}
