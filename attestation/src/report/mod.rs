//! The attestation report of an SNP guest: AMD 56860, section "`MSG_REPORT_REQ`".
//!
//! [`Report`] keeps the 1184 bytes that the firmware gave, because the signature is over these bytes; accessors read
//! them in place.

mod digests;
mod fields;
pub mod layout;
#[cfg(test)]
mod tests;
#[cfg(feature = "verify")]
mod view;

pub use digests::{ChipId, HostData, Measurement, ReportData};
pub use fields::{CpuId, FirmwareVersion, GuestPolicy, KeyInfo, PlatformInfo, SigningKey, Tcb, Version};
use layout::{REPORT_LEN, SIGNED_LEN};

/// Why bytes are not a report.
#[derive(Debug, thiserror::Error)]
pub enum ParseReportError {
    /// The length is wrong.
    #[error("an SNP report has {REPORT_LEN} bytes, got {given}")]
    Length {
        /// Bytes given.
        given: usize,
    },
    /// The layout is unknown: an older one has no usable signature, a newer one may have moved fields.
    #[error("report version {given} is not supported (2 to 5 are)")]
    Version {
        /// Version given.
        given: u32,
    },
}

/// Text that is not the hexadecimal form of a value.
#[derive(Debug, thiserror::Error)]
#[error("expected {expected_bytes} bytes in hexadecimal")]
pub struct ParseHexError {
    expected_bytes: usize,
    source: hex::FromHexError,
}

/// A report as the firmware signed it. Parsing checks length and version only; nothing in it may be believed before
/// `verify::verify` says so.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    raw: Box<[u8; REPORT_LEN]>,
    version: Version,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// When the length is not 1184 bytes or the version is not 2 to 5.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseReportError> {
        let raw: [u8; REPORT_LEN] =
            bytes.try_into().map_err(|_| ParseReportError::Length { given: bytes.len() })?;
        let number = u32::from_le_bytes(field::<{ layout::VERSION }, 4>(&raw));
        let version = Version::from_number(number).ok_or(ParseReportError::Version { given: number })?;
        Ok(Self { raw: Box::new(raw), version })
    }

    /// All bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; REPORT_LEN] {
        &self.raw
    }

    /// The bytes that the signature covers.
    #[must_use]
    pub fn signed_bytes(&self) -> &[u8] {
        self.raw.split_at(SIGNED_LEN).0
    }

    /// `SIGNATURE` with its padding, to the end of the report.
    #[must_use]
    pub fn signature_bytes(&self) -> &[u8] {
        self.raw.split_at(SIGNED_LEN).1
    }

    /// `VERSION`.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// `GUEST_SVN`: the security version that the guest's owner gave the image.
    #[must_use]
    pub fn guest_svn(&self) -> u32 {
        self.word::<{ layout::GUEST_SVN }>()
    }

    /// `POLICY`.
    #[must_use]
    pub fn policy(&self) -> GuestPolicy {
        GuestPolicy(self.double_word::<{ layout::POLICY }>())
    }

    /// `FAMILY_ID`.
    #[must_use]
    pub fn family_id(&self) -> [u8; 16] {
        self.bytes::<{ layout::FAMILY_ID }, 16>()
    }

    /// `IMAGE_ID`.
    #[must_use]
    pub fn image_id(&self) -> [u8; 16] {
        self.bytes::<{ layout::IMAGE_ID }, 16>()
    }

    /// `VMPL`: the privilege level of who asked for the report; 0 is the highest.
    #[must_use]
    pub fn vmpl(&self) -> u32 {
        self.word::<{ layout::VMPL }>()
    }

    /// `SIGNATURE_ALGO`; 1 is ECDSA P-384 with SHA-384.
    #[must_use]
    pub fn signature_algorithm(&self) -> u32 {
        self.word::<{ layout::SIGNATURE_ALGO }>()
    }

    /// `CURRENT_TCB`.
    #[must_use]
    pub fn current_tcb(&self) -> Tcb {
        Tcb(self.bytes::<{ layout::CURRENT_TCB }, 8>())
    }

    /// `PLATFORM_INFO`.
    #[must_use]
    pub fn platform_info(&self) -> PlatformInfo {
        PlatformInfo(self.double_word::<{ layout::PLATFORM_INFO }>())
    }

    /// Which key signed the report.
    #[must_use]
    pub fn key_info(&self) -> KeyInfo {
        KeyInfo(self.word::<{ layout::KEY_INFO }>())
    }

    /// `REPORT_DATA`.
    #[must_use]
    pub fn report_data(&self) -> ReportData {
        ReportData::new(self.bytes::<{ layout::REPORT_DATA }, 64>())
    }

    /// `MEASUREMENT`.
    #[must_use]
    pub fn measurement(&self) -> Measurement {
        Measurement::new(self.bytes::<{ layout::MEASUREMENT }, 48>())
    }

    /// `HOST_DATA`.
    #[must_use]
    pub fn host_data(&self) -> HostData {
        HostData::new(self.bytes::<{ layout::HOST_DATA }, 32>())
    }

    /// `ID_KEY_DIGEST`.
    #[must_use]
    pub fn id_key_digest(&self) -> [u8; 48] {
        self.bytes::<{ layout::ID_KEY_DIGEST }, 48>()
    }

    /// `AUTHOR_KEY_DIGEST`.
    #[must_use]
    pub fn author_key_digest(&self) -> [u8; 48] {
        self.bytes::<{ layout::AUTHOR_KEY_DIGEST }, 48>()
    }

    /// `REPORT_ID`: the same in all reports of one launch of a guest.
    #[must_use]
    pub fn report_id(&self) -> [u8; 32] {
        self.bytes::<{ layout::REPORT_ID }, 32>()
    }

    /// `REPORT_ID_MA`: of the migration agent.
    #[must_use]
    pub fn report_id_migration_agent(&self) -> [u8; 32] {
        self.bytes::<{ layout::REPORT_ID_MA }, 32>()
    }

    /// `REPORTED_TCB`: the TCB that the signing key was derived from.
    #[must_use]
    pub fn reported_tcb(&self) -> Tcb {
        Tcb(self.bytes::<{ layout::REPORTED_TCB }, 8>())
    }

    /// Family, model and stepping of the processor, from version 3.
    #[must_use]
    pub fn cpu_id(&self) -> Option<CpuId> {
        let [family, model, stepping] = self.bytes::<{ layout::CPUID }, 3>();
        (self.version >= Version::V3).then_some(CpuId { family, model, stepping })
    }

    /// `CHIP_ID`.
    #[must_use]
    pub fn chip_id(&self) -> ChipId {
        ChipId::new(self.bytes::<{ layout::CHIP_ID }, 64>())
    }

    /// `COMMITTED_TCB`: the platform cannot go below it any more.
    #[must_use]
    pub fn committed_tcb(&self) -> Tcb {
        Tcb(self.bytes::<{ layout::COMMITTED_TCB }, 8>())
    }

    /// `LAUNCH_TCB`.
    #[must_use]
    pub fn launch_tcb(&self) -> Tcb {
        Tcb(self.bytes::<{ layout::LAUNCH_TCB }, 8>())
    }

    /// The running SNP firmware.
    #[must_use]
    pub fn current_firmware(&self) -> FirmwareVersion {
        FirmwareVersion::from_bytes(self.bytes::<{ layout::CURRENT_FIRMWARE }, 3>())
    }

    /// The committed SNP firmware.
    #[must_use]
    pub fn committed_firmware(&self) -> FirmwareVersion {
        FirmwareVersion::from_bytes(self.bytes::<{ layout::COMMITTED_FIRMWARE }, 3>())
    }

    /// `LAUNCH_MIT_VECTOR`: mitigations at launch, from version 5.
    #[must_use]
    pub fn launch_mitigations(&self) -> Option<u64> {
        (self.version >= Version::V5).then(|| self.double_word::<{ layout::LAUNCH_MIT_VECTOR }>())
    }

    /// `CURRENT_MIT_VECTOR`: mitigations now, from version 5.
    #[must_use]
    pub fn current_mitigations(&self) -> Option<u64> {
        (self.version >= Version::V5).then(|| self.double_word::<{ layout::CURRENT_MIT_VECTOR }>())
    }

    fn bytes<const AT: usize, const N: usize>(&self) -> [u8; N] {
        field::<AT, N>(&self.raw)
    }

    fn word<const AT: usize>(&self) -> u32 {
        u32::from_le_bytes(self.bytes::<AT, 4>())
    }

    fn double_word<const AT: usize>(&self) -> u64 {
        u64::from_le_bytes(self.bytes::<AT, 8>())
    }
}

impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Report")
            .field("version", &self.version)
            .field("measurement", &self.measurement())
            .field("host_data", &self.host_data())
            .field("report_data", &self.report_data())
            .finish_non_exhaustive()
    }
}

/// The `N` bytes at `AT`; that they lie inside is checked at compile time.
fn field<const AT: usize, const N: usize>(raw: &[u8; REPORT_LEN]) -> [u8; N] {
    const { assert!(AT + N <= REPORT_LEN) };
    let mut bytes = [0; N];
    for (byte, source) in bytes.iter_mut().zip(raw.iter().skip(AT)) {
        *byte = *source;
    }
    bytes
}
