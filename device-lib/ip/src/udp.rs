//! UDP (RFC 768): bound ports with bounded queues.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll, Waker};

use unik::interface::{BindError, Entropy, Frames, SendError, Udp, UdpSocket};
use unik::start::Protocol;

use crate::address::Address;
use crate::datagram::{Datagram, HEADER, transmit};
use crate::lower::{Hop, Lower, wait};
use crate::stack::{Handle, Shared};

/// What a datagram costs beside its bytes.
const OVERHEAD: usize = 64;
/// The first port for clients (RFC 6335, section 6).
const FIRST_EPHEMERAL: u16 = 49152;
/// How many ports are tried for a client.
const EPHEMERAL_TRIES: u32 = 64;
/// The most ports that clients have at one time.
const MOST_PORTS: usize = 256;

/// The bound ports.
#[derive(Debug)]
pub(crate) struct Ports {
    /// Few: a list is searched faster than anything else.
    ports: Vec<Port>,
    /// Bytes that each may keep.
    limit: usize,
}

#[derive(Debug)]
struct Port {
    number: u16,
    queue: VecDeque<(SocketAddr, Vec<u8>)>,
    bytes: usize,
    waker: Option<Waker>,
}

/// What became of a received datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Done,
    /// Nobody has the port.
    NoPort,
}

impl Ports {
    pub fn new(limit: usize) -> Self {
        Ports { ports: Vec::new(), limit }
    }

    /// How many there are.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.ports.len()
    }

    /// Whether somebody has the port.
    pub fn has(&mut self, number: u16) -> bool {
        self.find(number).is_some()
    }

    fn find(&mut self, number: u16) -> Option<&mut Port> {
        self.ports.iter_mut().find(|port| port.number == number)
    }

    /// Puts a datagram into the queue of its port; drops and counts what has no room.
    pub fn deliver<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        from: Address,
        datagram: &Datagram<'_>,
    ) -> Delivery {
        let limit = self.limit;
        let Some(port) = self.find(datagram.to_port) else { return Delivery::NoPort };
        let cost = datagram.data.len() + OVERHEAD;
        let mut data = Vec::new();
        let room = port.bytes + cost <= limit
            && data.try_reserve_exact(datagram.data.len()).is_ok()
            && port.queue.try_reserve(1).is_ok();
        if !room {
            lower.link.counters.udp_overflow += 1;
            return Delivery::Done;
        }
        data.extend_from_slice(datagram.data);
        port.bytes += cost;
        port.queue.push_back((SocketAddr::new(from.into(), datagram.from_port), data));
        if let Some(waker) = port.waker.take() {
            waker.wake();
        }
        Delivery::Done
    }

    fn poll_receive(
        &mut self,
        number: u16,
        buffer: &mut [u8],
        cx: &Context<'_>,
    ) -> Poll<(usize, SocketAddr)> {
        let Some(port) = self.find(number) else { return Poll::Pending };
        let Some((from, data)) = port.queue.pop_front() else {
            port.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        port.bytes -= data.len() + OVERHEAD;
        let length = data.len().min(buffer.len());
        buffer[..length].copy_from_slice(&data[..length]);
        Poll::Ready((length, from))
    }
}

impl<F: Frames, E: Entropy> Udp for Handle<F, E> {
    type Socket = Socket<F, E>;

    fn bind(&self, port: u16) -> Result<Socket<F, E>, BindError> {
        let shared = self.shared();
        let mut stack = shared.borrow_mut();
        if port != 0 && !stack.is_declared(Protocol::Udp, port) {
            return Err(BindError::NotDeclared);
        }
        let port = match port {
            0 => (0..EPHEMERAL_TRIES)
                .filter_map(|_| stack.lower.random())
                .map(|random| FIRST_EPHEMERAL | random as u16)
                .find(|number| stack.udp.ports.iter().all(|port| port.number != *number))
                .ok_or(BindError::Resources)?,
            port => port,
        };
        if stack.udp.find(port).is_some() {
            return Err(BindError::InUse);
        }
        let ports = &mut stack.udp.ports;
        if ports.len() >= MOST_PORTS {
            return Err(BindError::Resources);
        }
        ports.push(Port { number: port, queue: VecDeque::new(), bytes: 0, waker: None });
        Ok(Socket { shared: shared.clone(), port })
    }
}

/// A bound UDP port of an `ip` network.
#[derive(Debug)]
pub struct Socket<F: Frames, E: Entropy> {
    shared: Shared<F, E>,
    port: u16,
}

impl<F: Frames, E: Entropy> Socket<F, E> {
    fn poll_send(&self, data: &[u8], to: SocketAddr, cx: &Context<'_>) -> Poll<Result<(), SendError>> {
        let mut stack = self.shared.borrow_mut();
        let lower = &mut stack.lower;
        let Some(address) = Address::new(to.ip()) else { return Poll::Ready(Err(SendError::Unreachable)) };
        if data.len() + HEADER + address.header() > lower.path_mtu(address) {
            return Poll::Ready(Err(SendError::TooLong));
        }
        let Some(own) = lower.source_for(address) else { return Poll::Ready(Err(SendError::Unreachable)) };
        let now = lower.now;
        let hop = lower.hop(address, now);
        let sent = match hop {
            Hop::Unreachable => return Poll::Ready(Err(SendError::Unreachable)),
            Hop::To(station) => transmit(lower, station, (own, self.port), (address, to.port()), data),
            Hop::Wait => false,
        };
        match hop {
            Hop::To(_) if !sent => wait(&mut lower.waiting_for_room, cx.waker()),
            Hop::Wait => wait(&mut lower.waiting_for_change, cx.waker()),
            _ => {}
        }
        // Either there is a frame to flush, or a neighbour to ask for, or room to wait for.
        stack.wake_driver();
        if sent { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl<F: Frames, E: Entropy> UdpSocket for Socket<F, E> {
    async fn receive(&mut self, buffer: &mut [u8]) -> (usize, SocketAddr) {
        poll_fn(|cx| {
            if unik::executor::poll_budget(cx).is_pending() {
                return Poll::Pending;
            }
            let mut stack = self.shared.borrow_mut();
            let received = stack.udp.poll_receive(self.port, buffer, cx);
            if received.is_pending() && stack.is_declared(Protocol::Udp, self.port) {
                // It is a service's, and nobody may ever come: that holds nothing up.
                let _ = unik::shutdown::release();
            }
            received
        })
        .await
    }

    async fn send(&mut self, data: &[u8], to: SocketAddr) -> Result<(), SendError> {
        poll_fn(|cx| self.poll_send(data, to, cx)).await
    }
}

impl<F: Frames, E: Entropy> Drop for Socket<F, E> {
    fn drop(&mut self) {
        self.shared.borrow_mut().udp.ports.retain(|port| port.number != self.port);
    }
}
