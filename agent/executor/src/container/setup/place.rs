//! Places to mount at, found or made.
//!
//! A destination is walked name by name, each opened once, from descriptor to descriptor. Symbolic links of the root file
//! system are followed, inside of it: nobody changes those while a container is made. The links of any other mount are
//! not: a volume is shared with containers that run, and one that could lead `/data/inner` to `/usr` would choose the
//! programs of another container (CVE-2021-30465). A link that leads nowhere is an error, not a place to make something at
//! (CVE-2024-45310).

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags, mkdirat, openat2, readlinkat, statx};
use rustix::io::Errno;

use super::root::{Root, is_symlink, new_file, open_child};

/// As many links as the kernel follows in a path.
const LINKS_MAX: usize = 40;

/// What to make of a destination that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Refuse,
    Directory,
    File,
}

/// A name on the way. Only those of the destination itself are made: what a link names is there or is an error.
#[derive(Debug)]
struct Name {
    name: OsString,
    is_asked_for: bool,
}

impl Root {
    /// The place to mount a directory or a file at, made if it is missing.
    pub(super) fn mount_point(&self, path: &str, directory: bool) -> io::Result<OwnedFd> {
        self.walk(Path::new(path), if directory { Missing::Directory } else { Missing::File })
    }

    /// What is mounted at a destination, or was before it is.
    pub(super) fn existing_mount_point(&self, path: &str) -> io::Result<OwnedFd> {
        self.walk(Path::new(path), Missing::Refuse)
    }

    /// The directory `path`, made if it is missing, with those on the way.
    pub(super) fn directory(&self, path: &Path) -> io::Result<OwnedFd> {
        self.walk(path, Missing::Directory)
    }

    fn walk(&self, path: &Path, missing: Missing) -> io::Result<OwnedFd> {
        let root = self.find("/")?;
        let own_mount = mount_of(&root)?;
        let mut names: Vec<Name> = names(path, true).collect();
        names.reverse();
        // From below the root to where the walk is: `..` is the one before, whatever was renamed meanwhile.
        let mut way: Vec<OwnedFd> = Vec::new();
        let mut links_left = LINKS_MAX;
        while let Some(Name { name, is_asked_for }) = names.pop() {
            if name == ".." {
                way.pop();
                continue;
            }
            let parent = way.last().unwrap_or(&root);
            let place = match open_entry(parent, &name) {
                Err(Errno::NOENT) if is_asked_for => {
                    make(parent, &name, if names.is_empty() { missing } else { missing.on_the_way() })?
                }
                other => other?,
            };
            if !is_symlink(&place)? {
                way.push(place);
                continue;
            }
            if mount_of(parent)? != own_mount {
                return Err(Errno::LOOP.into());
            }
            links_left = links_left.checked_sub(1).ok_or(Errno::LOOP)?;
            let target = OsString::from_vec(readlinkat(&place, "", Vec::new())?.into_bytes());
            let target = Path::new(&target);
            if target.has_root() {
                way.clear();
            }
            let mut linked: Vec<Name> = self::names(target, false).collect();
            linked.reverse();
            names.append(&mut linked);
        }
        Ok(way.pop().unwrap_or(root))
    }
}

impl Missing {
    /// What to make of a directory on the way.
    fn on_the_way(self) -> Self {
        match self {
            Self::Refuse => Self::Refuse,
            Self::Directory | Self::File => Self::Directory,
        }
    }
}

fn names(path: &Path, is_asked_for: bool) -> impl Iterator<Item = Name> {
    path.components().filter_map(move |component| match component {
        Component::Normal(name) => Some(Name { name: name.to_owned(), is_asked_for }),
        Component::ParentDir => Some(Name { name: "..".into(), is_asked_for: false }),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// The entry `name` of a directory, or what is mounted on it. A symbolic link is opened itself.
fn open_entry(directory: &OwnedFd, name: &OsString) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(directory, name, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)
}

fn make(directory: &OwnedFd, name: &OsString, what: Missing) -> io::Result<OwnedFd> {
    let name = name.to_str().ok_or(Errno::INVAL)?;
    match what {
        Missing::Refuse => Err(Errno::NOENT.into()),
        Missing::Directory => {
            mkdirat(directory, name, Mode::from_raw_mode(0o755))?;
            open_child(directory, name, OFlags::PATH)
        }
        Missing::File => new_file(directory, name),
    }
}

/// The mount that an object is on.
fn mount_of(object: &OwnedFd) -> io::Result<u64> {
    Ok(statx(object, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id)
}
