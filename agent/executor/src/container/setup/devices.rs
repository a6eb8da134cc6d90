//! The device nodes of a container.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, fstat, major, makedev, minor, mkdirat,
    mknodat, symlinkat,
};
use rustix::io::Errno;

use super::outside::MadeOutside;
use super::root::{Root, attach_at, new_file, open_child};
use crate::container::plan::{DeviceNodePlan, DevicesPlan, NodeKind};

/// Symbolic links of `/dev`, by name and target.
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// Major and minor number of `/dev/null`.
const NULL: (u32, u32) = (1, 3);
/// The mode of the directories of `/dev`.
const DIRECTORY: Mode = Mode::from_raw_mode(0o755);

/// Fills a new `/dev`.
pub(super) fn populate(
    dev: &OwnedFd,
    nodes: &[DeviceNodePlan],
    outside: Option<&mut MadeOutside>,
) -> io::Result<()> {
    make_below(dev, nodes, outside)?;
    for (name, target) in LINKS {
        symlinkat(target, dev, name)?;
    }
    for directory in ["pts", "shm", "mqueue"] {
        ensure_directory(dev, directory)?;
    }
    Ok(())
}

/// Makes what is not in a `/dev` of its own: in that of the root file system, and elsewhere.
pub(super) fn populate_root(
    root: &Root,
    plan: &DevicesPlan,
    mut outside: Option<&mut MadeOutside>,
) -> io::Result<()> {
    if plan.dev_of_rootfs {
        root.ensure_directory("/dev")?;
        let dev = root.open("/dev", OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)?;
        make_below(&dev, &plan.dev, outside.as_deref_mut())?;
        for (name, target) in LINKS {
            match symlinkat(target, &dev, name) {
                // What the image has there is the image's.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    for node in &plan.elsewhere {
        let path = Path::new(&node.path);
        let directory = root.directory(path.parent().ok_or(Errno::INVAL)?)?;
        provide(&directory, file_name(path)?, node, outside.as_deref_mut())?;
    }
    Ok(())
}

/// Makes nodes by their paths below `/dev`.
fn make_below(
    dev: &OwnedFd,
    nodes: &[DeviceNodePlan],
    mut outside: Option<&mut MadeOutside>,
) -> io::Result<()> {
    for node in nodes {
        let path = Path::new(&node.path);
        let mut directory = open_child(dev, ".", OFlags::PATH | OFlags::DIRECTORY)?;
        for component in path.parent().into_iter().flat_map(Path::components) {
            let name = component.as_os_str().to_str().ok_or(Errno::INVAL)?;
            ensure_directory(&directory, name)?;
            directory = open_child(&directory, name, OFlags::PATH | OFlags::DIRECTORY)?;
        }
        provide(&directory, file_name(path)?, node, outside.as_deref_mut())?;
    }
    Ok(())
}

/// Makes a node, or binds one that was made outside of the user namespace.
fn provide(
    directory: &OwnedFd,
    name: &str,
    node: &DeviceNodePlan,
    outside: Option<&mut MadeOutside>,
) -> io::Result<()> {
    let Some(outside) = outside.filter(|_| node.kind != NodeKind::Fifo) else {
        return make(directory, name, node);
    };
    let place = match new_file(directory, name) {
        // What is bound there covers it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            open_child(directory, name, OFlags::PATH)?
        }
        other => other?,
    };
    attach_at(&outside.take_node(&node.path)?, &place)
}

fn file_name(path: &Path) -> io::Result<&str> {
    Ok(path.file_name().and_then(|name| name.to_str()).ok_or(Errno::INVAL)?)
}

fn ensure_directory(parent: &OwnedFd, name: &str) -> io::Result<()> {
    match mkdirat(parent, name, DIRECTORY) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Makes a node. One that is there already has to be the same.
pub(super) fn make(directory: &OwnedFd, name: &str, node: &DeviceNodePlan) -> io::Result<()> {
    let kind = match node.kind {
        NodeKind::Character => FileType::CharacterDevice,
        NodeKind::Block => FileType::BlockDevice,
        NodeKind::Fifo => FileType::Fifo,
    };
    let (mode, device) = (Mode::from_raw_mode(node.mode.into()), makedev(node.major, node.minor));
    match mknodat(directory, name, kind, mode, device) {
        Ok(()) => {
            let (owner, group) = (Uid::from_raw(node.uid), Gid::from_raw(node.gid));
            chownat(directory, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(())
        }
        Err(Errno::EXIST) => {
            let status = fstat(open_child(directory, name, OFlags::PATH)?)?;
            let same = FileType::from_raw_mode(status.st_mode) == kind
                && (kind == FileType::Fifo || status.st_rdev == device)
                && Mode::from_raw_mode(status.st_mode) == mode
                && (status.st_uid, status.st_gid) == (node.uid, node.gid);
            if same { Ok(()) } else { Err(Errno::EXIST.into()) }
        }
        Err(errno) => Err(errno.into()),
    }
}

/// The container's null device, which is one: what is bound over a masked file must not be a file of the
/// container's choosing (CVE-2025-31133).
pub(super) fn null(root: &Root) -> io::Result<OwnedFd> {
    let dev = root.open("/dev", OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)?;
    let null = open_child(&dev, "null", OFlags::PATH)?;
    let status = fstat(&null)?;
    let device = (major(status.st_rdev), minor(status.st_rdev));
    if FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice && device == NULL {
        Ok(null)
    } else {
        Err(Errno::NODEV.into())
    }
}
