use crate::public_key::{Hash, PublicKey, Scheme, SignatureError};

/// A signature algorithm of COSE (RFC 9053, RFC 8230).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA with SHA-256.
    Es256,
    /// ECDSA with SHA-384.
    Es384,
    /// ECDSA with SHA-512.
    Es512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
}

impl Algorithm {
    /// The algorithm of a COSE number; none for one that is not supported.
    #[must_use]
    pub fn from_number(number: i128) -> Option<Self> {
        match number {
            -7 => Some(Self::Es256),
            -35 => Some(Self::Es384),
            -36 => Some(Self::Es512),
            -37 => Some(Self::Ps256),
            -38 => Some(Self::Ps384),
            -39 => Some(Self::Ps512),
            _ => None,
        }
    }

    fn hash(self) -> Hash {
        match self {
            Self::Es256 | Self::Ps256 => Hash::Sha256,
            Self::Es384 | Self::Ps384 => Hash::Sha384,
            Self::Es512 | Self::Ps512 => Hash::Sha512,
        }
    }

    fn scheme(self) -> Scheme {
        match self {
            Self::Es256 | Self::Es384 | Self::Es512 => Scheme::EcdsaFixed,
            Self::Ps256 | Self::Ps384 | Self::Ps512 => Scheme::Pss { salt_len: self.hash().output_len() },
        }
    }

    /// Checks that `signature` is of `message`, and that the algorithm is for this kind of key. RFC 9053 suggests one
    /// curve for each hash function and demands none; real signers combine SHA-384 with P-256.
    pub(crate) fn verify(
        self,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        key.verify(self.scheme(), self.hash(), message, signature)
    }
}
