//! How layers, scratch and their overlay are described on the wire: Kata's `Storage` with its option names.

use clap::{Args, ValueEnum};
use proto::kata::agent::Storage;

use super::pull;

/// Layers and scratch of a container.
#[derive(Debug, Args)]
pub(super) struct RootArgs {
    /// Block device of a layer as the guest sees it, base first: a /dev path, or a PCI path NN[/NN].
    #[arg(long, value_name = "DEVICE", required_unless_present = "pull")]
    layer_device: Vec<String>,
    /// Root hash of the dm-verity tree of each layer, in the same order.
    #[arg(long, value_name = "HEX", required_unless_present = "pull")]
    layer_root_hash: Vec<String>,
    /// Where the tree's superblock is on each device, in bytes.
    #[arg(long, value_name = "BYTES", required_unless_present = "pull")]
    layer_hash_offset: Vec<u64>,
    /// Image that the guest pulls, in the place of layers: a reference, with or without `docker://`.
    #[arg(long, value_name = "IMAGE", conflicts_with = "layer_device")]
    pull: Option<String>,
    /// File system of the layers.
    #[arg(long, value_enum, default_value_t = LayerFileSystem::Ext4)]
    layer_fstype: LayerFileSystem,
    /// Number of the first layer's mount point; a second container's layers need other ones.
    #[arg(long, default_value_t = 0)]
    layer_first_number: u32,
    /// Where the container may write: `tmpfs`, or a block device that the guest encrypts.
    #[arg(long, value_name = "tmpfs|DEVICE")]
    scratch: Option<String>,
    /// Size of a tmpfs scratch, in MiB.
    #[arg(long, default_value_t = 64)]
    scratch_size_mib: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LayerFileSystem {
    Ext4,
    Erofs,
}

impl LayerFileSystem {
    fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Erofs => "erofs",
        }
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
    /// When there are not as many devices as root hashes and offsets.
    pub(super) fn storages(&self, container_id: &str, sandbox_id: &str) -> anyhow::Result<Vec<Storage>> {
        if let Some(image) = &self.pull {
            let scratch = self.scratch_storage(container_id, sandbox_id);
            return Ok(scratch.into_iter().chain([pull::storage(image, container_id)]).collect());
        }
        anyhow::ensure!(
            self.layer_device.len() == self.layer_root_hash.len()
                && self.layer_device.len() == self.layer_hash_offset.len(),
            "each layer needs a device, a root hash and a hash offset"
        );
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
        self.layer_device
            .iter()
            .zip(&self.layer_root_hash)
            .zip(&self.layer_hash_offset)
            .zip(self.layer_first_number..)
            .map(|(((device, root_hash), hash_offset_bytes), number)| Storage {
                driver: "blk".to_owned(),
                source: device.clone(),
                fstype: self.layer_fstype.name().to_owned(),
                options: vec![
                    "ro".to_owned(),
                    "X-kata.dmverity-enabled=true".to_owned(),
                    format!("X-kata.dmverity.roothash={root_hash}"),
                    format!("X-kata.dmverity.hashoffset={hash_offset_bytes}"),
                ],
                mount_point: format!("/run/mounts/scsi/m{number}"),
                ..Default::default()
            })
            .collect()
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
            Storage {
                driver: "blk".to_owned(),
                source: scratch.to_owned(),
                fstype: "ext4".to_owned(),
                options: vec!["rw".to_owned(), "encryption_key=ephemeral".to_owned()],
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
            layer_hash_offset: vec![4096, 8192],
            pull: None,
            layer_fstype: LayerFileSystem::Ext4,
            layer_first_number: 4,
            scratch: None,
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
    fn a_scratch_is_mounted_before_the_overlay_that_writes_to_it() {
        for (scratch, driver, option) in
            [("tmpfs", "ephemeral", "size=1048576"), ("/dev/vdc", "blk", "encryption_key=ephemeral")]
        {
            let storages =
                RootArgs { scratch: Some(scratch.to_owned()), ..two_layers() }.storages("c", "s").unwrap();
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
        assert!(RootArgs { layer_hash_offset: vec![1], ..two_layers() }.storages("c", "s").is_err());
    }
}
