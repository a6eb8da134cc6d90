//! Debian packages that tasks need: found by the program they bring, installed when this task runs as root.

use crate::command::Run;

/// A Debian package.
pub(crate) struct Package {
    name: &'static str,
    /// The program that shows whether the package, in whatever version, is there.
    program: &'static str,
}

/// What a virtual machine needs.
pub(crate) const FOR_VM: &[Package] = &[Package { name: "qemu-system-x86", program: "qemu-system-x86_64" }];

/// What tests in virtual machines make layers with, beside our own tool.
pub(crate) const FOR_VM_TESTS: &[Package] = &[
    Package { name: "cryptsetup-bin", program: "veritysetup" },
    Package { name: "erofs-utils", program: "mkfs.erofs" },
    Package { name: "fdisk", program: "sfdisk" },
    Package { name: "squashfs-tools", program: "mksquashfs" },
];

/// What containers in tests are made of, what tests attach disks and start agents with, and where images come from.
pub(crate) const FOR_TESTS: &[Package] = &[
    Package { name: "busybox-static", program: "busybox" },
    Package { name: "docker-registry", program: "docker-registry" },
    Package { name: "e2fsprogs", program: "e2fsck" },
    Package { name: "mount", program: "losetup" },
    Package { name: "util-linux", program: "unshare" },
];

/// What a guest without a virtual machine needs.
pub(crate) const FOR_NATIVE: &[Package] =
    &[Package { name: "mount", program: "losetup" }, Package { name: "util-linux", program: "unshare" }];

/// Container engines: CI has them, elsewhere each is tried if it is there.
pub(crate) const FOR_ENGINES: &[Package] =
    &[Package { name: "podman", program: "podman" }, Package { name: "containerd", program: "containerd" }];

/// The names of the packages that are not there.
pub(crate) fn missing(packages: &[Package]) -> Vec<&'static str> {
    let missing = packages.iter().filter(|package| !is_on_path(package.program));
    missing.map(|package| package.name).collect()
}

/// Makes sure that the packages are there.
pub(crate) fn ensure(packages: &[Package]) -> anyhow::Result<()> {
    let names = missing(packages);
    if names.is_empty() {
        return Ok(());
    }
    eprintln!("missing Debian packages: {}", names.join(" "));
    require_root(&install(&names, &[]))?;
    if install(&names, &[]).run().is_ok() {
        return Ok(());
    }
    // The lists may be missing; and a package that is half there from backports only goes with its other half.
    refresh_lists()?;
    if install(&names, &[]).run().is_ok() {
        return Ok(());
    }
    install(&names, &["-t", "bookworm-backports"]).run()?;
    Ok(())
}

/// Fetches the lists of what Debian's archive has.
pub(crate) fn refresh_lists() -> anyhow::Result<()> {
    let update = Run::new("apt-get").arg("update");
    require_root(&update)?;
    update.run()?;
    Ok(())
}

/// Stops with the command that the person has to run.
fn require_root(command: &Run) -> anyhow::Result<()> {
    if Run::new("id").arg("-u").stdout()?.trim() == "0" {
        return Ok(());
    }
    anyhow::bail!("run this as root, then try again: {command}")
}

fn install(names: &[&str], release: &[&str]) -> Run {
    Run::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "-y", "--no-install-recommends"])
        .args(release)
        .args(names)
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_there_needs_no_package() {
        ensure(&[Package { name: "no-such-package", program: "sh" }]).unwrap();
    }

    #[test]
    fn a_missing_program_is_noticed() {
        assert!(!is_on_path("no-such-program-anywhere"));
    }

    #[test]
    fn the_command_can_be_copied() {
        let command = install(&["qemu-system-x86"], &["-t", "bookworm-backports"]).to_string();
        assert!(
            command.ends_with(
                "apt-get install -y --no-install-recommends -t bookworm-backports qemu-system-x86"
            )
        );
    }
}
