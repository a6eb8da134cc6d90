//! The digests that a report binds.

use sha2::{Digest as _, Sha256};

use super::ParseHexError;

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Takes the bytes as they stand in a report.
            #[must_use]
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes as they stand in a report.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseHexError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|source| ParseHexError { expected_bytes: $len, source })?;
                Ok(Self(bytes))
            }
        }

        /// Lower-case hexadecimal.
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        #[cfg(feature = "verify")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

fixed_bytes! {
    /// `MEASUREMENT`: SHA-384 launch digest of the guest's initial memory.
    Measurement, 48
}

fixed_bytes! {
    /// `HOST_DATA`: what the hypervisor bound at launch, here the SHA-256 of the tenant's policy.
    HostData, 32
}

fixed_bytes! {
    /// `REPORT_DATA`: what the guest bound when it asked for the report.
    ReportData, 64
}

fixed_bytes! {
    /// `CHIP_ID`: which processor signed. All zeros where the platform hides it.
    ChipId, 64
}

impl HostData {
    /// The value that binds a policy: SHA-256 over its exact bytes.
    #[must_use]
    pub fn of_policy(policy: &[u8]) -> Self {
        Self(Sha256::digest(policy).into())
    }
}

impl ReportData {
    /// The value that binds runtime data of any length: its SHA-256, then 32 zero bytes.
    #[must_use]
    pub fn from_runtime_data(runtime_data: &[u8]) -> Self {
        let mut bytes = [0; Self::LEN];
        for (byte, digest_byte) in bytes.iter_mut().zip(Sha256::digest(runtime_data)) {
            *byte = digest_byte;
        }
        Self(bytes)
    }
}
