//! Layers as files of the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use vm::{Disk, Host};

/// Bytes of a block of the file system and of the tree.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// A layer's image on the host's disk: file system, superblock of dm-verity, tree.
pub(crate) struct Layer {
    pub(crate) image: PathBuf,
    /// Where the superblock of dm-verity begins; the tree is in the blocks behind it.
    pub(crate) hash_offset_bytes: usize,
    pub(crate) root_hash: String,
}

impl Layer {
    /// Builds the layer of these files, path and content, by `cce layer build`.
    pub(crate) fn build(host: &Host, image: PathBuf, files: &[(&str, &[u8])]) -> Self {
        let archive = image.with_extension("tar");
        let mut tar = tar::Builder::new(fs::File::create(&archive).unwrap());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o755);
            if path.ends_with('/') {
                header.set_entry_type(tar::EntryType::Directory);
            }
            tar.append_data(&mut header, path, *content).unwrap();
        }
        tar.finish().unwrap();
        let mut command = Command::new(host.cce());
        command.args(["--json", "layer", "build"]).arg(&archive).arg("--output").arg(&image);
        let built: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        Self {
            image,
            hash_offset_bytes: built["hash_offset_bytes"].as_u64().unwrap().try_into().unwrap(),
            root_hash: built["root_hash"].as_str().unwrap().to_owned(),
        }
    }

    /// The base of every root file system here: busybox, and the places that containers mount on.
    pub(crate) fn of_busybox(host: &Host, folder: &Path) -> Self {
        let busybox = fs::read("/bin/busybox").unwrap();
        let mut files: Vec<(&str, &[u8])> = vec![("bin/busybox", &busybox)];
        files.extend(["dev/", "etc/", "proc/", "run/", "sys/", "tmp/"].map(|place| (place, &[][..])));
        Self::build(host, folder.join("busybox.img"), &files)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(&self.image).unwrap()
    }

    pub(crate) fn disk(&self) -> Disk {
        Disk::read_only(&self.image)
    }
}

/// Random numbers that a printed seed repeats (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
pub(crate) struct Random(u64);

impl Random {
    /// The seed in `CCE_ATTACK_SEED`, else a new one.
    pub(crate) fn seeded() -> Self {
        let given = std::env::var("CCE_ATTACK_SEED").ok().map(|seed| seed.parse().unwrap());
        let clock = || std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        let seed = given.unwrap_or_else(clock);
        println!("CCE_ATTACK_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            std::iter::repeat_with(|| self.next().to_le_bytes()).take(length.div_ceil(8)).flatten().collect();
        bytes.truncate(length);
        bytes
    }
}
