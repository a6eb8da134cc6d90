//! Fixed-size little-endian records, the form of every structure on disk.

/// A record of `N` bytes. Writes name their offset at compile time, so none can fall outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record<const N: usize>([u8; N]);

impl<const N: usize> Record<N> {
    /// A record of zeros.
    pub(crate) const fn zeroed() -> Self {
        Self([0; N])
    }

    /// Writes `value` at byte `OFFSET`.
    pub(crate) fn put<const OFFSET: usize, const LEN: usize>(&mut self, value: [u8; LEN]) {
        const { assert!(OFFSET.saturating_add(LEN) <= N, "the field is outside the record") };
        for (to, from) in self.0.iter_mut().skip(OFFSET).zip(value) {
            *to = from;
        }
    }

    /// Writes a 16-bit number at byte `OFFSET`.
    #[cfg(feature = "build")]
    pub(crate) fn put_u16<const OFFSET: usize>(&mut self, value: u16) {
        self.put::<OFFSET, 2>(value.to_le_bytes());
    }

    /// Writes a 32-bit number at byte `OFFSET`.
    pub(crate) fn put_u32<const OFFSET: usize>(&mut self, value: u32) {
        self.put::<OFFSET, 4>(value.to_le_bytes());
    }

    /// The bytes of the record.
    pub(crate) const fn into_bytes(self) -> [u8; N] {
        self.0
    }
}

/// The `LEN` bytes at `offset`, when they are all there.
pub(crate) fn field<const LEN: usize>(bytes: &[u8], offset: usize) -> Option<[u8; LEN]> {
    bytes.get(offset..)?.first_chunk().copied()
}
