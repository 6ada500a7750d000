//! IP below the transports: our addresses, the way out, packets in and out.

use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::task::Waker;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv4Repr};
use unik::interface::{Entropy, EntropyError, Frames, FullRing};
use unik::time::{Duration, Instant};

use crate::Options;
use crate::address::Address;
use crate::fragments::Fragment;
#[cfg(feature = "fragments")]
use crate::fragments::{Fragments, Piece};
use crate::hash::Secret;
use crate::link::{BROADCAST, FrameIn, Link, Mac};
use crate::neighbours::{Answer, Arp, Neighbours};
use crate::paths::Paths;
#[cfg(feature = "ipv6")]
use crate::v6::V6;

/// Bytes of an IPv4 header without options.
pub(crate) const IPV4_HEADER: usize = 20;
/// How often an address that has become ours is announced, and the time between (RFC 5227, section 1.1).
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(2);
/// The least time between two defences of our address (RFC 5227, section 1.1).
const DEFEND_AGAIN: Duration = Duration::from_secs(10);
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
    pub from: Address,
    pub to: Address,
    /// Whether it was sent to us alone, on the link and by its address.
    pub to_us: bool,
    pub protocol: IpProtocol,
    /// With its header, without padding.
    pub packet: &'a [u8],
    pub payload: &'a [u8],
}

/// The link, the neighbours and our addresses.
#[derive(Debug)]
pub(crate) struct Lower<F, E> {
    pub link: Link<F>,
    pub entropy: E,
    pub neighbours: Neighbours,
    pub addressing: Option<Addressing>,
    /// How often our address is still to be announced, and when.
    announcements: u8,
    announce: Instant,
    /// When it was last defended against somebody else.
    defended: Option<Instant>,
    /// Packets that come in pieces.
    #[cfg(feature = "fragments")]
    fragments: Fragments,
    #[cfg(feature = "ipv6")]
    pub v6: V6,
    /// Bytes of the longest packet, as far as the option says.
    #[cfg(feature = "mtu")]
    longest: usize,
    /// Ways to other networks than the gateway's.
    #[cfg(feature = "routes")]
    pub routes: crate::routes::Routes,
    /// Where less than the link's packets get through.
    pub paths: Paths,
    /// When the network last had its turn: "now" for what is done between turns.
    pub now: Instant,
    /// A neighbour was found or given up: who waits should try again.
    pub neighbours_changed: bool,
    /// Somebody may have named other servers for names.
    #[cfg(feature = "dns")]
    pub name_servers_changed: bool,
    /// Who waits for room in the transmit ring.
    pub waiting_for_room: Vec<Waker>,
    /// Who waits for a neighbour or for our address.
    pub waiting_for_change: Vec<Waker>,
}

impl<F: Frames, E: Entropy> Lower<F, E> {
    /// # Errors
    /// [`EntropyError`]: without it, whoever sends packets could choose what they collide with.
    #[cfg_attr(not(feature = "ipv6"), allow(unused_variables, reason = "of IPv6 there are options"))]
    pub fn new(
        frames: F,
        entropy: E,
        options: &Options,
        addressing: Option<Addressing>,
    ) -> Result<Self, EntropyError> {
        let neighbours = Neighbours::new(secret(&entropy)?);
        #[cfg(feature = "mtu")]
        let longest = options.mtu.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        Ok(Lower {
            #[cfg(feature = "ipv6")]
            v6: {
                let mtu = frames.mtu();
                #[cfg(feature = "mtu")]
                let mtu = mtu.min(longest);
                V6::new(options.ipv6.as_ref(), frames.mac(), mtu)
            },
            #[cfg(feature = "mtu")]
            longest,
            link: Link::new(frames),
            entropy,
            neighbours,
            addressing,
            announcements: ANNOUNCEMENTS,
            announce: Instant::START,
            defended: None,
            #[cfg(feature = "fragments")]
            fragments: Fragments::default(),
            #[cfg(feature = "routes")]
            routes: crate::routes::Routes::new(options),
            paths: Paths::default(),
            now: Instant::START,
            neighbours_changed: false,
            #[cfg(feature = "dns")]
            name_servers_changed: false,
            waiting_for_room: Vec::new(),
            waiting_for_change: Vec::new(),
        })
    }

    /// The largest packet that the link carries, header included, within what IP can say.
    pub fn mtu(&self) -> usize {
        let mtu = self.link.frames.mtu().min(usize::from(u16::MAX));
        #[cfg(feature = "mtu")]
        let mtu = mtu.min(self.longest);
        mtu
    }

    /// The largest packet of the family of `address` that the link carries.
    pub fn mtu_for(&self, address: Address) -> usize {
        match address {
            Address::V4(_) => self.mtu(),
            #[cfg(feature = "ipv6")]
            Address::V6(_) => self.mtu().min(self.v6.mtu()),
        }
    }

    /// The largest packet that gets through to `to`, header included.
    pub fn path_mtu(&self, to: Address) -> usize {
        let mtu = self.mtu_for(to);
        self.paths.find(to, self.now).map_or(mtu, |path| mtu.min(path))
    }

    /// A random number that nobody can guess, if the source works.
    pub fn random(&self) -> Option<u64> {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes).ok()?;
        Some(u64::from_le_bytes(bytes))
    }

    /// Our address for packets to `to`, if we have one.
    pub fn source_for(&self, to: Address) -> Option<Address> {
        match to {
            Address::V4(_) => self.addressing.map(|own| own.address.into()),
            #[cfg(feature = "ipv6")]
            Address::V6(to) => self.v6.source_for(to, self.now).map(Address::V6),
        }
    }

    /// Checks the header of the packet in `frame` (RFC 1122, section 3.2.1), and puts packets
    /// that come in pieces together, in `whole`; counts what it drops.
    pub fn parse<'a>(&mut self, frame: &FrameIn<'a>, whole: &'a mut Vec<u8>) -> Option<PacketIn<'a>> {
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
        let (mac, protocol) = (frame.from, header.next_header());
        let (from, to) = (from.into(), to.into());
        let mut packet = &frame.payload[..total];
        if header.more_frags() || header.frag_offset() != 0 {
            let fragment = Fragment {
                from,
                to,
                id: u32::from(header.ident()),
                protocol: protocol.into(),
                offset: usize::from(header.frag_offset()),
                more: header.more_frags(),
                #[cfg(feature = "ipv6")]
                next: None,
                head: &packet[..head],
                data: &packet[head..],
            };
            self.add_fragment(Some(fragment), whole)?;
            // The header is that of its first piece.
            let length = whole.len() as u16;
            let mut header = Ipv4Packet::new_unchecked(&mut whole[..]);
            header.set_total_len(length);
            header.clear_flags();
            header.set_frag_offset(0);
            header.fill_checksum();
            packet = whole;
        }
        let head = usize::from(packet[0] & 15) * 4;
        Some(PacketIn { mac, from, to, to_us, protocol, packet, payload: &packet[head..] })
    }

    /// Adds a piece to its packet; `None` if that isn't complete with it. Counts what it drops.
    #[cfg_attr(
        not(feature = "fragments"),
        allow(clippy::ptr_arg, unused_variables, reason = "nothing grows where nothing is put together")
    )]
    pub fn add_fragment(&mut self, fragment: Option<Fragment<'_>>, whole: &mut Vec<u8>) -> Option<()> {
        #[cfg(feature = "fragments")]
        match fragment.map(|fragment| self.fragments.add(&fragment, whole, self.now)) {
            Some(Piece::Whole) => {
                // What the device may have verified was a piece.
                self.link.verified = false;
                return Some(());
            }
            Some(Piece::Waits) => return None,
            Some(Piece::Dropped) | None => {}
        }
        self.link.counters.fragment += 1;
        None
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
            let sender = arp.sender.into();
            self.neighbours_changed |= self.neighbours.learn(sender, arp.sender_mac, for_us, now);
        } else if !arp.sender.is_unspecified() {
            self.link.counters.martian += 1;
            if arp.sender == own.address {
                self.defend(own, arp.sender_mac, now);
            }
            return;
        }
        if arp.is_request && for_us {
            let (sender_mac, target) = (self.link.mac, arp.sender);
            let reply = Arp { is_request: false, sender_mac, sender: own.address, target };
            reply.send(&mut self.link, arp.sender_mac);
        }
    }

    /// Somebody else says that our address is theirs: it is announced once more, and kept, since nobody
    /// is there to give us another (RFC 5227, section 2.4, c).
    #[cold]
    fn defend(&mut self, own: Addressing, station: Mac, now: Instant) {
        if station == self.link.mac || self.defended.is_some_and(|last| now.since(last) < DEFEND_AGAIN) {
            return;
        }
        self.defended = Some(now);
        self.announcements = self.announcements.max(1);
        self.announce = now;
        let [a, b, c, d, e, f] = station;
        log::error!(
            "{}, our address, is also claimed by {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}",
            own.address
        );
    }

    /// Has our address announced: it is new.
    #[cfg(feature = "dhcp")]
    pub fn announce(&mut self) {
        (self.announcements, self.announce, self.defended) = (ANNOUNCEMENTS, Instant::START, None);
    }

    /// The neighbour through which packets to `to` go, if they can go anywhere.
    fn next(&self, to: Address) -> Option<Address> {
        match to {
            Address::V4(to) => {
                let own = self.addressing.filter(|own| own.is_peer(to))?;
                #[cfg(feature = "routes")]
                if let Some(router) = self.routes.find(to, own.is_local(to).then_some(own.prefix)) {
                    return Some(Address::V4(router));
                }
                own.next(to).map(Address::V4)
            }
            #[cfg(feature = "ipv6")]
            Address::V6(to) => {
                #[cfg(feature = "routes")]
                if self.v6.is_elsewhere(to)
                    && let Some(router) = self.routes.find_v6(to, self.v6.on_link(to))
                {
                    return Some(Address::V6(router));
                }
                self.v6.next_hop(to).map(Address::V6)
            }
        }
    }

    /// Where a packet for `to` goes next.
    pub fn hop(&mut self, to: Address, now: Instant) -> Hop {
        if let Address::V4(to) = to
            && self.addressing.is_some_and(|own| own.is_broadcast(to))
        {
            return Hop::To(BROADCAST);
        }
        #[cfg(feature = "ipv6")]
        if let Address::V6(group) = to
            && group.is_multicast()
        {
            return Hop::To(crate::v6::station_of(group));
        }
        match self.next(to).map(|next| self.neighbours.lookup(next, now)) {
            Some(Answer::Known(mac)) => Hop::To(mac),
            Some(Answer::Wait) => Hop::Wait,
            Some(Answer::Silent) | None => Hop::Unreachable,
        }
    }

    /// Takes note of the station that `packet`, of a connection, came from.
    #[cfg(feature = "tcp")]
    pub fn saw(&mut self, packet: &PacketIn<'_>, now: Instant) {
        if let Some(next) = self.next(packet.from) {
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
        ends: (Address, Address),
        protocol: IpProtocol,
        length: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), FullRing> {
        let head = ends.0.header();
        self.link.transmit(station, ends.0.ether_type(), head + length, |packet| {
            emit_header(packet, ends, protocol);
            fill(&mut packet[head..]);
        })
    }

    /// Answers `packet` with `length` bytes of the same protocol; counts replies that are lost.
    pub fn reply(&mut self, packet: &PacketIn<'_>, length: usize, fill: impl FnOnce(&mut [u8])) {
        let ends = (packet.to, packet.from);
        if self.transmit(packet.mac, ends, packet.protocol, length, fill).is_err() {
            self.link.counters.replies_dropped += 1;
        }
    }

    /// Sends the requests for neighbours that are due, and gives up what is too old.
    pub fn poll(&mut self, now: Instant) {
        #[cfg(feature = "ipv6")]
        self.poll_v6(now);
        let (own, link) = (self.addressing, &mut self.link);
        if let Some(own) = own.filter(|_| self.announcements > 0 && self.announce <= now) {
            self.announcements -= 1;
            self.announce = now + ANNOUNCE_AGAIN;
            let (sender_mac, sender) = (link.mac, own.address);
            Arp { is_request: true, sender_mac, sender, target: sender }.send(link, BROADCAST);
        }
        #[cfg(feature = "ipv6")]
        let v6 = &self.v6;
        self.neighbours_changed |= self.neighbours.poll(now, |address, _known| match address {
            Address::V4(target) => {
                if let Some(own) = own {
                    let (sender_mac, sender) = (link.mac, own.address);
                    Arp { is_request: true, sender_mac, sender, target }.send(link, BROADCAST);
                }
            }
            #[cfg(feature = "ipv6")]
            Address::V6(target) => {
                if let Some(from) = v6.source_for(target, now) {
                    crate::v6::ask(link, from, target, _known);
                }
            }
        });
        #[cfg(feature = "fragments")]
        self.fragments.expire(now);
    }

    /// When [`poll`](Self::poll) has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let announces = self.announcements > 0 && self.addressing.is_some();
        let deadlines = [
            self.neighbours.next_deadline(),
            announces.then_some(self.announce),
            #[cfg(feature = "fragments")]
            self.fragments.next_deadline(),
            #[cfg(feature = "ipv6")]
            self.v6.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
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

/// A fresh key of a keyed hash.
pub(crate) fn secret(entropy: &impl Entropy) -> Result<Secret, EntropyError> {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes)?;
    let (low, high) = bytes.split_at(8);
    let word = |half: &[u8]| half.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    Ok(Secret::new([word(low), word(high)]))
}

/// Writes the header of `packet`, which goes from the first of `ends` to the second: with "don't
/// fragment" (RFC 1191), and no options.
pub(crate) fn emit_header(packet: &mut [u8], ends: (Address, Address), protocol: IpProtocol) {
    match ends {
        (Address::V4(src_addr), Address::V4(dst_addr)) => {
            let payload_len = packet.len() - IPV4_HEADER;
            let header =
                Ipv4Repr { src_addr, dst_addr, next_header: protocol, payload_len, hop_limit: HOP_LIMIT };
            header.emit(&mut Ipv4Packet::new_unchecked(packet), &ChecksumCapabilities::default());
        }
        #[cfg(feature = "ipv6")]
        (Address::V6(from), Address::V6(to)) => {
            crate::v6::emit_header(packet, (from, to), protocol.into(), HOP_LIMIT);
        }
        #[cfg(feature = "ipv6")]
        _ => debug_assert!(false, "packets go between addresses of one family"),
    }
}

/// Adds `waker` to `waiters`, once.
#[cfg(any(feature = "udp", feature = "dhcp", feature = "ipv6"))]
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
