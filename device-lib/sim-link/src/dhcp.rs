//! A DHCP server (RFC 2131) that has one address to give.

use std::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol,
    Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

const SERVER: u16 = 67;
const CLIENT: u16 = 68;
/// Short, so that a run of an hour renews it.
const LEASE: u32 = 600;

/// The server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub mac: [u8; 6],
    /// Itself, and the way to other networks.
    pub own: Ipv4Addr,
    /// What it gives.
    pub gives: Ipv4Addr,
    pub prefix: u8,
}

impl Server {
    /// The answer to `frame`, if it asks for one.
    pub fn answer(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        if ethernet.ethertype() != EthernetProtocol::Ipv4 {
            return None;
        }
        let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
        if !ip.verify_checksum() || ip.next_header() != IpProtocol::Udp {
            return None;
        }
        let udp = UdpPacket::new_checked(ip.payload()).ok()?;
        let ends = (ip.src_addr().into(), ip.dst_addr().into());
        if udp.dst_port() != SERVER || !udp.verify_checksum(&ends.0, &ends.1) {
            return None;
        }
        let packet = DhcpPacket::new_checked(udp.payload()).ok()?;
        let asked = DhcpRepr::parse(&packet).ok()?;
        let message_type = match asked.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request => {
                let wanted = asked.requested_ip.unwrap_or(asked.client_ip);
                let is_other_server = asked.server_identifier.is_some_and(|server| server != self.own);
                match (wanted == self.gives, is_other_server) {
                    (_, true) => return None,
                    (true, false) => DhcpMessageType::Ack,
                    (false, false) => DhcpMessageType::Nak,
                }
            }
            _ => return None,
        };
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
        let is_given = message_type != DhcpMessageType::Nak;
        let reply = DhcpRepr {
            message_type,
            transaction_id: asked.transaction_id,
            secs: 0,
            client_hardware_address: asked.client_hardware_address,
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: if is_given { self.gives } else { Ipv4Addr::UNSPECIFIED },
            server_ip: self.own,
            router: is_given.then_some(self.own),
            subnet_mask: is_given.then_some(mask.into()),
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(self.own),
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: is_given.then_some(LEASE),
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        Some(self.wrap(ethernet.src_addr(), &reply))
    }

    /// `reply` in a frame to `station`, for whoever has no address yet.
    fn wrap(&self, station: EthernetAddress, reply: &DhcpRepr<'_>) -> Vec<u8> {
        let udp = UdpRepr { src_port: SERVER, dst_port: CLIENT };
        let length = reply.buffer_len();
        let ip = Ipv4Repr {
            src_addr: self.own,
            dst_addr: Ipv4Addr::BROADCAST,
            next_header: IpProtocol::Udp,
            payload_len: udp.header_len() + length,
            hop_limit: 64,
        };
        let mut bytes = vec![0; EthernetFrame::<&[u8]>::header_len() + ip.buffer_len() + ip.payload_len];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
        frame.set_src_addr(EthernetAddress(self.mac));
        frame.set_dst_addr(station);
        frame.set_ethertype(EthernetProtocol::Ipv4);
        let sums = ChecksumCapabilities::default();
        let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
        ip.emit(&mut packet, &sums);
        let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
        let ends = (ip.src_addr.into(), ip.dst_addr.into());
        let fill = |payload: &mut [u8]| {
            // The buffer has the length that the reply asked for: it fits.
            let _ = reply.emit(&mut DhcpPacket::new_unchecked(payload));
        };
        udp.emit(&mut datagram, &ends.0, &ends.1, length, fill, &sums);
        bytes
    }
}
