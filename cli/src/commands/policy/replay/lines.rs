//! Lines of a file that may be compressed and that nobody vouches for.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

/// The longest line, in bytes: a policy of the largest size several times over, and long inputs.
const LINE_BYTES_MAX: u64 = 128 << 20;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The lines of a file, one in memory at a time. Empty ones are left out.
pub(super) struct Lines {
    source: Box<dyn BufRead>,
    line: Vec<u8>,
    number: u64,
    longest: u64,
}

impl Lines {
    /// Opens a file, compressed with gzip or not.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::new(BufReader::new(File::open(path)?), LINE_BYTES_MAX)
    }

    fn new(mut source: impl BufRead + 'static, longest: u64) -> io::Result<Self> {
        let compressed = source.fill_buf()?.starts_with(&GZIP_MAGIC);
        let source: Box<dyn BufRead> =
            if compressed { Box::new(BufReader::new(MultiGzDecoder::new(source))) } else { Box::new(source) };
        Ok(Self { source, line: Vec::new(), number: 0, longest })
    }

    /// The next line and its number, counted from one; nothing at the end.
    ///
    /// # Errors
    /// When the file cannot be read, is broken, or the line is too long.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        loop {
            self.line.clear();
            let limit = self.longest.saturating_add(1);
            let read = self.source.by_ref().take(limit).read_until(b'\n', &mut self.line)?;
            if read == 0 {
                return Ok(None);
            }
            self.number = self.number.saturating_add(1);
            let too_long =
                !self.line.ends_with(b"\n") && u64::try_from(read).unwrap_or(u64::MAX) > self.longest;
            if too_long {
                let message = format!("line {} is longer than {} bytes", self.number, self.longest);
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some((self.number, self.line.trim_ascii())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::{Cursor, Write as _};

    fn read(bytes: Vec<u8>, longest: u64) -> io::Result<Vec<(u64, String)>> {
        let mut lines = Lines::new(Cursor::new(bytes), longest)?;
        let mut read = Vec::new();
        while let Some((number, line)) = lines.next()? {
            read.push((number, String::from_utf8_lossy(line).into_owned()));
        }
        Ok(read)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn plain_and_compressed_lines_are_the_same() {
        let expected = vec![(1, "a".to_owned()), (3, "b c".to_owned())];
        assert_eq!(read(b"a\n\nb c".to_vec(), 10).unwrap(), expected);
        assert_eq!(read(gzip(b"a\n\nb c\r\n"), 10).unwrap(), expected);
        // Compressed files may be joined.
        assert_eq!(read([gzip(b"a\n\n"), gzip(b"b c")].concat(), 10).unwrap(), expected);
        assert_eq!(read(Vec::new(), 10).unwrap(), []);
    }

    #[test]
    fn long_lines_and_broken_files_are_errors() {
        assert_eq!(read(b"1234\n".to_vec(), 4).unwrap().len(), 1);
        let error = read(b"a\n12345\n".to_vec(), 4).unwrap_err();
        assert_eq!(error.to_string(), "line 2 is longer than 4 bytes");
        let whole = gzip(&[b'x'; 4096]);
        assert!(read(whole[..whole.len() - 6].to_vec(), 1 << 20).is_err());
        // A small file that grows without end is stopped at the longest line.
        assert!(read(gzip(&vec![b'x'; 1 << 20]), 1 << 10).is_err());
    }
}
