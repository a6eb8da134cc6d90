//! The yardstick: an initrd of busybox that is ready on vsock as soon as it can be.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use guest_image::{Kernel, cpio::Archive, modules};

use super::listener;

/// Where Debian's package `busybox-static` puts its program.
const BUSYBOX: &str = "/bin/busybox";
/// The driver of vsock; what it depends on comes along.
const MODULES: &str = "vmw_vsock_virtio_transport";

/// Writes the initrd into `folder`.
pub(super) fn initrd(kernel: &Kernel, folder: &Path) -> anyhow::Result<PathBuf> {
    let mut archive = Archive::default();
    for mount_point in ["dev", "proc", "sys"] {
        archive.directory(mount_point)?;
    }
    let busybox = std::fs::read(BUSYBOX).with_context(|| format!("cannot read {BUSYBOX}"))?;
    archive.file("bin/busybox", 0o755, busybox)?;
    archive.file("bin/listener", 0o755, listener::program(vm::AGENT_PORT))?;
    let modules = modules::collect(&kernel.modules, MODULES)?;
    let mut script = String::from(
        "#!/bin/busybox sh\n\
         b=/bin/busybox\n\
         $b mount -t proc proc /proc\n\
         $b mount -t sysfs sysfs /sys\n\
         $b mount -t devtmpfs devtmpfs /dev\n",
    );
    for module in modules {
        script.push_str(&format!("$b insmod /lib/{}.ko\n", module.name));
        archive.file(&format!("lib/{}.ko", module.name), 0o444, module.bytes)?;
    }
    // `listener` returns when it listens. `read` is the shell's own: no process.
    script.push_str(
        "/bin/listener\n\
         read uptime idle </proc/uptime\n\
         echo \"busybox ready, $uptime s after the kernel's start\"\n\
         while true; do $b sleep 1000; done\n",
    );
    archive.file("init", 0o755, script.into_bytes())?;
    let path = folder.join("busybox-initrd.img");
    std::fs::write(&path, archive.into_bytes()?).context("cannot write busybox's initrd")?;
    Ok(path)
}
