//! How layers, scratch and their overlay are described on the wire: Kata's `Storage` with its option names.

use clap::{Args, ValueEnum};
use proto::kata::agent::Storage;

use super::{multi_layer, pull};

/// Layers and scratch of a container.
#[derive(Debug, Args)]
pub(super) struct RootArgs {
    /// Disk of a layer as the guest sees it, base first: a /dev path, a PCI path NN[/NN], scsi:TARGET:UNIT, or
    /// mmio:/dev/NAME.
    #[arg(long, value_name = "DEVICE", required_unless_present = "pull")]
    layer_device: Vec<String>,
    /// Partition of each disk, in the same order; 0 for the whole disk. Left out, layers have whole disks.
    #[arg(long, value_name = "NUMBER")]
    layer_partition: Vec<u8>,
    /// Root hash of the dm-verity tree of each layer, in the same order.
    #[arg(long, value_name = "HEX", required_unless_present = "pull")]
    layer_root_hash: Vec<String>,
    /// Where the tree's superblock is on each disk or partition, in bytes. Left out, the guest looks behind the file
    /// system.
    #[arg(long, value_name = "BYTES")]
    layer_hash_offset: Vec<u64>,
    /// The trees have no superblock: they start at their offset.
    #[arg(long, requires = "layer_hash_offset")]
    layer_no_superblock: bool,
    /// Salt of the trees.
    #[arg(long, value_name = "HEX")]
    layer_salt: Option<String>,
    /// Image that the guest pulls, in the place of layers: a reference, with or without `docker://`.
    #[arg(long, value_name = "IMAGE", conflicts_with = "layer_device")]
    pull: Option<String>,
    /// File system of the layers.
    #[arg(long, value_enum, default_value_t = LayerFileSystem::Ext4)]
    layer_fstype: LayerFileSystem,
    /// Number of the first layer's mount point; a second container's layers need other ones.
    #[arg(long, default_value_t = 0)]
    layer_first_number: u32,
    /// Describe the root in Kata's multi-layer form, in which the guest chooses the layers' mount points. A scratch is a
    /// disk then; without one, containers write to memory.
    #[arg(long, conflicts_with_all = ["pull", "layer_first_number"])]
    multi_layer: bool,
    /// Where the container may write: `tmpfs`, or a block device that the guest encrypts.
    #[arg(long, value_name = "tmpfs|DEVICE")]
    scratch: Option<String>,
    /// Leave the scratch device without encryption, which policy has to allow.
    #[arg(long, requires = "scratch")]
    scratch_plain: bool,
    /// Size of a tmpfs scratch, in MiB.
    #[arg(long, default_value_t = 64)]
    scratch_size_mib: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LayerFileSystem {
    Ext4,
    Erofs,
    Squashfs,
}

impl LayerFileSystem {
    fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Erofs => "erofs",
            Self::Squashfs => "squashfs",
        }
    }
}

/// The storage driver that has such devices, and the device as that driver names it.
fn driver_and_source(device: &str) -> (&'static str, &str) {
    if let Some(address) = device.strip_prefix("scsi:") {
        ("scsi", address)
    } else if let Some(node) = device.strip_prefix("mmio:") {
        ("mmioblk", node)
    } else if device.starts_with("/dev/pmem") {
        ("nvdimm", device)
    } else {
        ("blk", device)
    }
}

/// Where the overlay of a container is mounted.
pub(super) fn root_path(container_id: &str) -> String {
    format!("/run/kata-containers/{container_id}/rootfs")
}

impl RootArgs {
    /// Layers base first, then scratch, then the overlay of them; or scratch, then an image.
    ///
    /// # Errors
    /// When there are not as many devices as root hashes, or offsets or partitions of some layers alone; or a multi-layer
    /// root is to write to memory of a size.
    pub(super) fn storages(&self, container_id: &str, sandbox_id: &str) -> anyhow::Result<Vec<Storage>> {
        if let Some(image) = &self.pull {
            let scratch = self.scratch_storage(container_id, sandbox_id);
            return Ok(scratch.into_iter().chain([pull::storage(image, container_id)]).collect());
        }
        let layers = self.layer_device.len();
        let for_each = |values: usize| values == 0 || values == layers;
        anyhow::ensure!(
            self.layer_root_hash.len() == layers
                && for_each(self.layer_hash_offset.len())
                && for_each(self.layer_partition.len()),
            "each layer needs a device and a root hash; hash offsets and partitions are given for all or for none"
        );
        if self.multi_layer {
            anyhow::ensure!(
                self.scratch.as_deref() != Some("tmpfs"),
                "a multi-layer root has a disk as scratch"
            );
            let scratch = self.scratch_storage(container_id, sandbox_id);
            return Ok(multi_layer::parts(self.layers(), scratch, &root_path(container_id)));
        }
        let mut storages = self.layers();
        // The kernel wants the topmost layer first.
        let lower: Vec<&str> = storages.iter().rev().map(|layer| layer.mount_point.as_str()).collect();
        let mut options = vec![format!("lowerdir={}", lower.join(":"))];
        if let Some(scratch) = self.scratch_storage(container_id, sandbox_id) {
            options.push(format!("X-kata.overlay-upper={}", scratch.mount_point));
            storages.push(scratch);
        }
        storages.push(Storage {
            driver: "overlayfs".to_owned(),
            source: "overlay".to_owned(),
            fstype: "overlay".to_owned(),
            options,
            mount_point: root_path(container_id),
            ..Default::default()
        });
        Ok(storages)
    }

    fn layers(&self) -> Vec<Storage> {
        let numbered = self.layer_device.iter().zip(&self.layer_root_hash).zip(self.layer_first_number..);
        let layer = |(index, ((device, root_hash), number)): (usize, ((&String, &String), u32))| {
            let (driver, source) = driver_and_source(device);
            Storage {
                driver: driver.to_owned(),
                source: source.to_owned(),
                fstype: self.layer_fstype.name().to_owned(),
                options: self.layer_options(index, root_hash),
                mount_point: format!("/run/mounts/scsi/m{number}"),
                ..Default::default()
            }
        };
        numbered.enumerate().map(layer).collect()
    }

    fn layer_options(&self, index: usize, root_hash: &str) -> Vec<String> {
        let mut options = vec![
            "ro".to_owned(),
            "X-kata.dmverity-enabled=true".to_owned(),
            format!("X-kata.dmverity.roothash={root_hash}"),
        ];
        if let Some(offset_bytes) = self.layer_hash_offset.get(index) {
            options.push(format!("X-kata.dmverity.hashoffset={offset_bytes}"));
        }
        if let Some(salt) = &self.layer_salt {
            options.push(format!("X-kata.dmverity.salt={salt}"));
        }
        if self.layer_no_superblock {
            options.push("X-kata.dmverity.no-superblock=true".to_owned());
        }
        if let Some(partition) = self.layer_partition.get(index).filter(|number| **number != 0) {
            options.push("X-kata.gpt-partitioned=true".to_owned());
            options.push(format!("X-kata.partition-number={partition}"));
        }
        options
    }

    fn scratch_storage(&self, container_id: &str, sandbox_id: &str) -> Option<Storage> {
        let scratch = self.scratch.as_deref()?;
        let mount_point = format!("/run/gcs/c/{sandbox_id}/scratch/{container_id}");
        Some(if scratch == "tmpfs" {
            Storage {
                driver: "ephemeral".to_owned(),
                source: "tmpfs".to_owned(),
                fstype: "tmpfs".to_owned(),
                options: vec![format!("size={}", u64::from(self.scratch_size_mib) << 20)],
                mount_point,
                ..Default::default()
            }
        } else {
            let encryption = (!self.scratch_plain).then(|| "encryption_key=ephemeral".to_owned());
            Storage {
                driver: "blk".to_owned(),
                source: scratch.to_owned(),
                fstype: "ext4".to_owned(),
                options: ["rw".to_owned()].into_iter().chain(encryption).collect(),
                mount_point,
                ..Default::default()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_layers() -> RootArgs {
        RootArgs {
            layer_device: vec!["/dev/vda".to_owned(), "02/03".to_owned()],
            layer_root_hash: vec!["aa".to_owned(), "bb".to_owned()],
            layer_partition: Vec::new(),
            layer_hash_offset: vec![4096, 8192],
            layer_no_superblock: false,
            layer_salt: None,
            pull: None,
            layer_fstype: LayerFileSystem::Ext4,
            layer_first_number: 4,
            multi_layer: false,
            scratch: None,
            scratch_plain: false,
            scratch_size_mib: 1,
        }
    }

    #[test]
    fn layers_are_base_first_and_the_overlay_names_them_top_first() {
        let storages = two_layers().storages("c", "s").unwrap();
        let [base, top, overlay] = storages.as_slice() else { panic!("{storages:?}") };
        assert_eq!((base.source.as_str(), base.mount_point.as_str()), ("/dev/vda", "/run/mounts/scsi/m4"));
        assert_eq!(
            top.options,
            [
                "ro",
                "X-kata.dmverity-enabled=true",
                "X-kata.dmverity.roothash=bb",
                "X-kata.dmverity.hashoffset=8192"
            ]
        );
        assert_eq!(overlay.options, ["lowerdir=/run/mounts/scsi/m5:/run/mounts/scsi/m4"]);
        assert_eq!(overlay.mount_point, "/run/kata-containers/c/rootfs");
    }

    #[test]
    fn a_disk_is_named_as_its_driver_does() {
        let layers = RootArgs {
            layer_device: ["scsi:0:3", "/dev/pmem0", "mmio:/dev/vdb", "/dev/vda"].map(str::to_owned).into(),
            layer_root_hash: vec!["aa".to_owned(); 4],
            layer_partition: vec![0, 0, 2, 0],
            layer_hash_offset: Vec::new(),
            layer_salt: Some("00".to_owned()),
            ..two_layers()
        };
        let storages = layers.storages("c", "s").unwrap();
        let named: Vec<_> =
            storages.iter().map(|layer| (layer.driver.as_str(), layer.source.as_str())).collect();
        let disks = [("scsi", "0:3"), ("nvdimm", "/dev/pmem0"), ("mmioblk", "/dev/vdb"), ("blk", "/dev/vda")];
        assert_eq!(named[..4], disks);
        assert_eq!(storages[0].options[3..], ["X-kata.dmverity.salt=00"]);
        let partition = ["X-kata.gpt-partitioned=true", "X-kata.partition-number=2"];
        assert_eq!(storages[2].options[4..], partition);
        let bare = RootArgs { layer_no_superblock: true, ..two_layers() }.storages("c", "s").unwrap();
        assert_eq!(bare[0].options[4..], ["X-kata.dmverity.no-superblock=true"]);
    }

    #[test]
    fn a_scratch_is_mounted_before_the_overlay_that_writes_to_it() {
        for (scratch, scratch_plain, driver, option) in [
            ("tmpfs", false, "ephemeral", "size=1048576"),
            ("/dev/vdc", false, "blk", "encryption_key=ephemeral"),
            ("/dev/vdc", true, "blk", "rw"),
        ] {
            let scratch = Some(scratch.to_owned());
            let storages = RootArgs { scratch, scratch_plain, ..two_layers() }.storages("c", "s").unwrap();
            let [.., mounted, overlay] = storages.as_slice() else { panic!("{storages:?}") };
            assert_eq!(mounted.driver, driver);
            assert_eq!(mounted.options.last().unwrap(), option);
            assert_eq!(overlay.options.last().unwrap(), "X-kata.overlay-upper=/run/gcs/c/s/scratch/c");
        }
    }

    #[test]
    fn an_image_is_a_root_with_or_without_scratch() {
        let root = RootArgs { pull: Some("docker://registry.example/app".to_owned()), ..two_layers() };
        let drivers = |root: &RootArgs| -> Vec<String> {
            root.storages("c", "s").unwrap().into_iter().map(|storage| storage.driver).collect()
        };
        assert_eq!(drivers(&root), ["image_guest_pull"]);
        let root = RootArgs { scratch: Some("tmpfs".to_owned()), ..root };
        assert_eq!(drivers(&root), ["ephemeral", "image_guest_pull"]);
    }

    #[test]
    fn layers_that_are_not_fully_described_are_misuse() {
        assert!(
            RootArgs { layer_root_hash: vec!["aa".to_owned()], ..two_layers() }.storages("c", "s").is_err()
        );
        let in_memory = RootArgs { scratch: Some("tmpfs".to_owned()), multi_layer: true, ..two_layers() };
        assert!(in_memory.storages("c", "s").is_err());
        assert!(RootArgs { layer_partition: vec![1], ..two_layers() }.storages("c", "s").is_err());
        assert!(RootArgs { layer_hash_offset: vec![1], ..two_layers() }.storages("c", "s").is_err());
    }
}
