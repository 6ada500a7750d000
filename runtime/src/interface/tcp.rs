//! `Tcp`: byte streams (RFC 9293).
//!
//! # Deadlines
//! Every operation is a future that may be dropped before it is ready, and so be given a
//! [deadline](crate::time::timeout): a read, or an accept, that is dropped has taken nothing; a
//! write has written nothing; a close goes on; a connect gives the connection up. So none of
//! them needs a deadline of its own.
//!
//! ```
//! use unik::interface::{StreamError, TcpStream};
//! use unik::time::{Duration, timeout};
//!
//! async fn answer(stream: &mut impl TcpStream) -> Result<(), StreamError> {
//!     let mut buffer = [0; 64];
//!     let patience = Duration::from_secs(10);
//!     let length = timeout(patience, stream.read(&mut buffer)).await.map_err(|_| StreamError::TimedOut)??;
//!     stream.write(&buffer[..length]).await?;
//!     stream.finish(patience, 4096).await
//! }
//! ```
//!
//! # Back-pressure
//! Nothing is kept without bounds. A write takes what the connection's buffer has room for, and
//! waits when it has none; bytes that nobody reads close the peer's window; connections that nobody
//! accepts wait in a bounded queue, and newer ones are refused.
//!
//! # The end
//! The two halves of a connection close by themselves: [`close`](TcpStream::close) ends ours,
//! a read of 0 bytes says that the peer has ended its own. [`finish`](TcpStream::finish) ends both
//! in order. A stream that is dropped while a half is open is reset.

use core::fmt;
use core::net::SocketAddr;

use embedded_io_async::{ErrorKind, Read, Write};

use crate::time::{Duration, timeout};

/// TCP on one network.
#[allow(async_fn_in_trait, reason = "one thread: no future here needs Send")]
pub trait Tcp: Clone + 'static {
    /// A listening port.
    type Listener: TcpListener<Stream = Self::Stream>;
    /// A connection.
    type Stream: TcpStream;

    /// Listens on `port`, one of those that the plan declares for the calling service.
    ///
    /// # Errors
    /// [`ListenError`].
    fn listen(&self, port: u16) -> Result<Self::Listener, ListenError>;

    /// Opens a connection.
    ///
    /// # Errors
    /// [`ConnectError`].
    async fn connect(&self, to: SocketAddr) -> Result<Self::Stream, ConnectError>;
}

/// A listening port. Dropping it closes the port, not the accepted connections.
#[allow(async_fn_in_trait, reason = "one thread: no future here needs Send")]
pub trait TcpListener: 'static {
    /// A connection.
    type Stream: TcpStream;

    /// The next connection whose handshake is complete.
    async fn accept(&mut self) -> Self::Stream;
}

/// A connection. `read` returns 0 once the peer has closed its half and everything
/// before was read. Dropping the stream without [`close`](Self::close) aborts (RST).
#[allow(async_fn_in_trait, reason = "one thread: no future here needs Send")]
pub trait TcpStream: Read<Error = StreamError> + Write<Error = StreamError> + 'static {
    /// The other end.
    fn peer(&self) -> SocketAddr;

    /// Closes our half after everything that was written (FIN), and returns when the
    /// peer has acknowledged it. Reading goes on to work. Bounded in time by the network.
    ///
    /// # Errors
    /// [`StreamError`] when the connection broke first.
    async fn close(&mut self) -> Result<(), StreamError>;

    /// Ends the connection in order: [closes](Self::close) our half, for as long as the network lets
    /// that take, so that what was said last is sent again where it is lost; then takes what the peer
    /// still sends until it closes its own, for `limit` at most and no more than `most` bytes. What is
    /// left then is reset.
    ///
    /// For whoever has said all that there is to say. A connection that is dropped while bytes
    /// arrive is reset, and a reset may overtake what was said last.
    ///
    /// # Errors
    /// [`StreamError`] when the connection broke first; [`StreamError::TimedOut`] when the peer
    /// went on for too long, or sent too much.
    async fn finish(&mut self, limit: Duration, most: usize) -> Result<(), StreamError> {
        if let Err(error) = self.close().await {
            self.abort();
            return Err(error);
        }
        let ended = timeout(limit, async {
            let mut left = most;
            let mut scratch = [0; 256];
            loop {
                match self.read(&mut scratch).await? {
                    0 => return Ok(()),
                    length if length <= left => left -= length,
                    _ => return Err(StreamError::TimedOut),
                }
            }
        });
        let ended = ended.await.unwrap_or(Err(StreamError::TimedOut));
        if ended.is_err() {
            self.abort();
        }
        ended
    }

    /// Resets the connection (RST).
    fn abort(&mut self);
}

/// Why a port can't be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenError {
    /// No service of the plan listens on this port.
    NotDeclared,
    /// It is listened on already, or, in a process, taken by another program.
    InUse,
    /// In a process: the host refuses (a port below 1024).
    Denied,
    /// Out of memory or file descriptors.
    Resources,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ListenError::NotDeclared => "no service of this appliance declares the port",
            ListenError::InUse => "the port is in use",
            ListenError::Denied => "the host doesn't allow the port",
            ListenError::Resources => "no resources left to listen",
        })
    }
}

impl core::error::Error for ListenError {}

/// Why a connection could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The peer refused.
    Refused,
    /// No answer in time.
    TimedOut,
    /// There is no way to this address.
    Unreachable,
    /// Out of ports, memory or file descriptors.
    Resources,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConnectError::Refused => "connection refused",
            ConnectError::TimedOut => "connection timed out",
            ConnectError::Unreachable => "no route to the address",
            ConnectError::Resources => "no resources left for a connection",
        })
    }
}

impl core::error::Error for ConnectError {}

/// Why a connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// The peer reset it.
    Reset,
    /// The peer stopped answering.
    TimedOut,
    /// Our half is closed already.
    Closed,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StreamError::Reset => "the peer reset the connection",
            StreamError::TimedOut => "the peer stopped answering",
            StreamError::Closed => "the connection is closed",
        })
    }
}

impl core::error::Error for StreamError {}

impl embedded_io_async::Error for StreamError {
    fn kind(&self) -> ErrorKind {
        match self {
            StreamError::Reset => ErrorKind::ConnectionReset,
            StreamError::TimedOut => ErrorKind::TimedOut,
            StreamError::Closed => ErrorKind::NotConnected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::block_on;
    use embedded_io_async::ErrorType;

    /// A peer that sends so many bytes after our half is closed, and then closes its own, or not.
    struct Peer {
        sends: usize,
        closes: bool,
        is_closed: bool,
        is_aborted: bool,
    }

    impl ErrorType for Peer {
        type Error = StreamError;
    }

    impl Read for Peer {
        async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StreamError> {
            assert!(self.is_closed, "our half goes first");
            if self.sends == 0 && !self.closes {
                return core::future::pending().await;
            }
            let length = self.sends.min(buffer.len());
            self.sends -= length;
            Ok(length)
        }
    }

    impl Write for Peer {
        async fn write(&mut self, data: &[u8]) -> Result<usize, StreamError> {
            Ok(data.len())
        }

        async fn flush(&mut self) -> Result<(), StreamError> {
            Ok(())
        }
    }

    impl TcpStream for Peer {
        fn peer(&self) -> SocketAddr {
            SocketAddr::from(([127, 0, 0, 1], 1))
        }

        async fn close(&mut self) -> Result<(), StreamError> {
            self.is_closed = true;
            Ok(())
        }

        fn abort(&mut self) {
            self.is_aborted = true;
        }
    }

    #[test]
    fn an_end_in_order_is_bounded() {
        for (sends, closes, ends) in [
            (0, true, Ok(())),
            (1000, true, Ok(())),
            (1001, true, Err(StreamError::TimedOut)),
            (0, false, Err(StreamError::TimedOut)),
        ] {
            let mut peer = Peer { sends, closes, is_closed: false, is_aborted: false };
            assert_eq!(block_on(peer.finish(Duration::from_millis(5), 1000)), ends, "{sends} {closes}");
            assert_eq!(peer.is_aborted, ends.is_err());
        }
    }
}
