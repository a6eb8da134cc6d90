//! The control groups of version 1 as containers know them: a directory for each hierarchy.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, mkdirat, symlinkat};
use rustix::mount::{FsOpenFlags, MountAttrFlags, fsconfig_set_flag, fsconfig_set_string, fsopen};

use super::super::root::{attach_at, open_child};
use super::{instance_of, new_instance, restrict};
use crate::container::plan::Virtual;

/// Mounts them on `place`. Each shows the cgroup namespace of the process.
pub(super) fn mount(
    place: &OwnedFd,
    hierarchies: &[String],
    attributes: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let read_only = MountAttrFlags::MOUNT_ATTR_RDONLY;
    let parameters = [("source", "tmpfs"), ("mode", "0755"), ("size", "1m")];
    let parameters = parameters.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let directories = new_instance(Virtual::Tmpfs, &parameters, attributes.difference(read_only))?;
    attach_at(&directories, place)?;
    for controllers in hierarchies {
        let name = controllers.strip_prefix("name=").unwrap_or(controllers);
        mkdirat(&directories, name, Mode::from_raw_mode(0o755))?;
        let directory = open_child(&directories, name, OFlags::PATH | OFlags::DIRECTORY)?;
        attach_at(&hierarchy(controllers, attributes)?, &directory)?;
        // Each controller of several is found by its own name as well.
        for controller in controllers.split(',').filter(|controller| *controller != controllers) {
            symlinkat(name, &directories, controller)?;
        }
    }
    restrict(&directories, attributes.intersection(read_only))?;
    Ok(directories)
}

fn hierarchy(controllers: &str, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let context = fsopen("cgroup", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", "cgroup")?;
    for controller in controllers.split(',') {
        match controller.strip_prefix("name=") {
            Some(name) => fsconfig_set_string(&context, "name", name)?,
            None => fsconfig_set_flag(&context, controller)?,
        }
    }
    instance_of(&context, attributes)
}
