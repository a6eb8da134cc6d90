//! Partitions of a disk, as the kernel found them.

use std::path::Path;

use policy_engine::request::PartitionNumber;

use super::DeviceNumber;
use super::sysfs::{FindDiskError, FoundDisk, only_entry, read_short};

/// Directories of all block devices, by number.
const DEVICES: &str = "/sys/dev/block";

/// Finds partition `number` of the disk with this number: of that disk and no other, whatever its name is by now.
pub(super) fn find(disk: DeviceNumber, number: PartitionNumber) -> Result<FoundDisk, FindDiskError> {
    find_in(&Path::new(DEVICES).join(disk.to_string()), number)
}

fn find_in(disk: &Path, number: PartitionNumber) -> Result<FoundDisk, FindDiskError> {
    // Of all directories of a disk only those of its partitions have such a file.
    let expected = number.get().to_string();
    let is_partition =
        |name: &str| read_short(&disk.join(name).join("partition")).is_ok_and(|text| text == expected);
    let (name, partition) = only_entry(disk, "partition with the number", is_partition)?;
    FoundDisk::at(name, &partition)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_partition_is_found_below_its_disk() {
        let disk = tempfile::tempdir().unwrap();
        for (name, number, device) in [("vda1", "1\n", "254:1\n"), ("vda12", "12\n", "254:12\n")] {
            let partition = disk.path().join(name);
            fs::create_dir(&partition).unwrap();
            fs::write(partition.join("partition"), number).unwrap();
            fs::write(partition.join("dev"), device).unwrap();
        }
        fs::create_dir(disk.path().join("queue")).unwrap();
        fs::write(disk.path().join("dev"), "254:0\n").unwrap();
        let find = |number| find_in(disk.path(), PartitionNumber::new(number).unwrap());
        assert_eq!(find(1).unwrap().number, DeviceNumber::new(254, 1));
        let found = find(12).unwrap();
        assert_eq!((found.name.as_str(), found.number), ("vda12", DeviceNumber::new(254, 12)));
        assert!(matches!(find(2), Err(FindDiskError::Missing("partition with the number"))));
    }
}
