//! ICMP (RFC 792): answers to echo requests, errors about ports that nobody has, and others'
//! errors about our packets.

#[cfg(any(feature = "udp", feature = "dhcp"))]
use smoltcp::wire::IpProtocol;
use smoltcp::wire::checksum;
use unik::interface::{Entropy, Frames};
use unik::time::{Duration, Instant};

use crate::lower::{IPV4_HEADER, Lower, PacketIn};
use crate::report::Report;

/// The most error messages in a second (RFC 1812, section 4.3.2.8).
const ERRORS_PER_SECOND: u32 = 100;
/// Bytes of an ICMP header.
const HEADER: usize = 8;
/// Type and code of an echo request.
const ECHO_REQUEST: [u8; 2] = [8, 0];
/// Destination unreachable, port unreachable.
#[cfg(any(feature = "udp", feature = "dhcp"))]
const PORT_UNREACHABLE: [u8; 2] = [3, 3];

/// What is sent about others' packets, within bounds.
#[derive(Debug)]
pub(crate) struct Icmp {
    second: Instant,
    sent: u32,
}

impl Icmp {
    pub fn new() -> Self {
        Icmp { second: Instant::START, sent: 0 }
    }

    /// Answers an echo request; returns what an error says.
    pub fn receive<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        packet: &PacketIn<'_>,
    ) -> Option<Report> {
        // Not by smoltcp's reading: of what an error quotes it wants more than there must be.
        if packet.payload.len() < HEADER {
            lower.link.counters.malformed += 1;
            return None;
        }
        if checksum::data(packet.payload) != !0 {
            lower.link.counters.checksum += 1;
            return None;
        }
        if packet.to_us
            && let Some(report) = Report::parse_v4(packet.payload)
        {
            return Some(report);
        }
        // Broadcast echo requests are not answered (RFC 1122, section 3.2.2.6).
        if packet.payload[..2] != ECHO_REQUEST || !packet.to_us {
            lower.link.counters.icmp += 1;
            return None;
        }
        if packet.payload.len() + IPV4_HEADER > lower.mtu() {
            // It came in pieces; we send none.
            lower.link.counters.replies_dropped += 1;
            return None;
        }
        lower.reply(packet, packet.payload.len(), |reply| {
            reply.copy_from_slice(packet.payload);
            reply[0] = 0;
            fill_checksum(reply);
        });
        None
    }

    /// Tells the sender of `packet` that nobody has the port.
    #[cfg(any(feature = "udp", feature = "dhcp"))]
    pub fn port_unreachable<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        packet: &PacketIn<'_>,
        now: Instant,
    ) {
        if !self.may_send(now) {
            lower.link.counters.replies_dropped += 1;
            return;
        }
        #[cfg(feature = "ipv6")]
        if let crate::address::Address::V6(_) = packet.from {
            return lower.port_unreachable_v6(packet);
        }
        // The header and eight bytes of what it is about; more of them help nobody.
        let quoted = packet.packet.len().min(packet.packet.len() - packet.payload.len() + 8);
        debug_assert!(quoted >= IPV4_HEADER);
        let about = PacketIn { protocol: IpProtocol::Icmp, ..*packet };
        lower.reply(&about, HEADER + quoted, |message| {
            message[..HEADER].fill(0);
            message[..2].copy_from_slice(&PORT_UNREACHABLE);
            message[HEADER..].copy_from_slice(&packet.packet[..quoted]);
            fill_checksum(message);
        });
    }

    fn may_send(&mut self, now: Instant) -> bool {
        if now.since(self.second) >= Duration::from_secs(1) {
            (self.second, self.sent) = (now, 0);
        }
        self.sent += 1;
        self.sent <= ERRORS_PER_SECOND
    }
}

fn fill_checksum(message: &mut [u8]) {
    message[2..4].fill(0);
    let sum = !checksum::data(message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
}
