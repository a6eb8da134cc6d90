//! The frames of a connection, before ttrpc sees them.
//!
//! ttrpc takes any number of calls from a peer that reads no answers, keeps every answer until it is read, and
//! allocates what a frame announces. Attack: 1 MiB of small calls whose answers are never read keeps 2.5 GiB. Here
//! a connection is not read while too many of its calls are unanswered, and a frame goes on only when all of it
//! arrived and its envelope is within bounds. Attack: many connections with the most of a long frame each, which takes
//! memory before anything counts it. Long frames of all connections have one room, and wait for each other.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use proto::kata::FRAME_PAYLOAD_MAX_BYTES;
use proto::kata::bounds::{self, ENVELOPE_PARTS_MAX};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The most calls of one connection under way, their answers taken by the host included.
pub(super) const UNANSWERED_MAX: usize = 256;
/// Length, stream id, type and flags.
const HEADER_BYTES: usize = 10;
/// Frame types, as ttrpc numbers them.
const TYPE_REQUEST: u8 = 1;
const TYPE_DATA: u8 = 3;
/// The longest payload that needs no [`Room`], in bytes: all but a few requests are shorter.
const SHORT_MAX_BYTES: usize = 64 * 1024;
/// What long frames that have not arrived yet may take together, in KiB.
const ROOM_KIB: u32 = 16 * 1024;
/// How much is read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// The memory that long frames of all connections share while they arrive.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ROOM_KIB as usize)))
    }

    /// A place for a payload of this length, as soon as there is one.
    fn take(&self, payload_bytes: usize) -> Waiting {
        let kib = u32::try_from(payload_bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(ROOM_KIB);
        Box::pin(Arc::clone(&self.0).acquire_many_owned(kib))
    }
}

type Waiting = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send + Sync>>;

/// What the frame on its way in takes of the room.
#[derive(Default)]
enum Place {
    #[default]
    None,
    Waiting(Waiting),
    Held(#[expect(dead_code, reason = "dropping it makes room")] OwnedSemaphorePermit),
}

/// A connection whose frames are counted.
pub(super) struct Frames<S> {
    stream: S,
    room: Room,
    place: Place,
    incoming: Incoming,
    outgoing: Outgoing,
    unanswered: usize,
    /// The reader, when it waits for an answer to be taken.
    waiting: Option<Waker>,
}

/// A frame on its way in.
#[derive(Default)]
struct Incoming {
    /// Header and payload so far.
    frame: Vec<u8>,
    /// How much of a complete frame ttrpc has taken.
    taken: usize,
    complete: bool,
    /// Bytes of an oversized payload still to come. They pass unseen: ttrpc throws them away.
    passing: u64,
}

/// Where in a frame the way out is.
#[derive(Default)]
struct Outgoing {
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    payload_left: u64,
}

fn length(header: &[u8]) -> u64 {
    header.first_chunk().map_or(0, |length| u64::from(u32::from_be_bytes(*length)))
}

/// Whether ttrpc answers a frame with this header.
fn is_answered(header: &[u8]) -> bool {
    let oversized = length(header) > FRAME_PAYLOAD_MAX_BYTES as u64;
    let even_stream = header.get(7).is_some_and(|byte| byte % 2 == 0);
    oversized || even_stream || matches!(header.get(8), Some(&TYPE_REQUEST | &TYPE_DATA))
}

impl Incoming {
    /// How many more bytes the frame needs before something can be done about it.
    fn missing(&self) -> usize {
        let whole = if self.frame.len() < HEADER_BYTES {
            HEADER_BYTES
        } else {
            usize::try_from(length(&self.frame)).unwrap_or(usize::MAX).saturating_add(HEADER_BYTES)
        };
        whole.saturating_sub(self.frame.len())
    }

    /// The length of a payload that needs a place in the room before it is read.
    fn long_payload(&self) -> Option<usize> {
        let length = usize::try_from(length(self.frame.get(..HEADER_BYTES)?)).ok()?;
        (SHORT_MAX_BYTES < length && length <= FRAME_PAYLOAD_MAX_BYTES).then_some(length)
    }

    /// Takes note of bytes that arrived; true when they complete a frame that will be answered.
    fn arrived(&mut self, bytes: &[u8]) -> bool {
        self.frame.extend_from_slice(bytes);
        if self.frame.len() < HEADER_BYTES {
            return false;
        }
        let announced = length(&self.frame);
        if announced > FRAME_PAYLOAD_MAX_BYTES as u64 {
            self.passing = announced;
            self.complete = true;
        } else if self.missing() == 0 {
            self.complete = true;
            self.judge();
        }
        self.complete && is_answered(&self.frame)
    }

    /// Empties a call whose envelope is out of bounds: ttrpc then answers that there is no such service.
    fn judge(&mut self) {
        let payload = self.frame.get(HEADER_BYTES..).unwrap_or_default();
        let is_call = self.frame.get(8) == Some(&TYPE_REQUEST);
        if is_call && bounds::check("ttrpc.Request", payload, ENVELOPE_PARTS_MAX).is_err() {
            self.frame.truncate(HEADER_BYTES);
            if let Some(length) = self.frame.first_chunk_mut::<4>() {
                *length = [0; 4];
            }
        }
    }

    /// Gives ttrpc what of a complete frame fits.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let rest = self.frame.get(self.taken..).unwrap_or_default();
        let (now, later) = rest.split_at(rest.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.taken = self.taken.saturating_add(now.len());
        if later.is_empty() {
            // A connection that once had a long frame does not keep its memory.
            *self = Self { passing: self.passing, ..Self::default() };
        }
    }
}

impl Outgoing {
    /// Follows bytes on their way out; gives the number of frames that end in them.
    fn written(&mut self, mut bytes: &[u8]) -> usize {
        let mut ended = 0_usize;
        while !bytes.is_empty() {
            if self.header_bytes < HEADER_BYTES {
                if let (Some(place), Some((first, rest))) =
                    (self.header.get_mut(self.header_bytes), bytes.split_first())
                {
                    *place = *first;
                    bytes = rest;
                }
                self.header_bytes = self.header_bytes.saturating_add(1);
                self.payload_left = length(&self.header);
            } else {
                let now = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
                self.payload_left = self.payload_left.saturating_sub(now as u64);
                bytes = bytes.get(now..).unwrap_or_default();
            }
            if self.header_bytes == HEADER_BYTES && self.payload_left == 0 {
                self.header_bytes = 0;
                ended = ended.saturating_add(1);
            }
        }
        ended
    }
}

impl<S> Frames<S> {
    pub(super) fn new(stream: S, room: Room) -> Self {
        Self {
            stream,
            room,
            place: Place::None,
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            unanswered: 0,
            waiting: None,
        }
    }
}

impl<S> Frames<S> {
    /// Waits until the frame on its way in has its place in the room, if it needs one.
    fn poll_place(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.place {
                Place::Held(_) => return Poll::Ready(Ok(())),
                Place::Waiting(waiting) => {
                    let held = ready!(waiting.as_mut().poll(context)).map_err(io::Error::other)?;
                    self.place = Place::Held(held);
                }
                Place::None => match self.incoming.long_payload() {
                    Some(length) => self.place = Place::Waiting(self.room.take(length)),
                    None => return Poll::Ready(Ok(())),
                },
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Frames<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if this.incoming.complete {
                this.incoming.give(buffer);
                if !this.incoming.complete {
                    this.place = Place::None;
                }
                return Poll::Ready(Ok(()));
            }
            ready!(this.poll_place(context))?;
            let mut chunk = [0; CHUNK_BYTES];
            if this.incoming.passing > 0 {
                let left = usize::try_from(this.incoming.passing).unwrap_or(usize::MAX);
                let most = left.min(CHUNK_BYTES).min(buffer.remaining());
                let mut part = ReadBuf::new(chunk.get_mut(..most).unwrap_or_default());
                ready!(Pin::new(&mut this.stream).poll_read(context, &mut part))?;
                buffer.put_slice(part.filled());
                this.incoming.passing = this.incoming.passing.saturating_sub(part.filled().len() as u64);
                return Poll::Ready(Ok(()));
            }
            if this.incoming.frame.is_empty() && this.unanswered >= UNANSWERED_MAX {
                this.waiting = Some(context.waker().clone());
                return Poll::Pending;
            }
            let most = this.incoming.missing().min(CHUNK_BYTES);
            let mut part = ReadBuf::new(chunk.get_mut(..most).unwrap_or_default());
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut part))?;
            if part.filled().is_empty() {
                // The end. A frame cut short goes nowhere.
                return Poll::Ready(Ok(()));
            }
            if this.incoming.arrived(part.filled()) {
                this.unanswered = this.unanswered.saturating_add(1);
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?;
        let ended = this.outgoing.written(bytes.get(..count).unwrap_or_default());
        this.unanswered = this.unanswered.saturating_sub(ended);
        if ended > 0
            && let Some(waiting) = this.waiting.take()
        {
            waiting.wake();
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
