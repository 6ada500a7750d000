//! UDP datagrams on the wire (RFC 768).

use smoltcp::wire::{IpProtocol, UdpPacket};
use unik::interface::{Entropy, Frames};

use crate::address::Address;
use crate::lower::{Lower, PacketIn};

/// Bytes of a UDP header.
pub(crate) const HEADER: usize = 8;

/// A datagram, taken apart and checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram<'a> {
    pub from_port: u16,
    pub to_port: u16,
    pub data: &'a [u8],
}

/// Checks the datagram in `packet`; counts what it drops.
pub(crate) fn parse<'a, F: Frames, E: Entropy>(
    lower: &mut Lower<F, E>,
    packet: &PacketIn<'a>,
) -> Option<Datagram<'a>> {
    let trusted = lower.link.verified;
    let counters = &mut lower.link.counters;
    let Ok(datagram) = UdpPacket::new_checked(packet.payload) else {
        counters.malformed += 1;
        return None;
    };
    if datagram.dst_port() == 0 {
        counters.malformed += 1;
        return None;
    }
    #[cfg(feature = "ipv6")]
    if let (Address::V6(_), 0) = (packet.from, datagram.checksum()) {
        // With IPv6 there is no other sum that would hold its addresses (RFC 8200, section 8.1).
        counters.checksum += 1;
        return None;
    }
    if !trusted && !datagram.verify_checksum(&packet.from.into(), &packet.to.into()) {
        counters.checksum += 1;
        return None;
    }
    let (from_port, to_port) = (datagram.src_port(), datagram.dst_port());
    Some(Datagram { from_port, to_port, data: datagram.payload() })
}

/// Queues a datagram for `station`, between addresses of one family; `false` when the ring is full.
pub(crate) fn transmit<F: Frames, E: Entropy>(
    lower: &mut Lower<F, E>,
    station: [u8; 6],
    from: (Address, u16),
    to: (Address, u16),
    data: &[u8],
) -> bool {
    let ends = (from.0, to.0);
    let sent = lower.transmit(station, ends, IpProtocol::Udp, HEADER + data.len(), |payload| {
        let mut datagram = UdpPacket::new_unchecked(payload);
        datagram.set_src_port(from.1);
        datagram.set_dst_port(to.1);
        datagram.set_len((HEADER + data.len()) as u16);
        datagram.set_checksum(0);
        datagram.payload_mut().copy_from_slice(data);
        datagram.fill_checksum(&ends.0.into(), &ends.1.into());
    });
    sent.is_ok()
}
