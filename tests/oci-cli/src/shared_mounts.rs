//! Containers without a mount namespace of their own: other runtimes leave the root mounted on itself among the caller's
//! mounts, and who drives them unmounts it there, or counts on its being unmounted by `delete`. The executor mounts
//! nothing where a container could reach more by it, so that this is for them alone.

use std::path::Path;

use anyhow::Context as _;
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};

fn applies(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let mut namespaces = namespaces.into_iter().flatten();
    !namespaces.any(|namespace| namespace.typ() == LinuxNamespaceType::Mount)
}

/// Mounts the root on itself.
pub(crate) fn leave_root(spec: &Spec, rootfs: &str) -> anyhow::Result<()> {
    if !applies(spec) {
        return Ok(());
    }
    mount_bind(rootfs, rootfs).context("the root file system cannot be mounted")?;
    mount_change(rootfs, MountPropagationFlags::PRIVATE)
        .context("the root file system cannot be made private")
}

/// Unmounts the root, unless somebody else did.
pub(crate) fn take_root(spec: &Spec, rootfs: &str) -> anyhow::Result<()> {
    if !applies(spec) || !Path::new(rootfs).exists() {
        return Ok(());
    }
    match unmount(rootfs, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        // No mount.
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(errno) => Err(errno).context("the root file system cannot be unmounted"),
    }
}
