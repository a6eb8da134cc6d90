//! A blob on its way from the network to the thread that makes a layer of it.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;

/// Bytes of a piece.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces that wait for the thread.
const PIECES_MAX: usize = 4;

/// Where the network puts the pieces of a blob.
pub(super) struct Sender(mpsc::Sender<Bytes>);

/// The blob as the thread reads it. It ends only when all of the blob was sent: a pull that is given up is an error.
pub(super) struct Received {
    pieces: mpsc::Receiver<Bytes>,
    current: Bytes,
    ended: bool,
}

/// The two ends.
pub(super) fn channel() -> (Sender, Received) {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    (Sender(sender), Received { pieces, current: Bytes::new(), ended: false })
}

impl Sender {
    /// Sends all of `blob`, as fast as the thread reads. When the thread wants no more, the rest is for the caller.
    pub(super) async fn send_all(self, blob: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        loop {
            let mut piece = BytesMut::with_capacity(PIECE_BYTES);
            let count = blob.read_buf(&mut piece).await?;
            // An empty piece says that this is all.
            if self.0.send(piece.freeze()).await.is_err() || count == 0 {
                return Ok(());
            }
        }
    }
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() && !self.ended && !buffer.is_empty() {
            self.current = self.pieces.blocking_recv().ok_or(io::ErrorKind::ConnectionAborted)?;
            self.ended = self.current.is_empty();
        }
        let count = self.current.len().min(buffer.len());
        self.current.split_to(count).reader().read(buffer)
    }
}

/// Reads what is left of `blob`, for its digest's sake.
pub(super) async fn drain(blob: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    while blob.read(&mut piece).await? != 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_thread_reads_what_was_sent() {
        let bytes: Vec<u8> = (0..PIECE_BYTES * 10).map(|number| number as u8).collect();
        let (sender, mut received) = channel();
        let reader = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            received.read_to_end(&mut bytes).map(|_| bytes)
        });
        sender.send_all(&mut bytes.as_slice()).await.unwrap();
        assert_eq!(reader.await.unwrap().unwrap(), bytes);
    }

    #[tokio::test]
    async fn a_pull_that_is_given_up_is_no_end() {
        let (sender, mut received) = channel();
        let reader = tokio::task::spawn_blocking(move || received.read_to_end(&mut Vec::new()));
        sender.0.send(Bytes::from_static(b"some")).await.unwrap();
        drop(sender);
        assert_eq!(reader.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn a_thread_that_wants_no_more_leaves_the_rest() {
        let bytes = vec![1; PIECE_BYTES * 10];
        let (sender, received) = channel();
        drop(received);
        let mut rest = bytes.as_slice();
        sender.send_all(&mut rest).await.unwrap();
        assert!(!rest.is_empty());
        drain(&mut rest).await.unwrap();
        assert!(rest.is_empty());
    }
}
