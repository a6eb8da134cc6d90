//! Typed views of the integer fields.

/// Which layout a report has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// The first published layout.
    V2,
    /// Adds the CPU's family, model and stepping.
    V3,
    /// The layout of version 3.
    V4,
    /// Adds the mitigation vectors.
    V5,
}

impl Version {
    /// The number that stands in a report.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
            Self::V4 => 4,
            Self::V5 => 5,
        }
    }

    pub(super) const fn from_number(number: u32) -> Option<Self> {
        match number {
            2 => Some(Self::V2),
            3 => Some(Self::V3),
            4 => Some(Self::V4),
            5 => Some(Self::V5),
            _ => None,
        }
    }
}

/// Whether bit `BIT` of `word` is set.
const fn bit<const BIT: u32>(word: u64) -> bool {
    (word >> BIT) & 1 == 1
}

/// `POLICY`: what the guest's owner lets the platform do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestPolicy(pub u64);

impl GuestPolicy {
    /// Least minor version of the firmware interface.
    #[must_use]
    pub const fn abi_minor(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    /// Least major version of the firmware interface.
    #[must_use]
    pub const fn abi_major(self) -> u8 {
        self.0.to_le_bytes()[1]
    }

    /// Simultaneous multi-threading is allowed.
    #[must_use]
    pub const fn smt_allowed(self) -> bool {
        bit::<16>(self.0)
    }

    /// Association with a migration agent is allowed.
    #[must_use]
    pub const fn migration_agent_allowed(self) -> bool {
        bit::<18>(self.0)
    }

    /// The host may read and write the guest's memory: nothing in such a guest is secret or intact.
    #[must_use]
    pub const fn debug_allowed(self) -> bool {
        bit::<19>(self.0)
    }

    /// The guest may run on one socket only.
    #[must_use]
    pub const fn single_socket(self) -> bool {
        bit::<20>(self.0)
    }
}

/// `PLATFORM_INFO`: what is switched on in the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlatformInfo(pub u64);

impl PlatformInfo {
    /// Simultaneous multi-threading is on.
    #[must_use]
    pub const fn smt_enabled(self) -> bool {
        bit::<0>(self.0)
    }

    /// Transparent memory encryption is on.
    #[must_use]
    pub const fn tsme_enabled(self) -> bool {
        bit::<1>(self.0)
    }

    /// The memory corrects errors.
    #[must_use]
    pub const fn ecc_enabled(self) -> bool {
        bit::<2>(self.0)
    }

    /// The firmware found no aliased memory addresses (from version 3).
    #[must_use]
    pub const fn alias_check_complete(self) -> bool {
        bit::<5>(self.0)
    }
}

/// Which key signed a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningKey {
    /// The chip's own versioned key.
    Vcek,
    /// A key that AMD derived for a cloud provider.
    Vlek,
    /// The report carries no signature.
    Unsigned,
    /// A value that the specification reserves.
    Reserved(u8),
}

/// The word at 0x48: how a report is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyInfo(pub u32);

impl KeyInfo {
    /// The digest of the author key is present.
    #[must_use]
    pub const fn author_key_enabled(self) -> bool {
        self.0 & 1 == 1
    }

    /// The platform writes zeros instead of a signature.
    #[must_use]
    pub const fn chip_key_masked(self) -> bool {
        (self.0 >> 1) & 1 == 1
    }

    /// Which key signed.
    #[must_use]
    pub const fn signing_key(self) -> SigningKey {
        match (self.0 >> 2) & 0b111 {
            0 => SigningKey::Vcek,
            1 => SigningKey::Vlek,
            7 => SigningKey::Unsigned,
            other => SigningKey::Reserved(other.to_le_bytes()[0]),
        }
    }
}

/// Security version numbers of the platform's firmware parts, one byte each.
///
/// Milan and Genoa: 0 boot loader, 1 secure OS, 6 SNP firmware, 7 microcode. Turin: 0 FMC, 1 boot loader, 2 secure
/// OS, 3 SNP firmware, 7 microcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcb(pub [u8; 8]);

impl Tcb {
    /// The little-endian number, as cloud certificate caches print it in hexadecimal.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        u64::from_le_bytes(self.0)
    }

    /// Whether every part is at least as new as in `minimum`.
    #[must_use]
    pub fn is_at_least(self, minimum: Self) -> bool {
        self.0.iter().zip(minimum.0.iter()).all(|(have, need)| have >= need)
    }
}

/// Lower-case hexadecimal of the number, 16 digits.
impl std::fmt::Display for Tcb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.as_u64())
    }
}

/// What `CPUID` says of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "verify", derive(serde::Serialize))]
pub struct CpuId {
    /// Combined family.
    pub family: u8,
    /// Combined model.
    pub model: u8,
    /// Stepping.
    pub stepping: u8,
}

/// A version of the SNP firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "verify", derive(serde::Serialize))]
pub struct FirmwareVersion {
    /// Major number.
    pub major: u8,
    /// Minor number.
    pub minor: u8,
    /// Build number.
    pub build: u8,
}

impl FirmwareVersion {
    pub(super) const fn from_bytes([build, minor, major]: [u8; 3]) -> Self {
        Self { major, minor, build }
    }
}
