//! `Udp` on the host's sockets.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use socket2::{Domain, Type};
use unik::interface::{SendError, UdpSocket};
use unik::platform::process::Registration;
use unik::shutdown;
use unik::time::{Duration, sleep};

use crate::errors;

/// How long to wait when the host has a fault that nothing announces the end of.
const PAUSE: Duration = Duration::from_millis(2);

/// A datagram socket of the host.
#[derive(Debug)]
pub struct Socket {
    instance: &'static str,
    socket: Registration<std::net::UdpSocket>,
    /// Whether a service has it, for whoever comes.
    is_server: bool,
    /// Whether it is an IPv6 socket that carries IPv4 as well, in mapped addresses.
    is_dual: bool,
}

impl Socket {
    pub(crate) fn server(instance: &'static str, at: SocketAddr) -> io::Result<Self> {
        let mut socket = Self::bound(instance, at, false)?;
        socket.is_server = true;
        Ok(socket)
    }

    /// One on a free port, for both families where the host has both.
    pub(crate) fn client(instance: &'static str) -> io::Result<Self> {
        Self::bound(instance, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), true)
            .or_else(|_| Self::bound(instance, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), false))
    }

    fn bound(instance: &'static str, at: SocketAddr, is_dual: bool) -> io::Result<Self> {
        let socket =
            socket2::Socket::new(Domain::for_address(at), Type::DGRAM.nonblocking().cloexec(), None)?;
        if at.is_ipv6() {
            socket.set_only_v6(!is_dual)?;
        }
        socket.bind(&at.into())?;
        Ok(Socket { instance, socket: Registration::new(socket.into())?, is_server: false, is_dual })
    }

    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        self.socket.source().local_addr().ok()
    }

    /// `address` as the host's socket has it.
    fn to_host(&self, address: SocketAddr) -> SocketAddr {
        match address.ip() {
            IpAddr::V4(ip) if self.is_dual => SocketAddr::from((ip.to_ipv6_mapped(), address.port())),
            _ => address,
        }
    }
}

/// The address behind one mapped into IPv6.
fn from_host(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(ip) => SocketAddr::from((ip, v6.port())),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

impl UdpSocket for Socket {
    async fn receive(&mut self, buffer: &mut [u8]) -> (usize, SocketAddr) {
        loop {
            let received = poll_fn(|cx| {
                let received = self.socket.poll_read(cx, |socket| socket.recv_from(buffer));
                if received.is_pending() && self.is_server {
                    // Nobody may ever come: that holds nothing up.
                    let _ = shutdown::release();
                }
                received
            });
            match received.await {
                Ok((length, from)) => return (length, from_host(from)),
                Err(error) => {
                    // The answer to a datagram that we sent (ICMP), or the host is out of
                    // memory: no reason to end, but one not to spin.
                    log::debug!("{}: receiving: {error}", self.instance);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn send(&mut self, data: &[u8], to: SocketAddr) -> Result<(), SendError> {
        let to = self.to_host(to);
        loop {
            let sent = poll_fn(|cx| self.socket.poll_write(cx, |socket| socket.send_to(data, to))).await;
            match sent {
                Ok(_) => return Ok(()),
                Err(error) => match Errno::from_io_error(&error) {
                    // No room now, and epoll doesn't tell when there is.
                    Some(Errno::NOBUFS | Errno::NOMEM) => sleep(PAUSE).await,
                    // The answer to an earlier datagram; it has nothing to do with this one.
                    Some(Errno::CONNREFUSED) => {}
                    _ => return Err(errors::send(&error)),
                },
            }
        }
    }
}
