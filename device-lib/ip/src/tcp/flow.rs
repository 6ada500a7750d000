//! One connection with its buffers, and the memory that all of them may take.

use alloc::vec::Vec;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{self, State};
use unik::interface::StreamError;
use unik::time::Instant;

use super::engine::{Path, Sent};
use super::recovery::Recovery;
use super::segment::{Key, Segment, is_after, scale_of};
use super::timestamps::{self, Stamps};

/// What a connection costs beside its buffers.
const OVERHEAD: usize = 1024;
/// Bytes of each buffer of a connection when memory is scarce.
const SMALL: usize = 2048;

/// Who holds a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nobody yet: it waits to be accepted.
    Listener,
    /// A service.
    Stream,
    /// Nobody any more: it goes when it has ended.
    Orphan,
}

/// A connection.
pub(crate) struct Flow {
    pub key: Key,
    pub path: Path,
    pub sockets: SocketSet<'static>,
    handle: SocketHandle,
    pub owner: Owner,
    /// Why it broke, if it did.
    pub error: Option<StreamError>,
    /// It has something to do and stands in the queue for that.
    pub dirty: bool,
    /// Its place among the timers.
    pub timer: Option<Instant>,
    /// When it is given up, whatever state it is in.
    pub deadline: Option<Instant>,
    /// The last segment that was sent.
    pub sent: Option<Sent>,
    /// What is on its way, once something was sent.
    pub recovery: Option<Recovery>,
    /// The sequence number after all that was written, once something was.
    written: Option<u32>,
    /// Its holder has closed it, and what was written isn't all sent yet.
    pub closing: bool,
    /// The peer's sequence number after all that its holder has read.
    pub read: u32,
    /// What its timestamps are ahead of the clock.
    pub stamp_offset: u32,
    /// Its timestamps, if both ends use them.
    pub stamps: Option<Stamps>,
    /// When a segment that may be forged was last questioned.
    pub challenged: Option<Instant>,
    /// There is no way to the peer.
    pub unreachable: bool,
    /// It has ended: no segment is its any more.
    pub over: bool,
    /// What it was charged for.
    pub cost: usize,
}

impl Flow {
    pub fn new(
        key: Key,
        path: Path,
        (sockets, handle): (SocketSet<'static>, SocketHandle),
        owner: Owner,
        cost: usize,
    ) -> Self {
        Flow {
            key,
            path,
            sockets,
            handle,
            owner,
            error: None,
            dirty: false,
            timer: None,
            deadline: None,
            sent: None,
            recovery: None,
            written: None,
            closing: false,
            read: 0,
            stamp_offset: 0,
            stamps: None,
            challenged: None,
            unreachable: false,
            over: false,
            cost,
        }
    }

    pub fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Takes note of a segment that was sent, if one was.
    pub fn note_sent(&mut self, sent: Option<Sent>, now: Instant) {
        let Some(sent) = sent else { return };
        self.sent = Some(sent);
        // The first is the SYN.
        self.recovery.get_or_insert_with(|| Recovery::new(sent.next)).sent(sent, now);
    }

    /// Tells smoltcp the time, as far as it is this connection's.
    pub fn stamp(&self, now: Instant) {
        if timestamps::ENABLED {
            timestamps::set(timestamps::clock(self.stamp_offset, now));
        }
    }

    pub fn state(&self) -> State {
        self.sockets.get::<tcp::Socket<'static>>(self.handle).state()
    }

    /// Whether smoltcp has nothing to do with it any more. In TIME-WAIT that is so once the
    /// peer's FIN was acknowledged: the rest is for the table of such connections.
    pub fn has_ended(&self) -> bool {
        let socket = self.sockets.get::<tcp::Socket<'static>>(self.handle);
        match socket.state() {
            State::Closed => socket.remote_endpoint().is_none(),
            State::TimeWait => self.sent.is_none_or(|sent| sent.acknowledgement == self.expected()),
            _ => false,
        }
    }

    /// The sequence number that the peer has to send next (RFC 9293's RCV.NXT).
    pub fn expected(&self) -> u32 {
        let socket = self.sockets.get::<tcp::Socket<'static>>(self.handle);
        let closed =
            matches!(socket.state(), State::CloseWait | State::LastAck | State::Closing | State::TimeWait);
        self.read.wrapping_add(socket.recv_queue() as u32).wrapping_add(u32::from(closed))
    }

    /// Notes that `length` bytes more were written.
    pub fn wrote(&mut self, length: usize) {
        // Before the first of them nothing was sent but the SYN.
        let before = self.written.or(self.sent.map(|sent| sent.next));
        self.written = before.map(|before| before.wrapping_add(length as u32));
    }

    /// Closes our half: behind what was written.
    ///
    /// If the peer has closed its own, the FIN has to wait until all is sent: smoltcp 0.14 is in
    /// LAST-ACK then, where it passes over acknowledgements that only open the window, and what a
    /// closed window held back would wait for the next probe.
    pub fn close(&mut self) {
        self.closing = true;
        self.close_if_sent();
    }

    /// Closes our half if that is wanted and may be; whether there is a FIN to be sent now.
    pub fn close_if_sent(&mut self) -> bool {
        let is_sent = self.socket().send_queue() == 0 || self.sent.map(|sent| sent.next) == self.written;
        let may = self.closing && (self.state() != State::CloseWait || is_sent);
        if may {
            self.closing = false;
            self.socket().close();
        }
        may
    }

    /// Whether `segment` has data behind the peer's FIN, where there can't be any.
    pub fn is_behind_fin(&self, segment: &Segment<'_>) -> bool {
        let ended = matches!(self.state(), State::CloseWait | State::LastAck | State::Closing);
        let end = segment.sequence.wrapping_add(segment.length as u32);
        ended && segment.length > 0 && is_after(end, self.expected().wrapping_sub(1))
    }

    /// Whether `segment` says only that all data of ours has come, which was known.
    pub fn is_duplicate(&mut self, segment: &Segment<'_>) -> bool {
        let known =
            self.recovery.is_some_and(|recovery| Some(recovery.acknowledged) == segment.acknowledgement);
        known
            && segment.length == 0
            && !segment.fin
            && !segment.rst
            && segment.sequence == self.expected()
            && self.socket().send_queue() == 0
    }

    /// Whether our FIN was acknowledged or everything is over.
    pub fn is_closed_by_us(&self) -> bool {
        matches!(self.state(), State::FinWait2 | State::TimeWait | State::Closed)
    }
}

impl core::fmt::Debug for Flow {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Flow").field("key", &self.key).field("state", &self.state()).finish_non_exhaustive()
    }
}

/// The memory that connections may take.
#[derive(Debug)]
pub(crate) struct Budget {
    used: usize,
    limit: usize,
    /// Bytes of each buffer while memory is plenty.
    plenty: usize,
}

impl Budget {
    pub fn new(limit: usize, plenty: usize) -> Self {
        Budget { used: 0, limit, plenty }
    }

    /// The size of each buffer of a connection that begins now.
    pub fn size(&self) -> usize {
        if self.used < self.limit / 8 { self.plenty } else { self.plenty.min(SMALL) }
    }

    /// As [`size`](Self::size), where which scale the peer was told can't be remembered: one and the
    /// same, if there is a scale.
    pub fn unremembered_size(&self) -> usize {
        if scale_of(self.plenty) > 0 { self.plenty } else { self.size() }
    }

    /// Charges for a new connection: the size of each of its buffers and what it costs. A `window`
    /// that was told with a scale is kept to, since the scale is that of the buffer.
    pub fn take(&mut self, window: usize) -> Option<(usize, usize)> {
        let size = if scale_of(window) > 0 { window } else { self.size() };
        let cost = 2 * size + OVERHEAD;
        if self.used + cost > self.limit {
            return None;
        }
        self.used += cost;
        Some((size, cost))
    }

    pub fn give_back(&mut self, cost: usize) {
        self.used -= cost;
    }

    #[cfg(test)]
    pub fn used(&self) -> usize {
        self.used
    }
}

/// Connections in numbered places, which are used again.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    /// Each on the heap, as a list of one: what grows is a list of addresses.
    places: Vec<Vec<Flow>>,
    /// Has room for as many as there are places.
    free: Vec<u32>,
}

impl Flows {
    /// Adds a connection; `None` without memory.
    pub fn insert(&mut self, flow: Flow) -> Option<u32> {
        let mut place = Vec::new();
        place.try_reserve_exact(1).ok()?;
        if self.free.is_empty() {
            self.free.try_reserve(self.places.len() + 1).ok()?;
            self.places.try_reserve(1).ok()?;
            self.places.push(Vec::new());
            self.free.push((self.places.len() - 1) as u32);
        }
        place.push(flow);
        let slot = self.free.pop()?;
        self.places[slot as usize] = place;
        Some(slot)
    }

    pub fn get(&mut self, slot: u32) -> Option<&mut Flow> {
        self.places.get_mut(slot as usize)?.first_mut()
    }

    /// Whether the connection there is that of `key`.
    pub fn is(&self, slot: u32, key: &Key) -> bool {
        self.places.get(slot as usize).and_then(|place| place.first()).is_some_and(|flow| flow.key == *key)
    }

    pub fn remove(&mut self, slot: u32) -> Option<Flow> {
        let flow = core::mem::take(self.places.get_mut(slot as usize)?).pop()?;
        self.free.push(slot);
        Some(flow)
    }

    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    #[cfg(test)]
    pub fn all(&self) -> impl Iterator<Item = &Flow> {
        self.places.iter().flatten()
    }

    /// The numbers of all places, also of those where there is no connection.
    pub fn slots(&self) -> core::ops::Range<u32> {
        0..self.places.len() as u32
    }
}
