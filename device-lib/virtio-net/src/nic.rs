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
mod tests;
