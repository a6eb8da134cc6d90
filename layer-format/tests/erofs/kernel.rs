//! What the kernel reads from an image is what the archive says.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use layer_format::layer::MkfsVersion;
use rustix::fs::{lgetxattr, llistxattr, major, minor};
use tar::EntryType;

use super::archives::{File, archive, kinds};
use super::image_of;

/// Attaches an image; detached when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(image: &[u8], folder: &Path) -> Result<Self, String> {
        let (file, point) = (folder.join("image"), folder.join("mounted"));
        fs::write(&file, image).unwrap();
        fs::create_dir(&point).unwrap();
        let output = Command::new("mount")
            .args(["-t", "erofs", "-o", "ro,loop"])
            .args([&file, &point])
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() { Ok(Self(point)) } else { Err(format!("{output:?}")) }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 65_536];
    let size = llistxattr(path, &mut names[..]).unwrap();
    let names = String::from_utf8(names[..size].to_vec()).unwrap();
    let value = |name: &str| {
        let mut value = vec![0; 65_536];
        let size = lgetxattr(path, name, &mut value[..]).unwrap();
        value.truncate(size);
        value
    };
    names.split_terminator('\0').map(|name| (name.to_owned(), value(name))).collect()
}

fn compare(file: &File, path: &Path) {
    let found = fs::symlink_metadata(path).unwrap();
    let name = &file.path;
    assert_eq!(found.mode() & 0o7777, file.mode, "{name}");
    assert_eq!((u64::from(found.uid()), u64::from(found.gid())), file.owner, "{name}");
    assert_eq!(found.mtime(), file.modified.parse::<i64>().unwrap(), "{name}");
    let device = (major(found.rdev()), minor(found.rdev()));
    match file.kind {
        EntryType::Regular => assert!(fs::read(path).unwrap() == file.data, "{name}"),
        EntryType::Directory => assert!(found.is_dir(), "{name}"),
        EntryType::Symlink => assert_eq!(fs::read_link(path).unwrap(), Path::new(&file.target), "{name}"),
        EntryType::Char => assert!(found.file_type().is_char_device() && device == file.device, "{name}"),
        EntryType::Block => assert!(found.file_type().is_block_device() && device == file.device, "{name}"),
        EntryType::Fifo => assert!(found.file_type().is_fifo(), "{name}"),
        other => panic!("{other:?}"),
    }
    let expected = file.attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    assert_eq!(attributes(path), expected.collect(), "{name}");
}

#[test]
fn the_kernel_reads_what_the_archive_says() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root mounts");
        return;
    }
    let kinds = kinds();
    let mut files = kinds.clone();
    files.extend([File::regular("etc/.wh.deleted", b""), File::regular("tmp/.wh..wh..opq", b"")]);
    let (image, _) = image_of(&archive(&files), MkfsVersion::V1_9_3).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mounted = match Mounted::new(&image, folder.path()) {
        Ok(mounted) => mounted,
        Err(why) => {
            eprintln!("skipped: erofs cannot be mounted here: {why}");
            return;
        }
    };
    let root = &mounted.0;
    // Whiteouts give their directories an attribute.
    for file in kinds.iter().filter(|file| !matches!(file.path.as_str(), "etc/" | "tmp")) {
        match file.kind {
            EntryType::Link => {
                let [link, target] =
                    [&file.path, &file.target].map(|path| fs::metadata(root.join(path)).unwrap());
                assert_eq!((link.ino(), link.nlink()), (target.ino(), 2));
            }
            // The target of a whole block is one that the kernel follows no more; it must not harm the others.
            _ if file.path == "whole-block" => {}
            _ => compare(file, &root.join(&file.path)),
        }
    }
    let whiteout = fs::symlink_metadata(root.join("etc/deleted")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    assert_eq!(attributes(&root.join("etc"))["trusted.overlay.origin"], b"");
    assert_eq!(attributes(&root.join("tmp"))["trusted.overlay.opaque"], b"y");
    let listed = |path: &str| {
        let entries = fs::read_dir(root.join(path)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(listed("etc"), ["deleted", "empty", "link", "passwd", "passwd-", "set-uid"]);
    assert_eq!(listed("").len(), 8);
}
