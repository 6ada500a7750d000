//! A TCP peer whose every segment a test makes by hand, on a [`Hub`].
//!
//! It does nothing by itself: what isn't acknowledged stays so, what is lost isn't sent again.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, TcpPacket};
use smoltcp::wire::{TcpSeqNumber, checksum};

use crate::hub::{GUEST, GUEST_MAC, Hub, mac_of};

/// The station that peers are.
pub const STATION: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 77);
/// How long the guest may take to answer what it must answer at once.
pub const SOON: Duration = Duration::from_secs(3);
/// How long it is listened to when it should say nothing.
pub const A_WHILE: Duration = Duration::from_millis(150);

/// Flags of a segment (RFC 9293, section 3.1).
pub const FIN: u8 = 1;
/// See [`FIN`].
pub const SYN: u8 = 2;
/// See [`FIN`].
pub const RST: u8 = 4;
/// See [`FIN`].
pub const PSH: u8 = 8;
/// See [`FIN`].
pub const ACK: u8 = 16;
/// See [`FIN`].
pub const URG: u8 = 32;

/// Bytes of the headers of Ethernet and IPv4.
const ETHERNET: usize = 14;
const IPV4: usize = 20;
const TCP: usize = 20;

/// What went wrong, for people.
pub type Wrong = String;

/// A segment of TCP, from us or from the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Our port.
    pub port: u16,
    /// The guest's.
    pub to: u16,
    /// The number of its first byte.
    pub sequence: u32,
    /// What its sender expects next; 0 without [`ACK`].
    pub acknowledgement: u32,
    /// [`FIN`] and so on.
    pub flags: u8,
    /// What its sender has room for, not scaled.
    pub window: u16,
    /// A multiple of four bytes, at most 40.
    pub options: Vec<u8>,
    /// What it carries.
    pub data: Vec<u8>,
}

impl Segment {
    /// Whether all of `flags` are set.
    #[must_use]
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// As a frame from [`STATION`] to the guest.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let mut segment = vec![0; TCP + self.options.len() + self.data.len()];
        let mut tcp = TcpPacket::new_unchecked(&mut segment[..]);
        tcp.set_src_port(self.port);
        tcp.set_dst_port(self.to);
        tcp.set_seq_number(TcpSeqNumber(self.sequence as i32));
        tcp.set_ack_number(TcpSeqNumber(self.acknowledgement as i32));
        tcp.set_header_len((TCP + self.options.len()) as u8);
        tcp.set_window_len(self.window);
        segment[13] = self.flags;
        segment[TCP..TCP + self.options.len()].copy_from_slice(&self.options);
        segment[TCP + self.options.len()..].copy_from_slice(&self.data);
        let sum = !checksum::combine(&[
            checksum::pseudo_header_v4(&STATION, &GUEST, IpProtocol::Tcp, segment.len() as u32),
            checksum::data(&segment),
        ]);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        frame(STATION, GUEST, IpProtocol::Tcp, &segment)
    }

    /// Reads a frame from the guest; `None` for one that holds no segment to [`STATION`].
    ///
    /// # Errors
    /// When a checksum is wrong: the guest has to write it itself here.
    pub fn read(bytes: &[u8]) -> Result<Option<Segment>, Wrong> {
        let Ok(ethernet) = EthernetFrame::new_checked(bytes) else { return Ok(None) };
        let Ok(packet) = Ipv4Packet::new_checked(ethernet.payload()) else { return Ok(None) };
        if packet.next_header() != IpProtocol::Tcp || packet.dst_addr() != STATION {
            return Ok(None);
        }
        let tcp = TcpPacket::new_checked(packet.payload())
            .map_err(|_| format!("the guest sent a segment with a wrong header: {bytes:02x?}"))?;
        if !packet.verify_checksum() || !tcp.verify_checksum(&GUEST.into(), &STATION.into()) {
            return Err(format!("the guest sent a wrong checksum: {bytes:02x?}"));
        }
        Ok(Some(Segment {
            port: tcp.dst_port(),
            to: tcp.src_port(),
            sequence: tcp.seq_number().0 as u32,
            acknowledgement: if tcp.ack() { tcp.ack_number().0 as u32 } else { 0 },
            flags: packet.payload()[13],
            window: tcp.window_len(),
            options: tcp.options().to_vec(),
            data: tcp.payload().to_vec(),
        }))
    }
}

/// An Ethernet frame to the guest with an IPv4 packet of `payload`.
#[must_use]
pub fn frame(from: Ipv4Addr, to: Ipv4Addr, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; ETHERNET + IPV4 + payload.len()];
    let mut ethernet = EthernetFrame::new_unchecked(&mut bytes[..]);
    ethernet.set_dst_addr(EthernetAddress(GUEST_MAC));
    ethernet.set_src_addr(EthernetAddress(mac_of(from)));
    ethernet.set_ethertype(EthernetProtocol::Ipv4);
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes[ETHERNET..]);
    packet.set_version(4);
    packet.set_header_len(IPV4 as u8);
    packet.set_total_len((IPV4 + payload.len()) as u16);
    packet.set_dont_frag(true);
    packet.set_hop_limit(64);
    packet.set_next_header(protocol);
    packet.set_src_addr(from);
    packet.set_dst_addr(to);
    packet.payload_mut().copy_from_slice(payload);
    packet.fill_checksum();
    bytes
}

/// One connection to the guest. When it is dropped, it is reset, so that it takes no place.
#[derive(Debug)]
pub struct Conn<'a> {
    hub: &'a Hub,
    /// Our port.
    pub port: u16,
    /// The guest's.
    pub to: u16,
    /// The number of our next byte.
    pub next: u32,
    /// The number of the guest's next byte.
    pub expected: u32,
    /// What we say that we have room for.
    pub window: u16,
    /// What the guest acknowledged last.
    pub acknowledged: u32,
    /// What came and wasn't taken.
    pub received: Vec<u8>,
    /// Whether the guest's FIN came.
    pub ended: bool,
}

impl<'a> Conn<'a> {
    /// A connection that isn't opened yet, from a port and with a number of its own.
    #[must_use]
    pub fn new(hub: &'a Hub, to: u16) -> Conn<'a> {
        thread_local!(static NUMBER: Cell<u32> = const { Cell::new(0xffff_ff00) });
        // The first ones wrap around.
        let next = NUMBER.replace(NUMBER.get().wrapping_mul(5).wrapping_add(12345));
        Conn {
            hub,
            port: hub.port(),
            to,
            next,
            expected: 0,
            window: 60_000,
            acknowledged: next,
            received: Vec::new(),
            ended: false,
        }
    }

    /// One that stands.
    ///
    /// # Errors
    /// When the guest doesn't answer as it should.
    pub fn open(hub: &'a Hub, to: u16) -> Result<Conn<'a>, Wrong> {
        let mut conn = Conn::new(hub, to);
        conn.request()?;
        conn.say(ACK, b"");
        Ok(conn)
    }

    /// Sends the SYN and takes its answer; the last segment of the handshake is left to the caller.
    ///
    /// # Errors
    /// When there is no answer, or a wrong one.
    pub fn request(&mut self) -> Result<Segment, Wrong> {
        // Maximum segment size 1,460.
        let syn = Segment { options: vec![2, 4, 5, 180], ..self.segment(SYN, 0, b"") };
        self.send(&Segment { acknowledgement: 0, ..syn });
        self.next = self.next.wrapping_add(1);
        let next = self.next;
        let answer = self.expect("the answer to a SYN", SOON, |answer| answer.has(SYN | ACK))?;
        if answer.acknowledgement != next {
            return Err(format!("a SYN was answered for byte {}, not {next}", answer.acknowledgement));
        }
        self.expected = answer.sequence.wrapping_add(1);
        Ok(answer)
    }

    /// The segment with `flags` and `data`, `offset` bytes from where we are.
    #[must_use]
    pub fn segment(&self, flags: u8, offset: i64, data: &[u8]) -> Segment {
        Segment {
            port: self.port,
            to: self.to,
            sequence: self.next.wrapping_add(offset as u32),
            acknowledgement: if flags & ACK != 0 { self.expected } else { 0 },
            flags,
            window: self.window,
            options: Vec::new(),
            data: data.to_vec(),
        }
    }

    /// Sends it.
    pub fn send(&self, segment: &Segment) {
        self.hub.send(segment.frame());
    }

    /// Sends a segment `offset` bytes from where we are, and stays there.
    pub fn at(&self, offset: i64, flags: u8, data: &[u8]) {
        self.send(&self.segment(flags, offset, data));
    }

    /// Sends a segment from where we are, and goes on.
    pub fn say(&mut self, flags: u8, data: &[u8]) {
        self.at(0, flags, data);
        let numbers = data.len() as u32 + u32::from(flags & FIN != 0) + u32::from(flags & SYN != 0);
        self.next = self.next.wrapping_add(numbers);
    }

    /// The next segment on this connection.
    ///
    /// # Errors
    /// When it isn't well formed.
    pub fn take(&mut self, within: Duration) -> Result<Option<Segment>, Wrong> {
        let end = Instant::now() + within;
        while let Some(frame) = self.hub.take(end.saturating_duration_since(Instant::now())) {
            let Some(segment) = Segment::read(&frame)? else { continue };
            if (segment.port, segment.to) == (self.port, self.to) {
                if segment.has(ACK) {
                    self.acknowledged = segment.acknowledgement;
                }
                return Ok(Some(segment));
            }
        }
        Ok(None)
    }

    /// Waits for a segment of which `is_it`; others are passed over.
    ///
    /// # Errors
    /// When none comes; what came instead is in the message.
    pub fn expect(
        &mut self,
        what: &str,
        within: Duration,
        is_it: impl Fn(&Segment) -> bool,
    ) -> Result<Segment, Wrong> {
        let end = Instant::now() + within;
        let mut others = Vec::new();
        while let Some(segment) = self.take(end.saturating_duration_since(Instant::now()))? {
            if is_it(&segment) {
                return Ok(segment);
            }
            others.push(segment);
        }
        others.truncate(5);
        Err(format!("no {what} within {within:?}, but {others:?}"))
    }

    /// Listens for a while in which no segment of which `is_it` may come.
    ///
    /// # Errors
    /// When one comes.
    pub fn never(&mut self, what: &str, is_it: impl Fn(&Segment) -> bool) -> Result<(), Wrong> {
        let end = Instant::now() + A_WHILE;
        while let Some(segment) = self.take(end.saturating_duration_since(Instant::now()))? {
            if is_it(&segment) {
                return Err(format!("{what}: {segment:?}"));
            }
        }
        Ok(())
    }

    /// Takes what comes in order, and acknowledges it, until `done`.
    ///
    /// # Errors
    /// When it takes longer than `within`, or the guest resets the connection.
    pub fn absorb(
        &mut self,
        what: &str,
        within: Duration,
        done: impl Fn(&Conn<'_>) -> bool,
    ) -> Result<(), Wrong> {
        let end = Instant::now() + within;
        while !done(self) {
            let Some(segment) = self.take(end.saturating_duration_since(Instant::now()))? else {
                return Err(format!("no {what} within {within:?}; {} bytes came", self.received.len()));
            };
            if segment.has(RST) {
                return Err(format!("the guest reset the connection before {what}: {segment:?}"));
            }
            if self.accept(&segment) {
                self.at(0, ACK, b"");
            }
        }
        Ok(())
    }

    /// Takes the data and the FIN of `segment` if they are what is next; whether they were.
    pub fn accept(&mut self, segment: &Segment) -> bool {
        let known = self.expected.wrapping_sub(segment.sequence);
        let has_news = segment.data.len() as u32 + u32::from(segment.has(FIN)) > known && known < 1 << 31;
        if segment.has(SYN) || !has_news {
            return false;
        }
        let data = segment.data.get(known as usize..).unwrap_or_default();
        self.received.extend(data);
        self.expected = self.expected.wrapping_add(data.len() as u32);
        if segment.has(FIN) && !self.ended {
            self.expected = self.expected.wrapping_add(1);
            self.ended = true;
        }
        true
    }

    /// Whether the guest has acknowledged all that we said.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        self.acknowledged == self.next
    }

    /// Says `data` to an echo, and waits until just that comes back: the connection lives.
    ///
    /// # Errors
    /// When something else comes back, or nothing.
    pub fn echo(&mut self, data: &[u8]) -> Result<(), Wrong> {
        self.received.clear();
        self.say(ACK | PSH, data);
        let length = data.len();
        self.absorb("the echo", SOON, |conn| conn.received.len() >= length)?;
        let came = std::mem::take(&mut self.received);
        if came == data { Ok(()) } else { Err(format!("{data:?} came back as {came:?}")) }
    }
}

impl Drop for Conn<'_> {
    fn drop(&mut self) {
        // A reset counts at exactly the next number, which is what the guest acknowledged last.
        for next in [self.next, self.acknowledged] {
            self.send(&Segment { sequence: next, ..self.segment(RST, 0, b"") });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let segment = Segment {
            port: 7,
            to: 80,
            sequence: 0x8000_0001,
            acknowledgement: 9,
            flags: ACK | PSH,
            window: 100,
            options: vec![1, 1, 1, 0],
            data: b"abc".to_vec(),
        };
        let mut bytes = segment.frame();
        // From the guest's side: both addresses exchanged, which changes no sum.
        let (from, to) = (STATION.octets(), GUEST.octets());
        bytes[26..30].copy_from_slice(&to);
        bytes[30..34].copy_from_slice(&from);
        let read = Segment::read(&bytes).expect("right sums").expect("a segment");
        assert_eq!(read, Segment { port: 80, to: 7, ..segment });
        bytes[50] ^= 1;
        assert!(Segment::read(&bytes).is_err());
        assert_eq!(Segment::read(&bytes[..20]), Ok(None));
    }
}
