//! Echo requests (RFC 792).

use smoltcp::iface::SocketHandle;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::icmp::{Endpoint, PacketBuffer, PacketMetadata, Socket};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, IpAddress};
use unik::platform::sim::Random;

use super::{Client, Cx, MS, Step, pattern};

/// A request without a reply is sent again after so long.
const AGAIN: u64 = 1_000 * MS;
/// Bytes of the largest request.
const LARGEST: u64 = 1_400;

/// Some requests, one after the other.
#[derive(Debug)]
pub(crate) struct Ping {
    data: Vec<Vec<u8>>,
    at: usize,
    again: u64,
    socket: Option<(SocketHandle, u16)>,
}

impl Ping {
    pub fn new(random: &mut Random) -> Self {
        let data = (0..random.between(1, 4)).map(|_| {
            let length = random.between(0, LARGEST) as usize;
            pattern(length, random)
        });
        Ping { data: data.collect(), at: 0, again: 0, socket: None }
    }

    fn open(cx: &mut Cx<'_>) -> (SocketHandle, u16) {
        let buffer = || PacketBuffer::new(vec![PacketMetadata::EMPTY; 8], vec![0; 16 << 10]);
        let mut socket = Socket::new(buffer(), buffer());
        let ident = *cx.next_port;
        *cx.next_port = if ident == u16::MAX { 1024 } else { ident + 1 };
        // A fresh socket can be bound.
        let _ = socket.bind(Endpoint::Ident(ident));
        (cx.sockets.add(socket), ident)
    }
}

impl Client for Ping {
    fn step(&mut self, cx: &mut Cx<'_>) -> Step {
        let (handle, ident) = *self.socket.get_or_insert_with(|| Ping::open(cx));
        let now = cx.now;
        let to = IpAddress::Ipv4(cx.guest);
        let sums = ChecksumCapabilities::default();
        let socket = cx.sockets.get_mut::<Socket<'static>>(handle);
        while let Ok((bytes, from)) = socket.recv() {
            let Ok(packet) = Icmpv4Packet::new_checked(bytes) else {
                return Step::Wrong("a reply is broken".into());
            };
            let Ok(Icmpv4Repr::EchoReply { seq_no, data, .. }) = Icmpv4Repr::parse(&packet, &sums) else {
                continue;
            };
            let sent = self.data.get(usize::from(seq_no)).filter(|_| usize::from(seq_no) <= self.at);
            if from != to || sent.map(Vec::as_slice) != Some(data) {
                return Step::Wrong(format!("reply {seq_no} holds other bytes than the request"));
            }
            if usize::from(seq_no) == self.at {
                self.at += 1;
                self.again = 0;
                cx.progress = true;
            }
        }
        if self.again <= now {
            let Some(data) = self.data.get(self.at) else { return Step::Done };
            let request = Icmpv4Repr::EchoRequest { ident, seq_no: self.at as u16, data };
            if let Ok(bytes) = socket.send(request.buffer_len(), to) {
                request.emit(&mut Icmpv4Packet::new_unchecked(bytes), &sums);
            }
            self.again = now + AGAIN;
        }
        Step::Wait(self.again)
    }

    fn waits_for(&self) -> String {
        format!("{} of {} requests were answered", self.at, self.data.len())
    }

    fn leave(&mut self, cx: &mut Cx<'_>) {
        if let Some((handle, _)) = self.socket.take() {
            cx.sockets.remove(handle);
        }
    }
}
