//! IPv4 (RFC 791) below the transports: our address, the way out, packets in and out.

use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::task::Waker;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv4Repr};
use unik::interface::{Entropy, Frames, FullRing};
use unik::time::Instant;

use crate::link::{BROADCAST, EtherType, FrameIn, Link, Mac};
use crate::neighbours::{Answer, Arp, Neighbours};

/// Bytes of an IPv4 header without options.
pub(crate) const IPV4_HEADER: usize = 20;
/// The hop limit of what we send (RFC 1700).
const HOP_LIMIT: u8 = 64;

/// Who we are on this network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addressing {
    pub address: Ipv4Addr,
    /// Length of the network's prefix, 0 to 32.
    pub prefix: u8,
    pub gateway: Option<Ipv4Addr>,
}

impl Addressing {
    fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0)
    }

    /// Whether `address` is on our link.
    pub fn is_local(&self, address: Ipv4Addr) -> bool {
        (u32::from(address) ^ u32::from(self.address)) & self.mask() == 0
    }

    /// Whether `address` is everybody on our link.
    pub fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        // Networks of one or two hosts have no broadcast address (RFC 3021).
        let directed = self.prefix < 31 && u32::from(address) == u32::from(self.address) | !self.mask();
        address.is_broadcast() || directed
    }

    /// The neighbour through which `to` is reached.
    fn next(&self, to: Ipv4Addr) -> Option<Ipv4Addr> {
        if self.is_local(to) { Some(to) } else { self.gateway }
    }

    /// Whether `address` can be that of one other host.
    pub fn is_peer(&self, address: Ipv4Addr) -> bool {
        address != self.address && is_host(address) && !self.is_broadcast(address)
    }
}

/// Whether `address` can be that of one host on a network.
pub(crate) fn is_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first != 0 && first != 127 && first < 224
}

/// Where a packet goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
    To(Mac),
    /// The next hop's station isn't known yet: try again when told.
    Wait,
    Unreachable,
}

/// A received packet whose header was checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacketIn<'a> {
    /// The station that sent it: where a reply goes.
    pub mac: Mac,
    pub from: Ipv4Addr,
    pub to: Ipv4Addr,
    /// Whether it was sent to us alone, on the link and by its address.
    pub to_us: bool,
    pub protocol: IpProtocol,
    /// With its header, without padding.
    pub packet: &'a [u8],
    pub payload: &'a [u8],
}

/// The link, the neighbours and our address.
#[derive(Debug)]
pub(crate) struct Lower<F, E> {
    pub link: Link<F>,
    pub entropy: E,
    pub neighbours: Neighbours,
    pub addressing: Option<Addressing>,
    /// When the network last had its turn: "now" for what is done between turns.
    pub now: Instant,
    /// A neighbour was found or given up: who waits should try again.
    pub neighbours_changed: bool,
    /// Who waits for room in the transmit ring.
    pub waiting_for_room: Vec<Waker>,
    /// Who waits for a neighbour or for our address.
    pub waiting_for_change: Vec<Waker>,
}

impl<F: Frames, E: Entropy> Lower<F, E> {
    pub fn new(frames: F, entropy: E, addressing: Option<Addressing>) -> Self {
        Lower {
            link: Link::new(frames),
            entropy,
            neighbours: Neighbours::default(),
            addressing,
            now: Instant::START,
            neighbours_changed: false,
            waiting_for_room: Vec::new(),
            waiting_for_change: Vec::new(),
        }
    }

    /// The largest packet that the link carries, header included, within what IPv4 can say.
    pub fn mtu(&self) -> usize {
        self.link.frames.mtu().min(usize::from(u16::MAX))
    }

    /// A random number that nobody can guess, if the source works.
    pub fn random(&self) -> Option<u64> {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes).ok()?;
        Some(u64::from_le_bytes(bytes))
    }

    /// Checks the header of the packet in `frame` (RFC 1122, section 3.2.1); counts what it drops.
    pub fn parse<'a>(&mut self, frame: &FrameIn<'a>) -> Option<PacketIn<'a>> {
        let counters = &mut self.link.counters;
        let Ok(header) = Ipv4Packet::new_checked(frame.payload) else {
            counters.malformed += 1;
            return None;
        };
        let (head, total) = (usize::from(header.header_len()), usize::from(header.total_len()));
        if header.version() != 4 || head < IPV4_HEADER {
            counters.malformed += 1;
            return None;
        }
        if !header.verify_checksum() {
            counters.checksum += 1;
            return None;
        }
        if header.more_frags() || header.frag_offset() != 0 {
            counters.fragment += 1;
            return None;
        }
        let (from, to) = (header.src_addr(), header.dst_addr());
        let own = self.addressing.map(|own| own.address);
        if !is_host(from) || Some(from) == own || self.addressing.is_some_and(|own| own.is_broadcast(from)) {
            counters.martian += 1;
            return None;
        }
        let to_us = Some(to) == own && frame.to != BROADCAST;
        let to_all = to.is_broadcast() || self.addressing.is_some_and(|own| own.is_broadcast(to));
        // A DHCP server may send to the address that we don't have yet (RFC 2131, section 4.1).
        let offered = own.is_none() && frame.to == self.link.mac;
        if !(to_us || to_all || offered) {
            counters.not_ours += 1;
            return None;
        }
        let packet = &frame.payload[..total];
        let (mac, payload) = (frame.from, &packet[head..]);
        Some(PacketIn { mac, from, to, to_us, protocol: header.next_header(), packet, payload })
    }

    /// Answers and learns from an ARP packet.
    pub fn receive_arp(&mut self, frame: &FrameIn<'_>, now: Instant) {
        let Some(arp) = Arp::parse(frame.payload) else {
            self.link.counters.malformed += 1;
            return;
        };
        let Some(own) = self.addressing else { return };
        let for_us = arp.target == own.address;
        // A probe (RFC 5227) has no sender address: it is answered, but teaches nothing.
        if own.is_peer(arp.sender) && own.is_local(arp.sender) {
            self.neighbours_changed |= self.neighbours.learn(arp.sender, arp.sender_mac, for_us, now);
        } else if !arp.sender.is_unspecified() {
            self.link.counters.martian += 1;
            return;
        }
        if arp.is_request && for_us {
            let (sender_mac, target) = (self.link.mac, arp.sender);
            let reply = Arp { is_request: false, sender_mac, sender: own.address, target };
            reply.send(&mut self.link, arp.sender_mac);
        }
    }

    /// Where a packet for `to` goes next.
    pub fn hop(&mut self, to: Ipv4Addr, now: Instant) -> Hop {
        let Some(own) = self.addressing else { return Hop::Unreachable };
        if own.is_broadcast(to) {
            return Hop::To(BROADCAST);
        }
        if !own.is_peer(to) {
            return Hop::Unreachable;
        }
        match own.next(to).map(|next| self.neighbours.lookup(next, now)) {
            Some(Answer::Known(mac)) => Hop::To(mac),
            Some(Answer::Wait) => Hop::Wait,
            Some(Answer::Silent) | None => Hop::Unreachable,
        }
    }

    /// Takes note of the station that `packet`, of a connection, came from.
    #[cfg(feature = "tcp")]
    pub fn saw(&mut self, packet: &PacketIn<'_>, now: Instant) {
        if let Some(next) = self.addressing.and_then(|own| own.next(packet.from)) {
            self.neighbours.saw(next, packet.mac, now);
        }
    }

    /// Queues a packet with `length` bytes of payload that `fill` writes.
    ///
    /// # Errors
    /// [`FullRing`]; `fill` was not called.
    pub fn transmit(
        &mut self,
        station: Mac,
        (from, to): (Ipv4Addr, Ipv4Addr),
        protocol: IpProtocol,
        length: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), FullRing> {
        let header = Ipv4Repr {
            src_addr: from,
            dst_addr: to,
            next_header: protocol,
            payload_len: length,
            hop_limit: HOP_LIMIT,
        };
        self.link.transmit(station, EtherType::Ipv4, IPV4_HEADER + length, |packet| {
            header.emit(&mut Ipv4Packet::new_unchecked(&mut *packet), &ChecksumCapabilities::default());
            fill(&mut packet[IPV4_HEADER..]);
        })
    }

    /// Answers `packet` with `length` bytes of the same protocol; counts replies that are lost.
    pub fn reply(&mut self, packet: &PacketIn<'_>, length: usize, fill: impl FnOnce(&mut [u8])) {
        let ends = (packet.to, packet.from);
        if self.transmit(packet.mac, ends, packet.protocol, length, fill).is_err() {
            self.link.counters.replies_dropped += 1;
        }
    }

    /// Wakes those for whom something may have changed.
    pub fn wake_waiters(&mut self, changed: bool) {
        if !self.waiting_for_room.is_empty() && self.link.frames.can_transmit() {
            wake_all(&mut self.waiting_for_room);
        }
        if changed {
            wake_all(&mut self.waiting_for_change);
        }
    }
}

/// Adds `waker` to `waiters`, once.
#[cfg(any(feature = "udp", feature = "dhcp"))]
pub(crate) fn wait(waiters: &mut Vec<Waker>, waker: &Waker) {
    if !waiters.iter().any(|other| other.will_wake(waker)) {
        waiters.push(waker.clone());
    }
}

fn wake_all(waiters: &mut Vec<Waker>) {
    for waker in waiters.drain(..) {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let own = |prefix| Addressing { address: Ipv4Addr::new(10, 1, 2, 3), prefix, gateway: None };
        assert!(own(24).is_local(Ipv4Addr::new(10, 1, 2, 200)));
        assert!(!own(24).is_local(Ipv4Addr::new(10, 1, 3, 3)));
        assert!(own(0).is_local(Ipv4Addr::new(99, 1, 3, 3)));
        assert!(own(24).is_broadcast(Ipv4Addr::new(10, 1, 2, 255)));
        assert!(own(8).is_broadcast(Ipv4Addr::new(10, 255, 255, 255)));
        assert!(!own(31).is_broadcast(Ipv4Addr::new(10, 1, 2, 3)));
        assert!(!own(32).is_broadcast(Ipv4Addr::new(10, 1, 2, 3)));
        assert!(own(32).is_broadcast(Ipv4Addr::BROADCAST));
        assert!(!own(24).is_peer(Ipv4Addr::new(10, 1, 2, 3)));
        assert!(!own(24).is_peer(Ipv4Addr::new(224, 0, 0, 1)));
    }
}
