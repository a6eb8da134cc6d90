//! A launch from the image's IGVM file, by a hypervisor and a processor that know neither the format nor SEV-SNP.
//!
//! The harness plays both. It puts the file's pages where the file says, gives the first processor the state that the
//! file says, and answers the instruction by which the guest validates its memory as a processor with SEV-SNP does. Two
//! things are taken out, because this processor does not have what they are about: the bit in page tables that makes
//! memory private, and the description of a machine with SEV-SNP in the boot parameters.

mod gdb;
mod launch;
mod loader;

use ::igvm::{IgvmDirectiveHeader, IgvmFile, IsolationType, snp_defs::SevVmsa};
pub use gdb::GdbError;
use igvm_defs::IgvmPageDataType;
pub(crate) use launch::start;
pub(crate) use loader::Loader;
use sha2::{Digest as _, Sha384};

const PAGE_LEN: usize = 4096;
const PAGE_SIZE: u64 = 4096;
/// The bit of an address that makes memory private to the guest.
const PRIVATE_BIT: u64 = 1 << 51;

/// Why a machine could not be launched from an IGVM file.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The file does not read.
    #[error("the IGVM file does not read")]
    Read(#[source] std::io::Error),
    /// It is none.
    #[error("the IGVM file is malformed")]
    Format(#[source] Box<::igvm::Error>),
    /// It has a directive that the image's file does not have.
    #[error("the IGVM file has a directive that is not known: {0}")]
    Directive(String),
    /// It has no processor, or no page that the processor is to find.
    #[error("the IGVM file has no {0}")]
    Lacks(&'static str),
    /// The pages could not be handed to QEMU.
    #[error("the pages could not be written for QEMU")]
    Pages(#[source] std::io::Error),
    /// The processor could not be controlled.
    #[error("the processor could not be controlled")]
    Gdb(#[from] GdbError),
    /// The guest went elsewhere than to its kernel.
    #[error("the guest came to {address:#x}, which is neither its validation of memory nor its kernel")]
    Strayed {
        /// Where it is.
        address: u64,
    },
    /// The guest asked for its own end.
    #[error("the guest ended itself")]
    GuestEnded,
    /// The guest asked for something else than the validation of a page.
    #[error("the guest validates {address:#x} in a way that no processor takes")]
    Validation {
        /// The page.
        address: u64,
    },
    /// The kernel would fault on this memory.
    #[error("the memory map has {address:#x}, which nothing validated")]
    NotValidated {
        /// The first such page.
        address: u64,
    },
}

/// A page as the file describes it.
#[derive(Debug, Clone)]
struct Page {
    address: u64,
    /// Number of the kind in the secure processor's interface.
    kind: u8,
    bytes: Vec<u8>,
}

/// What the file says.
#[derive(Debug, Clone)]
struct Contents {
    pages: Vec<Page>,
    processor: Box<SevVmsa>,
}

const NORMAL: u8 = 1;
const PROCESSOR: u8 = 2;
const SECRETS: u8 = 5;
const CPUID: u8 = 6;

impl Contents {
    /// Reads a file's bytes.
    fn parse(bytes: &[u8]) -> Result<Self, LaunchError> {
        let file = IgvmFile::new_from_binary(bytes, Some(IsolationType::Snp))
            .map_err(|source| LaunchError::Format(Box::new(source)))?;
        let mut pages = Vec::new();
        let mut processor = None;
        for directive in file.directives() {
            match directive {
                IgvmDirectiveHeader::PageData { gpa, data_type, data, flags, .. }
                    if !flags.unmeasured() && !flags.shared() && !flags.is_2mb_page() =>
                {
                    let kind = match *data_type {
                        IgvmPageDataType::NORMAL => NORMAL,
                        IgvmPageDataType::SECRETS => SECRETS,
                        IgvmPageDataType::CPUID_DATA => CPUID,
                        _ => return Err(LaunchError::Directive(directive.to_string())),
                    };
                    let mut bytes = data.clone();
                    bytes.resize(PAGE_LEN, 0);
                    pages.push(Page { address: *gpa, kind, bytes });
                }
                IgvmDirectiveHeader::SnpVpContext { gpa, vp_index: 0, vmsa, .. } => {
                    let bytes = zerocopy::IntoBytes::as_bytes(&**vmsa).to_vec();
                    pages.push(Page { address: *gpa, kind: PROCESSOR, bytes });
                    processor = Some(vmsa.clone());
                }
                // A machine with less memory would be refused; the harness makes one of the size in the configuration.
                IgvmDirectiveHeader::RequiredMemory { .. } => {}
                other => return Err(LaunchError::Directive(other.to_string())),
            }
        }
        Ok(Self { pages, processor: processor.ok_or(LaunchError::Lacks("processor"))? })
    }

    /// The launch measurement in hex: SEV Secure Nested Paging Firmware ABI Specification, `PAGE_INFO`.
    fn measurement(&self) -> String {
        let mut digest = [0; 48];
        for page in &self.pages {
            let content = match page.kind {
                NORMAL | PROCESSOR => Sha384::digest(&page.bytes).into(),
                _ => [0; 48],
            };
            let header = [0x70, 0, page.kind, 0, 0, 0, 0, 0];
            let info = [&digest[..], &content, &header, &page.address.to_le_bytes()].concat();
            digest = Sha384::digest(info).into();
        }
        hex::encode(digest)
    }

    /// A little-endian number in the pages, `offset` behind an address; zero where there is no page.
    fn number(&self, address: u64, offset: usize, len: usize) -> u64 {
        let address =
            u64::try_from(offset).ok().and_then(|offset| address.checked_add(offset)).unwrap_or(u64::MAX);
        let within = usize::try_from(address % PAGE_SIZE).unwrap_or_default();
        let page = self.page(address & !(PAGE_SIZE - 1));
        let bytes = page.and_then(|page| page.bytes.get(within..)).unwrap_or_default();
        bytes
            .get(..len)
            .unwrap_or_default()
            .iter()
            .rev()
            .fold(0, |value, &byte| (value << 8) | u64::from(byte))
    }

    /// The page at this address.
    fn page(&self, address: u64) -> Option<&Page> {
        self.pages.iter().find(|page| page.address == address)
    }
}
