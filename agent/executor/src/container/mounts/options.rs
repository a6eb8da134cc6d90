//! The words of a mount's options, OCI runtime specification 1.2, "Linux mount options".

use rustix::mount::{MountAttrFlags, MountPropagationFlags};

use super::MountError;
use crate::container::plan::MountSpreading;
use crate::sys::mount_attributes::{Changes, Extent};

/// The longest parameter of a file system, in bytes: what the kernel takes.
const VALUE_LENGTH_MAX: usize = 255;

/// What options say, of any kind of mount.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Options {
    /// Shows a part of another file system, without or with what is mounted below.
    pub(super) bind: Option<Extent>,
    /// Changes a mount that exists.
    pub(super) remount: bool,
    /// Attributes of the mount.
    pub(super) mount: Changes,
    /// Attributes of the mount and all below it, which come after those.
    pub(super) tree: Changes,
    /// How mounts below it spread, in order.
    pub(super) propagation: Vec<MountSpreading>,
    /// Parameters of the file system; those with an empty value are flags.
    pub(super) parameters: Vec<(String, String)>,
    /// The directory's contents are copied into the new file system.
    pub(super) copy_up: bool,
    /// A source that is a symbolic link is made again, not followed.
    pub(super) copy_symlink: bool,
    /// Ids are mapped.
    pub(super) id_map: Option<Extent>,
}

/// Reads options in their order: the last word about something decides.
pub(super) fn parse(words: &[String]) -> Result<Options, MountError> {
    let mut options = Options::default();
    for word in words {
        options.add(word)?;
    }
    Ok(options)
}

impl Options {
    fn add(&mut self, word: &str) -> Result<(), MountError> {
        if let Some(changes) = attribute(word) {
            self.mount = self.mount.then(changes);
        } else if let Some(changes) = word.strip_prefix('r').and_then(attribute) {
            self.tree = self.tree.then(changes);
        } else if let Some(spreading) = propagation(word) {
            self.propagation.push(spreading);
        } else {
            match word {
                "bind" => self.bind = Some(self.bind.unwrap_or(Extent::One)),
                "rbind" => self.bind = Some(Extent::Tree),
                "remount" => self.remount = true,
                "tmpcopyup" => self.copy_up = true,
                "copy-symlink" | "copysymlink" => self.copy_symlink = true,
                "idmap" => self.id_map = Some(self.id_map.unwrap_or(Extent::One)),
                "ridmap" => self.id_map = Some(Extent::Tree),
                // What the kernel says of a file system made by `fsopen` goes to its maker, not into the log, and every
                // devpts is an instance of its own.
                "defaults" | "silent" | "loud" | "newinstance" => {}
                "sync" | "dirsync" | "lazytime" | "mand" => self.set_flag(word),
                "iversion" => self.set_flag("i_version"),
                "async" => self.clear_flag("sync"),
                "nolazytime" => self.clear_flag("lazytime"),
                "nomand" => self.clear_flag("mand"),
                "noiversion" => self.clear_flag("i_version"),
                _ => self.parameters.push(parameter(word)?),
            }
        }
        Ok(())
    }

    fn set_flag(&mut self, flag: &str) {
        self.clear_flag(flag);
        self.parameters.push((flag.to_owned(), String::new()));
    }

    fn clear_flag(&mut self, flag: &str) {
        self.parameters.retain(|(key, _)| key != flag);
    }
}

/// An attribute of a mount. Each way of keeping access times takes the place of the others.
pub(super) fn attribute(word: &str) -> Option<Changes> {
    let times = MountAttrFlags::MOUNT_ATTR__ATIME;
    let none = MountAttrFlags::empty();
    let set = |flag| (none, flag);
    let clear = |flag| (flag, none);
    let (clear, set) = match word {
        "ro" => set(MountAttrFlags::MOUNT_ATTR_RDONLY),
        "rw" => clear(MountAttrFlags::MOUNT_ATTR_RDONLY),
        "nosuid" => set(MountAttrFlags::MOUNT_ATTR_NOSUID),
        "suid" => clear(MountAttrFlags::MOUNT_ATTR_NOSUID),
        "nodev" => set(MountAttrFlags::MOUNT_ATTR_NODEV),
        "dev" => clear(MountAttrFlags::MOUNT_ATTR_NODEV),
        "noexec" => set(MountAttrFlags::MOUNT_ATTR_NOEXEC),
        "exec" => clear(MountAttrFlags::MOUNT_ATTR_NOEXEC),
        "nosymfollow" => set(MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW),
        "symfollow" => clear(MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW),
        "nodiratime" => set(MountAttrFlags::MOUNT_ATTR_NODIRATIME),
        "diratime" => clear(MountAttrFlags::MOUNT_ATTR_NODIRATIME),
        "noatime" => (times, MountAttrFlags::MOUNT_ATTR_NOATIME),
        "strictatime" => (times, MountAttrFlags::MOUNT_ATTR_STRICTATIME),
        // The kernel has no fourth way: without the others it is this one.
        "relatime" | "atime" | "norelatime" | "nostrictatime" => (times, MountAttrFlags::MOUNT_ATTR_RELATIME),
        _ => return None,
    };
    Some(Changes { clear: clear.bits(), set: set.bits() })
}

fn propagation(word: &str) -> Option<MountSpreading> {
    let kind = |word| {
        Some(match word {
            "private" => MountPropagationFlags::PRIVATE,
            "slave" => MountPropagationFlags::DOWNSTREAM,
            "shared" => MountPropagationFlags::SHARED,
            "unbindable" => MountPropagationFlags::UNBINDABLE,
            _ => return None,
        })
    };
    let (flags, extent) = match (kind(word), word.strip_prefix('r').and_then(kind)) {
        (Some(flags), _) => (flags, Extent::One),
        (None, Some(flags)) => (flags, Extent::Tree),
        (None, None) => return None,
    };
    Some(MountSpreading { flags: flags.bits(), extent })
}

/// A parameter that only the file system knows.
fn parameter(word: &str) -> Result<(String, String), MountError> {
    let (key, value) = match word.split_once('=') {
        None => (word, ""),
        Some((_, "")) => return Err(MountError::Option { option: word.to_owned() }),
        Some(pair) => pair,
    };
    let plain = |text: &str| !text.contains('\0');
    // Many directories of an overlay are given one by one.
    let fits = value.len() <= VALUE_LENGTH_MAX || key == "lowerdir";
    if key.is_empty() || key.len() > VALUE_LENGTH_MAX || !fits || !plain(key) || !plain(value) {
        return Err(MountError::Option { option: word.to_owned() });
    }
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Options {
        parse(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_last_word_about_an_attribute_decides() {
        let flag = MountAttrFlags::MOUNT_ATTR_RDONLY.bits();
        assert_eq!(options(&["ro"]).mount, Changes { clear: 0, set: flag });
        assert_eq!(options(&["ro", "rw"]).mount, Changes { clear: flag, set: 0 });
        assert_eq!(options(&["rw", "ro"]).mount, Changes { clear: flag, set: flag });
        let times = MountAttrFlags::MOUNT_ATTR__ATIME.bits();
        let strict = MountAttrFlags::MOUNT_ATTR_STRICTATIME.bits();
        assert_eq!(options(&["noatime", "strictatime"]).mount, Changes { clear: times, set: strict });
        assert_eq!(options(&["noatime", "atime"]).mount, Changes { clear: times, set: 0 });
    }

    #[test]
    fn recursive_words_are_for_the_tree() {
        for word in ["ro", "rw", "suid", "nodev", "exec", "noatime", "relatime", "strictatime", "diratime"] {
            let recursive = options(&[&format!("r{word}")]);
            assert_eq!(recursive.tree, options(&[word]).mount, "{word}");
            assert_eq!(recursive.mount, Changes::default());
        }
        for word in ["private", "slave", "shared", "unbindable"] {
            let [one] = options(&[word]).propagation.try_into().unwrap();
            let [tree] = options(&[&format!("r{word}")]).propagation.try_into().unwrap();
            assert_eq!((one.flags, one.extent, tree.extent), (tree.flags, Extent::One, Extent::Tree));
        }
        assert_eq!(options(&["bind", "rbind", "bind"]).bind, Some(Extent::Tree));
        assert_eq!(options(&["idmap", "ridmap"]).id_map, Some(Extent::Tree));
    }

    #[test]
    fn what_is_no_word_of_the_specification_is_a_parameter() {
        let parsed = options(&["size=1m", "volatile", "mand", "nomand", "iversion"]);
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(parsed.parameters, [pair("size", "1m"), pair("volatile", ""), pair("i_version", "")]);
        for bad in ["", "size=", "=x", "a\0b", &format!("size={}", "1".repeat(256))] {
            assert!(parse(&[bad.to_owned()]).is_err(), "{bad:?}");
        }
    }
}
