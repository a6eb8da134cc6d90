//! Pages of the guest's memory as the launch finds them, and ranges of addresses.

use std::{collections::BTreeMap, ops::Range};

use super::IgvmError;

/// Size of a page in bytes.
pub(super) const PAGE_SIZE: u64 = 4096;
const PAGE_LEN: usize = 4096;

/// A range of guest physical addresses.
pub(super) type Addresses = Range<u64>;

/// What the launch puts into a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// Measured bytes, at most a page of them; the rest is zero.
    Data(Vec<u8>),
    /// Filled by the secure processor: keys for messages to it. Its address is measured.
    Secrets,
    /// What the guest asks about its processor, filled by the host and checked by the secure processor. The list of
    /// questions; its address is measured.
    Cpuid(Vec<u8>),
    /// First state of the boot processor, a measured page that the guest cannot read.
    ProcessorState,
}

/// The pages of a launch by guest physical address, in the order in which they are measured.
#[derive(Debug, Clone, Default)]
pub(super) struct Pages(BTreeMap<u64, Page>);

impl Pages {
    /// Puts bytes at a page's start, in as many pages as they need.
    pub(super) fn write(
        &mut self,
        what: &'static str,
        address: u64,
        bytes: &[u8],
    ) -> Result<Addresses, IgvmError> {
        let mut next = address;
        for chunk in bytes.chunks(PAGE_LEN) {
            self.set(what, next, Page::Data(chunk.to_vec()))?;
            next = next.checked_add(PAGE_SIZE).ok_or(IgvmError::DoesNotFit { what })?;
        }
        Ok(address..next)
    }

    /// Puts one page at an address where none is yet.
    pub(super) fn set(&mut self, what: &'static str, address: u64, page: Page) -> Result<(), IgvmError> {
        if !address.is_multiple_of(PAGE_SIZE) || self.0.insert(address, page).is_some() {
            return Err(IgvmError::DoesNotFit { what });
        }
        Ok(())
    }

    /// Puts other bytes into a page that is there.
    pub(super) fn replace(&mut self, address: u64, bytes: Vec<u8>) {
        if let Some(page) = self.0.get_mut(&address) {
            *page = Page::Data(bytes);
        }
    }

    /// Each page with its guest physical address, lowest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Page)> {
        self.0.iter().map(|(&address, page)| (address, page))
    }

    /// What the launch leaves out of a range.
    pub(super) fn gaps(&self, range: &Addresses) -> Vec<Addresses> {
        let mut gaps = Vec::new();
        let mut start = range.start;
        for &page in self.0.range(range.clone()).map(|(address, _)| address) {
            if start < page {
                gaps.push(start..page);
            }
            start = page.saturating_add(PAGE_SIZE);
        }
        if start < range.end {
            gaps.push(start..range.end);
        }
        gaps
    }
}

/// Hands out pages one behind the other.
#[derive(Debug)]
pub(super) struct Cursor(u64);

impl Cursor {
    /// Starts at a page.
    pub(super) fn new(address: u64) -> Self {
        Self(address)
    }

    /// Pages for so many bytes, at least one.
    pub(super) fn take(&mut self, what: &'static str, len: usize) -> Result<Addresses, IgvmError> {
        let start = self.0;
        let end = u64::try_from(len.max(1)).ok().and_then(|len| start.checked_add(len));
        let end = end.and_then(|end| end.checked_next_multiple_of(PAGE_SIZE));
        self.0 = end.ok_or(IgvmError::DoesNotFit { what })?;
        Ok(start..self.0)
    }

    /// The first address that is free.
    pub(super) fn position(&self) -> u64 {
        self.0
    }
}
