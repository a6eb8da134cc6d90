//! Disks with layers, as tools of others make them.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use vm::Host;

pub(crate) const BLOCK_BYTES: u64 = 4096;
const SECTOR_BYTES: u64 = 512;
/// Partitions start at multiples of 1 MiB, as partitioning tools have it.
const PARTITION_ALIGNMENT_BYTES: u64 = 1 << 20;

/// A layer in a file.
pub(crate) struct Image {
    pub(crate) file: PathBuf,
    /// Where the data ends, and the superblock or the tree begins.
    pub(crate) data_bytes: u64,
    pub(crate) root_hash: String,
}

/// A root file system with busybox, as a folder.
fn root(folder: &Path) -> PathBuf {
    let root = folder.join("root");
    for directory in ["bin", "dev", "etc", "proc", "run", "sys", "tmp"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    fs::set_permissions(root.join("bin/busybox"), PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(root.join("etc/name"), "a layer").unwrap();
    root
}

/// ext4, by `cce layer build`.
pub(crate) fn ext4(host: &Host, folder: &Path) -> Image {
    build(host, &folder.join("ext4.img"), "ext4", |tar| tar.append_dir_all(".", root(folder)))
}

/// The same root file system as erofs, by `cce layer build`.
pub(crate) fn own_erofs(host: &Host, folder: &Path) -> Image {
    build(host, &folder.join("own-erofs.img"), "erofs", |tar| tar.append_dir_all(".", root(folder)))
}

/// erofs, by `cce layer build`, of a layer to stand above that root: it names itself, and removes `/tmp`.
pub(crate) fn own_erofs_above(host: &Host, folder: &Path) -> Image {
    build(host, &folder.join("above.img"), "erofs", |tar| {
        for (path, content) in [("etc/name", "a layer above"), (".wh.tmp", "")] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, content.as_bytes())?;
        }
        Ok(())
    })
}

fn build(
    host: &Host,
    file: &Path,
    format: &str,
    fill: impl FnOnce(&mut tar::Builder<fs::File>) -> std::io::Result<()>,
) -> Image {
    let archive = file.with_extension("tar");
    let mut tar = tar::Builder::new(fs::File::create(&archive).unwrap());
    fill(&mut tar).unwrap();
    tar.finish().unwrap();
    let mut command = Command::new(host.cce());
    command.args(["--json", "layer", "build", "--format", format]).arg(&archive).arg("--output").arg(file);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let built: Value = serde_json::from_slice(&output.stdout).unwrap();
    Image {
        data_bytes: built["hash_offset_bytes"].as_u64().unwrap(),
        root_hash: built["root_hash"].as_str().unwrap().to_owned(),
        file: file.to_owned(),
    }
}

/// erofs behind which `veritysetup` writes superblock and tree, with a salt of its own.
pub(crate) fn erofs(folder: &Path) -> Image {
    let file = folder.join("erofs.img");
    succeed(Command::new("mkfs.erofs").arg("--quiet").arg(&file).arg(root(folder)));
    with_tree(file, &[])
}

/// squashfs behind which `veritysetup` writes the tree alone, with this salt.
pub(crate) fn bare_squashfs(folder: &Path, salt: &str) -> Image {
    let file = folder.join("squashfs.img");
    succeed(Command::new("mksquashfs").arg(root(folder)).arg(&file).args(["-quiet", "-no-progress"]));
    with_tree(file, &["--no-superblock", &format!("--salt={salt}")])
}

fn with_tree(file: PathBuf, options: &[&str]) -> Image {
    let data_bytes = fs::metadata(&file).unwrap().len().next_multiple_of(BLOCK_BYTES);
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(data_bytes).unwrap();
    let mut command = Command::new("veritysetup");
    command.arg("format").args(options).arg(&file).arg(&file).arg(format!("--hash-offset={data_bytes}"));
    let output = command.arg(format!("--data-blocks={}", data_bytes / BLOCK_BYTES)).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let root_hash = text.lines().find_map(|line| line.strip_prefix("Root hash:")).unwrap().trim().to_owned();
    Image { file, data_bytes, root_hash }
}

/// A disk with a GUID partition table, and these files in its partitions.
pub(crate) fn partitioned(file: &Path, parts: &[&Path]) {
    let mut start = PARTITION_ALIGNMENT_BYTES;
    let mut table = "label: gpt\n".to_owned();
    let disk = fs::File::create(file).unwrap();
    for part in parts {
        let size = fs::metadata(part).unwrap().len().next_multiple_of(PARTITION_ALIGNMENT_BYTES);
        table += &format!("start={}, size={}\n", start / SECTOR_BYTES, size / SECTOR_BYTES);
        (&disk).seek(SeekFrom::Start(start)).unwrap();
        std::io::copy(&mut fs::File::open(part).unwrap(), &mut &disk).unwrap();
        start += size;
    }
    disk.set_len(start + PARTITION_ALIGNMENT_BYTES).unwrap();
    let mut sfdisk = Command::new("sfdisk");
    sfdisk.args(["--quiet", "--no-reread", "--no-tell-kernel"]).arg(file).stdin(Stdio::piped());
    // It tells of the file systems that it finds.
    sfdisk.stdout(Stdio::null()).stderr(Stdio::null());
    let mut sfdisk = sfdisk.spawn().unwrap();
    sfdisk.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
    assert!(sfdisk.wait().unwrap().success());
}

/// The blocks from `first` on, `count` of them.
pub(crate) fn blocks(file: &Path, first: u64, count: u64) -> Vec<u8> {
    let mut file = fs::File::open(file).unwrap();
    file.seek(SeekFrom::Start(first * BLOCK_BYTES)).unwrap();
    let mut blocks = Vec::new();
    file.take(count * BLOCK_BYTES).read_to_end(&mut blocks).unwrap();
    blocks
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
