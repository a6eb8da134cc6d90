//! Where the story plays: in a virtual machine, or as a process of this machine.

use std::path::{Path, PathBuf};

/// What a guest is launched with. All of it is the host's choice; HOST_DATA is what the tenant will compare.
pub(super) struct Launch<'a> {
    /// Names the guest's log files.
    pub(super) name: &'a str,
    /// The policy that is delivered.
    pub(super) policy: &'a Path,
    /// The policy whose digest becomes HOST_DATA: the same one, unless the host cheats.
    pub(super) host_data_of: &'a Path,
    /// Disks to attach.
    pub(super) disks: &'a [PathBuf],
}

/// A running guest, as the host and the tenant see it. It ends when it is dropped.
pub(super) struct Guest {
    /// Where its agent listens, for `cce host --address`.
    pub(super) address: String,
    /// The attached disks, as the guest names them.
    pub(super) devices: Vec<String>,
    /// The certificates of the secure processor that it runs on: VCEK, ASK, ARK.
    pub(super) certificates: PathBuf,
    /// The root that signs them.
    pub(super) root: PathBuf,
    /// What the tenant expects as MEASUREMENT, in hexadecimal digits.
    pub(super) measurement: String,
    /// What MEASUREMENT covers here.
    pub(super) measured: &'static str,
    /// How it was started.
    pub(super) started: String,
    /// The document whose SHA-256 is HOST_DATA.
    pub(super) host_data_document: PathBuf,
    /// Keeps the guest alive.
    pub(super) _alive: Box<dyn std::any::Any>,
}

/// A place that can launch guests.
pub(super) trait Stage {
    /// Launches a guest and waits until its agent answers.
    ///
    /// # Errors
    ///
    /// When it does not come up: an agent whose policy is not the one in HOST_DATA never does.
    fn launch(&self, launch: &Launch<'_>) -> anyhow::Result<Guest>;
}
