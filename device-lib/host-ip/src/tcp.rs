//! `Tcp` on the host's sockets.

use std::future::poll_fn;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::task::Poll;

use embedded_io_async::{ErrorType, Read, Write};
use socket2::{Domain, SockAddr, Socket, Type};
use unik::interface::{StreamError, TcpListener, TcpStream};
use unik::platform::process::Registration;
use unik::shutdown;
use unik::time::{Duration, now, sleep};

use crate::errors;
use crate::unsent::unacknowledged;

/// Connections that wait to be accepted, beyond which the host drops new ones; it takes
/// less where `net.core.somaxconn` says so.
const BACKLOG: i32 = 4096;

/// How long a listener rests when the host has no descriptor for the next connection:
/// at first, and at most.
const REST: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// How long a `close` waits for the peer to acknowledge.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// A listening socket of the host.
#[derive(Debug)]
pub struct Listener {
    instance: &'static str,
    /// `None` once the appliance is to end.
    socket: Option<Registration<Socket>>,
}

impl Listener {
    pub(crate) fn new(instance: &'static str, at: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM.nonblocking().cloexec(), None)?;
        // Else a restart fails for a minute, while old connections are in TIME-WAIT.
        socket.set_reuse_address(true)?;
        if at.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&at.into())?;
        socket.listen(BACKLOG)?;
        Ok(Listener { instance, socket: Some(Registration::new(socket)?) })
    }

    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        self.socket.as_ref()?.source().local_addr().ok()?.as_socket()
    }
}

impl TcpListener for Listener {
    type Stream = Stream;

    async fn accept(&mut self) -> Stream {
        let mut rest = REST.0;
        loop {
            let accepted = poll_fn(|cx| {
                if shutdown::release() {
                    // Closes the port.
                    self.socket = None;
                }
                match &self.socket {
                    Some(socket) => socket.poll_read(cx, Socket::accept),
                    None => Poll::Pending,
                }
            })
            .await;
            let error = match accepted.and_then(|(socket, peer)| Stream::accepted(socket, &peer)) {
                Ok(stream) => return stream,
                Err(error) => error,
            };
            if !errors::is_exhaustion(&error) {
                // The connection broke before it was accepted; accept(2) says to try again.
                log::debug!("{}: a connection was lost before it was accepted: {error}", self.instance);
                continue;
            }
            // The connection stays in the backlog. Trying again at once would spin, since
            // the socket goes on to be readable.
            if rest == REST.0 {
                log::warn!("{}: can't accept a connection, trying again: {error}", self.instance);
            }
            sleep(rest).await;
            rest = (2 * rest).min(REST.1);
        }
    }
}

/// A connection of the host.
#[derive(Debug)]
pub struct Stream {
    /// `None` once aborted.
    socket: Option<Registration<Socket>>,
    peer: SocketAddr,
    /// Whether `close` was called and came to its end: dropping doesn't reset then.
    is_closed: bool,
}

impl Stream {
    fn accepted(socket: Socket, peer: &SockAddr) -> io::Result<Self> {
        let peer = peer.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        socket.set_nonblocking(true)?;
        Self::new(socket, peer)
    }

    fn new(socket: Socket, peer: SocketAddr) -> io::Result<Self> {
        // Services write whole messages; waiting for more to send only delays them.
        socket.set_tcp_nodelay(true)?;
        Ok(Stream { socket: Some(Registration::new(socket)?), peer, is_closed: false })
    }

    pub(crate) async fn connect(to: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking().cloexec(), None)?;
        match socket.connect(&to.into()) {
            Ok(()) => {}
            Err(error) if rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::INPROGRESS) => {
            }
            Err(error) => return Err(error),
        }
        let stream = Self::new(socket, to)?;
        if let Some(socket) = &stream.socket {
            poll_fn(|cx| socket.poll_write(cx, outcome)).await?;
        }
        Ok(stream)
    }

    fn socket(&self) -> Result<&Registration<Socket>, StreamError> {
        self.socket.as_ref().ok_or(StreamError::Closed)
    }
}

/// What became of a connection being opened; would block while that is open.
fn outcome(socket: &Socket) -> io::Result<()> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Err(io::ErrorKind::WouldBlock.into()),
        result => result.map(drop),
    }
}

impl ErrorType for Stream {
    type Error = StreamError;
}

/// Dropping the future loses no bytes.
impl Read for Stream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StreamError> {
        let socket = self.socket()?;
        let read = poll_fn(|cx| socket.poll_read(cx, |mut socket| socket.read(buffer))).await;
        read.map_err(|error| errors::stream(&error))
    }
}

/// Dropping the future of a `write` means that nothing was written.
impl Write for Stream {
    async fn write(&mut self, data: &[u8]) -> Result<usize, StreamError> {
        let socket = self.socket()?;
        if self.is_closed {
            return Err(StreamError::Closed);
        }
        let written = poll_fn(|cx| socket.poll_write(cx, |mut socket| socket.write(data))).await;
        written.map_err(|error| errors::stream(&error))
    }

    async fn flush(&mut self) -> Result<(), StreamError> {
        // The host sends by itself.
        self.socket().map(drop)
    }
}

impl TcpStream for Stream {
    fn peer(&self) -> SocketAddr {
        self.peer
    }

    async fn close(&mut self) -> Result<(), StreamError> {
        let socket = self.socket()?.source();
        if self.is_closed {
            return Ok(());
        }
        socket.shutdown(Shutdown::Write).map_err(|error| match errors::stream(&error) {
            // The host forgets the connection when a reset arrives.
            StreamError::Closed => StreamError::Reset,
            other => other,
        })?;
        // The host tells nobody when the acknowledgement comes, so ask, ever more slowly:
        // on the loopback it is there at once, elsewhere after a round trip.
        let deadline = now() + CLOSE_LIMIT;
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(error) = socket.take_error().map_err(|error| errors::stream(&error))? {
                return Err(errors::stream(&error));
            }
            if unacknowledged(socket).map_err(|error| errors::stream(&error))? == 0 {
                self.is_closed = true;
                return Ok(());
            }
            if now() >= deadline {
                self.abort();
                return Err(StreamError::TimedOut);
            }
            sleep(pause).await;
            pause = (2 * pause).min(Duration::from_millis(50));
        }
    }

    fn abort(&mut self) {
        if let Some(socket) = self.socket.take() {
            // Closing with a linger time of zero resets. It fails on a connection that is
            // gone already.
            let _ = socket.source().set_linger(Some(Duration::ZERO));
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.is_closed {
            self.abort();
        }
    }
}
