//! Virtio disks by their place on the PCI bus.

use std::path::Path;

use super::sysfs::{FindDiskError, FoundDisk, only_entry};

/// The root bus of a guest.
const ROOT_BUS: &str = "/sys/devices/pci0000:00";

/// Finds the virtio disk at `slots`, slot numbers from the root bus down.
pub(super) fn find(slots: &[u8]) -> Result<FoundDisk, FindDiskError> {
    find_below(Path::new(ROOT_BUS), slots)
}

fn find_below(root_bus: &Path, slots: &[u8]) -> Result<FoundDisk, FindDiskError> {
    let mut device = root_bus.to_owned();
    for slot in slots {
        // Bus numbers are the firmware's, so only slot and function are compared: `0000:01:05.0`.
        let suffix = format!(":{slot:02x}.0");
        let is_device = |name: &str| name.len() == 12 && name.ends_with(&suffix);
        device = only_entry(&device, "PCI device in the slot", is_device)?.1;
    }
    let (_, virtio) = only_entry(&device, "virtio device", |name| name.starts_with("virtio"))?;
    FoundDisk::only_one_in(&virtio.join("block"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn disk(bus: &Path, path: &str, name: &str, number: &str) {
        let block = bus.join(path).join("block").join(name);
        fs::create_dir_all(&block).unwrap();
        fs::write(block.join("dev"), number).unwrap();
    }

    #[test]
    fn a_disk_is_found_by_slot_at_each_depth() {
        let bus = tempfile::tempdir().unwrap();
        disk(bus.path(), "0000:00:05.0/virtio2", "vda", "254:0\n");
        disk(bus.path(), "0000:00:02.0/0000:01:05.0/virtio3", "vdb", "254:16\n");
        let found = find_below(bus.path(), &[5]).unwrap();
        assert_eq!((found.name.as_str(), found.number.to_string().as_str()), ("vda", "254:0"));
        let found = find_below(bus.path(), &[2, 5]).unwrap();
        assert_eq!((found.name.as_str(), found.number.to_string().as_str()), ("vdb", "254:16"));
    }

    #[test]
    fn what_is_missing_or_not_clear_is_no_disk() {
        let bus = tempfile::tempdir().unwrap();
        disk(bus.path(), "0000:00:05.0/virtio2", "vda", "254:0");
        disk(bus.path(), "0000:00:05.0/virtio2", "vdb", "254:16");
        disk(bus.path(), "0000:00:06.0/virtio4", "vdc", "none");
        fs::create_dir_all(bus.path().join("0000:00:07.0")).unwrap();
        let find = |slots: &[u8]| find_below(bus.path(), slots);
        assert!(matches!(find(&[5]), Err(FindDiskError::Ambiguous("disk"))));
        assert!(matches!(find(&[6]), Err(FindDiskError::Number)));
        assert!(matches!(find(&[7]), Err(FindDiskError::Missing("virtio device"))));
        assert!(matches!(find(&[8]), Err(FindDiskError::Missing("PCI device in the slot"))));
    }
}
