//! What tests of the kernel's part need: a private view of the machine, a policy that allows, layers.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use layer_format::layer::{Footer, LayerDigest, write_layer};
use nix::sched::CloneFlags;
use policy_engine::request::{
    BlockSource, DeviceTarget, HashOffset, HashTree, LayerFilesystem, MountDevice, MountOverlay,
    ScratchBacking, ScratchMount, UnmountDevice, UnmountOverlay,
};
use policy_engine::{Engine, GuestPath};
use rustix::mount::{MountFlags, MountPropagationFlags};

use crate::layers::{self, Layer};
use crate::sys::loop_device;

/// Runs `body` on a thread with mounts of its own and an empty `/run`; says so and does nothing without the
/// rights to. What is mounted goes away with the thread.
pub(crate) fn with_private_mounts(body: impl FnOnce() + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs the superuser's rights");
        return;
    }
    let thread = std::thread::spawn(move || {
        nix::sched::unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).unwrap();
        rustix::mount::mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), None).unwrap();
        body();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// An engine whose policy, written by hand, allows all that tests of this crate ask.
pub(crate) fn permissive_engine() -> Engine {
    let points = [
        "mount_device",
        "unmount_device",
        "mount_overlay",
        "unmount_overlay",
        "scratch_mount",
        "scratch_unmount",
    ];
    let rules = points.map(|point| format!("{point} := {{\"allowed\": true}}\n")).concat();
    Engine::load(format!("package policy\napi_version := \"0.10.0\"\n{rules}").as_bytes()).unwrap()
}

/// A layer image on a loop device: the disk that a host would plug in.
pub(crate) struct Disk {
    /// What a policy would name.
    pub(crate) digest: LayerDigest,
    image: File,
    device: File,
}

impl Disk {
    /// A layer with these files, path and content.
    pub(crate) fn with_files(files: &[(&str, &str)]) -> Self {
        let files: Vec<_> = files.iter().map(|(path, content)| (*path, content.as_bytes())).collect();
        Self::with_programs(&files)
    }

    /// A layer with these files, whose content need not be text.
    pub(crate) fn with_programs(files: &[(&str, &[u8])]) -> Self {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o755);
            archive.append_data(&mut header, path, *content).unwrap();
        }
        let archive = archive.into_inner().unwrap();
        let mut image = tempfile::tempfile().unwrap();
        let digest = write_layer(archive.as_slice(), &mut image, Footer::None).unwrap().digest;
        image.flush().unwrap();
        let device = loop_device::attach_read_only(&image, 512).unwrap();
        Self { digest, image, device }
    }

    /// A disk with these bytes, which nobody has hashed.
    pub(crate) fn with_content(content: &[u8]) -> File {
        let mut image = tempfile::tempfile().unwrap();
        image.write_all(content).unwrap();
        loop_device::attach_read_only(&image, 512).unwrap()
    }

    /// All that is on the disk: data, superblock, tree.
    pub(crate) fn content(&self) -> Vec<u8> {
        let mut content = vec![0; usize::try_from(self.image.metadata().unwrap().len()).unwrap()];
        self.image.read_exact_at(&mut content, 0).unwrap();
        content
    }

    /// Writes to the disk behind the guest's back.
    pub(crate) fn write(&mut self, bytes: &[u8], offset_bytes: u64) {
        self.image.write_all_at(bytes, offset_bytes).unwrap();
        // A device of its own, since the old one remembers what was read from it.
        self.device = loop_device::attach_read_only(&self.image, 512).unwrap();
    }

    /// Flips the lowest bit of a byte.
    pub(crate) fn flip(&mut self, offset_bytes: u64) {
        let mut byte = [0];
        self.image.read_exact_at(&mut byte, offset_bytes).unwrap();
        self.write(&[byte[0] ^ 1], offset_bytes);
    }

    /// How a host would name it.
    pub(crate) fn source(&self) -> BlockSource {
        source_of(&self.device)
    }

    /// The request to mount it as number `number`.
    pub(crate) fn request(&self, number: u32) -> MountDevice {
        MountDevice {
            target: target(number),
            root_hash: (*self.digest.root_hash.as_bytes()).into(),
            source: self.source(),
            partition: None,
            hash_tree: self.with_superblock(),
            filesystem: LayerFilesystem::Ext4,
        }
    }

    /// Where its superblock is.
    pub(crate) fn with_superblock(&self) -> HashTree {
        let offset = HashOffset::new(self.digest.data_size_bytes);
        HashTree::WithSuperblock { offset, salt: None }
    }

    /// The layer, mounted.
    pub(crate) fn mount(&self, engine: &Engine, number: u32) -> Layer {
        layers::mount_device(engine.decide(self.request(number)).unwrap()).unwrap()
    }
}

/// A loop device that can be written to. One that was made read-only once stays so, whatever is attached to it later.
pub(crate) fn writable_device(image: &File) -> File {
    let mut read_only = Vec::new();
    loop {
        let device = loop_device::attach_writable(image, 4096).unwrap();
        match device.write_all_at(&[0; 4096], 0) {
            Ok(()) => return device,
            Err(_) => read_only.push(device),
        }
        assert!(read_only.len() < 64, "every loop device is read-only");
    }
}

/// How a host would name a loop device.
pub(crate) fn source_of(device: &File) -> BlockSource {
    let number = rustix::fs::fstat(device).unwrap().st_rdev;
    BlockSource::Node(format!("loop{}", rustix::fs::minor(number)))
}

pub(crate) fn target(number: u32) -> DeviceTarget {
    format!("{}/m{number}", DeviceTarget::DIRECTORY).parse().unwrap()
}

pub(crate) fn path(text: &str) -> GuestPath {
    text.parse().unwrap()
}

pub(crate) fn unmount_device(engine: &Engine, layer: Layer) {
    let request = UnmountDevice { target: layer.target().clone() };
    layers::unmount_device(engine.decide(request).unwrap(), layer).unwrap();
}

pub(crate) fn memory_scratch(target: &str) -> ScratchMount {
    ScratchMount { target: path(target), backing: ScratchBacking::Memory { size_bytes: 1 << 20 } }
}

pub(crate) fn overlay(layers: &[&Layer], scratch: Option<&str>, target: &str) -> MountOverlay {
    MountOverlay {
        container_id: "c1".parse().unwrap(),
        layers: layers.iter().map(|layer| layer.target().clone()).collect(),
        scratch: scratch.map(path),
        target: path(target),
    }
}

pub(crate) fn unmount_overlay(target: &str) -> UnmountOverlay {
    UnmountOverlay { target: path(target) }
}
