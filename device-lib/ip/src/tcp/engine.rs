//! smoltcp, one connection at a time.
//!
//! smoltcp keeps its sockets in sets and searches them; here every connection is a set of
//! its own, and the segment that is given to it is known to be its. First sequence numbers
//! come from the seed of an `Interface`: a connection begins in an interface of its own, whose
//! seed is computed back from the number that is wanted.

use alloc::vec::Vec;
use core::num::NonZeroU16;

use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
#[cfg(feature = "segmentation")]
use smoltcp::phy::PacketMeta;
use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{self, State};
use smoltcp::time::{Duration as SmolDuration, Instant as SmolInstant};
use smoltcp::wire::{HardwareAddress, IpCidr};
use unik::interface::{Frames, Offload, Offloads};
use unik::time::Instant;

use super::flow::Flow;
use super::segment::acknowledgement;
use super::timestamps;
use crate::address::Address;
use crate::link::{self, Link, Mac};

/// A silent peer is asked for a sign of life after this time …
const KEEP_ALIVE: SmolDuration = SmolDuration::from_secs(60);
/// … and given up after this one, as one that acknowledges nothing (RFC 1122, 4.2.3.5: R2 ≥ 100 s).
const TIMEOUT: SmolDuration = SmolDuration::from_secs(120);

/// smoltcp's interface and what it is made of.
pub(crate) struct Engine {
    capabilities: DeviceCapabilities,
    /// That of the connection that had the last turn.
    interface: Interface,
    path: Path,
    /// For segments that belong to no connection: smoltcp answers them with RST.
    nobody: SocketSet<'static>,
}

impl core::fmt::Debug for Engine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Engine").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What smoltcp must know of the way of a connection's segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// Our address.
    pub own: Address,
    /// The largest packet, header included.
    pub mtu: u16,
}

/// The numbers of a segment that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// The sequence number after it.
    pub next: u32,
    pub acknowledgement: u32,
    /// The window, as it was sent.
    pub window: u16,
}

/// What a poll brought about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Polled {
    /// The last segment that was sent.
    pub sent: Option<Sent>,
    /// The transmit ring was full.
    pub blocked: bool,
}

impl Sent {
    /// Reads the numbers of a packet of smoltcp's: its headers have neither options nor extensions.
    fn of(packet: &[u8]) -> Option<Sent> {
        let segment = packet.get(if packet.first()? >> 4 == 4 { 20 } else { 40 }..)?;
        let (header, _) = segment.split_first_chunk::<20>()?;
        let word =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let data = segment.len().checked_sub(usize::from(header[12] >> 4) * 4)?;
        // FIN and SYN have a number each.
        let flags = u32::from(header[13] & 1) + u32::from(header[13] >> 1 & 1);
        Some(Sent {
            next: word(4).wrapping_add(data as u32).wrapping_add(flags),
            acknowledgement: word(8),
            window: u16::from_be_bytes([header[14], header[15]]),
        })
    }
}

impl Engine {
    /// For a link that takes over so much of sending.
    pub fn new(offloads: Offloads, path: Path) -> Self {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        // What comes in was verified before it gets here.
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities.checksum.tcp = if offloads.checksum { Checksum::None } else { Checksum::Tx };
        #[cfg(feature = "segmentation")]
        {
            // Without the link's header, of which smoltcp knows nothing here. Of IPv6 it drops what
            // is longer than the link's packets.
            let longest = offloads.segmentation.map(|longest| longest.saturating_sub(link::HEADER));
            capabilities.segmentation.tcpv4 = longest.and_then(core::num::NonZeroUsize::new);
        }
        let interface = seeded(&mut capabilities, path, 0, Instant::START);
        Engine { capabilities, interface, path, nobody: SocketSet::new(Vec::new()) }
    }

    /// An interface for a connection of ours that begins with the sequence number `number`.
    pub fn numbered(&mut self, path: Path, number: u32, now: Instant) -> Interface {
        seeded(&mut self.capabilities, path, seed_of(number), now)
    }

    /// Gives `packet` to the connection in `sockets`; replies go to `station`.
    pub fn receive<F: Frames>(
        &mut self,
        link: &mut Link<F>,
        (station, path): (Mac, Path),
        sockets: &mut SocketSet<'static>,
        packet: &[u8],
        now: Instant,
    ) -> Polled {
        self.turn_to(path, now);
        let sink = Some(Wire { link, station, own: path.own });
        let mut device =
            Adapter { capabilities: &self.capabilities, incoming: Some(packet), sink, polled: IDLE };
        self.interface.poll_ingress_single(to_smoltcp(now), &mut device, sockets);
        device.polled
    }

    /// Has smoltcp send the oldest segment of `flow` again in its next turn: see
    /// [`recovery`](super::recovery).
    pub fn resend<F: Frames>(&mut self, link: &mut Link<F>, station: Mac, flow: &mut Flow, now: Instant) {
        // In LAST-ACK smoltcp answers such acknowledgements, and of a FIN alone it would forget that
        // it has to be sent again: its timer has to do.
        if flow.state() == State::LastAck || flow.socket().send_queue() == 0 {
            return;
        }
        let Some(recovery) = flow.recovery else { return };
        let (number, windows) = recovery.persuasion();
        for window in windows {
            let packet = acknowledgement(flow.key, flow.expected(), number, window);
            self.receive(link, (station, flow.path), &mut flow.sockets, &packet, now);
        }
    }

    /// Refuses `packet` with RST, unless it is one.
    pub fn refuse<F: Frames>(&mut self, link: &mut Link<F>, to: (Mac, Path), packet: &[u8], now: Instant) {
        let mut nobody = core::mem::replace(&mut self.nobody, SocketSet::new(Vec::new()));
        self.receive(link, to, &mut nobody, packet, now);
        self.nobody = nobody;
    }

    /// Lets the connection in `sockets` send one segment; `None` if it has none to send.
    pub fn send<F: Frames>(
        &mut self,
        link: &mut Link<F>,
        (station, path): (Mac, Path),
        sockets: &mut SocketSet<'static>,
        now: Instant,
    ) -> Option<Polled> {
        self.turn_to(path, now);
        let sink = Some(Wire { link, station, own: path.own });
        let mut device = Adapter { capabilities: &self.capabilities, incoming: None, sink, polled: IDLE };
        let result = self.interface.poll_egress(to_smoltcp(now), &mut device, sockets);
        (result == PollResult::SocketStateChanged || device.polled.blocked).then_some(device.polled)
    }

    /// When the connection in `sockets` has something to send or to give up.
    pub fn next_deadline(&mut self, sockets: &SocketSet<'static>, now: Instant) -> Option<Instant> {
        self.interface.poll_at(to_smoltcp(now), sockets).map(from_smoltcp)
    }

    /// Plays the beginning of a handshake that was answered without it: `packet` being its SYN,
    /// and `number` our first sequence number. Returns what smoltcp would have sent.
    pub fn replay_syn<F: Frames>(
        &mut self,
        path: Path,
        number: u32,
        sockets: &mut SocketSet<'static>,
        packet: &[u8],
        now: Instant,
    ) -> Option<Sent> {
        let mut interface = self.numbered(path, number, now);
        let now = to_smoltcp(now);
        let mut device = Adapter {
            capabilities: &self.capabilities,
            incoming: Some(packet),
            sink: None::<Wire<'_, F>>,
            polled: IDLE,
        };
        let taken = interface.poll_ingress_single(now, &mut device, sockets);
        if taken == PollIngressSingleResult::None || device.polled.sent.is_some() {
            return None;
        }
        interface.poll_egress(now, &mut device, sockets);
        device.polled.sent
    }

    /// Makes the interface that of a connection on `path`: nothing in it is a connection's but that.
    fn turn_to(&mut self, path: Path, now: Instant) {
        if path == self.path {
            return;
        }
        if path.mtu == self.path.mtu {
            set_address(&mut self.interface, path.own);
        } else {
            self.interface = seeded(&mut self.capabilities, path, 0, now);
        }
        self.path = path;
    }
}

fn seeded(capabilities: &mut DeviceCapabilities, path: Path, seed: u64, now: Instant) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    capabilities.max_transmission_unit = usize::from(path.mtu);
    let mut device = Description(capabilities);
    let mut interface = Interface::new(config, &mut device, to_smoltcp(now));
    set_address(&mut interface, path.own);
    interface
}

fn set_address(interface: &mut Interface, own: Address) {
    let length = if own.header() == 20 { 32 } else { 128 };
    interface.update_ip_addrs(|addresses| {
        addresses.clear();
        // The list has room for one: it is empty.
        let _ = addresses.push(IpCidr::new(own.into(), length));
    });
}

/// The seed with which the first sequence number that smoltcp 0.14 makes up is `number`.
///
/// Its generator multiplies and adds, and gives bits 29 to 60 of the result if those above are
/// zero; the first number goes into the identification of fragments, and another is taken if
/// sixteen bits of it are zero. Whether it is still so is asserted by a test, and asked of each
/// connection.
fn seed_of(number: u32) -> u64 {
    const ADD: u64 = 0x7590_ef39;
    /// The inverse of the multiplier 0xbb2efcec3c39611d, modulo 2^64.
    const INVERSE: u64 = inverse(0xbb2e_fcec_3c39_611d);
    let mut below = 0;
    loop {
        let second = u64::from(number) << 29 | below;
        let first = second.wrapping_sub(ADD).wrapping_mul(INVERSE);
        let output = (first >> (29 - (first >> 61))) as u32;
        if (output ^ output >> 16) as u16 != 0 {
            return first.wrapping_sub(ADD).wrapping_mul(INVERSE);
        }
        below += 1;
    }
}

/// The inverse of an odd number, by Newton's iteration.
const fn inverse(number: u64) -> u64 {
    let mut inverse = number;
    let mut bits = 3;
    while bits < 64 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(number.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
}

/// A set of one connection with buffers of `receive` and `transmit` bytes; `None` if memory
/// is short. `stamped`: with timestamps, where the peer has them.
pub(crate) fn socket(
    receive: usize,
    transmit: usize,
    stamped: bool,
) -> Option<(SocketSet<'static>, SocketHandle)> {
    let buffer = |size: usize| {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).ok()?;
        bytes.resize(size, 0);
        Some(tcp::SocketBuffer::new(bytes))
    };
    let mut socket = tcp::Socket::new(buffer(receive)?, buffer(transmit)?);
    socket.set_timeout(Some(TIMEOUT));
    socket.set_keep_alive(Some(KEEP_ALIVE));
    // A turn sends what all writes of the services have left in the buffer: there are no
    // tinygrams to wait for.
    socket.set_nagle_enabled(false);
    if timestamps::ENABLED && stamped {
        // Until the peer turns out to have none.
        socket.set_tsval_generator(Some(timestamps::get));
    }
    socket.set_congestion_control(tcp::CongestionControl::Reno);
    let mut storage = Vec::new();
    storage.try_reserve_exact(1).ok()?;
    let mut set = SocketSet::new(storage);
    let handle = set.add(socket);
    Some((set, handle))
}

pub(crate) fn to_smoltcp(instant: Instant) -> SmolInstant {
    SmolInstant::from_micros((instant.as_nanos() / 1000) as i64)
}

fn from_smoltcp(instant: SmolInstant) -> Instant {
    Instant::from_nanos(u64::try_from(instant.total_micros()).unwrap_or(0).saturating_mul(1000))
}

const IDLE: Polled = Polled { sent: None, blocked: false };

/// Where a segment goes.
trait Sink {
    fn has_room(&mut self) -> bool;
    /// `segment`: how much data each segment may have, if the device is to cut this one.
    fn send<R>(&mut self, length: usize, segment: Option<NonZeroU16>, fill: impl FnOnce(&mut [u8]) -> R)
    -> R;
}

/// To a station on the link.
struct Wire<'a, F> {
    link: &'a mut Link<F>,
    station: Mac,
    own: Address,
}

impl<F: Frames> Sink for Wire<'_, F> {
    fn has_room(&mut self) -> bool {
        self.link.frames.can_transmit()
    }

    fn send<R>(
        &mut self,
        length: usize,
        segment: Option<NonZeroU16>,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        // `fill` is needed again should the ring be full, so it waits outside.
        let mut fill = Some(fill);
        let (station, kind) = (self.station, self.own.ether_type());
        let sent = if self.link.frames.offloads().checksum {
            let head = self.own.header();
            let offload = Offload { segment, ..offload(head) };
            self.link.transmit_offloaded(station, kind, length, offload, |packet| {
                let result = fill.take().map(|fill| fill(packet));
                write_partial_checksum(packet, head);
                result
            })
        } else {
            self.link.transmit(station, kind, length, |packet| fill.take().map(|fill| fill(packet)))
        };
        match (sent, fill) {
            (Ok(Some(result)), _) => result,
            (_, Some(fill)) => {
                // A reply to a segment: TCP lives with its loss, but insists on writing it.
                self.link.counters.replies_dropped += 1;
                fill(&mut alloc::vec![0; length])
            }
            (_, None) => unreachable!("`transmit` calls `fill` once or not at all"),
        }
    }
}

/// Where the checksum of a segment is that the device computes, behind a header of `head` bytes:
/// smoltcp's have neither options nor extensions.
const fn offload(head: usize) -> Offload {
    Offload { transport: (link::HEADER + head) as u16, checksum: CHECKSUM as u16, segment: None }
}
/// Where it is in the header of TCP.
const CHECKSUM: usize = 16;
/// The number of TCP in the header before.
const TCP: u32 = 6;

/// Writes the sum over the pseudo-header (RFC 9293, section 3.1) where the checksum belongs.
fn write_partial_checksum(packet: &mut [u8], head: usize) {
    let Some((header, segment)) = packet.split_at_mut_checked(head) else { return };
    // The addresses stand at the end of both families' headers.
    let addresses = &header[if head == 40 { 8 } else { 12 }..];
    let words = addresses.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum = words.sum::<u32>() + TCP + segment.len() as u32;
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    if let Some(field) = segment.get_mut(CHECKSUM..CHECKSUM + 2) {
        field.copy_from_slice(&(sum as u16).to_be_bytes());
    }
}

/// To nobody, if it is none: a type of its own would bring all of smoltcp a second time.
impl<S: Sink> Sink for Option<S> {
    fn has_room(&mut self) -> bool {
        self.as_mut().is_none_or(Sink::has_room)
    }

    fn send<R>(
        &mut self,
        length: usize,
        segment: Option<NonZeroU16>,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        match self {
            Some(sink) => sink.send(length, segment, fill),
            None => fill(&mut alloc::vec![0; length]),
        }
    }
}

/// One packet in, and the way out, as smoltcp wants them.
struct Adapter<'a, S> {
    capabilities: &'a DeviceCapabilities,
    incoming: Option<&'a [u8]>,
    sink: S,
    polled: Polled,
}

struct Incoming<'a>(&'a [u8]);

impl RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

struct Outgoing<'a, S> {
    sink: &'a mut S,
    polled: &'a mut Polled,
    segment: Option<NonZeroU16>,
}

impl<S: Sink> TxToken for Outgoing<'_, S> {
    #[cfg(feature = "segmentation")]
    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment = meta.segmentation_offload_size;
    }

    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let polled = self.polled;
        self.sink.send(length, self.segment, |packet| {
            let result = f(packet);
            polled.sent = Sent::of(packet).or(polled.sent);
            result
        })
    }
}

/// What such a device never gives.
enum NoToken {}

impl TxToken for NoToken {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, _: usize, _: F) -> R {
        match self {}
    }
}

/// A device that is only described: an interface begins without any traffic.
struct Description<'a>(&'a DeviceCapabilities);

impl Device for Description<'_> {
    type RxToken<'b>
        = Incoming<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = NoToken
    where
        Self: 'b;

    fn receive(&mut self, _now: SmolInstant) -> Option<(Incoming<'_>, NoToken)> {
        None
    }

    fn transmit(&mut self, _now: SmolInstant) -> Option<NoToken> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.0.clone()
    }
}

impl<S: Sink> Device for Adapter<'_, S> {
    type RxToken<'b>
        = Incoming<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Outgoing<'b, S>
    where
        Self: 'b;

    fn receive(&mut self, _now: SmolInstant) -> Option<(Incoming<'_>, Outgoing<'_, S>)> {
        let packet = self.incoming.take()?;
        Some((Incoming(packet), Outgoing { sink: &mut self.sink, polled: &mut self.polled, segment: None }))
    }

    fn transmit(&mut self, _now: SmolInstant) -> Option<Outgoing<'_, S>> {
        if !self.sink.has_room() {
            self.polled.blocked = true;
            return None;
        }
        Some(Outgoing { sink: &mut self.sink, polled: &mut self.polled, segment: None })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.capabilities.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::segment::{Key, Syn, scale_of};
    use core::net::Ipv4Addr;

    /// Keeps the last packet.
    struct Kept<'a>(&'a mut Vec<u8>);

    impl Sink for Kept<'_> {
        fn has_room(&mut self) -> bool {
            true
        }

        fn send<R>(&mut self, length: usize, _: Option<NonZeroU16>, fill: impl FnOnce(&mut [u8]) -> R) -> R {
            *self.0 = alloc::vec![0; length];
            fill(self.0)
        }
    }

    #[test]
    fn smoltcp_scales_windows_as_our_answers_say() {
        let own: Address = Ipv4Addr::new(10, 0, 0, 2).into();
        let path = Path { own, mtu: 1500 };
        let mut engine = Engine::new(Offloads::default(), path);
        let key = Key { peer: Ipv4Addr::new(10, 0, 0, 7).into(), own, peer_port: 5, port: 80 };
        let syn = Syn {
            sequence: 7,
            window: 1000,
            segment_size: None,
            window_scale: Some(0),
            selective: false,
            timestamp: None,
        };
        let packet = syn.packet(key);
        for (size, scale) in
            [(2048, 0), (60 << 10, 0), (65_535, 0), (65_536, 1), (100_000, 1), (1 << 20, 5), (4 << 20, 7)]
        {
            let (mut sockets, handle) = socket(size, 2048, false).unwrap();
            sockets.get_mut::<tcp::Socket<'_>>(handle).listen(80).unwrap();
            let (mut interface, mut sent) = (engine.numbered(path, 1, Instant::START), Vec::new());
            let sink = Kept(&mut sent);
            let capabilities = &engine.capabilities;
            let mut device = Adapter { capabilities, incoming: Some(&packet), sink, polled: IDLE };
            interface.poll_ingress_single(to_smoltcp(Instant::START), &mut device, &mut sockets);
            interface.poll_egress(to_smoltcp(Instant::START), &mut device, &mut sockets);
            let scales: Vec<_> = sent[40..].windows(3).filter(|words| words[..2] == [3, 3]).collect();
            assert_eq!(scales, [[3, 3, scale]], "a buffer of {size} bytes");
            assert_eq!(scale_of(size), scale);
        }
    }

    #[test]
    fn smoltcp_begins_with_the_number_that_is_wanted() {
        let own: Address = Ipv4Addr::new(10, 0, 0, 2).into();
        let path = Path { own, mtu: 1500 };
        let mut engine = Engine::new(Offloads::default(), path);
        let key = Key { peer: Ipv4Addr::new(10, 0, 0, 7).into(), own, peer_port: 5, port: 80 };
        let syn = Syn {
            sequence: 7,
            window: 1000,
            segment_size: None,
            window_scale: Some(3),
            selective: true,
            timestamp: None,
        };
        let packet = syn.packet(key);
        let numbers = (0..20_000u32).map(|number| number.wrapping_mul(0x9e37_79b9));
        for number in numbers.chain([0, 1, u32::MAX, 1 << 31]) {
            let (mut sockets, handle) = socket(2048, 2048, false).unwrap();
            sockets.get_mut::<tcp::Socket<'_>>(handle).listen(80).unwrap();
            let sent = engine
                .replay_syn::<crate::testing::Wire>(path, number, &mut sockets, &packet, Instant::START)
                .unwrap();
            assert_eq!(sent, Sent { next: number.wrapping_add(1), acknowledgement: 8, window: 2048 });
        }
    }
}
