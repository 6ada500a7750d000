//! How connections begin: SYNs, handshakes that are remembered in few bytes, and what becomes
//! of those for which there is no room.

use unik::interface::{Entropy, Frames};
use unik::time::{Duration, Instant};

use super::bounded::HalfOpen;
use super::flow::Owner;
use super::segment::{Key, Segment, Syn};
use super::{BACKLOG, HALF_OPEN, LATER, Tcp, begin_listening};
use crate::lower::{Lower, PacketIn};

/// How long there must have been no room before a connection is refused for that.
const PATIENCE: Duration = Duration::from_secs(2);
/// When, and how often, a SYN-ACK is sent again (RFC 6298, section 5, without backing off).
const SYN_ACK_AGAIN: Duration = Duration::from_secs(1);
const SYN_ACK_TIMES: u8 = 5;
/// So many at once, and then a pause of [`LATER`]: a flood of SYNs whose senders don't exist
/// must not fill the ring again every second.
const SYN_ACK_BATCH: usize = 32;

impl Tcp {
    /// A segment of a connection that doesn't exist.
    pub(super) fn begin<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        segment: &Segment<'_>,
        packet: &PacketIn<'_>,
        now: Instant,
    ) {
        let is_request = segment.syn && segment.acknowledgement.is_none();
        if !is_request || self.backlog(segment.key.port).is_none() {
            lower.link.counters.tcp_refused += 1;
            self.engine.refuse(&mut lower.link, packet.mac, packet.packet, now);
            return;
        }
        // Without randomness there are no connections: guessable sequence numbers let anybody in.
        let seed = if self.flows.len() < self.most { lower.random() } else { None };
        let Some(seed) = seed else { return self.turn_away(lower, segment.key, packet, now) };
        self.answer(lower, segment.key, segment.as_syn(), seed, packet, now);
    }

    /// Answers a SYN and remembers the handshake.
    fn answer<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        key: Key,
        syn: Syn,
        seed: u64,
        packet: &PacketIn<'_>,
        now: Instant,
    ) {
        let (sockets, handle) = &mut self.scratch;
        begin_listening(sockets.get_mut(*handle), key.port);
        let has_room = lower.link.frames.can_transmit();
        let link = has_room.then_some((&mut lower.link, packet.mac));
        let Some(sent) = self.engine.answer_syn(link, seed, sockets, &syn.packet(key, packet.to), now) else {
            lower.link.counters.replies_dropped += 1;
            return;
        };
        if !has_room && self.unanswered.len() < HALF_OPEN {
            self.unanswered.push_back((key, packet.mac));
        }
        if self.unfinished.len() < HALF_OPEN {
            self.unfinished.push_back((now + SYN_ACK_AGAIN, key, packet.mac, SYN_ACK_TIMES));
        }
        let half_open = HalfOpen { syn, seed, sequence: sent.sequence, held: false };
        if self.half_open.insert(key, half_open, now) {
            lower.link.counters.half_open_evicted += 1;
        }
    }

    /// Answers those SYNs that found no room when they came (thousands at once are more than a
    /// ring holds), and those again whose handshake isn't finished.
    pub(super) fn answer_late<F: Frames, E: Entropy>(&mut self, lower: &mut Lower<F, E>, now: Instant) {
        let Some(own) = lower.addressing else { return self.unanswered.clear() };
        let mut left = if now < self.pause { 0 } else { SYN_ACK_BATCH };
        while let Some(&(due, key, station, times)) = self.unfinished.front()
            && due <= now
            && left > 0
        {
            self.unfinished.pop_front();
            let Some(half_open) = self.half_open.find(&key) else { continue };
            left -= 1;
            if left == 0 {
                self.pause = now + LATER;
            }
            if self.unanswered.len() < HALF_OPEN {
                self.unanswered.push_back((key, station));
            }
            // One that is held is asked until there is room or it is refused.
            if half_open.held || times > 1 {
                self.unfinished.push_back((now + SYN_ACK_AGAIN, key, station, times.saturating_sub(1)));
            }
        }
        while !self.unanswered.is_empty() && lower.link.frames.can_transmit() {
            let Some((key, station)) = self.unanswered.pop_front() else { return };
            let Some(half_open) = self.half_open.find(&key) else { continue };
            let (sockets, handle) = &mut self.scratch;
            begin_listening(sockets.get_mut(*handle), key.port);
            let syn = half_open.syn.packet(key, own.address);
            self.engine.answer_syn(Some((&mut lower.link, station)), half_open.seed, sockets, &syn, now);
        }
    }

    /// A segment of a half-open connection.
    pub(super) fn complete<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        half_open: HalfOpen,
        segment: &Segment<'_>,
        packet: &PacketIn<'_>,
        now: Instant,
    ) {
        let key = segment.key;
        let next = half_open.syn.sequence.wrapping_add(1);
        if segment.rst {
            // RFC 5961, section 3.2: only the exact number counts.
            if segment.sequence == next {
                self.half_open.remove(&key);
            }
            return;
        }
        if segment.syn {
            // Sent again because our answer was lost; or begun anew.
            let seed = match segment.sequence == half_open.syn.sequence {
                true => Some(half_open.seed),
                false => lower.random(),
            };
            if let Some(seed) = seed {
                self.answer(lower, key, segment.as_syn(), seed, packet, now);
            }
            return;
        }
        if segment.acknowledgement != Some(half_open.sequence.wrapping_add(1)) {
            lower.link.counters.tcp_refused += 1;
            self.engine.refuse(&mut lower.link, packet.mac, packet.packet, now);
            return;
        }
        if self.backlog(key.port).is_none_or(|backlog| backlog.ready.len() >= BACKLOG) {
            // It stays half-open: the peer will try again.
            lower.link.counters.backlog_full += 1;
            return;
        }
        // There was room when it began, but others were faster: it stays half-open.
        let Some(slot) = self.open(key, Owner::Listener) else {
            if let Some(half_open) = self.half_open.find_mut(&key) {
                half_open.held = true;
            }
            return self.turn_away(lower, key, packet, now);
        };
        self.half_open.remove(&key);
        lower.saw(packet, now);
        let Some(flow) = self.flows.get(slot) else { return };
        begin_listening(flow.socket(), key.port);
        let syn = half_open.syn.packet(key, packet.to);
        let sent = self.engine.answer_syn::<F>(None, half_open.seed, &mut flow.sockets, &syn, now);
        if sent.map(|sent| sent.sequence) != Some(half_open.sequence) {
            // The same seed gives the same number; were it otherwise, there is no connection.
            lower.link.counters.connections_refused += 1;
            self.free(slot);
            return;
        }
        self.feed(lower, slot, packet, false, now);
        if let Some(backlog) = self.backlog(key.port) {
            backlog.ready.push_back(slot);
            if let Some(waker) = backlog.waker.take() {
                waker.wake();
            }
        }
    }

    /// There is no room for a connection. At first its peer isn't told: it tries again soon, and
    /// others may have gone by then. When nobody goes it is refused: a peer that believes in a
    /// connection that nobody serves would wait for as long as its patience lasts.
    fn turn_away<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        key: Key,
        packet: &PacketIn<'_>,
        now: Instant,
    ) {
        lower.link.counters.connections_refused += 1;
        let since = *self.full.get_or_insert(now);
        if now.since(since) >= PATIENCE {
            self.half_open.remove(&key);
            self.engine.refuse(&mut lower.link, packet.mac, packet.packet, now);
        }
    }
}
