//! The bytes of a blob, verified while they are read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, ReadBuf};

use crate::client::FetchError;
use crate::digest::{Digest, Hasher};
use crate::exchange::{Body, BodyError};

/// Why a blob cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The registry does not serve it.
    #[error("cannot fetch the blob")]
    Fetch(#[source] FetchError),
    /// The answer says that it is not what was asked for.
    #[error("the registry announces {announced_bytes} bytes instead of {expected_bytes}")]
    Announced {
        /// What the answer says.
        announced_bytes: u64,
        /// What the image says.
        expected_bytes: u64,
    },
}

/// Why the bytes of a blob do not count: the source of the [`io::Error`] that its reader gets.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// They do not come.
    #[error("cannot read the blob")]
    Body(#[source] BodyError),
    /// The answer ends early.
    #[error("the blob ends after {read_bytes} of {expected_bytes} bytes")]
    TooShort {
        /// What came.
        read_bytes: u64,
        /// What the image says.
        expected_bytes: u64,
    },
    /// The answer goes on.
    #[error("the blob has more than {expected_bytes} bytes")]
    TooLong {
        /// What the image says.
        expected_bytes: u64,
    },
    /// They are others.
    #[error("the blob is not {0}")]
    Digest(Digest),
    /// It is read again after it failed.
    #[error("the blob could not be read before")]
    Failed,
}

/// The bytes of a blob. Its end is only ever read after exactly the right bytes: else there is an error instead. Bytes
/// before the end are not verified yet.
#[derive(Debug)]
pub struct Blob {
    expected: Digest,
    expected_bytes: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Reading(Box<Reading>),
    Ended,
    Failed,
}

#[derive(Debug)]
struct Reading {
    body: Body,
    hasher: Hasher,
    read_bytes: u64,
    /// Read and hashed, but not handed out.
    pending: Bytes,
}

impl Blob {
    pub(crate) fn new(body: Body, expected: Digest, expected_bytes: u64) -> Self {
        let hasher = Hasher::for_digest(&expected);
        let reading = Reading { body, hasher, read_bytes: 0, pending: Bytes::new() };
        Self { expected, expected_bytes, state: State::Reading(Box::new(reading)) }
    }

    fn end(&mut self, result: Result<(), ReadError>) -> Poll<io::Result<()>> {
        self.state = if result.is_ok() { State::Ended } else { State::Failed };
        Poll::Ready(result.map_err(io::Error::other))
    }
}

impl Reading {
    fn take(&mut self, bytes: Bytes, expected_bytes: u64) -> Result<(), ReadError> {
        self.read_bytes = self.read_bytes.saturating_add(bytes.len() as u64);
        if self.read_bytes > expected_bytes {
            return Err(ReadError::TooLong { expected_bytes });
        }
        self.hasher.update(&bytes);
        self.pending = bytes;
        Ok(())
    }

    fn verify(&self, expected: Digest, expected_bytes: u64) -> Result<(), ReadError> {
        if self.read_bytes != expected_bytes {
            return Err(ReadError::TooShort { read_bytes: self.read_bytes, expected_bytes });
        }
        if self.hasher.clone().finish() == expected { Ok(()) } else { Err(ReadError::Digest(expected)) }
    }
}

impl AsyncRead for Blob {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (expected, expected_bytes) = (self.expected, self.expected_bytes);
        let reading = match &mut self.state {
            State::Reading(reading) => reading,
            State::Ended => return Poll::Ready(Ok(())),
            State::Failed => return Poll::Ready(Err(io::Error::other(ReadError::Failed))),
        };
        if reading.pending.is_empty() {
            let taken = match ready!(reading.body.poll_next(context)) {
                Ok(Some(bytes)) => reading.take(bytes, expected_bytes),
                Ok(None) => {
                    let verified = reading.verify(expected, expected_bytes);
                    return self.end(verified);
                }
                Err(error) => Err(ReadError::Body(error)),
            };
            if taken.is_err() {
                return self.end(taken);
            }
        }
        let count = reading.pending.len().min(buffer.remaining());
        buffer.put_slice(reading.pending.get(..count).unwrap_or_default());
        reading.pending.advance(count);
        Poll::Ready(Ok(()))
    }
}
