//! Puts the pages of an IGVM file into files that QEMU loads before the machine starts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::config::{IgvmLaunch, Refusal};

use super::{CPUID, Contents, LaunchError, PAGE_LEN, PAGE_SIZE, PRIVATE_BIT, SECRETS};

/// An IGVM file, ready to be loaded.
#[derive(Debug)]
pub(crate) struct Loader {
    pub(super) contents: Contents,
    pub(super) refusal: Option<Refusal>,
    measurement: String,
}

impl Loader {
    /// Reads a file.
    ///
    /// # Errors
    /// It does not read, or is not one that the image's recipe writes.
    pub(crate) fn read(launch: &IgvmLaunch) -> Result<Self, LaunchError> {
        let mut contents = Contents::parse(&fs::read(&launch.file).map_err(LaunchError::Read)?)?;
        let measurement = contents.measurement();
        let root = contents.processor.cr3 & !PRIVATE_BIT;
        contents.make_tables_plain(root, 4)?;
        contents.hide_confidential_machine()?;
        Ok(Self { contents, refusal: launch.refusal, measurement })
    }

    /// The launch measurement in hex, of the file as it was.
    pub(crate) fn measurement(&self) -> &str {
        &self.measurement
    }

    /// Writes the pages below `folder`, and returns QEMU's arguments that load them.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(crate) fn arguments(&self, folder: &Path) -> Result<Vec<String>, LaunchError> {
        let mut arguments = Vec::new();
        for (address, bytes) in self.contents.runs() {
            let path: PathBuf = folder.join(format!("pages-{address:x}"));
            fs::write(&path, bytes).map_err(LaunchError::Pages)?;
            let path = path.display();
            arguments
                .extend(["-device".to_owned(), format!("loader,file={path},addr={address:#x},force-raw=on")]);
        }
        Ok(arguments)
    }
}

impl Contents {
    /// Takes the private bit out of a page table and those below it.
    fn make_tables_plain(&mut self, table: u64, level: u8) -> Result<(), LaunchError> {
        const PRESENT: u64 = 1;
        const LARGE: u64 = 1 << 7;
        const ADDRESS: u64 = 0x0007_ffff_ffff_f000;
        let page = self.pages.iter_mut().find(|page| page.address == table);
        let page = page.ok_or(LaunchError::Lacks("page table that it points to"))?;
        let mut below = Vec::new();
        let mut plain = Vec::with_capacity(PAGE_LEN);
        for entry in page.bytes.chunks_exact(8) {
            let entry = entry.iter().rev().fold(0_u64, |value, &byte| (value << 8) | u64::from(byte));
            // Memory that is not private is the host's to read: nothing is mapped so.
            if entry & PRESENT != 0 && entry & PRIVATE_BIT == 0 {
                return Err(LaunchError::Lacks("private mapping of all its memory"));
            }
            if entry & PRESENT != 0 && entry & LARGE == 0 && level > 1 {
                below.push(entry & ADDRESS);
            }
            plain.extend((entry & !PRIVATE_BIT).to_le_bytes());
        }
        page.bytes = plain;
        below.into_iter().try_for_each(|table| self.make_tables_plain(table, level.saturating_sub(1)))
    }

    /// Takes the description of a machine with SEV-SNP out of the boot parameters, when it is one: the kernel believes it,
    /// and uses instructions that this processor has not. (Linux `Documentation/arch/x86/boot.rst`, `setup_data`.)
    fn hide_confidential_machine(&mut self) -> Result<(), LaunchError> {
        const SETUP_DATA: usize = 0x250;
        const CONFIDENTIAL_MACHINE: u64 = 7;
        const MAGIC: u64 = 0x4544_4d41;
        let params = self.processor.rsi;
        let entry = self.number(params, SETUP_DATA, 8);
        let description = self.number(entry, 16, 4);
        let kind_at = |offset| self.page(self.number(description, offset, 8)).map(|page| page.kind);
        let is_whole = self.number(entry, 0, 8) == 0
            && self.number(entry, 8, 4) == CONFIDENTIAL_MACHINE
            && self.number(description, 0, 4) == MAGIC
            && kind_at(8) == Some(SECRETS)
            && kind_at(24) == Some(CPUID);
        let page = self.pages.iter_mut().find(|page| page.address == params);
        let pointer = page.and_then(|page| page.bytes.get_mut(SETUP_DATA..SETUP_DATA.saturating_add(8)));
        pointer
            .filter(|_| is_whole)
            .ok_or(LaunchError::Lacks("description of a machine with SEV-SNP"))?
            .fill(0);
        Ok(())
    }

    /// Pages one behind the other, as QEMU loads them: address and bytes.
    fn runs(&self) -> Vec<(u64, Vec<u8>)> {
        let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut end = 0;
        for page in &self.pages {
            match runs.last_mut() {
                Some((_, bytes)) if end == page.address => bytes.extend_from_slice(&page.bytes),
                _ => runs.push((page.address, page.bytes.clone())),
            }
            end = page.address.saturating_add(PAGE_SIZE);
        }
        runs
    }
}
