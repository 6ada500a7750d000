//! The stream of a connection, with what is to be sent on it and the client's time to
//! take it.

use alloc::vec::Vec;

use unik::interface::{StreamError, TcpStream};
use unik::time::{self, Alarm, Duration, Instant, TimedOut};

use crate::Status;
use crate::buffer::{OutOfMemory, append};
use crate::head::Refusal;

/// Answers are collected up to so many bytes.
const BATCH: usize = 8192;
/// A body up to this size is copied behind its head; of a larger one only its beginning.
const INLINE: usize = 2048;
/// A client has the write timeout for each so many bytes.
const SLICE: usize = 16 * 1024;
/// How long, and how many bytes, are read after our half of the connection was closed.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 256 * 1024);

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The last answer is given.
    Done,
    /// The client has closed its half between two requests, or was idle for too long.
    Idle,
    /// Nothing happened on it for a while, and another needs its place.
    SentAway,
    /// The client is told what was wrong with its request, and no more is read.
    Refused(Refusal),
    /// The client doesn't take its answers.
    Stalled,
    /// The connection broke.
    Broken(StreamError),
    /// There is no memory for its bytes.
    OutOfMemory,
}

impl From<StreamError> for Stop {
    fn from(error: StreamError) -> Stop {
        Stop::Broken(error)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Refused(refusal)
    }
}

impl From<OutOfMemory> for Stop {
    fn from(_: OutOfMemory) -> Stop {
        Stop::OutOfMemory
    }
}

/// The stream of a connection.
#[derive(Debug)]
pub(crate) struct Wire<T> {
    pub(crate) stream: T,
    /// What is to be sent.
    pub(crate) output: Vec<u8>,
    pub(crate) write_timeout: Duration,
    pub(crate) alarm: Alarm,
}

impl<T: TcpStream> Wire<T> {
    /// Reads what there is, at least a byte; `None` when it is too late. No bytes: the
    /// client has closed its half.
    pub(crate) async fn read(&mut self, into: &mut [u8], until: Instant) -> Result<Option<usize>, Stop> {
        match self.alarm.limit(|| until, self.stream.read(into)).await {
            Ok(length) => Ok(Some(length?)),
            Err(TimedOut) => Ok(None),
        }
    }

    /// Sends what was collected.
    pub(crate) async fn flush(&mut self) -> Result<(), Stop> {
        if self.output.is_empty() {
            return Ok(());
        }
        send(&mut self.stream, &mut self.alarm, &self.output, self.write_timeout).await?;
        self.output.clear();
        Ok(())
    }

    /// Adds the body of an answer, whose head was added before. Small ones are collected;
    /// a large one is sent from where it lies.
    pub(crate) async fn body(&mut self, body: &[u8]) -> Result<(), Stop> {
        // The first segment of a large one should be a full one.
        let copied = if body.len() <= INLINE { body.len() } else { INLINE.saturating_sub(self.output.len()) };
        let (copied, rest) = body.split_at(copied);
        append(&mut self.output, copied)?;
        if !rest.is_empty() || self.output.len() >= BATCH {
            self.flush().await?;
            send(&mut self.stream, &mut self.alarm, rest, self.write_timeout).await?;
        }
        Ok(())
    }

    /// Gives memory back, of a connection on which nothing happens.
    pub(crate) fn shrink(&mut self) {
        if self.output.is_empty() {
            self.output = Vec::new();
        }
    }
}

async fn send(
    stream: &mut impl TcpStream,
    alarm: &mut Alarm,
    bytes: &[u8],
    timeout: Duration,
) -> Result<(), Stop> {
    for slice in bytes.chunks(SLICE) {
        match alarm.limit(|| time::now() + timeout, stream.write_all(slice)).await {
            Ok(sent) => sent?,
            Err(TimedOut) => return Err(Stop::Stalled),
        }
    }
    // Not `flush`: that would wait for the client's acknowledgement.
    Ok(())
}

/// Closes our half, and reads on for a while: a connection that is dropped while bytes
/// arrive is reset, and a reset may overtake the answer.
pub(crate) async fn linger(stream: &mut impl TcpStream) {
    // However it ended: there is nobody left to tell.
    let _ = stream.finish(LINGER.0, LINGER.1).await;
}

/// What a client that took too long is told.
pub(crate) const fn too_late(reason: &'static str) -> Stop {
    Stop::Refused(Refusal::new(Status::REQUEST_TIMEOUT, reason))
}
