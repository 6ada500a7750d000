//! ICMPv6 (RFC 4443), neighbour discovery (RFC 4861) and MLDv2 (RFC 3810): what is said to us.

use alloc::vec::Vec;
use core::net::Ipv6Addr;

use unik::interface::{Entropy, Frames};
use unik::time::{Duration, Instant};

use super::message::{Neighbour, kind, report};
use super::packet::{HEADER, send, sum};
use super::{ALL_NODES, ALL_REPORTS, Trial, both, is_link_local, solicited_node, station_of};
use crate::lower::{Lower, PacketIn};
use crate::report::{Report, Trouble};

/// Of messages that only neighbours can send: no router has touched them.
const UNTOUCHED: u8 = 255;
/// How often we say which groups we listen to, at most.
const REPORT_PAUSE: Duration = Duration::from_secs(1);
/// Bytes of an error: no link is too narrow for it.
const LARGEST_ERROR: usize = 1280 - HEADER;

impl<F: Frames, E: Entropy> Lower<F, E> {
    /// Takes an ICMPv6 message; returns what an error says.
    pub fn receive_icmp_v6(&mut self, packet: &PacketIn<'_>, now: Instant) -> Option<Report> {
        let ends = both(packet.from, packet.to)?;
        let (from, to) = ends;
        let message = packet.payload;
        let (Some(&kind), Some(&code), true) = (message.first(), message.get(1), message.len() >= 8) else {
            self.link.counters.malformed += 1;
            return None;
        };
        if sum(ends, message) != !0 {
            self.link.counters.checksum += 1;
            return None;
        }
        let untouched = packet.packet[7] == UNTOUCHED;
        let is_done = match kind {
            kind::ECHO_REQUEST if packet.to_us && code == 0 && !from.is_unspecified() => {
                if message.len() + HEADER > self.v6.mtu {
                    // It came in pieces; we send none.
                    self.link.counters.replies_dropped += 1;
                    return None;
                }
                let mut reply = Vec::new();
                if reply.try_reserve_exact(message.len()).is_ok() {
                    reply.extend_from_slice(message);
                    reply[0] = kind::ECHO_REPLY;
                    send(&mut self.link, packet.mac, (to, from), 64, &mut reply);
                }
                true
            }
            kind::UNREACHABLE..=kind::PARAMETER if packet.to_us => {
                let report = parse_report(message);
                if report.is_none() {
                    self.link.counters.icmp += 1;
                }
                return report;
            }
            kind::SOLICITATION if untouched => self.solicited(packet, from, message, now),
            kind::ADVERTISEMENT if untouched => self.advertised(message, now),
            kind::MLD_QUERY if is_link_local(from) && packet.packet[7] == 1 => {
                self.report_groups(now);
                true
            }
            #[cfg(feature = "slaac")]
            kind::ROUTER_ADVERTISEMENT if untouched && is_link_local(from) => {
                self.router_advertised(from, message, now)
            }
            _ => false,
        };
        if !is_done {
            self.link.counters.icmp += 1;
        }
        None
    }

    /// Somebody asks for a neighbour, or tries an address (RFC 4861, section 7.2.3).
    fn solicited(&mut self, packet: &PacketIn<'_>, from: Ipv6Addr, message: &[u8], now: Instant) -> bool {
        let Some(question) = Neighbour::parse(message) else { return false };
        let target = question.target;
        let Some(own) = self.v6.own.iter().find(|own| own.address == target) else { return false };
        let is_trial = from.is_unspecified();
        if own.trial != Trial::Passed {
            if is_trial {
                // Two try the same address: neither gets it (RFC 4862, section 5.4.3).
                self.v6.is_duplicate(target);
            }
            return true;
        }
        let (to, station) = match is_trial {
            true => (ALL_NODES, station_of(ALL_NODES)),
            false => (from, question.station.unwrap_or(packet.mac)),
        };
        if !is_trial && self.v6.next_hop(from) == Some(from) {
            self.neighbours_changed |= self.neighbours.learn(from.into(), station, true, now);
        }
        let mut answer = Neighbour::advertisement(target, self.link.mac, !is_trial);
        send(&mut self.link, station, (target, to), UNTOUCHED, &mut answer);
        true
    }

    /// Somebody says where it is (RFC 4861, section 7.2.5).
    fn advertised(&mut self, message: &[u8], now: Instant) -> bool {
        let Some(said) = Neighbour::parse(message) else { return false };
        if let Some(own) = self.v6.own.iter().find(|own| own.address == said.target) {
            if own.trial != Trial::Passed {
                self.v6.is_duplicate(said.target);
            }
            return true;
        }
        let Some(station) = said.station.filter(|station| station[0] & 1 == 0) else { return false };
        if said.overrides || said.solicited {
            self.neighbours_changed |= self.neighbours.learn(said.target.into(), station, false, now);
        } else {
            self.neighbours.saw(said.target.into(), station, now);
        }
        true
    }

    /// A router asks which groups are listened to.
    fn report_groups(&mut self, now: Instant) {
        let Some(from) = self.v6.source_for(ALL_REPORTS, now) else { return };
        if now.since(self.v6.reported) < REPORT_PAUSE && self.v6.reported > Instant::START {
            return;
        }
        self.v6.reported = now;
        let mut groups: Vec<Ipv6Addr> = self.v6.own.iter().map(|own| solicited_node(own.address)).collect();
        groups.dedup();
        let mut report = report(&groups, false);
        send(&mut self.link, station_of(ALL_REPORTS), (from, ALL_REPORTS), 1, &mut report);
    }

    /// Tells the sender of `packet` that nobody has the port.
    #[cfg(any(feature = "udp", feature = "dhcp"))]
    pub fn port_unreachable_v6(&mut self, packet: &PacketIn<'_>) {
        let Some((from, to)) = both(packet.from, packet.to).filter(|(from, _)| !from.is_unspecified()) else {
            return;
        };
        let mut message = Vec::new();
        let quoted = packet.packet.len().min(LARGEST_ERROR - 8);
        if message.try_reserve_exact(8 + quoted).is_err() {
            return;
        }
        message.extend([kind::UNREACHABLE, 4, 0, 0, 0, 0, 0, 0]);
        message.extend_from_slice(&packet.packet[..quoted]);
        send(&mut self.link, packet.mac, (to, from), 64, &mut message);
    }
}

/// Reads an error about a packet of ours.
fn parse_report(message: &[u8]) -> Option<Report> {
    let (head, quoted) = message.split_first_chunk::<8>()?;
    let trouble = match (head[0], head[1]) {
        (kind::TOO_LARGE, _) => {
            let mtu = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
            Trouble::TooLarge { mtu: mtu.clamp(1, 65535) as usize }
        }
        (kind::UNREACHABLE, 4) | (kind::PARAMETER, 1) => Trouble::Refused,
        (kind::UNREACHABLE | kind::TIME_EXCEEDED | kind::PARAMETER, _) => Trouble::Unreachable,
        _ => return None,
    };
    let (header, payload) = quoted.split_first_chunk::<HEADER>()?;
    let address = |at: usize| header[at..].first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into());
    let length = HEADER + usize::from(u16::from_be_bytes([header[4], header[5]]));
    // What we send has nothing between its header and what it carries.
    Report::about(trouble, header[6].into(), (address(8)?, address(24)?), payload, length)
        .filter(|_| header[0] >> 4 == 6)
}
