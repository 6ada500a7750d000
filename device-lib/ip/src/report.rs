//! What ICMP errors say about packets that we sent (RFC 792, 1191 and 4443).

use smoltcp::wire::{IpProtocol, Ipv4Packet};

use crate::address::Address;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It was larger than a link on its way carries: `mtu` bytes, or 0 where a router of old
    /// doesn't say.
    TooLarge { mtu: usize },
    /// The host has nobody for it.
    Refused,
    /// It didn't get there.
    Unreachable,
}

/// An error about a packet of ours, which it quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub trouble: Trouble,
    pub protocol: IpProtocol,
    pub own: Address,
    pub peer: Address,
    pub port: u16,
    pub peer_port: u16,
    /// The four bytes after the ports: TCP's sequence number.
    pub sequence: u32,
    /// Of the packet, with its header.
    pub length: usize,
}

impl Report {
    /// Reads an ICMP message that isn't an echo: its type and code, and what follows them and the
    /// checksum. `None` if it is about nothing that concerns us.
    pub fn parse_v4(message: &[u8]) -> Option<Report> {
        let (head, quoted) = message.split_first_chunk::<8>()?;
        let trouble = match head[..2] {
            [3, 4] => Trouble::TooLarge { mtu: usize::from(u16::from_be_bytes([head[6], head[7]])) },
            [3, 2 | 3] => Trouble::Refused,
            [3, 0..=15] | [11, 0] | [12, 0..=2] => Trouble::Unreachable,
            _ => return None,
        };
        // Of the packet there is only the beginning.
        let (fixed, _) = quoted.split_first_chunk::<20>()?;
        let header = Ipv4Packet::new_unchecked(&fixed[..]);
        let head = usize::from(header.header_len());
        if header.version() != 4 || head < 20 || header.frag_offset() != 0 {
            return None;
        }
        let ends = (header.src_addr().into(), header.dst_addr().into());
        Report::about(
            trouble,
            header.next_header(),
            ends,
            quoted.get(head..)?,
            usize::from(header.total_len()),
        )
    }

    /// Of the packet's payload the first eight bytes are needed.
    pub fn about(
        trouble: Trouble,
        protocol: IpProtocol,
        (own, peer): (Address, Address),
        payload: &[u8],
        length: usize,
    ) -> Option<Report> {
        let [p0, p1, q0, q1, s0, s1, s2, s3] = *payload.first_chunk::<8>()?;
        Some(Report {
            trouble,
            protocol,
            own,
            peer,
            port: u16::from_be_bytes([p0, p1]),
            peer_port: u16::from_be_bytes([q0, q1]),
            sequence: u32::from_be_bytes([s0, s1, s2, s3]),
            length,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    #[test]
    fn a_packet_that_was_too_large() {
        let mut message = std::vec![3, 4, 0, 0, 0, 0, 0x05, 0x78];
        message.extend([0x45, 0, 0x05, 0xdc, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 7]);
        message.extend([0, 80, 0x10, 0, 1, 2, 3, 4]);
        let report = Report::parse_v4(&message).unwrap();
        assert_eq!(report.trouble, Trouble::TooLarge { mtu: 1400 });
        assert_eq!(
            (report.own, report.peer),
            (Ipv4Addr::new(10, 0, 0, 2).into(), Ipv4Addr::new(10, 0, 0, 7).into())
        );
        assert_eq!(
            (report.port, report.peer_port, report.sequence, report.length),
            (80, 4096, 0x0102_0304, 1500)
        );
        for length in 0..message.len() {
            assert_eq!(Report::parse_v4(&message[..length]), None);
        }
        message[14] = 0;
        message[15] = 1;
        assert_eq!(Report::parse_v4(&message), None, "a later fragment has no ports");
    }
}
