use super::*;

const HASH: &str = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c";

fn storage(driver: &str, source: &str, more: &[&str]) -> Storage {
    let options =
        ["ro", "X-kata.dmverity-enabled=true"].iter().chain(more).map(|option| (*option).to_owned());
    Storage {
        driver: driver.into(),
        source: source.into(),
        fstype: "ext4".into(),
        options: options.chain([format!("X-kata.dmverity.roothash={HASH}")]).collect(),
        mount_point: "/run/mounts/scsi/m0".into(),
        ..Storage::default()
    }
}

fn accepted(more: &[&str]) -> MountDevice {
    layer(&storage("blk", "05", more)).unwrap()
}

/// The option that an error speaks of.
fn refused(more: &[&str]) -> String {
    match layer(&storage("blk", "05", more)).unwrap_err() {
        RequestError::Value { field, .. }
        | RequestError::Refused { field, .. }
        | RequestError::Missing { field } => field.to_owned(),
        RequestError::Option { option, .. } => option,
        other => panic!("{more:?}: {other:?}"),
    }
}

#[test]
fn each_driver_has_its_own_form_of_address() {
    for (driver, source) in [
        ("blk", "05"),
        ("blk", "/dev/vda"),
        ("mmioblk", "/dev/vda"),
        ("scsi", "0:3"),
        ("nvdimm", "/dev/pmem0"),
    ] {
        let layer = layer(&storage(driver, source, &[])).unwrap();
        assert_eq!(layer.source.to_string(), source);
    }
    for (driver, source) in [
        ("blk", "0:3"),
        ("mmioblk", "05"),
        ("mmioblk", "/dev/../vda"),
        ("scsi", "/dev/sda"),
        ("scsi", "3"),
        ("scsi", "0:0:0:3"),
        ("nvdimm", "/dev/vda"),
        ("nvdimm", "/dev/pmem"),
        ("nvdimm", "/dev/pmem0s"),
        ("nvdimm", "0:3"),
    ] {
        let error = layer(&storage(driver, source, &[])).unwrap_err();
        let named = matches!(error, RequestError::Value { field: "storages.source", .. });
        assert!(named, "{driver} {source}: {error:?}");
    }
}

#[test]
fn the_superblock_is_behind_the_file_system_or_where_the_host_says() {
    assert_eq!(accepted(&[]).hash_tree, HashTree::BEHIND_FILESYSTEM);
    let offset = HashOffset::new(8192);
    let with_offset = HashTree::WithSuperblock { offset, salt: None };
    assert_eq!(accepted(&["X-kata.dmverity.hashoffset=8192"]).hash_tree, with_offset);
    let explicit = ["X-kata.dmverity.hashoffset=8192", "X-kata.dmverity.no-superblock=false"];
    assert_eq!(accepted(&explicit).hash_tree, with_offset);
    let salt = Some("00ff".parse().unwrap());
    let with_salt = ["X-kata.dmverity.hashoffset=8192", "X-kata.dmverity.salt=00ff"];
    assert_eq!(accepted(&with_salt).hash_tree, HashTree::WithSuperblock { offset, salt });
}

#[test]
fn without_a_superblock_the_options_say_it_all() {
    let offset = HashOffset::new(4096).unwrap();
    let bare = ["X-kata.dmverity.no-superblock=true", "X-kata.dmverity.hashoffset=4096"];
    assert_eq!(accepted(&bare).hash_tree, HashTree::Bare { offset, salt: HashSalt::default() });
    let salted = [bare[0], bare[1], "X-kata.dmverity.salt=0a"];
    assert_eq!(accepted(&salted).hash_tree, HashTree::Bare { offset, salt: "0a".parse().unwrap() });
    assert_eq!(refused(&bare[..1]), "X-kata.dmverity.hashoffset");
}

#[test]
fn a_partition_is_named_by_its_number() {
    let partition = ["X-kata.gpt-partitioned=true", "X-kata.partition-number=3"];
    assert_eq!(accepted(&partition).partition, PartitionNumber::new(3));
    assert_eq!(accepted(&[]).partition, None);
    for half in partition {
        assert_eq!(refused(&[half]), "X-kata.partition-number");
    }
}

#[test]
fn what_dm_verity_is_not_set_up_for_is_refused_by_name() {
    let defaults = [
        "X-kata.dmverity.blocksize=4096",
        "X-kata.dmverity.hashsize=4096",
        "X-kata.dmverity.algorithm=sha256",
        "X-kata.dmverity.hashtype=1",
    ];
    assert_eq!(accepted(&defaults), accepted(&[]));
    for (option, values) in [
        ("X-kata.dmverity-enabled", ["false", "1", ""].as_slice()),
        ("X-kata.dmverity.roothash", &["", "00", &HASH.to_uppercase()]),
        ("X-kata.dmverity.hashoffset", &["0", "1", "4095", "-4096", "0x1000", "99999999999999999999"]),
        ("X-kata.dmverity.blocksize", &["512", "1024", "8192", "04096", ""]),
        ("X-kata.dmverity.hashsize", &["512", "65536"]),
        ("X-kata.dmverity.algorithm", &["sha512", "SHA256", "crc32", "hmac(sha256)", ""]),
        ("X-kata.dmverity.salt", &["0", "AA", "xx", &"00".repeat(257)]),
        ("X-kata.dmverity.hashtype", &["0", "2"]),
        ("X-kata.dmverity.no-superblock", &["1", "", "TRUE"]),
        ("X-kata.gpt-partitioned", &["false", ""]),
        ("X-kata.partition-number", &["0", "-1", "256", "01"]),
    ] {
        for value in values {
            assert_eq!(refused(&[&format!("{option}={value}")]), option, "{value:?}");
        }
    }
    for unknown in ["X-kata.dmverity.fec-roots=2", "X-kata.dmverity-ignore-corruption", "rw", "dax", "ro=1"] {
        assert_eq!(refused(&[unknown]), unknown);
    }
}

#[test]
fn an_option_is_given_once() {
    for option in
        ["ro", "X-kata.dmverity-enabled=true", "X-kata.dmverity.salt=00", "X-kata.partition-number=1"]
    {
        let name = option.split('=').next().unwrap();
        assert_eq!(refused(&[option, option]), name);
    }
    assert_eq!(refused(&[&format!("X-kata.dmverity.roothash={HASH}")]), "X-kata.dmverity.roothash");
}

#[test]
fn three_file_systems_are_mounted() {
    for name in ["ext4", "erofs", "squashfs"] {
        assert_eq!(filesystem(name).unwrap().name(), name);
    }
    for name in ["", "EXT4", "ext3", "xfs", "overlay", "proc", "vfat"] {
        assert!(filesystem(name).is_err(), "{name}");
    }
}
