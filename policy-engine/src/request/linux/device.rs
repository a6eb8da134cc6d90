//! Devices.

use serde::Serialize;

use crate::path::GuestPath;

/// What a device node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum DeviceKind {
    /// A character device.
    #[serde(rename = "c")]
    Character,
    /// A block device.
    #[serde(rename = "b")]
    Block,
    /// A named pipe; it has no numbers.
    #[serde(rename = "p")]
    Fifo,
}

/// A device node of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceNode {
    /// Where.
    pub path: GuestPath,
    /// What.
    #[serde(rename = "type")]
    pub kind: DeviceKind,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub file_mode: u16,
    /// Owner, as the container numbers it.
    pub uid: u32,
    /// Group, as the container numbers it.
    pub gid: u32,
}

/// What may be done with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[expect(missing_docs, reason = "the words of the OCI specification: r, w, m")]
pub struct DeviceAccess {
    pub read: bool,
    pub write: bool,
    pub mknod: bool,
}

/// Allows or denies the use of devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceRule {
    /// Whether it allows.
    pub allow: bool,
    /// Which kind; `None` for character and block devices.
    #[serde(rename = "type")]
    pub kind: Option<DeviceKind>,
    /// Which major number; `None` for all.
    pub major: Option<u32>,
    /// Which minor number; `None` for all.
    pub minor: Option<u32>,
    /// Which accesses.
    pub access: DeviceAccess,
}
