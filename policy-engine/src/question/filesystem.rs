//! Questions about devices and file systems.

use std::borrow::Cow;

use super::record::record;

record! {
    /// `mount_device`
    pub MountDevice<'a> {
        /// Where.
        target: &'a str = "target",
        /// The root hash.
        device_hash: Cow<'a, str> = "deviceHash",
        /// The pattern that the guest lets `target` have.
        mount_path_regex: &'a str = "mountPathRegex",
    }
}

record! {
    /// `rw_mount_device`
    pub RwMountDevice<'a> {
        /// Where.
        target: &'a str = "target",
        /// The pattern that the guest lets `target` have.
        mount_path_regex: &'a str = "mountPathRegex",
        /// Whether the guest encrypts it.
        encrypted: bool = "encrypted",
        /// Whether the guest makes the file system.
        ensure_filesystem: bool = "ensureFilesystem",
        /// The file system.
        filesystem: &'a str = "filesystem",
    }
}

record! {
    /// `mount_overlay`
    pub MountOverlay<'a> {
        /// The container it is for.
        container_id: &'a str = "containerID",
        /// Mount points of its layers, topmost first.
        layer_paths: Vec<&'a str> = "layerPaths",
        /// Where.
        target: &'a str = "target",
    }
}

record! {
    /// `scratch_mount`
    pub ScratchMount<'a> {
        /// Where.
        target: &'a str = "target",
        /// Whether the guest encrypts it.
        encrypted: bool = "encrypted",
    }
}

record! {
    /// `plan9_mount`
    pub Plan9Mount<'a> {
        /// Where.
        target: &'a str = "target",
        /// The directory of all containers' roots.
        root_prefix: &'a str = "rootPrefix",
        /// The pattern of what follows the container's directory.
        mount_path_prefix: &'a str = "mountPathPrefix",
    }
}

record! {
    /// Any question that unmounts something.
    pub Unmount<'a> {
        /// Where.
        target: &'a str = "unmountTarget",
    }
}

record! {
    /// `mount_blockdev`
    pub MountBlockdev<'a> {
        /// Where.
        target: &'a str = "target",
    }
}
