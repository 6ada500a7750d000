//! smoltcp, one connection at a time.
//!
//! smoltcp keeps its sockets in sets and searches them; here every connection is a set of
//! its own, and the segment that is given to it is known to be its. Sequence numbers come
//! from the seed of an `Interface`: a handshake gets an interface of its own with a seed
//! that nobody can guess, and the same seed later gives the same number again, so that a
//! half-open connection can be thrown away and made anew when its handshake is complete.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration as SmolDuration, Instant as SmolInstant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use unik::interface::{Frames, Offload};
use unik::time::Instant;

use crate::link::{self, EtherType, Link, Mac};
use crate::lower::IPV4_HEADER;

/// A silent peer is asked for a sign of life after this time …
const KEEP_ALIVE: SmolDuration = SmolDuration::from_secs(60);
/// … and given up after this one, as one that acknowledges nothing (RFC 1122, 4.2.3.5: R2 ≥ 100 s).
const TIMEOUT: SmolDuration = SmolDuration::from_secs(120);

/// smoltcp's interfaces and what they are made of.
pub(crate) struct Engine {
    capabilities: DeviceCapabilities,
    address: Option<Ipv4Addr>,
    interface: Option<Interface>,
    /// For segments that belong to no connection: smoltcp answers them with RST.
    nobody: SocketSet<'static>,
}

impl core::fmt::Debug for Engine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Engine").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The sequence and acknowledgement number of a segment that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub sequence: u32,
    pub acknowledgement: u32,
}

/// What a poll brought about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Polled {
    /// The last segment that was sent.
    pub sent: Option<Sent>,
    /// The transmit ring was full.
    pub blocked: bool,
}

impl Engine {
    /// For a link that carries packets of `mtu` bytes and computes checksums if `offload`.
    pub fn new(mtu: usize, offload: bool, address: Option<Ipv4Addr>) -> Self {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = mtu;
        // What comes in was verified before it gets here.
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities.checksum.tcp = if offload { Checksum::None } else { Checksum::Tx };
        let mut engine =
            Engine { capabilities, address: None, interface: None, nobody: SocketSet::new(Vec::new()) };
        engine.set_address(address);
        engine
    }

    /// Changes our address.
    pub fn set_address(&mut self, address: Option<Ipv4Addr>) {
        self.address = address;
        self.interface = address.map(|_| self.seeded(0, Instant::START));
    }

    /// An interface whose first sequence number depends on `seed` alone.
    pub fn seeded(&self, seed: u64, now: Instant) -> Interface {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut device =
            Adapter { capabilities: &self.capabilities, incoming: None, sink: Nowhere, polled: IDLE };
        let mut interface = Interface::new(config, &mut device, to_smoltcp(now));
        if let Some(address) = self.address {
            interface.update_ip_addrs(|addresses| {
                // The list has room for one: it was empty.
                let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(address), 32));
            });
        }
        interface
    }

    /// Gives `packet` to the connection in `sockets`; replies go to `station`.
    pub fn receive<F: Frames>(
        &mut self,
        link: &mut Link<F>,
        station: Mac,
        sockets: &mut SocketSet<'static>,
        packet: &[u8],
        now: Instant,
    ) -> Polled {
        let Some(interface) = &mut self.interface else { return IDLE };
        let sink = Wire { link, station };
        let mut device =
            Adapter { capabilities: &self.capabilities, incoming: Some(packet), sink, polled: IDLE };
        interface.poll_ingress_single(to_smoltcp(now), &mut device, sockets);
        device.polled
    }

    /// Refuses `packet` with RST, unless it is one.
    pub fn refuse<F: Frames>(&mut self, link: &mut Link<F>, station: Mac, packet: &[u8], now: Instant) {
        let mut nobody = core::mem::replace(&mut self.nobody, SocketSet::new(Vec::new()));
        self.receive(link, station, &mut nobody, packet, now);
        self.nobody = nobody;
    }

    /// Lets the connection in `sockets` send one segment; `None` if it has none to send.
    pub fn send<F: Frames>(
        &mut self,
        link: &mut Link<F>,
        station: Mac,
        sockets: &mut SocketSet<'static>,
        now: Instant,
    ) -> Option<Polled> {
        let interface = self.interface.as_mut()?;
        let sink = Wire { link, station };
        let mut device = Adapter { capabilities: &self.capabilities, incoming: None, sink, polled: IDLE };
        let result = interface.poll_egress(to_smoltcp(now), &mut device, sockets);
        (result == PollResult::SocketStateChanged || device.polled.blocked).then_some(device.polled)
    }

    /// When the connection in `sockets` has something to send or to give up.
    pub fn next_deadline(&mut self, sockets: &SocketSet<'static>, now: Instant) -> Option<Instant> {
        self.interface.as_mut()?.poll_at(to_smoltcp(now), sockets).map(from_smoltcp)
    }

    /// Plays the beginning of a handshake, `packet` being its SYN, with the sequence number of
    /// `seed`: the SYN-ACK goes into `link` if there is one. Returns what was sent.
    pub fn answer_syn<F: Frames>(
        &mut self,
        link: Option<(&mut Link<F>, Mac)>,
        seed: u64,
        sockets: &mut SocketSet<'static>,
        packet: &[u8],
        now: Instant,
    ) -> Option<Sent> {
        let mut interface = self.seeded(seed, now);
        let now = to_smoltcp(now);
        let mut device =
            Adapter { capabilities: &self.capabilities, incoming: Some(packet), sink: Nowhere, polled: IDLE };
        let taken = interface.poll_ingress_single(now, &mut device, sockets);
        if taken == PollIngressSingleResult::None || device.polled.sent.is_some() {
            return None;
        }
        match link {
            None => {
                interface.poll_egress(now, &mut device, sockets);
                device.polled.sent
            }
            Some((link, station)) => {
                let sink = Wire { link, station };
                let mut device =
                    Adapter { capabilities: &self.capabilities, incoming: None, sink, polled: IDLE };
                interface.poll_egress(now, &mut device, sockets);
                device.polled.sent
            }
        }
    }
}

/// A set of one connection with buffers of `receive` and `transmit` bytes; `None` if memory
/// is short.
pub(crate) fn socket(receive: usize, transmit: usize) -> Option<(SocketSet<'static>, SocketHandle)> {
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
    fn send<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R;
}

/// To a station on the link.
struct Wire<'a, F> {
    link: &'a mut Link<F>,
    station: Mac,
}

impl<F: Frames> Sink for Wire<'_, F> {
    fn has_room(&mut self) -> bool {
        self.link.frames.can_transmit()
    }

    fn send<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        if self.link.frames.can_transmit() {
            // `fill` is needed again should the ring be full after all, so it waits outside.
            let mut fill = Some(fill);
            let (station, kind) = (self.station, EtherType::Ipv4);
            let sent = if self.link.frames.offloads().checksum {
                self.link.transmit_offloaded(station, kind, length, OFFLOAD, |packet| {
                    let result = fill.take().map(|fill| fill(packet));
                    write_partial_checksum(packet);
                    result
                })
            } else {
                self.link.transmit(station, kind, length, |packet| fill.take().map(|fill| fill(packet)))
            };
            return match (sent, fill) {
                (Ok(Some(result)), _) => result,
                (_, Some(fill)) => fill(&mut alloc::vec![0; length]),
                (_, None) => unreachable!("`transmit` calls `fill` once or not at all"),
            };
        }
        // A reply to a segment: TCP lives with its loss, but insists on writing it.
        self.link.counters.replies_dropped += 1;
        fill(&mut alloc::vec![0; length])
    }
}

/// Where the checksum of a segment is that the device computes: smoltcp's IPv4 headers have no
/// options.
const OFFLOAD: Offload =
    Offload { transport: (link::HEADER + IPV4_HEADER) as u16, checksum: CHECKSUM as u16, segment: None };
/// Where it is in the header of TCP.
const CHECKSUM: usize = 16;

/// Writes the sum over the pseudo-header (RFC 9293, section 3.1) where the checksum belongs.
fn write_partial_checksum(packet: &mut [u8]) {
    let Some((header, segment)) = packet.split_at_mut_checked(IPV4_HEADER) else { return };
    let addresses =
        header[12..].chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let protocol = u32::from(header[9]);
    let sum = addresses.sum::<u32>() + protocol + segment.len() as u32;
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    if let Some(field) = segment.get_mut(CHECKSUM..CHECKSUM + 2) {
        field.copy_from_slice(&(sum as u16).to_be_bytes());
    }
}

/// To nobody.
struct Nowhere;

impl Sink for Nowhere {
    fn has_room(&mut self) -> bool {
        true
    }

    fn send<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        fill(&mut alloc::vec![0; length])
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
}

impl<S: Sink> TxToken for Outgoing<'_, S> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let polled = self.polled;
        self.sink.send(length, |packet| {
            let result = f(packet);
            // smoltcp's IPv4 headers have no options.
            if let Some(numbers) = packet.get(24..32) {
                let word = |at: usize| {
                    u32::from_be_bytes([numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]])
                };
                polled.sent = Some(Sent { sequence: word(0), acknowledgement: word(4) });
            }
            result
        })
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
        Some((Incoming(packet), Outgoing { sink: &mut self.sink, polled: &mut self.polled }))
    }

    fn transmit(&mut self, _now: SmolInstant) -> Option<Outgoing<'_, S>> {
        if !self.sink.has_room() {
            self.polled.blocked = true;
            return None;
        }
        Some(Outgoing { sink: &mut self.sink, polled: &mut self.polled })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.capabilities.clone()
    }
}
