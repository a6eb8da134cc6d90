//! Where the fields of a report are (AMD 56860 rev 1.58, table 23). Offsets and lengths in bytes.

/// Length of a report.
pub const REPORT_LEN: usize = 0x4A0;
/// Length of the part that the signature covers, from the start.
pub const SIGNED_LEN: usize = 0x2A0;

/// `VERSION`, 4 bytes.
pub const VERSION: usize = 0x000;
/// `GUEST_SVN`, 4 bytes.
pub const GUEST_SVN: usize = 0x004;
/// `POLICY`, 8 bytes.
pub const POLICY: usize = 0x008;
/// `FAMILY_ID`, 16 bytes.
pub const FAMILY_ID: usize = 0x010;
/// `IMAGE_ID`, 16 bytes.
pub const IMAGE_ID: usize = 0x020;
/// `VMPL`, 4 bytes.
pub const VMPL: usize = 0x030;
/// `SIGNATURE_ALGO`, 4 bytes.
pub const SIGNATURE_ALGO: usize = 0x034;
/// `CURRENT_TCB`, 8 bytes.
pub const CURRENT_TCB: usize = 0x038;
/// `PLATFORM_INFO`, 8 bytes.
pub const PLATFORM_INFO: usize = 0x040;
/// `SIGNING_KEY`, `MASK_CHIP_KEY` and `AUTHOR_KEY_EN`, 4 bytes.
pub const KEY_INFO: usize = 0x048;
/// `REPORT_DATA`, 64 bytes.
pub const REPORT_DATA: usize = 0x050;
/// `MEASUREMENT`, 48 bytes.
pub const MEASUREMENT: usize = 0x090;
/// `HOST_DATA`, 32 bytes.
pub const HOST_DATA: usize = 0x0C0;
/// `ID_KEY_DIGEST`, 48 bytes.
pub const ID_KEY_DIGEST: usize = 0x0E0;
/// `AUTHOR_KEY_DIGEST`, 48 bytes.
pub const AUTHOR_KEY_DIGEST: usize = 0x110;
/// `REPORT_ID`, 32 bytes.
pub const REPORT_ID: usize = 0x140;
/// `REPORT_ID_MA`, 32 bytes.
pub const REPORT_ID_MA: usize = 0x160;
/// `REPORTED_TCB`, 8 bytes.
pub const REPORTED_TCB: usize = 0x180;
/// `CPUID_FAM_ID`, `CPUID_MOD_ID` and `CPUID_STEP`, 3 bytes, from version 3.
pub const CPUID: usize = 0x188;
/// `CHIP_ID`, 64 bytes.
pub const CHIP_ID: usize = 0x1A0;
/// `COMMITTED_TCB`, 8 bytes.
pub const COMMITTED_TCB: usize = 0x1E0;
/// `CURRENT_BUILD`, `CURRENT_MINOR` and `CURRENT_MAJOR`, 3 bytes.
pub const CURRENT_FIRMWARE: usize = 0x1E8;
/// `COMMITTED_BUILD`, `COMMITTED_MINOR` and `COMMITTED_MAJOR`, 3 bytes.
pub const COMMITTED_FIRMWARE: usize = 0x1EC;
/// `LAUNCH_TCB`, 8 bytes.
pub const LAUNCH_TCB: usize = 0x1F0;
/// `LAUNCH_MIT_VECTOR`, 8 bytes, from version 5.
pub const LAUNCH_MIT_VECTOR: usize = 0x1F8;
/// `CURRENT_MIT_VECTOR`, 8 bytes, from version 5.
pub const CURRENT_MIT_VECTOR: usize = 0x200;
/// `SIGNATURE`: R and S, each a 72-byte little-endian integer, then zeros to the end of the report.
pub const SIGNATURE: usize = 0x2A0;
/// Length of R, and of S.
pub const SIGNATURE_INTEGER_LEN: usize = 72;
