//! How connections begin: SYNs, handshakes that are remembered in few bytes, and what becomes
//! of those for which there is no room.

use unik::interface::{Entropy, Frames, StreamError};
use unik::time::{Duration, Instant};

use super::bounded::HalfOpen;
use super::engine::Path;
use super::flow::Owner;
use super::numbers::PERIOD;
use super::segment::{Key, Segment, Syn, is_after};
use super::timestamps::{self, Stamps};
use super::{BACKLOG, HALF_OPEN, HALF_OPEN_SHARE, LATER, Tcp};
use crate::lower::{Lower, PacketIn};

/// How long there must have been no room before a connection is refused for that.
const PATIENCE: Duration = Duration::from_secs(2);
/// When, and how often, a SYN-ACK is sent again (RFC 6298, section 5, without backing off).
const SYN_ACK_AGAIN: Duration = Duration::from_secs(1);
const SYN_ACK_TIMES: u8 = 5;
/// So many at once, and then a pause of [`LATER`]: a flood of SYNs whose senders don't exist
/// must not fill the ring again every second.
const SYN_ACK_BATCH: usize = 32;

/// The segment size of a peer that names none (RFC 9293, section 3.7.1), also with IPv6.
const SMALLEST: u16 = 536;

impl Tcp {
    /// A segment of a connection that doesn't exist; if there was one, our last number of it was
    /// `last`.
    pub(super) fn begin<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        segment: &Segment<'_>,
        packet: &PacketIn<'_>,
        last: Option<u32>,
        now: Instant,
    ) {
        let is_request = segment.syn && segment.acknowledgement.is_none();
        let (half_open, most) = (self.half_open.is_full(), self.most);
        let Some(backlog) = self.backlog(segment.key.port).filter(|_| is_request) else {
            return self.redeem(lower, segment, packet, now);
        };
        let use_cookie = half_open || backlog.half_open >= HALF_OPEN_SHARE;
        if self.flows.len() >= most {
            self.turn_away(lower, packet, now);
            return;
        }
        let mut syn = segment.as_syn();
        syn.timestamp = syn.timestamp.filter(|_| self.timestamps);
        if use_cookie || !self.remember(lower, segment.key, syn, packet, last, now) {
            self.answer_with_cookie(lower, segment.key, syn, packet, now);
        }
    }

    /// Answers a SYN and remembers the handshake; `false` without memory.
    fn remember<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        key: Key,
        syn: Syn,
        packet: &PacketIn<'_>,
        last: Option<u32>,
        now: Instant,
    ) -> bool {
        while let Some((key, _)) = self.half_open.make_room(&mut self.table) {
            self.forgot_half_open(&key);
        }
        let mut sequence = self.numbers.initial(&key, now);
        // Above all of the connection before, which may have sent faster than the clock of numbers
        // ticks, and above what was in its window (RFC 1122, section 4.2.2.13).
        if let Some(least) = last.map(|last| last.wrapping_add(0x1_0000))
            && is_after(least, sequence)
        {
            sequence = least;
        }
        let window = self.budget.size();
        let half_open = HalfOpen { syn, station: packet.mac, sequence, window, held: false };
        if self.unanswered.try_reserve(1).is_err() || self.unfinished.try_reserve(1).is_err() {
            return false;
        }
        let Some(ticket) = self.half_open.insert(&mut self.table, key, half_open, now) else { return false };
        if let Some(backlog) = self.backlog(key.port) {
            backlog.half_open += 1;
        }
        if !syn.answer(lower, packet.mac, key, self.numbered(&key, sequence, now), window)
            && self.unanswered.len() < HALF_OPEN
        {
            self.unanswered.push_back(ticket);
        }
        if self.unfinished.len() < HALF_OPEN {
            self.unfinished.push_back((now + SYN_ACK_AGAIN, ticket, SYN_ACK_TIMES));
        }
        true
    }

    /// Answers a SYN without remembering anything: what must be known later comes back with the
    /// peer's acknowledgement, but for the options of a peer without timestamps, which are lost.
    fn answer_with_cookie<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        key: Key,
        syn: Syn,
        packet: &PacketIn<'_>,
        now: Instant,
    ) {
        self.cookies_end = now + Duration::from_nanos(2 * PERIOD);
        let cookie = self.numbers.cookie(&key, syn.sequence, syn.segment_size.unwrap_or(SMALLEST), now);
        // A timestamp comes back with the acknowledgement, and has room for them.
        let (syn, stamp) = match syn.timestamp {
            Some(_) => (syn, timestamps::cookie(&syn, self.numbers.stamp_offset(&key), now)),
            None => (Syn { window_scale: None, selective: false, ..syn }, 0),
        };
        match syn.answer(lower, packet.mac, key, (cookie, stamp), self.budget.unremembered_size()) {
            true => lower.link.counters.cookies_sent += 1,
            // The peer will ask again.
            false => lower.link.counters.replies_dropped += 1,
        }
    }

    /// A segment that belongs to nothing that we remember: perhaps it brings a cookie back.
    fn redeem<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        segment: &Segment<'_>,
        packet: &PacketIn<'_>,
        now: Instant,
    ) {
        let Segment { key, window, .. } = *segment;
        let may_be =
            now < self.cookies_end && !segment.syn && !segment.rst && self.backlog(key.port).is_some();
        let cookie = segment.acknowledgement.filter(|_| may_be).map(|number| number.wrapping_sub(1));
        let sequence = segment.sequence.wrapping_sub(1);
        let found = cookie.and_then(|cookie| {
            let size = self.numbers.check(&key, sequence, cookie, now)?;
            let stamps = segment.timestamp().filter(|_| self.timestamps);
            let (window_scale, selective) =
                stamps.map_or((None, false), |(_, echo)| timestamps::options_of_cookie(echo));
            let timestamp = stamps.map(|(theirs, _)| theirs);
            let segment_size = Some(size);
            let syn = Syn { sequence, window, segment_size, window_scale, selective, timestamp };
            Some((cookie, syn))
        });
        match found {
            Some((cookie, syn)) => {
                lower.link.counters.cookies_taken += 1;
                let window = syn.window_scale.map_or(0, |_| self.budget.unremembered_size());
                if self.establish(lower, syn, (cookie, window), segment, packet, now) == Established::NoRoom {
                    self.turn_away(lower, packet, now);
                }
            }
            None => {
                lower.link.counters.tcp_refused += 1;
                self.refuse(lower, packet, now);
            }
        }
    }

    /// Answers those SYNs that found no room when they came (thousands at once are more than a
    /// ring holds), and those again whose handshake isn't finished.
    pub(super) fn answer_late<F: Frames, E: Entropy>(&mut self, lower: &mut Lower<F, E>, now: Instant) {
        let mut left = if now < self.pause { 0 } else { SYN_ACK_BATCH };
        while let Some(&(due, ticket, times)) = self.unfinished.front()
            && due <= now
            && left > 0
        {
            self.unfinished.pop_front();
            let Some((_, half_open)) = self.half_open.find(ticket) else { continue };
            left -= 1;
            if left == 0 {
                self.pause = now + LATER;
            }
            if self.unanswered.len() < HALF_OPEN {
                self.unanswered.push_back(ticket);
            }
            // One that is held is asked until there is room or it is refused.
            if half_open.held || times > 1 {
                self.unfinished.push_back((now + SYN_ACK_AGAIN, ticket, times.saturating_sub(1)));
            }
        }
        while !self.unanswered.is_empty() && lower.link.frames.can_transmit() {
            let Some(ticket) = self.unanswered.pop_front() else { return };
            let Some((key, HalfOpen { syn, station, sequence, window, .. })) = self.half_open.find(ticket)
            else {
                continue;
            };
            syn.answer(lower, station, key, self.numbered(&key, sequence, now), window);
        }
    }

    /// A segment of a half-open connection.
    pub(super) fn complete<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        place: u32,
        segment: &Segment<'_>,
        packet: &PacketIn<'_>,
        now: Instant,
    ) {
        let Some(&mut half_open) = self.half_open.at(place) else { return };
        let next = half_open.syn.sequence.wrapping_add(1);
        if segment.rst {
            // RFC 5961, section 3.2: only the exact number counts.
            if segment.sequence == next {
                self.drop_half_open(place);
            }
            return;
        }
        if segment.syn {
            if segment.sequence == half_open.syn.sequence {
                // Sent again because our answer was lost.
                let HalfOpen { syn, sequence, window, .. } = half_open;
                let numbers = self.numbered(&segment.key, sequence, now);
                syn.answer(lower, packet.mac, segment.key, numbers, window);
            } else {
                self.drop_half_open(place);
                self.begin(lower, segment, packet, None, now);
            }
            return;
        }
        if segment.acknowledgement != Some(half_open.sequence.wrapping_add(1)) {
            lower.link.counters.tcp_refused += 1;
            self.refuse(lower, packet, now);
            return;
        }
        let HalfOpen { syn, sequence, window, .. } = half_open;
        match self.establish(lower, syn, (sequence, window), segment, packet, now) {
            Established::Done => {}
            // It stays half-open: the peer will try again.
            Established::Behind => {}
            // There was room when it began, but others were faster: it stays half-open.
            Established::NoRoom => {
                if let Some(half_open) = self.half_open.at(place) {
                    half_open.held = true;
                }
                if self.turn_away(lower, packet, now) {
                    self.drop_half_open(place);
                }
            }
        }
    }

    /// The handshake that began with `syn`, our number `sequence` and a window of `window` bytes is
    /// complete: makes the connection.
    fn establish<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        syn: Syn,
        (sequence, window): (u32, usize),
        segment: &Segment<'_>,
        packet: &PacketIn<'_>,
        now: Instant,
    ) -> Established {
        let key = segment.key;
        if self.backlog(key.port).is_none_or(|backlog| backlog.ready.len() >= BACKLOG) {
            lower.link.counters.backlog_full += 1;
            return Established::Behind;
        }
        let half_open = self.find(&key);
        let path = Path { own: key.own, mtu: lower.path_mtu(key.peer) as u16 };
        // Two have one key for a moment; the search is for none of them meanwhile.
        let Some(slot) = self.open(key, path, Owner::Listener, window) else { return Established::NoRoom };
        if let Some(super::Place::HalfOpen(place)) = half_open {
            self.drop_half_open(place);
        }
        lower.saw(packet, now);
        let Some(flow) = self.flows.get(slot) else { return Established::NoRoom };
        // A closed socket listens to any port but 0, and no segment to port 0 gets here.
        let _ = flow.socket().listen(key.port);
        flow.read = syn.sequence.wrapping_add(1);
        flow.stamps = syn.timestamp.map(|recent| Stamps { offset: flow.stamp_offset, recent });
        let sent = self.engine.replay_syn::<F>(path, sequence, &mut flow.sockets, &syn.packet(key), now);
        flow.note_sent(sent, now);
        if flow.sent.map(|sent| sent.next) != Some(sequence.wrapping_add(1)) {
            // The seed gives the number; were it otherwise, there is no connection.
            lower.link.counters.connections_refused += 1;
            flow.error = Some(StreamError::Reset);
            self.free(slot);
            return Established::Done;
        }
        self.feed(lower, slot, segment, packet, now);
        if let Some(backlog) = self.backlog(key.port) {
            backlog.ready.push_back(slot);
            if let Some(waker) = backlog.waker.take() {
                waker.wake();
            }
        }
        Established::Done
    }

    /// There is no room for a connection. At first its peer isn't told: it tries again soon, and
    /// others may have gone by then. When nobody goes it is refused, and `true`: a peer that believes
    /// in a connection that nobody serves would wait for as long as its patience lasts.
    fn turn_away<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        packet: &PacketIn<'_>,
        now: Instant,
    ) -> bool {
        lower.link.counters.connections_refused += 1;
        let since = *self.full.get_or_insert(now);
        let is_over = now.since(since) >= PATIENCE;
        if is_over {
            self.refuse(lower, packet, now);
        }
        is_over
    }

    /// Our first number, and the timestamp beside it.
    fn numbered(&self, key: &Key, sequence: u32, now: Instant) -> (u32, u32) {
        (sequence, timestamps::clock(self.numbers.stamp_offset(key), now))
    }

    fn drop_half_open(&mut self, place: u32) {
        if let Some((key, _)) = self.half_open.remove(&mut self.table, place) {
            self.forgot_half_open(&key);
        }
    }

    /// A half-open connection is no more.
    pub(super) fn forgot_half_open(&mut self, key: &Key) {
        if let Some(backlog) = self.backlog(key.port) {
            backlog.half_open = backlog.half_open.saturating_sub(1);
        }
    }
}

/// What became of a complete handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Established {
    /// It is a connection, or nothing.
    Done,
    /// The service is behind with accepting.
    Behind,
    NoRoom,
}
