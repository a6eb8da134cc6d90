//! Compression of layers and image archives, told by the first bytes: none, gzip (RFC 1952), Zstandard (RFC 8878).

use std::io::{self, BufRead, Read};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Skippable frames, one of which may come first, have any last four bits here.
const SKIPPABLE_MAGIC: [u8; 3] = [0x2a, 0x4d, 0x18];

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip: members, one after the other.
    Gzip,
    /// Zstandard: frames, one after the other.
    Zstd,
}

impl Compression {
    /// That of a file that starts with these bytes.
    #[must_use]
    pub fn of(start: &[u8]) -> Self {
        match start {
            _ if start.starts_with(GZIP_MAGIC) => Self::Gzip,
            _ if start.starts_with(ZSTD_MAGIC) => Self::Zstd,
            [first, rest @ ..] if first >> 4 == 5 && rest.starts_with(&SKIPPABLE_MAGIC) => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Reads what `stored` holds uncompressed. Checksums are checked at the end of what they cover.
    pub fn reader<'a>(self, stored: impl BufRead + 'a) -> Box<dyn Read + 'a> {
        match self {
            Self::None => Box::new(stored),
            Self::Gzip => Box::new(MultiGzDecoder::new(stored)),
            Self::Zstd => Box::new(Frames::Between(stored)),
        }
    }
}

/// Zstandard frames, one after the other.
enum Frames<R> {
    Between(R),
    Within(R, Box<FrameDecoder>),
    /// Ended, or broken.
    Done,
}

impl<R: BufRead> Frames<R> {
    /// Begins the next frame that holds data, if there is one.
    fn next(mut stored: R) -> io::Result<Self> {
        let mut decoder = Box::new(FrameDecoder::new());
        while !stored.fill_buf()?.is_empty() {
            match decoder.init(&mut stored) {
                Ok(()) => return Ok(Self::Within(stored, decoder)),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => skip(&mut stored, u64::from(length))?,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(Self::Done)
    }
}

fn skip(stored: &mut impl Read, length: u64) -> io::Result<()> {
    let skipped = io::copy(&mut stored.take(length), &mut io::sink())?;
    if skipped == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Decodes blocks until there is something to read, or the frame ends.
fn decode(stored: &mut impl Read, frame: &mut FrameDecoder, buffer: &mut [u8]) -> io::Result<usize> {
    while frame.can_collect() == 0 && !frame.is_finished() {
        frame.decode_blocks(&mut *stored, BlockDecodingStrategy::UptoBlocks(1)).map_err(io::Error::other)?;
    }
    frame.read(buffer)
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // What fails is not read again.
            match std::mem::replace(self, Self::Done) {
                Self::Done => return Ok(0),
                Self::Between(stored) => *self = Self::next(stored)?,
                Self::Within(mut stored, mut frame) => {
                    let count = decode(&mut stored, &mut frame, buffer)?;
                    if count > 0 || buffer.is_empty() {
                        *self = Self::Within(stored, frame);
                        return Ok(count);
                    }
                    let stated = frame.get_checksum_from_data();
                    if stated.is_some() && stated != frame.get_calculated_checksum() {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum is wrong"));
                    }
                    *self = Self::Between(stored);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn read(stored: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Compression::of(stored).reader(stored).read_to_end(&mut bytes).map(|_| bytes)
    }

    #[test]
    fn frames_follow_one_another_with_others_between() {
        let frame = |text: &[u8]| compress_to_vec(text, CompressionLevel::Fastest);
        let skippable = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let stored = [skippable.clone(), frame(b"one "), skippable, frame(&[b'x'; 300_000])].concat();
        let expected = [b"one ".to_vec(), vec![b'x'; 300_000]].concat();
        assert_eq!(read(&stored).unwrap(), expected);
        assert!(read(&stored[..stored.len() - 5]).is_err());
        assert!(read(&[&stored[..], b"rubbish"].concat()).is_err());
    }

    #[test]
    fn a_wrong_checksum_is_noticed() {
        let mut stored = compress_to_vec(&b"some text that is checked"[..], CompressionLevel::Fastest);
        assert_eq!(read(&stored).unwrap(), b"some text that is checked");
        *stored.last_mut().unwrap() ^= 1;
        assert!(read(&stored).is_err());
    }

    #[test]
    fn what_is_not_compressed_is_left() {
        assert_eq!(read(b"plain").unwrap(), b"plain");
        assert_eq!(read(b"").unwrap(), b"");
    }
}
