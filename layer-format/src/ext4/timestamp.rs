//! Times as inodes hold them: 34 bits of seconds, 30 bits of nanoseconds.

use crate::archive::Timestamp;

/// The earliest and the latest second that an inode can hold.
const MIN_SECONDS: i64 = -0x8000_0000;
const MAX_SECONDS: i64 = 0x3_7fff_ffff;
/// Bits of seconds; nanoseconds stand above.
const SECONDS_BITS: u32 = 34;
const SECONDS_MASK: u64 = (1 << SECONDS_BITS) - 1;
/// Midnight of 1 January of the year 1: how writers in Go spell "no time".
const NO_TIME_SECONDS: i64 = -62_135_596_800;

/// An inode's time; 0 is also "none".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FsTime(u64);

impl FsTime {
    /// No time.
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn new(time: Option<Timestamp>) -> Self {
        match time {
            None | Some(Timestamp { seconds: NO_TIME_SECONDS, nanoseconds: 0 }) => Self(0),
            // Not sign-extended, unlike other negative times: the reference tool has it so.
            Some(time) if time.seconds < MIN_SECONDS => Self(MIN_SECONDS.unsigned_abs()),
            Some(time) if time.seconds > MAX_SECONDS => Self(MAX_SECONDS.unsigned_abs()),
            Some(time) => Self(time.seconds.cast_unsigned() | u64::from(time.nanoseconds) << SECONDS_BITS),
        }
    }

    /// This time read back and written again, as when one directory takes over the times of another. The
    /// reference tool does not read all times before 1970 back to what they were.
    pub(crate) fn reread(self) -> Self {
        if self.0 == 0 {
            return self;
        }
        let seconds = (self.0 & SECONDS_MASK).cast_signed();
        let seconds = if (0x8000_0000..0x1_0000_0000).contains(&seconds) {
            seconds.saturating_sub(0x1_0000_0000)
        } else {
            seconds
        };
        let nanoseconds = self.0 >> SECONDS_BITS;
        let (carry, nanoseconds) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
        Self::new(Some(Timestamp {
            seconds: seconds.saturating_add_unsigned(carry),
            nanoseconds: u32::try_from(nanoseconds).unwrap_or_default(),
        }))
    }

    /// The base field of an inode record.
    pub(super) const fn low(self) -> u32 {
        self.0 as u32
    }

    /// The extra field of an inode record.
    pub(super) const fn high(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanoseconds: u32) -> FsTime {
        FsTime::new(Some(Timestamp { seconds, nanoseconds }))
    }

    #[test]
    fn seconds_and_nanoseconds_share_64_bits() {
        assert_eq!((at(5, 0).low(), at(5, 0).high()), (5, 0));
        assert_eq!((at(1 << 32, 3).low(), at(1 << 32, 3).high()), (0, 1 | 3 << 2));
        assert_eq!((at(-1, 0).low(), at(-1, 0).high()), (u32::MAX, u32::MAX));
        assert_eq!(at(NO_TIME_SECONDS, 0), FsTime(0));
        assert_eq!(at(i64::MIN, 0), FsTime(0x8000_0000));
        assert_eq!(at(i64::MAX, 9), FsTime(0x3_7fff_ffff));
        assert_eq!(FsTime::new(None), FsTime(0));
    }

    #[test]
    fn times_since_1970_survive_a_reread() {
        for time in [at(0, 0), at(1, 999_999_999), at(0x7fff_ffff, 1), at(0x3_7fff_ffff, 0)] {
            assert_eq!(time.reread(), time);
        }
        assert_eq!(at(i64::MIN, 0).reread(), at(-0x8000_0000, 0));
        assert_eq!(at(-1, 0).reread(), FsTime(0x3_7fff_ffff));
    }
}
