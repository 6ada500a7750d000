//! Asks for connections that should be gone.
//!
//! A segment of a connection that isn't there is answered with RST; one of a connection that
//! is, however far outside of its window, with an acknowledgement (RFC 9293, section 3.10.7).

use std::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl,
    TcpPacket, TcpRepr, TcpSeqNumber,
};

/// One end of a connection.
pub(crate) type Station = ([u8; 6], Ipv4Addr, u16);

/// A segment that asks for a connection between the two.
pub(crate) fn question(from: Station, to: Station, sequence: u32) -> Vec<u8> {
    let tcp = TcpRepr {
        src_port: from.2,
        dst_port: to.2,
        control: TcpControl::None,
        seq_number: TcpSeqNumber(sequence as i32),
        ack_number: Some(TcpSeqNumber(sequence.rotate_left(16) as i32)),
        window_len: 1024,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let ip = Ipv4Repr {
        src_addr: from.1,
        dst_addr: to.1,
        next_header: IpProtocol::Tcp,
        payload_len: tcp.buffer_len(),
        hop_limit: 64,
    };
    let mut bytes = vec![0; EthernetFrame::<&[u8]>::header_len() + ip.buffer_len() + ip.payload_len];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    frame.set_src_addr(EthernetAddress(from.0));
    frame.set_dst_addr(EthernetAddress(to.0));
    frame.set_ethertype(EthernetProtocol::Ipv4);
    let sums = ChecksumCapabilities::default();
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet, &sums);
    let ends = (ip.src_addr.into(), ip.dst_addr.into());
    tcp.emit(&mut TcpPacket::new_unchecked(packet.payload_mut()), &ends.0, &ends.1, &sums);
    bytes
}

/// What `frame` says: whom it is for, from which port it is, and whether the connection is there.
/// `None` where it is no segment.
pub(crate) fn answer(frame: &[u8]) -> Option<(Ipv4Addr, u16, u16, bool)> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    if ip.next_header() != IpProtocol::Tcp {
        return None;
    }
    let tcp = TcpPacket::new_checked(ip.payload()).ok()?;
    Some((ip.dst_addr(), tcp.dst_port(), tcp.src_port(), !tcp.rst()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_as_it_was_written() {
        let one = ([2, 0, 0, 0, 0, 1], Ipv4Addr::new(10, 0, 0, 1), 50_000);
        let other = ([2, 0, 0, 0, 0, 2], Ipv4Addr::new(10, 0, 0, 2), 80);
        assert_eq!(answer(&question(one, other, 7)), Some((other.1, 80, 50_000, true)));
        assert_eq!(answer(b"short"), None);
    }
}
