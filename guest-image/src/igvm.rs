//! The image as an IGVM file: for hypervisors that launch a guest without firmware, from one file that says what is put
//! where into its memory (Hyper-V, Cloud Hypervisor). Everything in it is measured directly by the secure processor: the
//! kernel, the initrd, the command line, and what they find when they start. See `docs/decisions/0024-igvm.md`.

mod acpi;
mod boot_params;
mod bzimage;
mod cpuid;
mod measurement;
mod memory;
mod pages;
mod processor;
mod validation;

use ::igvm::{
    IgvmDirectiveHeader, IgvmFile, IgvmInitializationHeader, IgvmPlatformHeader, IgvmRevision,
    snp_defs::SevVmsa,
};
use boot_params::BootParams;
use bzimage::BzImage;
use igvm_defs::{IGVM_VHS_SUPPORTED_PLATFORM, IgvmPageDataFlags, IgvmPageDataType, IgvmPlatformType};
use measurement::{LaunchDigest, PageKind};
use memory::{EXTENDED_START, Memory, Use};
use pages::{Addresses, Cursor, Page, Pages};
use processor::Start;
use serde::{Deserialize, Serialize};
use zerocopy::IntoBytes as _;

use crate::digest::sha256_hex;

/// The one platform of the file, as the bit by which its parts name it.
const SNP: u32 = 1;
/// What the owner of the guest allows the host: several threads of one core (bit 16), and nothing that weakens it, such
/// as debugging. Bit 17 is always one. (SEV Secure Nested Paging Firmware ABI Specification, "Guest Policy".)
const POLICY: u64 = 0x3_0000;
/// Memory that has to be there is asked for in parts whose size has 32 bits.
const REQUIRED_PART: u64 = 1 << 31;
/// The kernel puts its own memory behind the initrd's end, in large pages.
const INITRD_ALIGNMENT: u64 = 2 << 20;

/// Why an IGVM file could not be built.
#[derive(Debug, thiserror::Error)]
pub enum IgvmError {
    /// The kernel is no bzImage that starts in long mode.
    #[error("the kernel cannot be started without firmware: {reason}")]
    Kernel {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A part has no place where it has to go.
    #[error("{what} has no place in the guest's memory")]
    DoesNotFit {
        /// The part.
        what: &'static str,
    },
    /// The command line is longer than the kernel reads, or has a zero in it.
    #[error("the kernel does not take the command line")]
    CommandLine,
    /// The number of virtual CPUs is not one that the tables can describe.
    #[error("{vcpus} virtual CPUs cannot be described, from 1 to {limit} can")]
    Processors {
        /// Number asked for.
        vcpus: u32,
        /// Most that there can be.
        limit: u32,
    },
    /// The code that validates memory does not assemble.
    #[error("the first code of the guest does not assemble")]
    Assemble(#[source] Box<iced_x86::IcedError>),
    /// The parts do not make a valid file.
    #[error("the file cannot be written")]
    File(#[source] Box<::igvm::Error>),
}

/// What an IGVM file is built from.
#[derive(Debug, Clone, Copy)]
pub struct DirectLaunch<'a> {
    /// The kernel image.
    pub kernel: &'a [u8],
    /// The initrd.
    pub initrd: &'a [u8],
    /// The kernel command line.
    pub command_line: &'a str,
    /// Number of virtual CPUs that the guest may start.
    pub vcpus: u32,
    /// Memory of the guest in MiB.
    pub memory_mib: u32,
}

/// An IGVM file, and what it measures to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgvmImage {
    /// The file.
    pub bytes: Vec<u8>,
    /// What a tenant compares reports with.
    pub reference: IgvmReference,
}

/// The part of the reference values that is about the IGVM file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgvmReference {
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// Its size in bytes.
    pub size_bytes: usize,
    /// The launch measurement: 48 bytes in hex.
    pub measurement: String,
    /// Number of virtual CPUs that the guest may start.
    pub vcpus: u32,
    /// Memory of the guest in MiB.
    pub memory_mib: u32,
    /// The guest policy of the launch, in hex.
    pub policy: String,
}

impl DirectLaunch<'_> {
    /// Builds the file. The same parts give the same bytes.
    ///
    /// # Errors
    /// The kernel is of another kind, or the parts do not fit into the memory.
    pub fn build(&self) -> Result<IgvmImage, IgvmError> {
        let memory = Memory::new(self.memory_mib)?;
        let (pages, start) = self.place(memory)?;
        let state = start.state();
        let mut directives = required_memory(memory)?;
        let mut digest = LaunchDigest::new();
        for (address, page) in pages.iter() {
            let (kind, bytes, directive) = match page {
                Page::Data(bytes) => {
                    (PageKind::Normal, &bytes[..], page_data(address, IgvmPageDataType::NORMAL, bytes))
                }
                Page::Secrets => {
                    (PageKind::Secrets, &[][..], page_data(address, IgvmPageDataType::SECRETS, &[]))
                }
                Page::Cpuid(bytes) => {
                    (PageKind::Cpuid, &bytes[..], page_data(address, IgvmPageDataType::CPUID_DATA, bytes))
                }
                Page::ProcessorState => {
                    (PageKind::ProcessorState, state.as_bytes(), processor(address, state.clone()))
                }
            };
            digest.update(kind, address, bytes)?;
            directives.push(directive);
        }
        let bytes = file(directives).map_err(|source| IgvmError::File(Box::new(source)))?;
        let reference = IgvmReference {
            sha256: sha256_hex(&bytes),
            size_bytes: bytes.len(),
            measurement: digest.to_hex(),
            vcpus: self.vcpus,
            memory_mib: self.memory_mib,
            policy: format!("{POLICY:#x}"),
        };
        Ok(IgvmImage { bytes, reference })
    }

    /// Puts every part at its address.
    fn place(&self, memory: Memory) -> Result<(Pages, Start), IgvmError> {
        let kernel = BzImage::parse(self.kernel)?;
        let command_line = self.command_line.as_bytes();
        let length = u64::try_from(command_line.len()).map_err(|_| IgvmError::CommandLine)?;
        if length > kernel.command_line_limit || command_line.contains(&0) {
            return Err(IgvmError::CommandLine);
        }
        let mut pages = Pages::default();
        // Where a PC's firmware leaves data, of which the kernel reads some. Zeros, not what was there before.
        pages.set("the first page", 0, Page::Data(Vec::new()))?;

        let mut cursor = Cursor::new(EXTENDED_START);
        // The tables' size does not depend on their address.
        let acpi =
            cursor.take("the ACPI tables", acpi::tables(EXTENDED_START, self.vcpus, &memory)?.len())?;
        let secrets = cursor.take("the secrets page", 1)?;
        let cpuid = cursor.take("the CPUID page", 1)?;
        let state = cursor.take("the processor's state", 1)?;
        let reserved = secrets.start..state.end;
        let first_code = cursor.take("the first code", 1)?;
        let descriptors = cursor.take("the descriptors", 1)?;
        let setup_data = cursor.take("the setup data", 1)?;
        let boot_params = cursor.take("the boot parameters", 1)?;
        let line = cursor.take("the command line", command_line.len().saturating_add(1))?;
        let tables = cursor.take("the page tables", processor::page_tables_len(memory.mapped_end())?)?;
        if cursor.position() > kernel.address {
            return Err(IgvmError::DoesNotFit { what: "the kernel" });
        }
        let initrd_start = kernel.end()?.checked_next_multiple_of(INITRD_ALIGNMENT);
        let initrd_start = initrd_start.ok_or(IgvmError::DoesNotFit { what: "the initrd" })?;

        pages.write("the ACPI tables", acpi.start, &acpi::tables(acpi.start, self.vcpus, &memory)?)?;
        pages.set("the secrets page", secrets.start, Page::Secrets)?;
        pages.set("the CPUID page", cpuid.start, Page::Cpuid(cpuid::page()))?;
        pages.set("the processor's state", state.start, Page::ProcessorState)?;
        pages.write("the descriptors", descriptors.start, &processor::descriptor_table())?;
        let confidential = boot_params::setup_data(setup_data.start, secrets.start, cpuid.start)?;
        pages.write("the setup data", setup_data.start, &confidential)?;
        pages.write("the command line", line.start, &[command_line, b"\0"].concat())?;
        let mapping = processor::page_tables(&tables, memory.mapped_end())?;
        pages.write("the page tables", tables.start, &mapping)?;
        pages.write("the kernel", kernel.address, kernel.code)?;
        let initrd = pages.write("the initrd", initrd_start, self.initrd)?;
        if initrd.end > kernel.initrd_limit || !memory.present().iter().any(|part| part.contains(&initrd.end))
        {
            return Err(IgvmError::DoesNotFit { what: "the initrd" });
        }

        let memory_map = memory.map(&[(acpi.clone(), Use::Acpi), (reserved, Use::Reserved)]);
        let params = BootParams {
            acpi_root: acpi.start,
            initrd: initrd.start,
            initrd_size: self.initrd.len(),
            command_line: line.start,
            setup_data: setup_data.start,
            memory_map: &memory_map,
        };
        pages.write("the boot parameters", boot_params.start, &params.page(&kernel)?)?;
        // Last, when everything else has its pages: what is left is to be validated. The code's own page is none of it.
        pages.set("the first code", first_code.start, Page::Data(Vec::new()))?;
        let left: Vec<Addresses> = memory_map.iter().flat_map(|(range, _)| pages.gaps(range)).collect();
        let code = validation::page(first_code.start, kernel.entry()?, &left)?;
        pages.replace(first_code.start, code);
        let start = Start {
            instruction: first_code.start,
            page_tables: tables.start,
            descriptors: descriptors.start,
            boot_params: boot_params.start,
        };
        Ok((pages, start))
    }
}

fn page_data(gpa: u64, data_type: IgvmPageDataType, bytes: &[u8]) -> IgvmDirectiveHeader {
    // A page of zeros takes no place in the file.
    let data = if bytes.iter().all(|&byte| byte == 0) { Vec::new() } else { bytes.to_vec() };
    IgvmDirectiveHeader::PageData {
        gpa,
        compatibility_mask: SNP,
        flags: IgvmPageDataFlags::new(),
        data_type,
        data,
    }
}

/// The boot processor's first state. The guest itself makes those of the other processors, and asks the host to run them.
fn processor(gpa: u64, vmsa: Box<SevVmsa>) -> IgvmDirectiveHeader {
    IgvmDirectiveHeader::SnpVpContext { gpa, compatibility_mask: SNP, vp_index: 0, vmsa }
}

/// A loader that has less memory for the guest stops here, instead of the guest.
fn required_memory(memory: Memory) -> Result<Vec<IgvmDirectiveHeader>, IgvmError> {
    let mut directives = Vec::new();
    for range in memory.present() {
        let mut gpa = range.start;
        while gpa < range.end {
            let size = range.end.saturating_sub(gpa).min(REQUIRED_PART);
            let number_of_bytes =
                u32::try_from(size).map_err(|_| IgvmError::DoesNotFit { what: "the memory" })?;
            directives.push(IgvmDirectiveHeader::RequiredMemory {
                gpa,
                compatibility_mask: SNP,
                number_of_bytes,
                vtl2_protectable: false,
            });
            gpa = gpa.saturating_add(size);
        }
    }
    Ok(directives)
}

fn file(directives: Vec<IgvmDirectiveHeader>) -> Result<Vec<u8>, ::igvm::Error> {
    let platform = IGVM_VHS_SUPPORTED_PLATFORM {
        compatibility_mask: SNP,
        highest_vtl: 0,
        platform_type: IgvmPlatformType::SEV_SNP,
        platform_version: igvm_defs::IGVM_SEV_SNP_PLATFORM_VERSION,
        // The guest marks what it shares by the private bit, not by a boundary.
        shared_gpa_boundary: 0,
    };
    let policy = IgvmInitializationHeader::GuestPolicy { policy: POLICY, compatibility_mask: SNP };
    let file = IgvmFile::new(
        IgvmRevision::V1,
        vec![IgvmPlatformHeader::SupportedPlatform(platform)],
        vec![policy],
        directives,
    )?;
    let mut bytes = Vec::new();
    file.serialize(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
pub(crate) mod tests;
