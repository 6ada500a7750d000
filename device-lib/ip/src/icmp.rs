//! ICMP (RFC 792): answers to echo requests, and errors about ports that nobody has.

#[cfg(any(feature = "udp", feature = "dhcp"))]
use smoltcp::wire::IpProtocol;
use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, checksum};
use unik::interface::{Entropy, Frames};
use unik::time::{Duration, Instant};

#[cfg(any(feature = "udp", feature = "dhcp"))]
use crate::lower::IPV4_HEADER;
use crate::lower::{Lower, PacketIn};

/// The most error messages in a second (RFC 1812, section 4.3.2.8).
const ERRORS_PER_SECOND: u32 = 100;
/// Bytes of an ICMP header.
const HEADER: usize = 8;
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

    /// Answers an echo request.
    pub fn receive<F: Frames, E: Entropy>(&mut self, lower: &mut Lower<F, E>, packet: &PacketIn<'_>) {
        let Ok(message) = Icmpv4Packet::new_checked(packet.payload) else {
            lower.link.counters.malformed += 1;
            return;
        };
        if !message.verify_checksum() {
            lower.link.counters.checksum += 1;
            return;
        }
        // Broadcast echo requests are not answered (RFC 1122, section 3.2.2.6).
        if message.msg_type() != Icmpv4Message::EchoRequest || message.msg_code() != 0 || !packet.to_us {
            lower.link.counters.icmp += 1;
            return;
        }
        lower.reply(packet, packet.payload.len(), |reply| {
            reply.copy_from_slice(packet.payload);
            reply[0] = 0;
            fill_checksum(reply);
        });
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
