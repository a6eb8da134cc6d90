//! Disks by their address on a SCSI bus.

use std::path::Path;

use policy_engine::request::ScsiAddress;

use super::sysfs::{FindDiskError, FoundDisk, only_entry};

/// Every device on every SCSI bus, by the name `<bus>:<channel>:<target>:<unit>`.
const DEVICES: &str = "/sys/bus/scsi/devices";

/// Finds the disk with this address, in channel 0 of whichever bus has one. With two such disks there is none: which
/// one the host means cannot be told.
pub(super) fn find(address: ScsiAddress) -> Result<FoundDisk, FindDiskError> {
    find_in(Path::new(DEVICES), address)
}

fn find_in(devices: &Path, ScsiAddress { target, unit }: ScsiAddress) -> Result<FoundDisk, FindDiskError> {
    let suffix = format!(":0:{target}:{unit}");
    let has_address = |name: &str| {
        name.strip_suffix(&suffix)
            .is_some_and(|bus| !bus.is_empty() && bus.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let (_, device) = only_entry(devices, "SCSI device with the address", has_address)?;
    FoundDisk::only_one_in(&device.join("block"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn disk(devices: &Path, device: &str, name: &str, number: &str) {
        let block = devices.join(device).join("block").join(name);
        fs::create_dir_all(&block).unwrap();
        fs::write(block.join("dev"), number).unwrap();
    }

    #[test]
    fn a_disk_is_found_on_whichever_bus_has_the_address() {
        let devices = tempfile::tempdir().unwrap();
        for other in ["host0", "host12", "target0:0:0", "0:0:0:3:ses"] {
            fs::create_dir(devices.path().join(other)).unwrap();
        }
        disk(devices.path(), "0:0:0:3", "sda", "8:0\n");
        disk(devices.path(), "12:0:1:30", "sdb", "8:16\n");
        disk(devices.path(), "0:1:2:4", "sdc", "8:32\n");
        let find = |target, unit| find_in(devices.path(), ScsiAddress { target, unit });
        let found = find(0, 3).unwrap();
        assert_eq!((found.name.as_str(), found.number.to_string().as_str()), ("sda", "8:0"));
        assert_eq!(find(1, 30).unwrap().name, "sdb");
        // Another channel is another address, and half of an address is none.
        for (target, unit) in [(2, 4), (0, 30), (1, 3), (0, 0)] {
            let found = find(target, unit);
            assert!(
                matches!(found, Err(FindDiskError::Missing("SCSI device with the address"))),
                "{found:?}"
            );
        }
    }

    #[test]
    fn an_address_that_two_disks_have_is_no_disk() {
        let devices = tempfile::tempdir().unwrap();
        disk(devices.path(), "0:0:0:3", "sda", "8:0");
        disk(devices.path(), "1:0:0:3", "sdb", "8:16");
        disk(devices.path(), "0:0:0:4", "sdc", "8:32");
        disk(devices.path(), "0:0:0:4", "sdd", "8:48");
        disk(devices.path(), "0:0:0:5", "sde", "none");
        fs::create_dir(devices.path().join("0:0:0:6")).unwrap();
        let find = |unit| find_in(devices.path(), ScsiAddress { target: 0, unit });
        assert!(matches!(find(3), Err(FindDiskError::Ambiguous("SCSI device with the address"))));
        assert!(matches!(find(4), Err(FindDiskError::Ambiguous("disk"))));
        assert!(matches!(find(5), Err(FindDiskError::Number)));
        assert!(matches!(find(6), Err(FindDiskError::Missing("disk"))));
    }
}
