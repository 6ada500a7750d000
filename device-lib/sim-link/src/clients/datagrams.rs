//! A client that sends datagrams, and wants them back (RFC 862) or not.

use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket};
use smoltcp::wire::IpAddress;
use unik::platform::sim::Random;

use super::{Client, Cx, MS, Step, pattern};

/// A datagram without an answer is sent again after so long.
const AGAIN: u64 = 1_000 * MS;
/// Bytes of an Ethernet's largest datagram.
const LARGEST: u64 = 1_472;

/// Sends datagrams to one port.
#[derive(Debug)]
pub(crate) struct Datagrams {
    port: u16,
    wants_answers: bool,
    data: Vec<Vec<u8>>,
    /// The one whose turn it is, and when it is sent again.
    at: usize,
    again: u64,
    socket: Option<SocketHandle>,
}

impl Datagrams {
    pub fn new(port: u16, wants_answers: bool, random: &mut Random) -> Self {
        let count = random.between(1, 5);
        let data = (0..count).map(|_| {
            let length = random.between(8, LARGEST) as usize;
            pattern(length, random)
        });
        Datagrams { port, wants_answers, data: data.collect(), at: 0, again: 0, socket: None }
    }

    fn open(cx: &mut Cx<'_>) -> SocketHandle {
        let buffer = || PacketBuffer::new(vec![PacketMetadata::EMPTY; 8], vec![0; 16 << 10]);
        let mut socket = Socket::new(buffer(), buffer());
        let local = *cx.next_port;
        *cx.next_port = if local == u16::MAX { 1024 } else { local + 1 };
        // Fails for port 0 alone.
        let _ = socket.bind(local);
        cx.sockets.add(socket)
    }
}

impl Client for Datagrams {
    fn step(&mut self, cx: &mut Cx<'_>) -> Step {
        let handle = *self.socket.get_or_insert_with(|| Datagrams::open(cx));
        let from = IpAddress::Ipv4(cx.guest);
        let (now, port) = (cx.now, self.port);
        let socket = cx.sockets.get_mut::<Socket<'static>>(handle);
        while let Ok((data, metadata)) = socket.recv() {
            if metadata.endpoint.addr != from || metadata.endpoint.port != port {
                return Step::Wrong(format!("a datagram came from {}", metadata.endpoint));
            }
            // One that came twice, or late, is an answer to an earlier one.
            let Some(which) = self.data.iter().position(|sent| sent == data).filter(|at| *at <= self.at)
            else {
                return Step::Wrong(format!("a datagram of {} bytes came that nobody sent", data.len()));
            };
            if self.wants_answers && which == self.at {
                self.at += 1;
                self.again = 0;
                cx.progress = true;
            }
        }
        if self.again <= now {
            let Some(data) = self.data.get(self.at) else { return Step::Done };
            // Without room it is sent when its time comes again.
            let _ = socket.send_slice(data, (from, port));
            self.again = now + AGAIN;
            if !self.wants_answers {
                self.at += 1;
                cx.progress = true;
            }
        }
        Step::Wait(self.again)
    }

    fn waits_for(&self) -> String {
        format!("{} of {} datagrams were answered", self.at, self.data.len())
    }

    fn leave(&mut self, cx: &mut Cx<'_>) {
        if let Some(handle) = self.socket.take() {
            cx.sockets.remove(handle);
        }
    }
}
