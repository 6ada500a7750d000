//! The driver itself, on any transport.

use alloc::collections::VecDeque;
use core::ops::{Deref, DerefMut};
use core::task::{Context, Poll};

use log::error;
use unik::executor::{Watch, Watching, poll_watch};
use unik::interface::{Frames, FullRing, Offload, Offloads};
use unik::time;
use unik_virtio::{
    Buffer, DeviceError, Direction, Outbox, Port, Queue, SetupError, Transport, feature, negotiate,
};

use crate::coalesced::{Headers, MOST_HEADERS};
use crate::header::{self, HEADER, Incoming};

/// Feature bits of the network device (virtio 1.2, section 5.1.3).
mod bit {
    /// The device computes checksums of what is sent.
    pub const CHECKSUM: u64 = 1 << 0;
    /// We take frames with partial checksums.
    pub const GUEST_CHECKSUM: u64 = 1 << 1;
    pub const MTU: u64 = 1 << 3;
    pub const MAC: u64 = 1 << 5;
    /// We take long segments of TCP.
    pub const GUEST_SEGMENTS: u64 = 1 << 7 | 1 << 8;
    /// The device cuts segments of TCP.
    pub const SEGMENTATION: u64 = 1 << 11 | 1 << 12;
    /// A received frame may lie in several buffers.
    pub const MERGED_BUFFERS: u64 = 1 << 15;
}

/// Queues (section 5.1.2).
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// The MTU of Ethernet (RFC 894), where the device doesn't say.
const ETHERNET_MTU: u16 = 1500;
/// The least MTU of IPv4 (RFC 791) and the largest jumbo frame that we make buffers for.
const MTU_RANGE: core::ops::RangeInclusive<u16> = 68..=9216;

/// Bytes in front of each receive buffer, of which the device doesn't know: room for headers, so
/// that what is in the second and later buffers of a frame can be made a frame of its own.
const HEADROOM: usize = MOST_HEADERS;
/// The part of the transmit memory that one frame may take: the others go on meanwhile.
const LARGEST_SHARE: usize = 8;
/// The longest packet of TCP over IPv4 or IPv6.
const LONGEST_PACKET: usize = 65_535;

/// What the caller decides about a card.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The most descriptors of a ring, a power of two.
    pub queue_size: u16,
    /// Bytes of a receive buffer, with the room in front of it; more where a frame needs it.
    pub receive_buffer: usize,
    /// Bytes of memory for the frames that are being sent; more where a few frames need it.
    pub transmit_memory: usize,
    /// Its address, if the caller has read it already.
    pub mac: Option<[u8; 6]>,
    /// Whether the executor may look at the rings instead of sleeping.
    pub polling: bool,
}

/// A network card that is running.
#[derive(Debug)]
pub struct Nic<P> {
    port: P,
    instance: &'static str,
    mac: [u8; 6],
    mtu: usize,
    offloads: Offloads,
    receive: Queue,
    /// Frames that lay in several buffers may come.
    merged: bool,
    /// Parts of the frame that was received last.
    parts: VecDeque<Received>,
    transmit: Outbox,
    /// Bytes of the longest frame that may be sent, with its virtio header.
    longest: usize,
    /// Someone waits for room in the transmit queue.
    wants_room: bool,
    /// Bytes moved since they were last told to the executor.
    moved: u64,
    /// Whether the executor may look at the rings instead of sleeping.
    polling: bool,
    /// Since when the bell of the transmit queue may be due.
    unrung: Option<u64>,
    bell: Bell,
    /// When the first frame of this turn was taken.
    turn_began: u64,
    /// Frames taken in this turn.
    turn_frames: u32,
    counters: Counters,
}

/// Nanoseconds since the start.
fn now() -> u64 {
    time::now().as_nanos()
}

/// What it takes to ring a bell: an exit from the machine, mostly.
#[derive(Clone, Copy, Debug, Default)]
struct Bell {
    /// In nanoseconds.
    cost: u64,
}

impl Bell {
    /// Learns from one more time. It may have taken long for another reason: the least counts,
    /// and rises slowly.
    fn took(&mut self, time: u64) {
        if self.cost == 0 || time < self.cost {
            self.cost = time;
        } else {
            self.cost += (time.min(2 * self.cost) - self.cost) / 16;
        }
    }
}

/// What the driver has counted since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received; parts of long segments count each.
    pub received: u64,
    /// Frames queued for transmission.
    pub transmitted: u64,
    /// Received buffers too short for an Ethernet header, dropped.
    pub runts: u64,
    /// Frames longer than the MTU that no TCP segment is, dropped.
    pub oversized: u64,
    /// What the device did wrong, if it did; it isn't used since.
    pub broken: Option<DeviceError>,
}

/// The address of the device, if it has one.
pub(crate) fn address(transport: &mut impl Transport) -> Option<[u8; 6]> {
    (transport.features() & bit::MAC != 0).then(|| transport.config_bytes(0))
}

/// The MTU that the device asks for, if it is one that we can do.
fn mtu(transport: &mut impl Transport) -> Option<u16> {
    if transport.features() & bit::MTU == 0 {
        return None;
    }
    Some(u16::from_le_bytes(transport.config_bytes(10))).filter(|mtu| MTU_RANGE.contains(mtu))
}

/// What to ask for, of what is offered: some features are of no use, or not allowed, without others
/// (section 5.1.3.1).
fn wanted(offered: u64, mtu: Option<u16>) -> u64 {
    let mut wanted = bit::MAC | feature::EVENT_INDEX;
    if mtu.is_some() {
        wanted |= bit::MTU;
    }
    if offered & bit::CHECKSUM != 0 {
        wanted |= bit::CHECKSUM | bit::SEGMENTATION;
    }
    if offered & bit::GUEST_CHECKSUM != 0 {
        wanted |= bit::GUEST_CHECKSUM;
        // In a single buffer they would take 64 KiB each.
        if offered & bit::MERGED_BUFFERS != 0 {
            wanted |= bit::MERGED_BUFFERS | bit::GUEST_SEGMENTS;
        }
    }
    wanted
}

/// How many descriptors queue `index` gets: the largest power of two within the device's limit, but
/// not more than `most`.
fn queue_size(transport: &mut impl Transport, index: u16, most: u16) -> Result<u16, SetupError> {
    match transport.queue_limit(index) {
        0 | 1 => Err(SetupError::NoQueue),
        limit => Ok(most.min(1 << limit.ilog2())),
    }
}

impl<P: Port> Nic<P> {
    /// Sets the device going.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(
        mut transport: impl Transport<Port = P>,
        instance: &'static str,
        settings: Settings,
    ) -> Result<Self, SetupError> {
        let mtu = mtu(&mut transport);
        let wanted = wanted(transport.features(), mtu);
        let agreed = negotiate(&mut transport, wanted)?;
        let mac = settings
            .mac
            .or_else(|| address(&mut transport))
            .ok_or(SetupError::Registers("the device has no address"))?;
        if mac[0] & 1 != 0 || mac == [0; 6] {
            return Err(SetupError::Registers("the device's address is not that of one host"));
        }
        let mtu = usize::from(mtu.unwrap_or(ETHERNET_MTU));
        let event_index = agreed & feature::EVENT_INDEX != 0;
        let frame = HEADER + ETHERNET + mtu;
        // Whole cache lines, so that no two buffers share one.
        let capacity = settings.receive_buffer.max(HEADROOM + frame).next_multiple_of(64);
        let size = queue_size(&mut transport, RECEIVE, settings.queue_size)?;
        let (mut receive, buffers) =
            Queue::with_headroom(size, HEADROOM, capacity, Direction::FromDevice, event_index)
                .ok_or(SetupError::NoMemory)?;
        transport.set_queue(RECEIVE, size, receive.addresses())?;
        let mut parts = VecDeque::new();
        parts.try_reserve_exact(usize::from(size)).map_err(|_| SetupError::NoMemory)?;

        let size = queue_size(&mut transport, TRANSMIT, settings.queue_size)?;
        // A few of the longest at least, or each would wait for the one before.
        let memory = settings.transmit_memory.max(4 * frame).next_multiple_of(64);
        let transmit = Outbox::new(size, memory, event_index).ok_or(SetupError::NoMemory)?;
        transport.set_queue(TRANSMIT, size, transmit.addresses())?;
        let checksum = agreed & bit::CHECKSUM != 0;
        let longest = (memory / LARGEST_SHARE).min(HEADER + ETHERNET + LONGEST_PACKET);
        let segments = checksum && agreed & bit::SEGMENTATION == bit::SEGMENTATION && longest > frame;
        let segmentation = segments.then_some(longest - HEADER);

        for buffer in buffers {
            receive.offer(buffer, 0);
        }
        let port = transport.activate()?;
        if receive.publish() {
            port.notify(RECEIVE);
        }
        Ok(Nic {
            port,
            instance,
            mac,
            mtu,
            offloads: Offloads { checksum, segmentation },
            receive,
            merged: agreed & bit::MERGED_BUFFERS != 0,
            parts,
            transmit,
            longest: if segments { longest } else { frame },
            wants_room: false,
            moved: 0,
            polling: settings.polling,
            unrung: None,
            bell: Bell::default(),
            turn_began: 0,
            turn_frames: 0,
            counters: Counters::default(),
        })
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Gives the device up: it isn't touched again.
    fn fail(&mut self, error: DeviceError) {
        error!("{}: {error}; it is no longer used", self.instance);
        self.counters.broken = Some(error);
    }

    fn is_broken(&self) -> bool {
        self.counters.broken.is_some()
    }

    /// The next received buffer, and how many bytes the device wrote into it.
    fn take(&mut self) -> Option<(Buffer, usize)> {
        match self.receive.take() {
            Ok(taken) => {
                self.moved += taken.as_ref().map_or(0, |(_, written)| *written as u64);
                taken
            }
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    /// Makes a frame of a received buffer, and of those that follow, if it takes several.
    fn accept(&mut self, buffer: Buffer, written: usize) -> Option<Received> {
        let Some(incoming) = Incoming::parse(&buffer[HEADROOM..HEADROOM + written]) else {
            return self.drop_runt(buffer);
        };
        let count = if self.merged { incoming.buffers.max(1) } else { 1 };
        let (begin, end) = (HEADROOM + HEADER, HEADROOM + written);
        let frame = Received { buffer, begin, end, verified: incoming.verified };
        if count > 1 {
            return self.accept_parts(frame, count - 1);
        }
        if frame.len() < ETHERNET {
            return self.drop_runt(frame.buffer);
        }
        self.counters.received += 1;
        Some(frame)
    }

    fn drop_runt(&mut self, buffer: Buffer) -> Option<Received> {
        self.counters.runts += 1;
        self.receive.offer(buffer, 0);
        None
    }

    /// Makes `first` and the next `more` buffers, which hold one frame, frames of their own: see
    /// [`coalesced`](crate::coalesced).
    fn accept_parts(&mut self, mut first: Received, more: u16) -> Option<Received> {
        // The device gives them all back at once (virtio 1.2, section 5.1.6.4).
        if self.receive.waiting() < more {
            self.fail(DeviceError::TooFewBuffers(more + 1));
            return None;
        }
        // What can't be verified in parts is as good as wrong.
        let headers = Headers::parse(&first).filter(|_| first.verified);
        let Some(headers) = headers else {
            self.counters.oversized += 1;
            self.receive.offer(first.buffer, 0);
            for _ in 0..more {
                let (buffer, _) = self.take()?;
                self.receive.offer(buffer, 0);
            }
            return None;
        };
        let mut offset = (first.len() - headers.length) as u32;
        let begin = HEADROOM - headers.length;
        for left in (0..more).rev() {
            let (mut buffer, written) = self.take()?;
            buffer[begin..HEADROOM].copy_from_slice(&first[..headers.length]);
            let mut part = Received { buffer, begin, end: HEADROOM + written, verified: true };
            headers.patch(&mut part, offset, left == 0);
            offset = offset.wrapping_add(written as u32);
            self.parts.push_back(part);
        }
        headers.patch(&mut first, 0, false);
        self.counters.received += 1 + u64::from(more);
        Some(first)
    }

    fn queue<R>(
        &mut self,
        length: usize,
        offload: Option<Offload>,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, FullRing> {
        let message = self.message(HEADER + length).ok_or(FullRing)?;
        let result = fill(&mut message[HEADER..]);
        self.queue_message(HEADER + length, offload);
        Ok(result)
    }

    // What doesn't depend on who fills the frame stands apart, so that an image has it once.

    #[inline(never)]
    fn message(&mut self, length: usize) -> Option<&mut [u8]> {
        if self.can_transmit() { self.transmit.message(length) } else { None }
    }

    #[inline(never)]
    fn queue_message(&mut self, length: usize, offload: Option<Offload>) {
        let message = self.transmit.message(length).and_then(<[u8]>::split_first_chunk_mut);
        if let Some((header, frame)) = message {
            header::write(header, offload, frame);
        }
        if self.transmit.queue(length) {
            self.counters.transmitted += 1;
            self.moved += length as u64;
        }
    }

    /// Whether the answers to the frames that have come meanwhile will be there before it would
    /// take longer to wait for them than to ring twice. They take as long as those of this turn.
    fn more_follows(&mut self) -> bool {
        let (waiting, frames) = (u32::from(self.receive.waiting()), self.turn_frames);
        if waiting == 0 || frames == 0 {
            return false;
        }
        let now = now();
        let unrung = *self.unrung.get_or_insert(now);
        now - unrung + (now - self.turn_began) / u64::from(frames) * u64::from(waiting) < self.bell.cost
    }

    /// Shows the device what was queued, and rings if it waits for that.
    fn ring(&mut self) {
        self.unrung = None;
        if self.transmit.publish() {
            let before = now();
            self.port.notify(TRANSMIT);
            self.bell.took(now() - before);
        }
    }

    /// Asks the executor to look at the rings: for a received frame, and for `room` transmitted.
    fn watch(&mut self, room: Option<u16>, cx: &mut Context<'_>) -> Watching {
        let watch = |(counter, seen), after| Watch { counter, seen, after };
        let received = watch(self.receive.used_index(), 1);
        let work = core::mem::take(&mut self.moved);
        match room {
            None => poll_watch(cx, &[received], work),
            Some(room) => poll_watch(cx, &[received, watch(self.transmit.used_index(), room)], work),
        }
    }

    fn disarm(&self) {
        self.receive.disarm();
        self.transmit.disarm();
    }
}

impl<P: Port> Frames for Nic<P> {
    type Received = Received;

    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn mtu(&self) -> usize {
        self.mtu
    }

    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn receive(&mut self) -> Option<Received> {
        if let Some(part) = self.parts.pop_front() {
            return Some(part);
        }
        while !self.is_broken() {
            let (buffer, written) = self.take()?;
            if self.turn_frames == 0 {
                self.turn_began = now();
            }
            self.turn_frames += 1;
            if let Some(frame) = self.accept(buffer, written) {
                return Some(frame);
            }
        }
        None
    }

    fn is_verified(&self, frame: &Received) -> bool {
        frame.verified
    }

    fn release(&mut self, frame: Received) {
        self.receive.offer(frame.buffer, 0);
    }

    fn can_transmit(&mut self) -> bool {
        let room = !self.is_broken()
            && match self.transmit.has_room(self.longest) {
                Ok(room) => room,
                Err(error) => {
                    self.fail(error);
                    false
                }
            };
        // Remembered until the caller has had a turn with room from its beginning: whoever
        // found none may not be the one that asks next.
        self.wants_room |= !room;
        room
    }

    fn transmit<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> Result<R, FullRing> {
        assert!(length <= self.mtu + ETHERNET, "a frame longer than the link's MTU");
        self.queue(length, None, fill)
    }

    fn transmit_offloaded<R>(
        &mut self,
        length: usize,
        offload: Offload,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, FullRing> {
        assert!(self.offloads.checksum, "the device computes no checksums");
        let most = match offload.segment {
            Some(_) => self.offloads.segmentation.expect("the device cuts no segments"),
            None => self.mtu + ETHERNET,
        };
        assert!(length <= most, "a frame longer than the link's MTU");
        self.queue(length, Some(offload), fill)
    }

    fn flush(&mut self) {
        if self.is_broken() {
            return;
        }
        // The device asks for the first bell only when it has run out of buffers.
        if self.receive.publish() {
            self.port.notify(RECEIVE);
        }
        if !self.transmit.is_unpublished() {
            self.turn_frames = 0;
            return;
        }
        if self.more_follows() {
            self.transmit.show();
        } else {
            self.ring();
        }
        self.turn_frames = 0;
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_broken() {
            return Poll::Pending;
        }
        if self.port.poll_interrupt(cx).is_ready() {
            self.disarm();
            return Poll::Ready(());
        }
        if self.receive.waiting() > 0 || !self.parts.is_empty() {
            // A turn follows, and with it the bell, if it is due.
            return Poll::Ready(());
        }
        if self.unrung.is_some() {
            self.ring();
        }
        if self.wants_room && self.transmit.has_room_now(self.longest) {
            self.wants_room = false;
            return Poll::Ready(());
        }
        // Half of what is on its way: one interrupt for many frames, and the device still
        // has the other half to work on when it comes.
        let half = self.wants_room.then(|| self.transmit.pending().div_ceil(2));
        if self.polling {
            match self.watch(half, cx) {
                Watching::Due => return Poll::Ready(()),
                Watching::Looking => {
                    self.disarm();
                    return Poll::Pending;
                }
                Watching::Sleep => {}
            }
        }
        let mut ready = self.receive.arm(1);
        if let Some(half) = half {
            ready |= self.transmit.arm(half);
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// A received frame, in the buffer that the device filled.
#[derive(Debug)]
pub struct Received {
    buffer: Buffer,
    begin: usize,
    /// One past the frame's last byte.
    end: usize,
    verified: bool,
}

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.begin..self.end]
    }
}

impl DerefMut for Received {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.begin..self.end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coalesced;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::future::poll_fn;
    use core::task::Waker;
    use unik::executor;
    use unik_virtio::mock::{Device, DeviceQueue, MockPort, MockTransport};

    const MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];

    fn card(features: u64, size: u16) -> (Nic<MockPort>, Device) {
        let device = Device::new(features | feature::VERSION_1 | bit::MAC, &[256, 256]);
        let mut config = MAC.to_vec();
        config.extend([0, 0, 0, 0]);
        config.extend(1400u16.to_le_bytes());
        device.set_config(&config);
        let nic = Nic::new(MockTransport::new(device.clone()), "nic", settings(size)).unwrap();
        (nic, device)
    }

    fn settings(queue_size: u16) -> Settings {
        Settings { queue_size, receive_buffer: 2048, transmit_memory: 64 << 10, mac: None, polling: false }
    }

    /// The device receives `frame` from the wire.
    fn deliver(device: &Device, frame: &[u8]) {
        device.queue(0, |queue| {
            let chain = queue.next().unwrap();
            let mut bytes = [0; HEADER].to_vec();
            bytes.extend(frame);
            chain.write(&bytes);
            queue.give_back(u32::from(chain.id), bytes.len() as u32);
        });
    }

    fn is_ready(nic: &mut Nic<MockPort>) -> bool {
        nic.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn frames_go_both_ways() {
        let (mut nic, device) = card(feature::EVENT_INDEX, 16);
        assert_eq!((nic.mac(), nic.mtu()), (MAC, 1500));
        assert_eq!(nic.transmit(20, |frame| frame.fill(7)), Ok(()));
        nic.flush();
        device.queue(1, |queue| {
            let bytes = queue.next().unwrap().bytes();
            assert_eq!(bytes[..HEADER], [0; HEADER]);
            assert_eq!(bytes[HEADER..], [7; 20]);
        });
        deliver(&device, &[9; 60]);
        let frame = nic.receive().unwrap();
        assert_eq!(*frame, [9; 60]);
        nic.release(frame);
        assert!(nic.receive().is_none());
    }

    #[test]
    fn one_bell_for_many_frames() {
        let (mut nic, device) = card(feature::EVENT_INDEX, 16);
        for _ in 0..5 {
            nic.transmit(60, |_| ()).unwrap();
        }
        assert_eq!(device.notifications(1), 0);
        nic.flush();
        nic.flush();
        assert_eq!(device.notifications(1), 1);
    }

    #[test]
    fn the_full_ring_says_so_and_asks_for_an_interrupt() {
        let (mut nic, device) = card(feature::EVENT_INDEX, 16);
        while nic.can_transmit() {
            nic.transmit(60, |_| ()).unwrap();
        }
        nic.flush();
        assert_eq!(nic.transmit(60, |_| ()), Err(FullRing));
        assert!(!is_ready(&mut nic));
        for sent in 1..=16 {
            device.queue(1, |queue| {
                let id = queue.next().unwrap().id;
                queue.give_back(u32::from(id), 0);
            });
            assert_eq!(device.interrupt(1), sent == 8, "only at half of the ring");
        }
        assert!(is_ready(&mut nic));
        assert!(nic.can_transmit());
    }

    #[test]
    fn who_found_no_room_is_not_forgotten_when_another_finds_some() {
        let (mut nic, device) = card(feature::EVENT_INDEX, 16);
        while nic.can_transmit() {
            nic.transmit(60, |_| ()).unwrap();
        }
        nic.flush();
        device.queue(1, |queue| {
            let id = queue.next().unwrap().id;
            queue.give_back(u32::from(id), 0);
        });
        // The one buffer that came back goes to somebody else.
        nic.transmit(60, |_| ()).unwrap();
        nic.flush();
        assert!(!is_ready(&mut nic));
        for sent in 1..=16 {
            device.queue(1, |queue| {
                let id = queue.next().unwrap().id;
                queue.give_back(u32::from(id), 0);
            });
            assert_eq!(device.interrupt(1), sent == 8);
        }
        assert!(is_ready(&mut nic), "the interrupt");
        assert!(nic.can_transmit());
        assert!(is_ready(&mut nic), "one more turn, to be sure");
        assert!(!is_ready(&mut nic));
    }

    #[test]
    fn interrupts_only_before_sleeping_and_none_is_lost() {
        for features in [0, feature::EVENT_INDEX] {
            let (mut nic, device) = card(features, 16);
            deliver(&device, &[1; 60]);
            assert!(!device.interrupt(0), "not asked for");
            assert!(is_ready(&mut nic), "came before the interrupt was asked for");
            let frame = nic.receive().unwrap();
            nic.release(frame);
            assert!(!is_ready(&mut nic));
            deliver(&device, &[2; 60]);
            assert!(device.interrupt(0));
            assert!(is_ready(&mut nic));
            deliver(&device, &[3; 60]);
            assert!(!device.interrupt(0), "one is enough");
            assert_eq!(nic.receive().unwrap()[0], 2);
            assert_eq!(nic.receive().unwrap()[0], 3);
        }
    }

    #[test]
    fn buffers_circulate_for_ever() {
        let (mut nic, device) = card(0, 16);
        for round in 0..100_000u32 {
            deliver(&device, &[round as u8; 60]);
            let frame = nic.receive().unwrap();
            assert_eq!(frame[0], round as u8);
            nic.release(frame);
            nic.flush();
        }
    }

    #[test]
    fn the_mtu_of_the_device_counts() {
        let (nic, device) = card(bit::MTU, 16);
        assert_eq!(nic.mtu(), 1400);
        assert_ne!(device.agreed() & bit::MTU, 0);
    }

    #[test]
    fn runts_are_dropped_and_counted() {
        let (mut nic, device) = card(0, 16);
        deliver(&device, &[0; 13]);
        device.queue(0, |queue| {
            let id = queue.next().unwrap().id;
            queue.give_back(u32::from(id), 0);
        });
        deliver(&device, &[5; 14]);
        assert_eq!(nic.receive().unwrap().len(), 14);
        assert_eq!(nic.counters().runts, 2);
    }

    /// The device receives `frame` into as many buffers as it takes.
    fn deliver_merged(device: &Device, flags: u8, frame: &[u8]) {
        device.queue(0, |queue| {
            let mut rest = [[flags; 1].as_slice(), &[0; HEADER - 1], frame].concat();
            let mut chains = Vec::new();
            while !rest.is_empty() {
                let chain = queue.next().unwrap();
                let part: Vec<u8> = rest.drain(..rest.len().min(2048 - HEADROOM)).collect();
                chains.push((chain, part));
            }
            chains[0].1[10] = chains.len() as u8;
            for (chain, part) in chains {
                chain.write(&part);
                queue.give_back(u32::from(chain.id), part.len() as u32);
            }
        });
    }

    #[test]
    fn a_long_segment_comes_as_several() {
        let (mut nic, device) = card(bit::GUEST_CHECKSUM | bit::MERGED_BUFFERS, 16);
        let data: Vec<u8> = (0..5000u32).map(|index| (index * 7) as u8).collect();
        let whole = coalesced::tests::segment(&data);
        // More of them than there are buffers: all come back.
        for _ in 0..20 {
            deliver_merged(&device, 1, &whole);
            let (mut received, mut at): (Vec<u8>, Option<u32>) = (Vec::new(), None);
            while let Some(frame) = nic.receive() {
                assert!(nic.is_verified(&frame));
                let headers = Headers::parse(&frame).unwrap();
                let sequence = u32::from_be_bytes(frame[38..42].try_into().unwrap());
                assert_eq!(sequence, at.unwrap_or(sequence), "one follows the other");
                at = Some(sequence.wrapping_add((frame.len() - headers.length) as u32));
                received.extend(&frame[headers.length..]);
                nic.release(frame);
            }
            assert_eq!(received, data);
            nic.flush();
        }
        assert_eq!(nic.counters().received, 60);
    }

    #[test]
    fn what_is_too_long_and_no_segment_is_dropped() {
        let (mut nic, device) = card(bit::GUEST_CHECKSUM | bit::MERGED_BUFFERS, 16);
        for _ in 0..20 {
            deliver_merged(&device, 1, &[6; 4000]);
            assert!(nic.receive().is_none());
            nic.flush();
            // Nor one whose checksum nobody has verified.
            deliver_merged(&device, 0, &coalesced::tests::segment(&[7; 4000]));
            assert!(nic.receive().is_none());
            nic.flush();
        }
        assert_eq!((nic.counters().oversized, nic.counters().broken), (40, None));
    }

    #[test]
    fn a_frame_of_more_buffers_than_there_are_is_a_lie() {
        let (mut nic, device) = card(bit::GUEST_CHECKSUM | bit::MERGED_BUFFERS, 16);
        device.queue(0, |queue| {
            let chain = queue.next().unwrap();
            let mut bytes = [0; 100];
            bytes[10] = 2;
            chain.write(&bytes);
            queue.give_back(u32::from(chain.id), 100);
        });
        assert!(nic.receive().is_none());
        assert_eq!(nic.counters().broken, Some(DeviceError::TooFewBuffers(2)));
    }

    #[test]
    fn the_device_finishes_what_it_is_asked_to() {
        let offload = Offload { transport: 34, checksum: 16, segment: None };
        let (mut nic, device) = card(bit::CHECKSUM | bit::SEGMENTATION, 16);
        let longest = nic.offloads().segmentation.unwrap();
        assert!(nic.offloads().checksum && longest > 8000);
        nic.transmit_offloaded(60, offload, |frame| frame.fill(1)).unwrap();
        let segment = core::num::NonZeroU16::new(1448);
        let whole = coalesced::tests::segment(&vec![3; longest - 66]);
        let offload = Offload { segment, ..offload };
        nic.transmit_offloaded(longest, offload, |frame| frame.copy_from_slice(&whole)).unwrap();
        nic.flush();
        device.queue(1, |queue| {
            let bytes = queue.next().unwrap().bytes();
            assert_eq!((&bytes[..HEADER], bytes.len()), (&[1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0][..], 72));
            let bytes = queue.next().unwrap().bytes();
            assert_eq!(bytes[..HEADER], [1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0, 0, 0]);
            assert_eq!(bytes[HEADER..], whole);
        });
        let (nic, _) = card(bit::SEGMENTATION, 16);
        assert_eq!(nic.offloads(), Offloads::default(), "none without checksums");
    }

    #[test]
    fn asks_for_no_more_than_it_can_have() {
        let all = u64::MAX;
        let has = |offered: u64, bits: u64| wanted(offered, None) & offered & bits != 0;
        assert!(has(all, bit::GUEST_SEGMENTS) && has(all, bit::SEGMENTATION));
        assert!(!has(all & !bit::MERGED_BUFFERS, bit::GUEST_SEGMENTS));
        assert!(!has(all & !bit::GUEST_CHECKSUM, bit::GUEST_SEGMENTS | bit::MERGED_BUFFERS));
        assert!(!has(all & !bit::CHECKSUM, bit::SEGMENTATION));
    }

    #[test]
    fn the_bell_waits_while_more_comes_in() {
        let (mut nic, device) = card(feature::EVENT_INDEX, 16);
        nic.bell.cost = u64::MAX;
        // Before the first frame nothing is known of how long an answer takes.
        for _ in 0..3 {
            deliver(&device, &[1; 60]);
        }
        let frame = nic.receive().unwrap();
        nic.release(frame);
        nic.transmit(60, |_| ()).unwrap();
        nic.flush();
        assert_eq!(device.notifications(1), 0);
        assert!(device.queue(1, DeviceQueue::next).is_some(), "it may look all the same");
        assert!(is_ready(&mut nic), "a turn follows");
        let frame = nic.receive().unwrap();
        nic.release(frame);
        let frame = nic.receive().unwrap();
        nic.release(frame);
        // Nothing to send in that one: the bell is rung all the same.
        nic.flush();
        assert!(!is_ready(&mut nic));
        assert_eq!(device.notifications(1), 1);
        // It doesn't wait longer than it takes.
        nic.bell.cost = 0;
        device.queue(1, |queue| queue.notify_at(1));
        for _ in 0..2 {
            deliver(&device, &[1; 60]);
        }
        let frame = nic.receive().unwrap();
        nic.release(frame);
        nic.transmit(60, |_| ()).unwrap();
        nic.flush();
        assert_eq!(device.notifications(1), 2);
    }

    #[test]
    fn while_the_loop_looks_no_interrupt_is_asked_for() {
        let (mut nic, device) = card(feature::EVENT_INDEX, 16);
        nic.polling = true;
        executor::block_on(async {
            poll_fn(|cx| {
                // The first to know what a wake-up costs, and the others then to look.
                if nic.poll_ready(cx).is_ready() {
                    return Poll::Ready(());
                }
                deliver(&device, &[1; 60]);
                assert!(!device.interrupt(0));
                Poll::Pending
            })
            .await;
        });
        assert_eq!(nic.receive().unwrap().len(), 60);
    }

    #[test]
    fn a_device_that_lies_is_given_up() {
        let (mut nic, device) = card(0, 16);
        deliver(&device, &[0; 60]);
        device.queue(0, |queue| queue.give_back(77, 60));
        assert!(nic.receive().is_some());
        assert!(nic.receive().is_none());
        assert_eq!(nic.counters().broken, Some(DeviceError::UnknownBuffer(77)));
        assert_eq!(nic.transmit(60, |_| ()), Err(FullRing));
        assert!(!is_ready(&mut nic));
        nic.flush();
    }

    #[test]
    fn a_device_without_a_usable_address_or_queue_is_refused() {
        let device = Device::new(feature::VERSION_1 | bit::MAC, &[256, 256]);
        device.set_config(&[1, 0, 0, 0, 0, 1]);
        assert!(Nic::new(MockTransport::new(device), "nic", settings(16)).is_err());
        let device = Device::new(feature::VERSION_1 | bit::MAC, &[256, 0]);
        device.set_config(&MAC);
        assert_eq!(
            Nic::new(MockTransport::new(device), "nic", settings(16)).map(drop),
            Err(SetupError::NoQueue)
        );
    }
}
