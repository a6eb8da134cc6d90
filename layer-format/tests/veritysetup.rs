//! Root hashes, superblocks and trees against `veritysetup`, where it is installed.
#![expect(clippy::disallowed_methods, reason = "the tool is a program")]

use std::fs;
use std::process::Command;

use layer_format::verity::{BLOCK_SIZE, Salt, TreeBuilder, VeritySuperblock};

#[test]
fn image_is_the_one_that_veritysetup_makes() {
    if Command::new("veritysetup").arg("--version").output().is_err() {
        eprintln!("skipped: veritysetup is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (blocks, salt) in [(1, 32), (2, 0), (127, 1), (128, 32), (129, 256), (16_384, 32), (16_385, 32)] {
        let data: Vec<u8> = (0..blocks * BLOCK_SIZE).map(|i| (i / 509 * 31 + i) as u8).collect();
        let salt = Salt::new(&vec![0x5a; salt]).unwrap();
        let (disk, tree_disk) = (folder.path().join("data"), folder.path().join("tree"));
        fs::write(&disk, &data).unwrap();
        let _ = fs::remove_file(&tree_disk);
        let made = Command::new("veritysetup")
            .args(["format", "--hash=sha256", "--data-block-size=4096", "--hash-block-size=4096"])
            .arg(format!("--salt={salt}"))
            .args([&disk, &tree_disk])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");

        let mut builder = TreeBuilder::new(&salt);
        data.as_chunks().0.iter().for_each(|block| builder.push(block));
        let tree = builder.finish().unwrap();
        let said = String::from_utf8(made.stdout).unwrap();
        let root = said.lines().find_map(|line| line.strip_prefix("Root hash:")).unwrap().trim();
        assert_eq!(tree.root_hash().to_string(), root, "{blocks} blocks");

        let on_disk = fs::read(&tree_disk).unwrap();
        let superblock = VeritySuperblock::parse(&on_disk).unwrap();
        assert_eq!((superblock.data_blocks(), superblock.salt()), (blocks as u64, &salt));
        let mut ours = superblock.format().to_vec();
        tree.write_to(&mut ours).unwrap();
        assert!(on_disk[..ours.len()] == ours[..], "{blocks} blocks");
        assert!(on_disk[ours.len()..].iter().all(|byte| *byte == 0), "{blocks} blocks");
    }
}
