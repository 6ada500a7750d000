//! `Tcp`: byte streams (RFC 9293).

use core::fmt;
use core::net::SocketAddr;

use embedded_io_async::{ErrorKind, Read, Write};

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
