//! Turns the mounts of a request into a plan.

mod as_asked;
mod confined;
#[cfg(test)]
mod fixture;
mod label;
mod options;

use policy_engine::GuestPath;
use policy_engine::path::ParsePathError;
use policy_engine::request::linux::{IdMappings, MountSet};
use policy_engine::request::{ContainerMount, CreateContainer};

use super::mappings::MappingError;
use super::plan::MountPlan;
use crate::sys::mount_attributes::{Changes, Extent};

/// The most mounts of a container.
pub(crate) const MOUNTS_MAX: usize = 128;

/// Why a mount is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// More than 128 mounts.
    #[error("a container has at most {MOUNTS_MAX} mounts")]
    TooMany,
    /// Two mounts at one place: the later would hide the earlier, which policy judged as if it were seen.
    #[error("two mounts have this destination")]
    Duplicate,
    /// A mount on a directory that an earlier one lies in: policy judged both as if they were seen.
    #[error("an earlier mount would be hidden by this one")]
    Hides,
    /// The root and the kernel's own trees are the guest's to mount.
    #[error("nothing of this kind may be mounted there")]
    Reserved,
    /// A file system that no container may mount.
    #[error("file systems of type `{fstype}` are not mounted for containers")]
    Filesystem {
        /// The type.
        fstype: String,
    },
    /// A bind mount by its options that has a type by its type.
    #[error("the mount says both `{fstype}` and bind")]
    Contradiction {
        /// The type.
        fstype: String,
    },
    /// An option that is unknown, or not allowed for this kind of mount.
    #[error("the mount option `{option}` is not supported here")]
    Option {
        /// The option.
        option: String,
    },
    /// A parameter for a file system that is mounted already, by the guest or by an earlier mount.
    #[error("`{option}` would change a file system that others have mounted as well")]
    Mounted {
        /// The option.
        option: String,
    },
    /// Id mappings of a mount that cannot have any.
    #[error("ids are mapped in bind mounts of containers that choose their mounts freely")]
    IdMappings,
    /// Id mappings that make no sense, or that neither the mount nor the container has.
    #[error("the id mappings are refused")]
    Mapping(#[source] MappingError),
    /// The source of a bind mount is no path.
    #[error("the source of a bind mount is not a path")]
    Source(#[source] ParsePathError),
    /// No SELinux label.
    #[error("the label of mounts has 1 to 255 bytes, and none is NUL")]
    Label,
    /// The kernel would take the label, and nothing would enforce it.
    #[error("this kernel has no SELinux policy to label mounts by")]
    NoLabels,
    /// The control groups of version 1 are not known.
    #[error("the hierarchies of control groups are not known")]
    Hierarchies(std::io::ErrorKind),
}

/// A tree that the agent opens or makes before the process exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A part of a file system that the guest has mounted.
    Bind(BindSource),
    /// A new file system that is made of something of the guest's.
    Filesystem(FilesystemSource),
}

impl Source {
    /// Who is who in it, if it says so.
    pub(crate) fn id_map(&self) -> Option<&IdMap> {
        match self {
            Self::Bind(bind) => bind.id_map.as_ref(),
            Self::Filesystem(_) => None,
        }
    }
}

/// The source of a bind mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BindSource {
    pub(crate) path: GuestPath,
    pub(crate) extent: Extent,
    /// Whether symbolic links on the way are followed, within the directory that the source may lie in.
    pub(crate) follow_links: bool,
    /// Whether a source that is a symbolic link is made again.
    pub(crate) copy_symlink: bool,
    pub(crate) peers: Peers,
    pub(crate) id_map: Option<IdMap>,
    /// Changes of the mount itself.
    pub(crate) mount: Changes,
    /// Changes of all mounts, which come after those.
    pub(crate) tree: Changes,
}

/// Who is who in a bind mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdMap {
    /// From the ids of the file system to those of the guest.
    pub(crate) mappings: IdMappings,
    pub(crate) extent: Extent,
}

/// What a bind mount has to do with the mount that it is a copy of, `mount_namespaces(7)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peers {
    /// Nothing.
    None,
    /// What is mounted there appears here.
    Receive,
    /// What is mounted in either appears in the other.
    Share,
}

/// A file system to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilesystemSource {
    pub(crate) fstype: String,
    /// Parameters with an empty value are flags.
    pub(crate) parameters: Vec<(String, String)>,
    /// `MOUNT_ATTR_*` bits.
    pub(crate) attributes: u32,
}

/// The mounts of a container in the order in which they are made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Mounts {
    pub(crate) plans: Vec<MountPlan>,
    /// What the agent provides for those of them that are [trees](super::plan::MountKind::Tree), in order.
    pub(crate) sources: Vec<Source>,
}

/// Plans the mounts of a container; `extra` follow those of the request. An error comes with the destination that it is
/// about.
pub(crate) fn compile(
    request: &CreateContainer,
    extra: &[ContainerMount],
) -> Result<Mounts, (String, MountError)> {
    let requested = request.mounts.iter().chain(extra);
    let mut mounts = match request.linux.mounts {
        MountSet::Confined => confined::compile(requested, request.privileged)?,
        MountSet::AsAsked => as_asked::compile(requested, &request.linux)?,
    };
    if let Some(label) = &request.linux.mount_label {
        label::set(&mut mounts, label, label::has_policy()).map_err(|error| (String::new(), error))?;
    }
    Ok(mounts)
}
