//! IPv6 packets (RFC 8200): headers in and out, and what may stand between them and what is
//! carried.

use alloc::vec::Vec;
use core::net::Ipv6Addr;

use smoltcp::wire::{IpProtocol, checksum};
use unik::interface::{Entropy, Frames};

use crate::address::Address;
use crate::fragments::Fragment;
use crate::link::{EtherType, FrameIn, Link, Mac, is_group};
use crate::lower::{Lower, PacketIn};

/// Bytes of the header.
pub(crate) const HEADER: usize = 40;
/// What stands in a header for what follows it (RFC 8200, section 4).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;
/// The most headers between the first and what is carried.
const EXTENSIONS: usize = 8;
/// Of a packet with a router alert (RFC 2711): to the router's own ears.
const ROUTER_ALERT: [u8; 8] = [58, 0, 5, 2, 0, 0, 1, 0];

impl<F: Frames, E: Entropy> Lower<F, E> {
    /// Checks the header of the packet in `frame`, and takes away what stands between it and what
    /// it carries, with a copy in `whole` where there is something; counts what it drops.
    pub fn parse_v6<'a>(&mut self, frame: &FrameIn<'a>, whole: &'a mut Vec<u8>) -> Option<PacketIn<'a>> {
        let counters = &mut self.link.counters;
        let Some((header, rest)) = frame.payload.split_first_chunk::<HEADER>() else {
            counters.malformed += 1;
            return None;
        };
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let Some(rest) = rest.get(..length).filter(|_| header[0] >> 4 == 6) else {
            counters.malformed += 1;
            return None;
        };
        let (from, to) = (address(&header[8..]), address(&header[24..]));
        if from.is_multicast()
            || from.is_loopback()
            || from.to_ipv4_mapped().is_some()
            || self.v6.is_own(from)
        {
            counters.martian += 1;
            return None;
        }
        let to_us = self.v6.is_own(to) && !is_group(frame.to);
        if !to_us && !self.v6.is_member(to) {
            counters.not_ours += 1;
            return None;
        }
        let mac = frame.from;
        let Some((mut next, mut skipped)) = walk(header[6], rest) else {
            counters.protocol += 1;
            return None;
        };
        let mut is_copy = false;
        if next == FRAGMENT {
            let piece = parse_fragment(header, &rest[skipped..], from, to);
            self.add_fragment(piece, whole)?;
            let counters = &mut self.link.counters;
            is_copy = true;
            match walk(whole[6], &whole[HEADER..]) {
                Some(found) if found.0 != FRAGMENT => (next, skipped) = found,
                _ => {
                    counters.protocol += 1;
                    return None;
                }
            }
        } else if skipped > 0 {
            is_copy = true;
            whole.clear();
            if whole.try_reserve_exact(HEADER + length).is_err() {
                counters.malformed += 1;
                return None;
            }
            whole.extend_from_slice(header);
            whole.extend_from_slice(rest);
        }
        let packet: &[u8] = if is_copy {
            whole.drain(HEADER..HEADER + skipped);
            whole[6] = next;
            let length = (whole.len() - HEADER) as u16;
            whole[4..6].copy_from_slice(&length.to_be_bytes());
            whole
        } else {
            &frame.payload[..HEADER + length]
        };
        let (from, to) = (from.into(), to.into());
        let (protocol, payload) = (IpProtocol::from(next), &packet[HEADER..]);
        Some(PacketIn { mac, from, to, to_us, protocol, packet, payload })
    }
}

/// Passes over the headers that say nothing to us; `None` if one of them forbids that. What comes
/// then, and after how many bytes.
fn walk(mut next: u8, packet: &[u8]) -> Option<(u8, usize)> {
    let mut at = 0;
    for _ in 0..EXTENSIONS {
        if !matches!(next, HOP_BY_HOP | ROUTING | DESTINATION) {
            return Some((next, at));
        }
        let head = packet.get(at..)?.first_chunk::<8>()?;
        let length = (usize::from(head[1]) + 1) * 8;
        let options = packet.get(at + 2..at + length)?;
        let may_pass = match next {
            // We route nothing (RFC 5095).
            ROUTING => head[3] == 0,
            _ => may_skip(options),
        };
        if !may_pass {
            return None;
        }
        next = head[0];
        at += length;
    }
    None
}

/// Whether all options are such that who doesn't know them passes over them (section 4.2).
fn may_skip(mut options: &[u8]) -> bool {
    loop {
        options = match *options {
            [] => return true,
            [0, ref rest @ ..] => rest,
            [kind, length, ref rest @ ..] if kind >> 6 == 0 => match rest.get(usize::from(length)..) {
                Some(rest) => rest,
                None => return false,
            },
            _ => return false,
        };
    }
}

/// The piece in a packet of which `rest` begins with the header of fragments: with the header that
/// the packet had.
fn parse_fragment<'a>(
    header: &'a [u8; HEADER],
    rest: &'a [u8],
    from: Ipv6Addr,
    to: Ipv6Addr,
) -> Option<Fragment<'a>> {
    let (piece, data) = rest.split_first_chunk::<8>()?;
    let field = u16::from_be_bytes([piece[2], piece[3]]);
    Some(Fragment {
        from: from.into(),
        to: to.into(),
        id: u32::from_be_bytes([piece[4], piece[5], piece[6], piece[7]]),
        // Of all pieces the first one's counts.
        protocol: FRAGMENT,
        offset: usize::from(field & !7),
        more: field & 1 != 0,
        next: Some(piece[0]),
        head: header,
        data,
    })
}

fn address(bytes: &[u8]) -> Ipv6Addr {
    bytes.first_chunk::<16>().map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from(*octets))
}

/// Writes the header of `packet`.
pub(crate) fn emit_header(packet: &mut [u8], (from, to): (Ipv6Addr, Ipv6Addr), next: u8, hop_limit: u8) {
    let length = (packet.len() - HEADER) as u16;
    packet[..4].copy_from_slice(&[0x60, 0, 0, 0]);
    packet[4..6].copy_from_slice(&length.to_be_bytes());
    packet[6] = next;
    packet[7] = hop_limit;
    packet[8..24].copy_from_slice(&from.octets());
    packet[24..40].copy_from_slice(&to.octets());
}

/// Sends an ICMPv6 `message`, and fills in its checksum; one of a hop limit of 1 with a router
/// alert, as reports of groups are. It may be lost.
pub(crate) fn send<F: Frames>(
    link: &mut Link<F>,
    station: Mac,
    (from, to): (Ipv6Addr, Ipv6Addr),
    hop_limit: u8,
    message: &mut [u8],
) {
    fill_checksum((from, to), message);
    let alert: &[u8] = if hop_limit == 1 { &ROUTER_ALERT } else { &[] };
    let next = if hop_limit == 1 { HOP_BY_HOP } else { IpProtocol::Icmpv6.into() };
    link.reply(station, EtherType::Ipv6, HEADER + alert.len() + message.len(), |packet| {
        emit_header(packet, (from, to), next, hop_limit);
        packet[HEADER..HEADER + alert.len()].copy_from_slice(alert);
        packet[HEADER + alert.len()..].copy_from_slice(message);
    });
}

/// The sum over an ICMPv6 message and what stands for its header: all ones if its checksum is right.
pub(super) fn sum((from, to): (Ipv6Addr, Ipv6Addr), message: &[u8]) -> u16 {
    let (from, to) = (Address::V6(from).into(), Address::V6(to).into());
    let header = checksum::pseudo_header(&from, &to, IpProtocol::Icmpv6, message.len() as u32);
    checksum::combine(&[header, checksum::data(message)])
}

fn fill_checksum(ends: (Ipv6Addr, Ipv6Addr), message: &mut [u8]) {
    message[2..4].fill(0);
    let sum = !sum(ends, message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
}
