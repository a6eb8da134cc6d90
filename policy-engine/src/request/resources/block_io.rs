//! Limits of block devices.

use super::Maximum;

/// Block devices of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockIoResources {
    /// Relative weight, 10 to 1,000.
    pub weight: Option<u16>,
    /// Relative weight of its own processes against those of cgroups below its own, 10 to 1,000 (cgroup v1).
    pub leaf_weight: Option<u16>,
    /// Weights on single devices.
    pub weight_devices: Vec<DeviceWeight>,
    /// The most that it may read or write per second.
    pub throttles: Vec<DeviceRate>,
}

/// The number of a block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceNumber {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// A weight on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceWeight {
    /// The device.
    pub device: DeviceNumber,
    /// Relative weight, 10 to 1,000.
    pub weight: Option<u16>,
    /// Relative weight against cgroups below, 10 to 1,000 (cgroup v1).
    pub leaf_weight: Option<u16>,
}

/// What a rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says what it is")]
pub enum ThrottleKind {
    ReadBytes,
    WrittenBytes,
    Reads,
    Writes,
}

/// A bound on the use of one device, per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRate {
    /// The device.
    pub device: DeviceNumber,
    /// What is counted.
    pub kind: ThrottleKind,
    /// The most per second.
    pub rate: Maximum,
}
