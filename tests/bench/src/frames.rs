//! Ethernet frames by hand: as much TCP as a client needs that loses nothing.
//!
//! The other end is a guest on a link that neither loses nor reorders, so what is here has
//! no retransmission and no window of its own. In return it decides of every single frame
//! when it is sent, which no socket of a kernel lets its user do.

use std::collections::HashMap;
use std::net::Ipv4Addr;

/// The client's addresses, and the guest's.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// See [`CLIENT`].
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const CLIENT_MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 2];
const BROADCAST: [u8; 6] = [0xff; 6];
/// More than any answer that is waited for.
const WINDOW: u16 = 65_535;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// The ones' complement sum of RFC 1071; 0xffff over what carries its own checksum.
#[must_use]
pub fn sum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// One connection of the client's.
#[derive(Debug, Default)]
struct Flow {
    /// What we send next, and what we expect next.
    next: u32,
    expected: u32,
    established: bool,
    received: Vec<u8>,
}

/// The client: its connections, by their own ports.
#[derive(Debug, Default)]
pub struct Client {
    guest_mac: Option<[u8; 6]>,
    flows: HashMap<u16, Flow>,
    datagrams: u64,
}

impl Client {
    /// Asks for the guest's Ethernet address.
    #[must_use]
    pub fn ask_for_guest(&self) -> Vec<u8> {
        arp(BROADCAST, 1, [0; 6])
    }

    /// Whether the guest has answered that.
    #[must_use]
    pub fn knows_guest(&self) -> bool {
        self.guest_mac.is_some()
    }

    /// Opens a connection from `port` to the guest's port `to`: the SYN.
    pub fn connect(&mut self, port: u16, to: u16) -> Vec<u8> {
        // Any initial number does; others for others show what mixes them up.
        let first = u32::from(port) << 12;
        self.flows.insert(port, Flow { next: first.wrapping_add(1), ..Flow::default() });
        // The option says that segments of 1,460 bytes are welcome.
        self.segment(port, to, first, 0, SYN, &[2, 4, 0x05, 0xb4], &[])
    }

    /// Whether the connection from `port` stands.
    #[must_use]
    pub fn is_established(&self, port: u16) -> bool {
        self.flows.get(&port).is_some_and(|flow| flow.established)
    }

    /// Sends `data` on the connection from `port`, and acknowledges all that came.
    pub fn send(&mut self, port: u16, to: u16, data: &[u8]) -> Vec<u8> {
        let Some(flow) = self.flows.get_mut(&port) else { return Vec::new() };
        let (sequence, expected) = (flow.next, flow.expected);
        flow.next = flow.next.wrapping_add(data.len() as u32);
        self.segment(port, to, sequence, expected, ACK | PSH, &[], data)
    }

    /// What came on the connection from `port` since it was asked for last.
    pub fn take(&mut self, port: u16) -> Vec<u8> {
        self.flows.get_mut(&port).map(|flow| std::mem::take(&mut flow.received)).unwrap_or_default()
    }

    /// A datagram.
    #[must_use]
    pub fn datagram(&self, port: u16, to: u16, data: &[u8]) -> Vec<u8> {
        let mut packet = Vec::from(port.to_be_bytes());
        packet.extend(to.to_be_bytes());
        packet.extend((8 + data.len() as u16).to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(data);
        self.ipv4(17, packet, 6)
    }

    /// How many datagrams came since this was asked last.
    pub fn take_datagrams(&mut self) -> u64 {
        std::mem::take(&mut self.datagrams)
    }

    /// Takes one frame from the guest, and gives the one that has to be sent back, if any.
    ///
    /// # Errors
    /// When the guest resets a connection, or loses or repeats bytes: nothing here loses a
    /// frame, so it has no reason to.
    pub fn take_frame(&mut self, frame: &[u8]) -> Result<Option<Vec<u8>>, String> {
        match frame.get(12..14) {
            Some([8, 6]) => Ok(self.take_arp(frame)),
            Some([8, 0]) => self.take_ipv4(frame),
            // IPv6 and whatever else a guest says by itself.
            _ => Ok(None),
        }
    }

    fn take_arp(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let (operation, sender, asked) = (frame.get(21)?, frame.get(22..28)?, frame.get(38..42)?);
        let sender: [u8; 6] = sender.try_into().ok()?;
        if frame.get(28..32)? == GUEST.octets() {
            self.guest_mac = Some(sender);
        }
        (*operation == 1 && asked == CLIENT.octets()).then(|| arp(sender, 2, sender))
    }

    fn take_ipv4(&mut self, frame: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let short = || "a frame that ends too early".to_string();
        let packet = frame.get(14..).ok_or_else(short)?;
        let header = usize::from(packet.first().ok_or_else(short)? & 15) * 4;
        let length = usize::from(u16::from_be_bytes([
            *packet.get(2).ok_or_else(short)?,
            *packet.get(3).ok_or_else(short)?,
        ]));
        let payload = packet.get(header..length).ok_or_else(short)?;
        match packet.get(9) {
            Some(17) => {
                self.datagrams += 1;
                Ok(None)
            }
            Some(6) => self.take_segment(payload),
            _ => Ok(None),
        }
    }

    fn take_segment(&mut self, segment: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let head: [u8; 20] = segment
            .get(..20)
            .and_then(|head| head.try_into().ok())
            .ok_or("a TCP header that ends too early")?;
        let from = u16::from_be_bytes([head[0], head[1]]);
        let port = u16::from_be_bytes([head[2], head[3]]);
        let sequence = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let flags = head[13];
        let data = segment.get(usize::from(head[12] >> 4) * 4..).ok_or("a TCP header that ends too early")?;
        let Some(flow) = self.flows.get_mut(&port) else { return Ok(None) };
        if flags & RST != 0 {
            return Err(format!("the guest reset the connection from port {port}"));
        }
        if flags & SYN != 0 {
            flow.expected = sequence.wrapping_add(1);
            flow.established = true;
            let (next, expected) = (flow.next, flow.expected);
            return Ok(Some(self.segment(port, from, next, expected, ACK, &[], &[])));
        }
        if flags & FIN != 0 {
            return Err(format!("the guest closed the connection from port {port}"));
        }
        if !data.is_empty() && sequence != flow.expected {
            return Err(format!("expected byte {} on port {port}, not {sequence}", flow.expected));
        }
        flow.expected = flow.expected.wrapping_add(data.len() as u32);
        flow.received.extend(data);
        Ok(None)
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of a header")]
    fn segment(
        &self,
        port: u16,
        to: u16,
        sequence: u32,
        acknowledged: u32,
        flags: u8,
        options: &[u8],
        data: &[u8],
    ) -> Vec<u8> {
        let mut packet = Vec::from(port.to_be_bytes());
        packet.extend(to.to_be_bytes());
        packet.extend(sequence.to_be_bytes());
        packet.extend(acknowledged.to_be_bytes());
        packet.push(((20 + options.len()) as u8 / 4) << 4);
        packet.push(flags);
        packet.extend(WINDOW.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(options);
        packet.extend(data);
        self.ipv4(6, packet, 16)
    }

    /// An Ethernet frame with an IPv4 packet of `payload`, whose checksum belongs at `at`.
    fn ipv4(&self, protocol: u8, mut payload: Vec<u8>, at: usize) -> Vec<u8> {
        let mut pseudo = Vec::from(CLIENT.octets());
        pseudo.extend(GUEST.octets());
        pseudo.extend([0, protocol]);
        pseudo.extend((payload.len() as u16).to_be_bytes());
        pseudo.extend(&payload);
        payload[at..at + 2].copy_from_slice(&(!sum(&pseudo)).to_be_bytes());

        let mut header = vec![0x45, 0];
        header.extend((20 + payload.len() as u16).to_be_bytes());
        header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
        header.extend(CLIENT.octets());
        header.extend(GUEST.octets());
        let check = !sum(&header);
        header[10..12].copy_from_slice(&check.to_be_bytes());

        let mut frame = Vec::from(self.guest_mac.unwrap_or(BROADCAST));
        frame.extend(CLIENT_MAC);
        frame.extend([8, 0]);
        frame.extend(header);
        frame.extend(payload);
        frame
    }
}

/// An ARP request (1) for the guest, or a reply (2) to it (RFC 826).
fn arp(to: [u8; 6], operation: u8, target: [u8; 6]) -> Vec<u8> {
    let mut frame = Vec::from(to);
    frame.extend(CLIENT_MAC);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(CLIENT_MAC);
    frame.extend(CLIENT.octets());
    frame.extend(target);
    frame.extend(GUEST.octets());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frame of a guest's that has `ports` and `data`, made of one of the client's.
    fn from_guest(sequence: u32, flags: u8, data: &[u8]) -> Vec<u8> {
        let mut frame = Client::default().segment(80, 4000, sequence, 0, flags, &[], data);
        frame.splice(26..34, GUEST.octets().into_iter().chain(CLIENT.octets()));
        frame
    }

    #[test]
    fn sums_are_right() {
        let mut client = Client::default();
        let syn = client.connect(4000, 80);
        assert_eq!(sum(&syn[14..34]), 0xffff);
        let mut pseudo = Vec::from(&syn[26..34]);
        pseudo.extend([0, 6, 0, 24]);
        pseudo.extend(&syn[34..]);
        assert_eq!(sum(&pseudo), 0xffff);
        assert_eq!(sum(&[1, 2, 3]), 0x0402);
    }

    #[test]
    fn a_connection_opens_and_carries_bytes() {
        let mut client = Client::default();
        let _ = client.connect(4000, 80);
        assert!(!client.is_established(4000));
        let ack = client.take_frame(&from_guest(99, SYN | ACK, &[])).expect("right").expect("an answer");
        assert_eq!(ack[42..46], 100_u32.to_be_bytes());
        assert!(client.is_established(4000));
        assert_eq!(client.take_frame(&from_guest(100, ACK, b"abc")), Ok(None));
        assert_eq!(client.take(4000), b"abc");
        let data = client.send(4000, 80, b"hi");
        assert_eq!(data[42..46], 103_u32.to_be_bytes());
        assert!(data.ends_with(b"hi"));
        assert!(client.take_frame(&from_guest(100, ACK, b"abc")).is_err(), "repeated");
        assert!(client.take_frame(&from_guest(103, RST, &[])).is_err());
    }

    #[test]
    fn the_guest_is_found_and_finds_us() {
        let mut client = Client::default();
        let mut asks = arp(BROADCAST, 1, [0; 6]);
        asks[22..32].copy_from_slice(&[1, 1, 1, 1, 1, 1, 10, 0, 2, 15]);
        asks[38..42].copy_from_slice(&CLIENT.octets());
        let reply = client.take_frame(&asks).expect("right").expect("a reply");
        assert_eq!(reply[..6], [1; 6]);
        assert_eq!(reply[21], 2);
        assert!(client.knows_guest());
        assert_eq!(client.datagram(1, 7, b"x")[..6], [1; 6]);
    }

    #[test]
    fn frames_that_end_too_early_are_errors_or_nothing() {
        let mut client = Client::default();
        let whole = client.connect(4000, 80);
        for cut in 0..whole.len() {
            let _ = client.take_frame(&whole[..cut]);
        }
    }
}
