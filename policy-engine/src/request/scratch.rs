//! Writable space of containers.

use super::{BlockSource, EnforcementPoint, Judged, Request};
use crate::path::GuestPath;
use crate::question::{self, Question};

/// What scratch is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScratchBacking {
    /// Guest memory, which the CPU encrypts.
    Memory {
        /// The most it may hold, in bytes.
        size_bytes: u64,
    },
    /// A disk of the host's behind dm-crypt, under a key that lives and dies in guest memory.
    EncryptedDisk {
        /// The disk.
        source: BlockSource,
    },
    /// A disk of the host's as it is: the host reads what containers write, and can change it.
    PlainDisk {
        /// The disk.
        source: BlockSource,
    },
}

impl ScratchBacking {
    /// Whether only the guest can read what is written to it.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        match self {
            Self::Memory { .. } | Self::EncryptedDisk { .. } => true,
            Self::PlainDisk { .. } => false,
        }
    }
}

/// Prepares and mounts scratch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScratchMount {
    /// Where it is mounted.
    pub target: GuestPath,
    /// What it is made of.
    pub backing: ScratchBacking,
}

impl Request for ScratchMount {
    const POINT: EnforcementPoint = EnforcementPoint::ScratchMount;
}

impl Judged for ScratchMount {
    fn question(&self) -> Question<'_> {
        let encrypted = self.backing.is_encrypted();
        Question::ScratchMount(question::ScratchMount { target: self.target.as_str(), encrypted })
    }
}

/// Unmounts scratch; its content is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScratchUnmount {
    /// Where it is mounted.
    pub target: GuestPath,
}

impl Request for ScratchUnmount {
    const POINT: EnforcementPoint = EnforcementPoint::ScratchUnmount;
    const TEARDOWN: bool = true;
}

impl Judged for ScratchUnmount {
    fn question(&self) -> Question<'_> {
        Question::ScratchUnmount(question::Unmount { target: self.target.as_str() })
    }
}
