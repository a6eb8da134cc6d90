//! The namespaces of a container: which are new, which are others', and at which point each is entered.
//!
//! The launcher makes or enters most kinds for a process before that exists ([`Birth`]). The process itself does the
//! rest: its cgroup namespace shows what cgroup it is in when it makes it, and a mount or user namespace of another is
//! nothing that the launcher would come back from.

use std::io;
use std::os::fd::OwnedFd;

use policy_engine::GuestPath;
use policy_engine::request::linux::{
    IdMappings, Namespace, Namespaces, Propagation, TimeOffset, TimeOffsets,
};
use policy_engine::request::{CreateContainer, ProcessSpec};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstatfs, openat2};
use rustix::io::Errno;
use rustix::thread::ThreadNameSpaceType as NamespaceKinds;
use serde::{Deserialize, Serialize};

use super::mappings::{self, MappingError};
use super::plan::Virtual;
use crate::launcher::protocol::Birth;
use crate::procfs::PROCFS_MAGIC;
use crate::sys::namespace_kind::namespace_kind;

/// `NSFS_MAGIC` of `linux/magic.h`.
const NSFS_MAGIC: u32 = 0x6e73_6673;

/// Why namespaces are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamespaceError {
    /// In the mount namespace of another the files are the other's.
    #[error("`{setting}` needs a mount namespace of the container's own")]
    JoinedMount {
        /// What there is none of then.
        setting: &'static str,
    },
    /// It would change the guest.
    #[error("`{setting}` needs a namespace of the container's own")]
    Guest {
        /// What is named, or set.
        setting: &'static str,
    },
    /// A process of a new user namespace has no right to enter another's mount namespace.
    #[error("a container with a user namespace of its own has a mount namespace of its own")]
    MountOfOthers,
    /// The ids of a user namespace are refused.
    #[error("the id mappings are refused")]
    Mapping(#[source] MappingError),
    /// Only new clocks can be set.
    #[error("time offsets need a time namespace of the container's own")]
    TimeOffsets,
    /// A billion nanoseconds are a second.
    #[error("a time offset has fewer than 1,000,000,000 nanoseconds")]
    Nanoseconds,
}

/// Whose users a container's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Users {
    #[default]
    Guest,
    /// Of a namespace that it is born in, whose ids the agent maps.
    New,
    /// Of a namespace that it enters.
    Joined,
}

/// Whose files a container's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Files {
    /// Its own, attached in a mount namespace of its own.
    #[default]
    Attached,
    /// Its own, attached nowhere: the container is in the guest's mount namespace, where they are not.
    Detached,
    /// Those of a mount namespace that it joins.
    Joined,
}

/// The namespaces of a container, and what of them the process itself enters and makes. Descriptors: those that it is
/// born in, then those that it enters. All are `CLONE_NEW*` bits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct NamespacePlan {
    born_new: u32,
    born_joined: u32,
    entered: u32,
    made: u32,
    pub(crate) users: Users,
    pub(crate) files: Files,
    /// What is written to `/proc/<pid>/timens_offsets`, `time_namespaces(7)`; may be empty.
    pub(crate) time_offsets: String,
    /// The file systems that show a namespace which does not belong to the container's user namespace: they are made
    /// outside of that.
    pub(crate) outside: Vec<Virtual>,
}

/// A namespace of another, or of the agent itself, to be opened before the process exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinedNamespace {
    pub(crate) kind: NamespaceKinds,
    /// `None` for the agent's own.
    pub(crate) path: Option<GuestPath>,
}

impl NamespacePlan {
    /// Those that the process is born in.
    pub(crate) fn birth(&self) -> Birth {
        Birth {
            new: NamespaceKinds::from_bits_retain(self.born_new),
            joined: NamespaceKinds::from_bits_retain(self.born_joined),
        }
    }

    /// The kinds that the process enters, in this order: a user namespace last, since it takes the rights to enter
    /// others that do not belong to it.
    pub(crate) fn entered(&self) -> impl Iterator<Item = NamespaceKinds> {
        let kinds = [NamespaceKinds::CONTROL_GROUP, NamespaceKinds::MOUNT, NamespaceKinds::USER];
        kinds.into_iter().filter(|kind| self.entered & kind.bits() != 0)
    }

    /// The kinds that the process makes.
    pub(crate) fn made(&self) -> NamespaceKinds {
        NamespaceKinds::from_bits_retain(self.made)
    }

    /// Whether the container has a new one of this kind.
    pub(crate) fn has_new(&self, kind: NamespaceKinds) -> bool {
        (self.born_new | self.made) & kind.bits() != 0
    }
}

/// Plans the namespaces of a container. The joined ones are in the order of their descriptors; the guest's mount
/// namespace is the last.
pub(crate) fn compile(
    request: &CreateContainer,
) -> Result<(NamespacePlan, Vec<JoinedNamespace>), NamespaceError> {
    let namespaces = &request.linux.namespaces;
    check(request, namespaces)?;
    let users = match namespaces.user {
        Namespace::Guest => Users::Guest,
        Namespace::New => Users::New,
        Namespace::Join(_) => Users::Joined,
    };
    let mut plan = NamespacePlan {
        users,
        files: match namespaces.mount {
            Namespace::New => Files::Attached,
            Namespace::Guest => Files::Detached,
            Namespace::Join(_) => Files::Joined,
        },
        time_offsets: time_offsets(namespaces.time_offsets),
        outside: outside(users, namespaces),
        ..NamespacePlan::default()
    };
    // What is to belong to a joined user namespace is made in it. For a pid namespace that would take another process:
    // it belongs to the guest.
    let born = match users {
        Users::Guest | Users::New => Birth::NEW,
        Users::Joined => NamespaceKinds::PROCESS_ID,
    };
    let mut joined = Vec::new();
    for (kind, namespace) in kinds(namespaces) {
        let by_launcher = Birth::JOINED.contains(&kind);
        match namespace {
            Namespace::New if born.contains(kind) => plan.born_new |= kind.bits(),
            Namespace::New => plan.made |= kind.bits(),
            // It is set up among mounts of its own, and leaves those at the end.
            Namespace::Guest if kind == NamespaceKinds::MOUNT => plan.born_new |= kind.bits(),
            Namespace::Guest => {}
            Namespace::Join(path) => {
                let bits = if by_launcher { &mut plan.born_joined } else { &mut plan.entered };
                *bits |= kind.bits();
                joined.push(JoinedNamespace { kind, path: Some(path.clone()) });
            }
        }
    }
    if plan.files == Files::Detached {
        joined.push(JoinedNamespace { kind: NamespaceKinds::MOUNT, path: None });
    }
    Ok((plan, joined))
}

/// Each kind with where it is from: in the order of [`Birth::JOINED`], then in that of [`NamespacePlan::entered`].
fn kinds(namespaces: &Namespaces) -> [(NamespaceKinds, &Namespace); 8] {
    [
        (NamespaceKinds::PROCESS_ID, &namespaces.pid),
        (NamespaceKinds::INTER_PROCESS_COMMUNICATION, &namespaces.ipc),
        (NamespaceKinds::HOST_NAME_AND_NIS_DOMAIN_NAME, &namespaces.uts),
        (NamespaceKinds::NETWORK, &namespaces.network),
        (NamespaceKinds::TIME, &namespaces.time),
        (NamespaceKinds::CONTROL_GROUP, &namespaces.cgroup),
        (NamespaceKinds::MOUNT, &namespaces.mount),
        (NamespaceKinds::USER, &namespaces.user),
    ]
}

fn check(request: &CreateContainer, namespaces: &Namespaces) -> Result<(), NamespaceError> {
    match namespaces.mount {
        Namespace::New => {}
        // No mount of the guest's spreads to what is attached nowhere.
        Namespace::Guest if request.linux.rootfs_propagation != Propagation::Private => {
            return Err(NamespaceError::Guest { setting: "linux.rootfsPropagation" });
        }
        Namespace::Guest => {}
        Namespace::Join(_) => check_joined_mount(request)?,
    }
    check_users(namespaces).map_err(NamespaceError::Mapping)?;
    let guests = namespaces.user != Namespace::Guest && namespaces.mount == Namespace::Guest;
    if guests || (namespaces.user == Namespace::New && namespaces.mount != Namespace::New) {
        return Err(NamespaceError::MountOfOthers);
    }
    let offsets = namespaces.time_offsets;
    if namespaces.time != Namespace::New && offsets != TimeOffsets::default() {
        return Err(NamespaceError::TimeOffsets);
    }
    if [offsets.monotonic, offsets.boottime].iter().flatten().any(|offset| offset.nanosecs > 999_999_999) {
        return Err(NamespaceError::Nanoseconds);
    }
    if namespaces.uts == Namespace::Guest {
        if request.hostname.is_some() {
            return Err(NamespaceError::Guest { setting: "hostname" });
        }
        if request.linux.domainname.is_some() {
            return Err(NamespaceError::Guest { setting: "domainname" });
        }
    }
    Ok(())
}

/// Those of a joined user namespace are as its maker mapped them; whoever knows them may say so.
fn check_users(namespaces: &Namespaces) -> Result<(), MappingError> {
    match (&namespaces.user, namespaces.id_mappings == IdMappings::default()) {
        (Namespace::Guest | Namespace::Join(_), true) => Ok(()),
        (Namespace::Guest, false) => Err(MappingError::NoNamespace),
        (Namespace::New | Namespace::Join(_), _) => mappings::check(&namespaces.id_mappings),
    }
}

/// Checks that a process can be whom it is to be in the user namespace of its container.
pub(crate) fn check_process(namespaces: &Namespaces, process: &ProcessSpec) -> Result<(), NamespaceError> {
    if namespaces.id_mappings == IdMappings::default() {
        return Ok(());
    }
    mappings::check_process(&namespaces.id_mappings, process).map_err(NamespaceError::Mapping)
}

/// The file systems of a container that its own user namespace has no right to make. Where another's user namespace is
/// new, only the guest's can be made outside; any other is refused by the kernel.
fn outside(users: Users, namespaces: &Namespaces) -> Vec<Virtual> {
    let made_outside = |namespace: &Namespace, of_user_namespace: bool| match users {
        Users::Guest => false,
        Users::New => *namespace == Namespace::Guest,
        Users::Joined => !(of_user_namespace && *namespace == Namespace::New),
    };
    let kinds = [
        (Virtual::Proc, &namespaces.pid, false),
        (Virtual::Sysfs, &namespaces.network, true),
        (Virtual::Mqueue, &namespaces.ipc, true),
        (Virtual::Cgroup, &namespaces.cgroup, true),
    ];
    let kinds = kinds.into_iter().filter(|(_, namespace, of_users)| made_outside(namespace, *of_users));
    kinds.map(|(kind, ..)| kind).collect()
}

/// What sets the clocks that differ from the guest's.
fn time_offsets(offsets: TimeOffsets) -> String {
    let clocks = [("monotonic", offsets.monotonic), ("boottime", offsets.boottime)];
    let line = |(clock, offset): (&str, Option<TimeOffset>)| {
        offset.map(|offset| format!("{clock} {} {}\n", offset.secs, offset.nanosecs))
    };
    clocks.into_iter().filter_map(line).collect()
}

/// What is asked for of files and cannot be had among another's would be left out without a word.
fn check_joined_mount(request: &CreateContainer) -> Result<(), NamespaceError> {
    let asked = [
        ("mounts", !request.mounts.is_empty()),
        ("linux.devices", !request.linux.devices.is_empty()),
        ("linux.mountLabel", request.linux.mount_label.is_some()),
        ("linux.maskedPaths", !request.masked_paths.is_empty()),
        ("linux.readonlyPaths", !request.readonly_paths.is_empty()),
        ("root.readonly", request.readonly_rootfs),
        ("linux.rootfsPropagation", request.linux.rootfs_propagation != Propagation::Private),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        Some((setting, _)) => Err(NamespaceError::JoinedMount { setting }),
        None => Ok(()),
    }
}

/// The kinds that a further process of the container enters, by a descriptor of the init. The pid namespace is entered
/// by the launcher.
pub(crate) fn of_exec(namespaces: &Namespaces) -> NamespaceKinds {
    // Entering the user namespace that one is in is an error, to keep anybody from gaining rights that way. Of the
    // others nothing is left out that is another's, nor that the launcher does not share.
    let entered = |(kind, namespace): &(NamespaceKinds, &Namespace)| {
        **namespace != Namespace::Guest || *kind == NamespaceKinds::MOUNT
    };
    let kinds = kinds(namespaces).into_iter().filter(entered).map(|(kind, _)| kind);
    NamespaceKinds::from_iter(kinds).difference(NamespaceKinds::PROCESS_ID)
}

/// Opens the namespace that a path stands for: a file that one is mounted on, or a link of a process in the guest's
/// procfs. No other symbolic link leads there, so that it is the one that policy judged by its path.
pub(crate) fn open(namespace: &JoinedNamespace) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Some(path) = &namespace.path else {
        return match namespace.kind {
            NamespaceKinds::MOUNT => Ok(rustix::fs::open("/proc/thread-self/ns/mnt", flags, Mode::empty())?),
            _ => Err(Errno::INVAL.into()),
        };
    };
    let path = path.as_path();
    let (parent, name) = path.parent().zip(path.file_name()).ok_or(Errno::INVAL)?;
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = openat2(CWD, parent, directory, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    // A procfs has no links but the kernel's own.
    let resolve = match u32::try_from(fstatfs(&parent)?.f_type) {
        Ok(PROCFS_MAGIC) => ResolveFlags::empty(),
        _ => ResolveFlags::NO_SYMLINKS,
    };
    // First as a place: opening a FIFO would block, and a device act.
    let place = openat2(&parent, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    if u32::try_from(fstatfs(&place)?.f_type) != Ok(NSFS_MAGIC) {
        return Err(Errno::INVAL.into());
    }
    let descriptor = openat2(&parent, name, flags, Mode::empty(), resolve)?;
    let same = u32::try_from(fstatfs(&descriptor)?.f_type) == Ok(NSFS_MAGIC)
        && namespace_kind(std::os::fd::AsFd::as_fd(&descriptor))? == namespace.kind;
    if same { Ok(descriptor) } else { Err(Errno::INVAL.into()) }
}
