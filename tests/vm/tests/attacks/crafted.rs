//! File systems and superblocks that are made to crash or confuse who parses them.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use vm::{BLOCK_BYTES, Host, Layer, LayerFiles, VmConfig};

use crate::guest::Guest;

/// The kernel logs all that ext4 has to say, so that its silence means something.
const LOG_LEVEL: (&str, &str) = ("loglevel=5", "loglevel=7");
/// Walks, reads and asks for everything, for a limited time.
const WALK: &str = "cd /tree && busybox timeout 20 busybox find . -exec busybox stat {} + >/dev/null 2>&1; \
    busybox timeout 20 busybox find . -type f -exec busybox cat {} + >/dev/null 2>&1; \
    busybox timeout 20 busybox ls -laR . >/dev/null 2>&1; echo walked";

/// Offsets in the superblock of ext4, from the start of the image (Linux, `Documentation/filesystems/ext4/super.rst`).
const BLOCKS_COUNT: usize = 1024 + 4;
const FIRST_DATA_BLOCK: usize = 1024 + 20;
const LOG_BLOCK_SIZE: usize = 1024 + 24;
const BLOCKS_PER_GROUP: usize = 1024 + 32;
const INODES_PER_GROUP: usize = 1024 + 40;
const ERRORS: usize = 1024 + 60;
const INODE_SIZE: usize = 1024 + 88;
const FEATURE_COMPAT: usize = 1024 + 92;
const FEATURE_INCOMPAT: usize = 1024 + 96;
const JOURNAL_INODE: usize = 1024 + 224;
const DESCRIPTOR_SIZE: usize = 1024 + 254;
const GROUPS_PER_FLEX: usize = 1024 + 372;
const INCOMPAT_64BIT: u32 = 0x80;
/// Offsets in the group descriptor, which has the block behind the superblock's.
const BLOCK_BITMAP: usize = BLOCK_BYTES;
const INODE_TABLE: usize = BLOCK_BYTES + 8;
/// Offsets in an inode.
const SIZE_LOW: usize = 4;
const EXTENTS: usize = 40;
const XATTR_BLOCK: usize = 104;
const SIZE_HIGH: usize = 108;
const XATTRS: usize = 128 + 24;
const INODE_BYTES: usize = 256;
const ROOT_INODE: usize = 2;
/// Blocks that are free in a layer, for what a file system is crafted with.
const FREE_BLOCK: usize = 4;

/// A file system under the knife.
struct Image(Vec<u8>);

impl Image {
    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn put_u32(&mut self, offset: usize, value: u32) {
        self.put(offset, &value.to_le_bytes());
    }

    fn u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.0[offset..offset + 4].try_into().unwrap())
    }

    fn inode(&self, number: usize) -> usize {
        self.u32(INODE_TABLE) as usize * BLOCK_BYTES + (number - 1) * INODE_BYTES
    }

    /// Where the entry of this name is in its directory: the inode's number, the entry's length, the name's, the kind.
    fn entry(&self, name: &str) -> usize {
        let found = self.0.windows(name.len()).position(|bytes| bytes == name.as_bytes());
        found.expect("the name stands in a directory") - 8
    }

    fn inode_of(&self, name: &str) -> usize {
        self.inode(self.u32(self.entry(name)) as usize)
    }
}

/// The head of a node of an extent tree and its one entry: an index that leads to a block.
fn extent_index(depth: u16, block: u32) -> Vec<u8> {
    let head = [0xf30a_u16, 1, 4, depth, 0, 0].map(u16::to_le_bytes).concat();
    [head, [0, block, 0].map(u32::to_le_bytes).concat()].concat()
}

/// The first entry of extended attributes, with a value that begins and ends where the file system does not.
fn xattr_entry() -> Vec<u8> {
    [&[255, 1, 0xf0, 0xff][..], &0u32.to_le_bytes(), &0x7fff_ffff_u32.to_le_bytes(), &[0; 4], b"crafted"]
        .concat()
}

type Craft = (&'static str, fn(&mut Image));

/// Each made so that a careless parser reads or writes out of bounds, divides by zero, or never ends.
const CRAFTED: &[Craft] = &[
    ("blocks of 2^41 bytes", |image| image.put_u32(LOG_BLOCK_SIZE, 31)),
    ("descriptors of 65,535 bytes", |image| {
        let features = image.u32(FEATURE_INCOMPAT);
        image.put_u32(FEATURE_INCOMPAT, features | INCOMPAT_64BIT);
        image.put(DESCRIPTOR_SIZE, &[0xff, 0xff]);
    }),
    ("no inodes in a group", |image| image.put_u32(INODES_PER_GROUP, 0)),
    ("2^32 inodes in a group", |image| image.put_u32(INODES_PER_GROUP, u32::MAX)),
    ("no blocks in a group", |image| image.put_u32(BLOCKS_PER_GROUP, 0)),
    ("more blocks than the device", |image| image.put_u32(BLOCKS_COUNT, u32::MAX)),
    ("data behind the end", |image| image.put_u32(FIRST_DATA_BLOCK, u32::MAX)),
    ("inodes of 65,535 bytes", |image| image.put(INODE_SIZE, &[0xff, 0xff])),
    ("all features", |image| image.put_u32(FEATURE_INCOMPAT, u32::MAX)),
    ("a journal that is the root", |image| {
        let features = image.u32(FEATURE_COMPAT);
        image.put_u32(FEATURE_COMPAT, features | 4);
        image.put_u32(JOURNAL_INODE, 2);
    }),
    ("2^255 groups together", |image| image.put(GROUPS_PER_FLEX, &[255])),
    ("overlapping group descriptors", |image| {
        let table = image.u32(INODE_TABLE);
        image.put_u32(BLOCK_BITMAP, table);
        image.put_u32(BLOCK_BITMAP + 4, table);
    }),
    ("inodes in the descriptors", |image| image.put_u32(INODE_TABLE, 1)),
    ("a root of negative size", |image| {
        let root = image.inode(ROOT_INODE);
        image.put_u32(root + SIZE_LOW, u32::MAX);
        image.put_u32(root + SIZE_HIGH, u32::MAX);
    }),
    ("a root that is a file", |image| image.put(image.inode(ROOT_INODE), &[0xed, 0x81])),
    ("a file of negative size", |image| {
        let inode = image.inode_of("victim");
        image.put_u32(inode + SIZE_LOW, u32::MAX);
        image.put_u32(inode + SIZE_HIGH, u32::MAX);
    }),
    ("extents that lead to themselves", |image| {
        image.put(image.inode_of("victim") + EXTENTS, &extent_index(5, FREE_BLOCK as u32));
        image.put(FREE_BLOCK * BLOCK_BYTES, &extent_index(4, FREE_BLOCK as u32));
    }),
    ("extents behind the end", |image| {
        image.put(image.inode_of("victim") + EXTENTS, &extent_index(1, u32::MAX));
    }),
    ("a directory in itself", |image| {
        let inner = image.entry("inner-directory");
        image.put_u32(inner, ROOT_INODE as u32);
    }),
    ("a directory that is its own child", |image| {
        let outer = image.u32(image.entry("outer-directory"));
        image.put_u32(image.entry("inner-directory"), outer);
    }),
    ("directory entries of no length", |image| image.put(image.entry("inner-directory") + 4, &[0, 0])),
    ("a name longer than its entry", |image| image.put(image.entry("inner-directory") + 6, &[255])),
    ("extended attributes behind the end of a block", |image| {
        image.put_u32(image.inode_of("victim") + XATTR_BLOCK, FREE_BLOCK as u32);
        let head = [0xea02_0000_u32, 1, 1, 0, 0, 0, 0, 0].map(u32::to_le_bytes).concat();
        image.put(FREE_BLOCK * BLOCK_BYTES, &[head, xattr_entry()].concat());
    }),
    ("extended attributes behind the end of an inode", |image| {
        let inode = image.inode_of("victim");
        image.put(inode + XATTRS, &[0xea02_0000_u32.to_le_bytes().to_vec(), xattr_entry()].concat());
    }),
    ("a broken root that asks for a panic", |image| {
        image.put(ERRORS, &[3, 0]);
        image.put(image.entry("outer-directory") + 4, &[0, 0]);
    }),
];

/// The layer with its file system changed, and a new tree over it, as whoever writes the policy would have to make it.
fn crafted(honest: &Layer, file: &Path, craft: fn(&mut Image)) -> Layer {
    let size = honest.bytes().unwrap().len();
    let mut image = Image(honest.bytes().unwrap());
    image.0.truncate(honest.hash_offset_bytes);
    craft(&mut image);
    fs::write(file, &image.0).unwrap();
    let mut command = Command::new("veritysetup");
    command.arg("format").arg(file).arg(file).arg(format!("--hash-offset={}", honest.hash_offset_bytes));
    command.arg(format!("--data-blocks={}", honest.hash_offset_bytes / BLOCK_BYTES));
    let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let root_hash = output.lines().find_map(|line| line.strip_prefix("Root hash:")).unwrap().trim();
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(size as u64).unwrap();
    Layer { image: file.to_owned(), root_hash: root_hash.to_owned(), ..*honest }
}

/// What a superblock of dm-verity claims, and what the guest says of it.
const CLAIMS: &[(&str, usize, &[u8], &str)] = &[
    (
        "2^63 blocks",
        72,
        &(1_u64 << 63).to_le_bytes(),
        "a device of 9223372036854775808 data blocks is not possible",
    ),
    (
        "2^40 blocks",
        72,
        &(1_u64 << 40).to_le_bytes(),
        "the dm-verity superblock covers 4503599627370496 bytes",
    ),
    ("no blocks", 72, &[0; 8], "a device of 0 data blocks is not possible"),
    ("a salt of 257 bytes", 80, &257_u16.to_le_bytes(), "a salt of 257 bytes is not possible"),
    ("a salt of 65,535 bytes", 80, &[0xff; 2], "a salt of 65535 bytes is not possible"),
    ("the longest salt", 80, &256_u16.to_le_bytes(), "does not match the root hash"),
    ("another algorithm", 32, b"sha512", "the hash algorithm is not sha256"),
    ("no algorithm", 32, &[0; 32], "the hash algorithm is not sha256"),
    ("another hash type", 12, &[0], "hash type 0 is not supported"),
    ("another version", 8, &[2], "superblock version 2 is not supported"),
    ("small blocks", 64, &512_u32.to_le_bytes(), "data blocks of 512 bytes are not supported"),
    (
        "large hash blocks",
        68,
        &(1_u32 << 31).to_le_bytes(),
        "hash blocks of 2147483648 bytes are not supported",
    ),
    ("no signature", 0, b"VERITY", "there is no dm-verity signature"),
];

#[test]
fn a_crafted_file_system_is_seen_by_the_kernel_behind_verity_only() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let folder = TempDir::new().unwrap();
    let busybox = Layer::of_busybox(&host, folder.path()).unwrap();
    let files = LayerFiles::default()
        .with("tree/outer-directory/inner-directory/small", "a file")
        .with("tree/outer-directory/victim", [7; 3 * BLOCK_BYTES])
        .with("tree/second", "another");
    let honest = Layer::build(&host, folder.path().join("honest.img"), &files).unwrap();
    let disk = folder.path().join("disk.img");
    fs::copy(&honest.image, &disk).unwrap();
    let disks = vec![busybox.disk(), vm::Disk::read_only(&disk)];
    let mut guest = Guest::start(&host, "attacks-crafted", |mut config| {
        let (quiet, loud) = LOG_LEVEL;
        assert!(config.boot.command_line.contains(quiet), "{}", config.boot.command_line);
        config.boot.command_line = config.boot.command_line.replace(quiet, loud);
        VmConfig { disks, ..config }
    });
    let [base, place] = guest.machine.disks().try_into().unwrap();

    for &(claim, offset, bytes, answer) in CLAIMS {
        let mut image = honest.bytes().unwrap();
        image[honest.hash_offset_bytes + offset..][..bytes.len()].copy_from_slice(bytes);
        fs::write(&disk, &image).unwrap();
        let refused = guest.run(0, &[(place, &honest)], "true").unwrap_err();
        assert!(refused.message.contains(answer), "{claim}: {refused:?}");
    }
    // The policy names the honest layer.
    for &(name, craft) in CRAFTED {
        let layer = crafted(&honest, &disk, craft);
        let policy_says = Layer { image: layer.image, root_hash: honest.root_hash.clone(), ..layer };
        let refused = guest.run(0, &[(place, &policy_says)], "true").unwrap_err();
        assert_eq!(refused.status, "DATA_LOSS", "{name}: {refused:?}");
    }
    assert_eq!(guest.ext4_lines(), [""; 0], "ext4 saw what no root hash covers");

    // The policy names the crafted one.
    let keeper = guest.keep(0, &[(base, &busybox)]).unwrap();
    let mut mounted = 0;
    for &(name, craft) in CRAFTED {
        let lines = guest.ext4_lines().len();
        let layer = crafted(&honest, &disk, craft);
        let outcome = guest.run(0, &[(base, &busybox), (place, &layer)], WALK);
        mounted += usize::from(outcome.is_ok());
        let said = outcome.map_or_else(|refused| refused.message, |ran| ran.stdout.trim().to_owned());
        let kernel = guest.ext4_lines().split_off(lines);
        println!("{name}: {said}; the kernel: {:?}", kernel.first());
        assert_eq!(guest.exec(&keeper, "echo still here").unwrap().stdout, "still here\n", "{name}");
    }
    println!("{mounted} of {} were mounted", CRAFTED.len());
    assert!(!guest.ext4_lines().is_empty() && mounted > 0 && mounted < CRAFTED.len());
    guest.assert_healthy();
    fs::write(&disk, honest.bytes().unwrap()).unwrap();
    let ran = guest.run(0, &[(base, &busybox), (place, &honest)], "busybox cat tree/second").unwrap();
    assert_eq!(ran.stdout, "another", "{ran:?}");
}
