//! What the secure processor reports about a launch from the file: a chain over the pages in the order in which they are
//! put into memory. SEV Secure Nested Paging Firmware ABI Specification 1.55, section 8.17.2, `PAGE_INFO`.

use sha2::{Digest as _, Sha384};

use super::IgvmError;

const DIGEST_LEN: usize = 48;
const PAGE_LEN: usize = 4096;
/// Size of the structure that is hashed for each page.
const PAGE_INFO_LEN: u16 = 0x70;

/// How a page is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    /// Its bytes and its address.
    Normal = 1,
    /// The same, for a processor's first state.
    ProcessorState = 2,
    /// Only its address: the secure processor fills it.
    Secrets = 5,
    /// Only its address: the host fills it, and the secure processor checks it.
    Cpuid = 6,
}

/// A launch digest that grows page by page.
#[derive(Debug, Clone)]
pub(super) struct LaunchDigest([u8; DIGEST_LEN]);

impl LaunchDigest {
    /// Before the first page.
    pub(super) fn new() -> Self {
        Self([0; DIGEST_LEN])
    }

    /// Takes a page in; what its bytes lack to a page is zero.
    pub(super) fn update(&mut self, kind: PageKind, address: u64, bytes: &[u8]) -> Result<(), IgvmError> {
        let missing = PAGE_LEN.checked_sub(bytes.len()).ok_or(IgvmError::DoesNotFit { what: "a page" })?;
        let content: [u8; DIGEST_LEN] = match kind {
            PageKind::Normal | PageKind::ProcessorState => {
                Sha384::new().chain_update(bytes).chain_update(vec![0; missing]).finalize().into()
            }
            PageKind::Secrets | PageKind::Cpuid => [0; DIGEST_LEN],
        };
        self.0 = Sha384::new()
            .chain_update(self.0)
            .chain_update(content)
            .chain_update(PAGE_INFO_LEN.to_le_bytes())
            // The kind, no initial migration image, and no rights for the three lower privilege levels.
            .chain_update([kind as u8, 0, 0, 0, 0, 0])
            .chain_update(address.to_le_bytes())
            .finalize()
            .into();
        Ok(())
    }

    /// The digest in hex.
    pub(super) fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}
