//! What stands between a guest and its network: a forwarder that treats frames badly, and a place
//! for stations whose frames a test makes by hand.
//!
//! ```text
//!   guest ── QEMU ──(socket)── Hub ──(socket)── unik-client tap ── TAP ── Linux, curl
//!                               │
//!                            stations: 10.0.2.64 to 10.0.2.127
//! ```
//!
//! What goes between the guest and Linux meets the [`Faults`]; what stations send and are sent
//! doesn't, since their test says itself what becomes of each frame.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use smoltcp::wire::{ArpOperation, ArpPacket, EthernetFrame, EthernetProtocol, Ipv4Packet};
use unik::platform::sim::Random;
use unik_sim_link::Faults;

use crate::cable::{self, Receiver, Sender};
use crate::recorder::Recorder;

/// The guest's address.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The guest's station.
pub const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
/// How long the two ends may take to plug themselves in.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether `address` is one of a station.
fn is_station(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    [a, b, c] == [10, 0, 2] && (64..128).contains(&d)
}

/// The Ethernet address of the station `address`.
#[must_use]
pub fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    [2, 0, 0, 0, 0, address.octets()[3]]
}

/// What became of the frames between the guest and Linux.
#[derive(Debug, Default)]
pub struct Counts {
    /// Those that came.
    pub frames: AtomicU64,
    /// Those that got lost.
    pub lost: AtomicU64,
    /// Those that arrived twice.
    pub twice: AtomicU64,
    /// Those of which a bit was changed.
    pub corrupt: AtomicU64,
    /// Those that others may have overtaken.
    pub late: AtomicU64,
}

/// A frame on its way to one end, and whether it meets the faults.
type Parcel = (Vec<u8>, bool);

/// The forwarder. It ends, with both of its cables, when it is dropped.
#[derive(Debug)]
pub struct Hub {
    to_guest: mpsc::Sender<Parcel>,
    /// What the guest sent to stations.
    inbox: Mutex<mpsc::Receiver<Vec<u8>>>,
    faults: Arc<Mutex<Faults>>,
    counts: Arc<Counts>,
    next_port: AtomicU32,
    ends: Vec<UnixStream>,
}

/// The sockets of a hub into which nobody is plugged yet.
#[derive(Debug)]
pub struct Sockets {
    folder: tempfile::TempDir,
    guest: UnixListener,
    host: UnixListener,
}

impl Sockets {
    /// New ones.
    ///
    /// # Errors
    /// When they can't be made.
    pub fn new() -> io::Result<Sockets> {
        let folder = tempfile::tempdir()?;
        let listen = |name: &str| UnixListener::bind(folder.path().join(name));
        Ok(Sockets { guest: listen("guest")?, host: listen("host")?, folder })
    }

    /// Where QEMU is plugged in: `-netdev stream,server=off,addr.type=unix,addr.path=…`.
    #[must_use]
    pub fn guest(&self) -> PathBuf {
        self.folder.path().join("guest")
    }

    /// Where `unik-client tap` is plugged in.
    #[must_use]
    pub fn host(&self) -> PathBuf {
        self.folder.path().join("host")
    }

    /// Waits for both ends, and forwards from then on, at first without faults.
    ///
    /// # Errors
    /// When one doesn't come, or a thread can't be started.
    pub fn join(self, seed: u64) -> io::Result<Hub> {
        let (guest, host) = (accept(&self.guest)?, accept(&self.host)?);
        let ends = vec![guest.try_clone()?, host.try_clone()?];
        let (guest_out, guest_in) = cable::split(guest)?;
        let (host_out, host_in) = cable::split(host)?;
        let faults = Arc::new(Mutex::new(Faults::default()));
        let counts = Arc::new(Counts::default());
        let (to_guest, for_guest) = mpsc::channel();
        let (to_host, for_host) = mpsc::channel();
        let (to_stations, inbox) = mpsc::channel();
        let random = Random::new(seed);
        for (name, out, parcels, recorder) in [
            ("to-guest", guest_out, for_guest, Recorder::from_environment()),
            ("to-host", host_out, for_host, None),
        ] {
            let carrier = Carrier {
                out,
                faults: Arc::clone(&faults),
                counts: Arc::clone(&counts),
                random: random.fork(name),
                recorder,
                flights: BinaryHeap::new(),
                last: Instant::now(),
                number: 0,
            };
            std::thread::Builder::new().name(name.into()).spawn(move || carrier.run(&parcels))?;
        }
        let back = to_guest.clone();
        std::thread::Builder::new()
            .name("from-guest".into())
            .spawn(move || sort(guest_in, &to_host, &back, &to_stations))?;
        let there = to_guest.clone();
        std::thread::Builder::new().name("from-host".into()).spawn(move || forward(host_in, &there))?;
        let next_port = AtomicU32::new(0);
        Ok(Hub { to_guest, inbox: Mutex::new(inbox), faults, counts, next_port, ends })
    }
}

fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
    listener.set_nonblocking(true)?;
    let end = Instant::now() + PATIENCE;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error),
        }
    }
}

impl Hub {
    /// Changes what goes wrong between the guest and Linux.
    pub fn set_faults(&self, faults: Faults) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// What went wrong so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Sends a frame of a station's to the guest.
    pub fn send(&self, frame: Vec<u8>) {
        // When the guest has gone, whoever waits for its answer says so.
        let _ = self.to_guest.send((frame, false));
    }

    /// The next frame that the guest sent to a station.
    #[must_use]
    pub fn take(&self, within: Duration) -> Option<Vec<u8>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(within).ok()
    }

    /// Forgets what the guest sent to stations so far.
    pub fn forget(&self) {
        while self.take(Duration::ZERO).is_some() {}
    }

    /// A port that no station has used for long.
    #[must_use]
    pub fn port(&self) -> u16 {
        20_000 + (self.next_port.fetch_add(1, Ordering::Relaxed) % 40_000) as u16
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        for end in &self.ends {
            // It may have ended by itself.
            let _ = end.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// One direction.
struct Carrier {
    out: Sender,
    faults: Arc<Mutex<Faults>>,
    counts: Arc<Counts>,
    random: Random,
    recorder: Option<Recorder>,
    /// What is on its way: when it arrives, and a number that keeps the order of those that
    /// arrive together.
    flights: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
    /// When the last of those arrives that keep their order.
    last: Instant,
    number: u64,
}

impl Carrier {
    /// Carries until nobody sends any more, or the end is gone.
    fn run(mut self, parcels: &mpsc::Receiver<Parcel>) {
        loop {
            let wait = self.flights.peek().map_or(Duration::from_secs(3600), |Reverse((when, ..))| {
                when.saturating_duration_since(Instant::now())
            });
            let carried = match parcels.recv_timeout(wait) {
                Ok((frame, true)) => {
                    self.depart(frame);
                    Ok(())
                }
                Ok((frame, false)) => self.arrive(&frame),
                Err(mpsc::RecvTimeoutError::Timeout) => Ok(()),
                Err(mpsc::RecvTimeoutError::Disconnected) => return self.out.end(),
            };
            if carried.and_then(|()| self.land()).is_err() {
                return;
            }
        }
    }

    fn depart(&mut self, mut frame: Vec<u8>) {
        let now = Instant::now();
        let faults = *self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        self.counts.frames.fetch_add(1, Ordering::Relaxed);
        let fate = faults.meet(&mut frame, &mut self.random);
        for (counter, happened) in [
            (&self.counts.lost, fate.copies.is_empty()),
            (&self.counts.twice, fate.copies.len() > 1),
            (&self.counts.corrupt, fate.is_corrupt),
            (&self.counts.late, fate.copies.iter().any(|(_, may_overtake)| *may_overtake)),
        ] {
            counter.fetch_add(u64::from(happened), Ordering::Relaxed);
        }
        for (after, may_overtake) in fate.copies {
            // What has no fault doesn't wait for a timer either.
            let after = if faults.is_faultless() { Duration::ZERO } else { Duration::from_nanos(after) };
            let mut when = now + after;
            if !may_overtake {
                when = when.max(self.last);
                self.last = when;
            }
            self.number += 1;
            self.flights.push(Reverse((when, self.number, frame.clone())));
        }
    }

    fn land(&mut self) -> io::Result<()> {
        while self.flights.peek().is_some_and(|Reverse((when, ..))| *when <= Instant::now()) {
            if let Some(Reverse((_, _, frame))) = self.flights.pop() {
                self.arrive(&frame)?;
            }
        }
        Ok(())
    }

    fn arrive(&mut self, frame: &[u8]) -> io::Result<()> {
        if let Some(recorder) = &mut self.recorder {
            recorder.record(frame);
        }
        self.out.send(frame)
    }
}

/// Lets everything from Linux meet the faults on its way to the guest.
fn forward(mut host: Receiver, to_guest: &mpsc::Sender<Parcel>) {
    while let Ok(Some(frame)) = host.next() {
        if to_guest.send((frame.to_vec(), true)).is_err() {
            return;
        }
    }
}

/// Sorts what the guest sends: to stations, or to Linux. Stations are found by ARP.
fn sort(
    mut guest: Receiver,
    to_host: &mpsc::Sender<Parcel>,
    to_guest: &mpsc::Sender<Parcel>,
    to_stations: &mpsc::Sender<Vec<u8>>,
) {
    while let Ok(Some(frame)) = guest.next() {
        let sent = if let Some(reply) = answer_arp(frame) {
            to_guest.send((reply, false)).is_ok()
        } else if is_for_a_station(frame) {
            to_stations.send(frame.to_vec()).is_ok()
        } else {
            to_host.send((frame.to_vec(), true)).is_ok()
        };
        if !sent {
            return;
        }
    }
}

fn is_for_a_station(frame: &[u8]) -> bool {
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return false };
    ethernet.ethertype() == EthernetProtocol::Ipv4
        && Ipv4Packet::new_checked(ethernet.payload()).is_ok_and(|packet| is_station(packet.dst_addr()))
}

/// The answer to an ARP request (RFC 826) for a station.
fn answer_arp(frame: &[u8]) -> Option<Vec<u8>> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let request = ArpPacket::new_checked(ethernet.payload()).ok()?;
    let asked: [u8; 4] = request.target_protocol_addr().try_into().ok()?;
    let is_ours = ethernet.ethertype() == EthernetProtocol::Arp
        && request.operation() == ArpOperation::Request
        && is_station(asked.into());
    if !is_ours {
        return None;
    }
    let mut reply = frame.to_vec();
    let mac = mac_of(asked.into());
    reply.copy_within(6..12, 0);
    reply[6..12].copy_from_slice(&mac);
    let mut packet = ArpPacket::new_unchecked(&mut reply[14..]);
    packet.set_operation(ArpOperation::Reply);
    packet.set_target_hardware_addr(request.source_hardware_addr());
    packet.set_target_protocol_addr(request.source_protocol_addr());
    packet.set_source_hardware_addr(&mac);
    packet.set_source_protocol_addr(&asked);
    Some(reply)
}
