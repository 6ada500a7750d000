//! `Udp`: datagrams (RFC 768).

use core::fmt;
use core::net::SocketAddr;

/// UDP on one network.
pub trait Udp: Clone + 'static {
    /// A bound port.
    type Socket: UdpSocket;

    /// Binds `port`, one of those that the plan declares for the calling service, or,
    /// with 0, a free one for a client.
    ///
    /// # Errors
    /// [`BindError`].
    fn bind(&self, port: u16) -> Result<Self::Socket, BindError>;
}

/// A bound port. A future of it that is dropped before it is ready has taken, or sent, nothing:
/// so each may have a [deadline](crate::time::timeout).
#[allow(async_fn_in_trait, reason = "one thread: no future here needs Send")]
pub trait UdpSocket: 'static {
    /// The next datagram: its length and where it came from. What doesn't fit into
    /// `buffer` is cut off.
    async fn receive(&mut self, buffer: &mut [u8]) -> (usize, SocketAddr);

    /// Sends one datagram; waits while the network has no room for it.
    ///
    /// # Errors
    /// [`SendError`].
    async fn send(&mut self, data: &[u8], to: SocketAddr) -> Result<(), SendError>;
}

/// Why a port can't be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindError {
    /// No service of the plan listens on this port.
    NotDeclared,
    /// It is bound already, or, in a process, taken by another program.
    InUse,
    /// In a process: the host refuses (a port below 1024).
    Denied,
    /// Out of memory or file descriptors.
    Resources,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BindError::NotDeclared => "no service of this appliance declares the port",
            BindError::InUse => "the port is in use",
            BindError::Denied => "the host doesn't allow the port",
            BindError::Resources => "no resources left to bind",
        })
    }
}

impl core::error::Error for BindError {}

/// Why a datagram could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// Longer than the network carries.
    TooLong,
    /// There is no way to this address.
    Unreachable,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::TooLong => "the datagram is longer than the network carries",
            SendError::Unreachable => "no route to the address",
        })
    }
}

impl core::error::Error for SendError {}
