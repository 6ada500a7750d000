//! TCP (RFC 9293): which segment belongs to which connection, and when each has its turn.

mod bounded;
mod engine;
#[cfg(feature = "icmp")]
mod errors;
mod flow;
mod handshake;
mod numbers;
mod recovery;
mod segment;
mod stream;
mod table;
mod timestamps;

use alloc::collections::{BinaryHeap, VecDeque};
use core::cmp::Reverse;
use core::task::Waker;

use smoltcp::socket::tcp::State;
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};
use unik::interface::{ConnectError, Entropy, EntropyError, Frames, StreamError};
use unik::time::{Duration, Instant};

use crate::Options;
use crate::address::Address;
use crate::lower::{Hop, Lower, PacketIn, secret};
use bounded::{Bounded, HalfOpen, Ticket, TimeWait};
use engine::{Engine, Path};
use flow::{Budget, Flow, Flows, Owner};
use numbers::Numbers;
use segment::{Key, Segment, acknowledge, is_after};
use table::{Place, Table};
use timestamps::Stamps;

pub use stream::{Listener, Stream};

/// Handshakes that are remembered, and for how long (RFC 9293 gives no number). Above that, and
/// for a port above its share, SYN cookies have to do.
const HALF_OPEN: usize = 4096;
const HALF_OPEN_AGE: Duration = Duration::from_secs(30);
const HALF_OPEN_SHARE: u32 = 3072;
/// Connections in TIME-WAIT, and for how long: twice the maximum segment lifetime that
/// Linux assumes.
const TIME_WAIT: usize = 4096;
const TIME_WAIT_AGE: Duration = Duration::from_secs(60);
/// Connections of a port that no service has accepted yet.
const BACKLOG: usize = 1024;
/// How long a peer has to answer our SYN, and how long to close after us.
const CONNECT: Duration = Duration::from_secs(30);
const LINGER: Duration = Duration::from_secs(60);
/// How long a connection lives whose neighbour doesn't answer, and how often that is asked.
const OUT_OF_REACH: Duration = Duration::from_secs(120);
const REACH_AGAIN: Duration = Duration::from_secs(1);
/// Segments that one connection sends before the others have their turn.
const BURST: usize = 64;
/// How many timers that count no more may lie around beside as many as there are connections.
const SWEEP: usize = 64;
/// When to look again at a connection that says "now" but sends nothing.
const LATER: Duration = Duration::from_millis(10);
/// How many ports are tried for a connection of ours.
const EPHEMERAL_TRIES: u32 = 64;
const FIRST_EPHEMERAL: u16 = 49152;
/// Connections that wait for a neighbour and try again in one turn.
const RETRIES: usize = 256;

/// All connections of a network.
#[derive(Debug)]
pub(crate) struct Tcp {
    engine: Engine,
    flows: Flows,
    /// Which connection a segment belongs to.
    table: Table,
    numbers: Numbers,
    half_open: Bounded<HalfOpen>,
    /// Half-open connections whose SYN-ACK found no room in the transmit ring.
    unanswered: VecDeque<Ticket>,
    /// Handshakes whose SYN-ACK is sent again when they are still half-open then, and how
    /// often after that. Without it a peer whose last segment was lost, and that has nothing
    /// to say before we do, would wait for ever.
    unfinished: VecDeque<(Instant, Ticket, u8)>,
    /// No SYN-ACK is sent again before.
    pause: Instant,
    /// Since when no cookie is worth anything.
    cookies_end: Instant,
    time_wait: Bounded<TimeWait>,
    listeners: alloc::vec::Vec<Backlog>,
    /// Connections with something to do, in the order of their turns. Like the two below it has
    /// room for all connections: it is reserved when they begin.
    dirty: VecDeque<u32>,
    /// An entry counts if it is the timer of its connection; others are swept out now and then.
    timers: BinaryHeap<Reverse<(Instant, u32)>>,
    /// Connections whose peer's station isn't known yet.
    waiting: VecDeque<u32>,
    /// So many of them are to try again.
    retries: usize,
    budget: Budget,
    /// Whether segments have timestamps, where the peer's have.
    timestamps: bool,
    most: usize,
    /// Since when there is no room for a connection, as far as one was turned away.
    full: Option<Instant>,
}

/// A port that a service listens on.
#[derive(Debug)]
struct Backlog {
    port: u16,
    /// Has room for [`BACKLOG`].
    ready: VecDeque<u32>,
    waker: Option<Waker>,
    /// Its half-open connections.
    half_open: u32,
}

impl Tcp {
    /// # Errors
    /// [`EntropyError`]: guessable sequence numbers would let anybody in.
    pub fn new<F: Frames, E: Entropy>(options: &Options, lower: &Lower<F, E>) -> Result<Self, EntropyError> {
        let offloads = lower.link.frames.offloads();
        let path = Path { own: Address::V4(core::net::Ipv4Addr::UNSPECIFIED), mtu: lower.mtu() as u16 };
        Ok(Tcp {
            engine: Engine::new(offloads, path),
            flows: Flows::default(),
            table: Table::new(secret(&lower.entropy)?),
            numbers: Numbers::new(secret(&lower.entropy)?),
            half_open: Bounded::new(Place::HalfOpen, HALF_OPEN, HALF_OPEN_AGE),
            unanswered: VecDeque::new(),
            unfinished: VecDeque::new(),
            pause: Instant::START,
            cookies_end: Instant::START,
            time_wait: Bounded::new(Place::TimeWait, TIME_WAIT, TIME_WAIT_AGE),
            listeners: alloc::vec::Vec::new(),
            dirty: VecDeque::new(),
            timers: BinaryHeap::new(),
            waiting: VecDeque::new(),
            retries: 0,
            budget: Budget::new(options.tcp_memory, options.tcp_buffer),
            timestamps: options.timestamps,
            most: usize::try_from(options.max_connections).unwrap_or(usize::MAX),
            full: None,
        })
    }

    /// Takes a segment that was sent to us.
    pub fn receive<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        packet: &PacketIn<'_>,
        now: Instant,
    ) {
        let Some(segment) = Segment::parse(lower, packet) else { return };
        match self.find(&segment.key) {
            Some(Place::Flow(slot)) => self.feed(lower, slot, &segment, packet, now),
            Some(Place::HalfOpen(place)) => self.complete(lower, place, &segment, packet, now),
            Some(Place::TimeWait(place)) => self.remind(lower, place, &segment, packet, now),
            None => self.begin(lower, &segment, packet, None, now),
        }
    }

    fn find(&self, key: &Key) -> Option<Place> {
        self.table.find(key, |place| match place {
            Place::Flow(slot) => self.flows.is(slot, key),
            Place::HalfOpen(place) => self.half_open.is(place, key),
            Place::TimeWait(place) => self.time_wait.is(place, key),
        })
    }

    /// Refuses a segment with RST.
    fn refuse<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        packet: &PacketIn<'_>,
        now: Instant,
    ) {
        let path = Path { own: packet.to, mtu: lower.mtu() as u16 };
        self.engine.refuse(&mut lower.link, (packet.mac, path), packet.packet, now);
    }

    /// A segment of an existing connection.
    fn feed<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        slot: u32,
        segment: &Segment<'_>,
        packet: &PacketIn<'_>,
        now: Instant,
    ) {
        if lower.neighbours.is_asking() {
            lower.saw(packet, now);
        }
        let Some(flow) = self.flows.get(slot) else { return };
        let before = flow.state();
        let is_open = !matches!(before, State::SynSent | State::SynReceived);
        if segment.rst && before != State::SynSent && segment.sequence != flow.expected() {
            return challenge(lower, flow, packet, now);
        }
        // Of a SYN that comes now smoltcp says nothing, and a peer that has begun anew would ask
        // in vain for as long as the connection stands.
        if segment.syn && is_open {
            return challenge(lower, flow, packet, now);
        }
        // All but our FIN was acknowledged already. smoltcp 0.14 takes three such for a loss of data,
        // finds none, and its timer for the FIN is gone.
        if matches!(before, State::FinWait1 | State::Closing) && flow.is_duplicate(segment) {
            return;
        }
        if flow.is_behind_fin(segment) {
            lower.link.counters.malformed += 1;
            return;
        }
        if let Some(stamps) = &mut flow.stamps
            && !stamps.accept(segment, flow.sent.map(|sent| sent.acknowledgement))
        {
            return late(lower, flow, segment, packet, now);
        }
        flow.stamp(now);
        let to = (packet.mac, flow.path);
        let polled = self.engine.receive(&mut lower.link, to, &mut flow.sockets, packet.packet, now);
        flow.note_sent(polled.sent, now);
        if let Some(recovery) = &mut flow.recovery
            && recovery.received(segment, now)
        {
            self.engine.resend(&mut lower.link, packet.mac, flow, now);
        }
        if before == State::SynSent && flow.state() != State::Closed && segment.syn {
            flow.read = segment.sequence.wrapping_add(1);
            if let Some((recent, _)) = segment.timestamp().filter(|_| flow.socket().timestamp_enabled()) {
                flow.stamps = Some(Stamps { offset: flow.stamp_offset, recent });
            }
        }
        if flow.state() == State::Closed && before != State::Closed {
            // In LAST-ACK this is how it should end.
            if before != State::LastAck || segment.rst {
                flow.error.get_or_insert(StreamError::Reset);
            }
        }
        // Whoever sends to a service that has gone learns that it has (RFC 1122, 4.2.2.13).
        if flow.owner == Owner::Orphan && flow.socket().can_recv() {
            flow.socket().abort();
        }
        if flow.state() == State::Closed && flow.has_ended() {
            // At once: the next segment may be the SYN of a new connection from the same port.
            self.end(slot, now);
        } else {
            self.mark(slot);
        }
    }

    /// A segment of a connection in TIME-WAIT (RFC 9293, section 3.10.7.4).
    fn remind<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        place: u32,
        segment: &Segment<'_>,
        packet: &PacketIn<'_>,
        now: Instant,
    ) {
        let Some(ended) = self.time_wait.at(place).copied() else { return };
        let expected = ended.last.acknowledgement;
        if segment.rst {
            if segment.sequence == expected {
                self.time_wait.remove(&mut self.table, place);
            }
        } else if segment.syn
            && segment.acknowledgement.is_none()
            && (is_after(segment.sequence, expected.wrapping_sub(1)) || is_newer(&ended, segment))
        {
            // A new connection from the same port, with numbers that the old one can't have, or a
            // later timestamp (RFC 6191, section 2).
            self.time_wait.remove(&mut self.table, place);
            self.begin(lower, segment, packet, Some(ended.last.next), now);
        } else if segment.syn || segment.fin || segment.length > 0 {
            let timestamp = ended.stamps.map(|stamps| stamps.reply(now));
            acknowledge(lower, packet.mac, segment.key, ended.last, expected, timestamp);
        }
    }

    /// Makes a connection, if there is room and memory for one: also in all lists in which it
    /// may stand later.
    /// `window`: the one that its peer was told, if it was.
    fn open(&mut self, key: Key, path: Path, owner: Owner, window: usize) -> Option<u32> {
        let count = self.flows.len() + 1;
        if count > self.most {
            return None;
        }
        reserve(&mut self.dirty, count)?;
        reserve(&mut self.waiting, count)?;
        let timers = 2 * count + SWEEP + 1;
        self.timers.try_reserve(timers.saturating_sub(self.timers.len())).ok()?;
        let (size, cost) = self.budget.take(window)?;
        let sockets = engine::socket(size, size, self.timestamps);
        let slot = sockets.and_then(|sockets| self.flows.insert(Flow::new(key, path, sockets, owner, cost)));
        let Some(slot) = slot else {
            self.budget.give_back(cost);
            return None;
        };
        if let Some(flow) = self.flows.get(slot) {
            flow.stamp_offset = self.numbers.stamp_offset(&key);
        }
        if !self.table.insert(&key, Place::Flow(slot)) {
            self.free(slot);
            return None;
        }
        Some(slot)
    }

    /// Begins a connection of ours to a host's port.
    fn connect<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        peer: Address,
        peer_port: u16,
    ) -> Result<u32, ConnectError> {
        let now = lower.now;
        let own = lower.source_for(peer).ok_or(ConnectError::Unreachable)?;
        if peer_port == 0 || lower.hop(peer, now) == Hop::Unreachable {
            return Err(ConnectError::Unreachable);
        }
        let key = (0..EPHEMERAL_TRIES)
            .filter_map(|_| lower.random())
            .map(|random| Key { peer, own, peer_port, port: FIRST_EPHEMERAL | random as u16 })
            .find(|key| {
                self.find(key).is_none() && self.listeners.iter().all(|backlog| backlog.port != key.port)
            })
            .ok_or(ConnectError::Resources)?;
        let path = Path { own, mtu: lower.path_mtu(peer) as u16 };
        let slot = self.open(key, path, Owner::Stream, 0).ok_or(ConnectError::Resources)?;
        let mut interface = self.engine.numbered(path, self.numbers.initial(&key, now), now);
        let flow = self.flows.get(slot).ok_or(ConnectError::Resources)?;
        let remote = IpEndpoint::new(peer.into(), peer_port);
        let local = IpListenEndpoint { addr: Some(own.into()), port: key.port };
        let begun = flow.socket().connect(interface.context(), remote, local);
        flow.deadline = Some(now + CONNECT);
        if begun.is_err() {
            self.free(slot);
            return Err(ConnectError::Unreachable);
        }
        self.mark(slot);
        Ok(slot)
    }

    /// Lets every connection that has something to do have its turn, as far as the ring has room.
    /// `neighbours_changed`: those that wait for a neighbour try again.
    pub fn send<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        neighbours_changed: bool,
        now: Instant,
    ) {
        while let Some((key, _)) = self.half_open.expire(&mut self.table, now) {
            self.forgot_half_open(&key);
        }
        while self.time_wait.expire(&mut self.table, now).is_some() {}
        self.answer_late(lower, now);
        if neighbours_changed {
            self.retries = self.waiting.len();
        }
        for _ in 0..self.retries.min(RETRIES) {
            self.retries -= 1;
            self.dirty.extend(self.waiting.pop_front());
        }
        while let Some(&Reverse((deadline, slot))) = self.timers.peek() {
            if deadline > now {
                break;
            }
            self.timers.pop();
            if let Some(flow) = self.flows.get(slot)
                && flow.timer == Some(deadline)
            {
                flow.timer = None;
                self.mark(slot);
            }
        }
        // Those that are marked meanwhile have their turn the next time.
        for _ in 0..self.dirty.len() {
            let Some(slot) = self.dirty.pop_front() else { break };
            if self.send_one(lower, slot, now).is_err() {
                self.dirty.push_front(slot);
                return;
            }
        }
    }

    /// One connection's turn.
    fn send_one<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        slot: u32,
        now: Instant,
    ) -> Result<(), Blocked> {
        let Some(flow) = self.flows.get(slot) else { return Ok(()) };
        if flow.over {
            flow.dirty = false;
            return Ok(());
        }
        if flow.deadline.is_some_and(|deadline| deadline <= now) {
            flow.error.get_or_insert(StreamError::TimedOut);
            flow.deadline = None;
            flow.socket().abort();
        }
        let station = match lower.hop(flow.key.peer, now) {
            Hop::To(station) => station,
            Hop::Wait => {
                // It stays dirty: nothing else gives it a turn before the neighbour is known or
                // given up, which is a matter of seconds.
                self.waiting.push_back(slot);
                return Ok(());
            }
            Hop::Unreachable => {
                flow.dirty = false;
                match flow.state() {
                    // Not even a RST would arrive.
                    State::Closed => self.end(slot, now),
                    State::SynSent => {
                        flow.unreachable = true;
                        flow.error.get_or_insert(StreamError::TimedOut);
                        self.end(slot, now);
                    }
                    // The neighbour may only be starting anew.
                    _ => {
                        let end = *flow.deadline.get_or_insert(now + OUT_OF_REACH);
                        self.schedule(slot, Some(end.min(now + REACH_AGAIN)));
                    }
                }
                return Ok(());
            }
        };
        let before = flow.state();
        let mut more = true;
        flow.stamp(now);
        // A path may swallow large packets without a word, where ICMP is filtered (RFC 4821). What
        // nearly all carry is tried then, for this connection.
        let least = flow.path.own.least_usual();
        if flow.path.mtu > least
            && flow.recovery.as_ref().is_some_and(|recovery| recovery.is_swallowed(least, now))
        {
            flow.path.mtu = least;
        }
        if flow.recovery.as_mut().is_some_and(|recovery| recovery.is_due(now)) {
            self.engine.resend(&mut lower.link, station, flow, now);
        }
        for _ in 0..BURST {
            let to = (station, flow.path);
            let Some(polled) = self.engine.send(&mut lower.link, to, &mut flow.sockets, now) else {
                if flow.close_if_sent() {
                    continue;
                }
                more = false;
                break;
            };
            if polled.blocked {
                return Err(Blocked);
            }
            flow.note_sent(polled.sent, now);
        }
        if flow.state() == State::Closed && before != State::Closed {
            flow.error.get_or_insert(StreamError::TimedOut);
        }
        flow.dirty = false;
        if more {
            self.mark(slot);
            return Ok(());
        }
        if flow.has_ended() {
            self.end(slot, now);
            return Ok(());
        }
        match flow.state() {
            State::SynSent => {}
            _ if flow.owner == Owner::Orphan => {
                flow.deadline.get_or_insert(now + LINGER);
            }
            State::FinWait1 | State::Closing | State::LastAck => {
                flow.deadline.get_or_insert(now + LINGER);
            }
            _ if flow.closing => {
                flow.deadline.get_or_insert(now + LINGER);
            }
            // A service may go on reading for as long as the peer sends.
            _ => flow.deadline = None,
        }
        let next = self.engine.next_deadline(&flow.sockets, now);
        let next = next.map(|next| if next <= now { now + LATER } else { next });
        let probe = flow.recovery.as_ref().and_then(|recovery| recovery.deadline());
        let deadline = [next, flow.deadline, probe].into_iter().flatten().min();
        self.schedule(slot, deadline);
        Ok(())
    }

    /// When [`send`](Self::send) has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let timer = self.timers.peek().map(|Reverse((deadline, _))| *deadline);
        let unfinished = self.unfinished.front().map(|(due, ..)| (*due).max(self.pause));
        let retries = (self.retries > 0).then_some(Instant::START);
        [timer, unfinished, retries, self.half_open.next_deadline(), self.time_wait.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Our address `own` is no more, nor its connections: without a word to the peers.
    #[cfg(any(feature = "dhcp", feature = "ipv6"))]
    pub fn lose_address(&mut self, own: Address, now: Instant) {
        let is_gone = |key: &Key| key.own == own;
        self.time_wait.remove_all(&mut self.table, is_gone);
        let listeners = &mut self.listeners;
        self.half_open.remove_all(&mut self.table, |key| {
            let backlog = listeners.iter_mut().find(|backlog| backlog.port == key.port);
            if let (true, Some(backlog)) = (is_gone(key), backlog) {
                backlog.half_open -= 1;
            }
            is_gone(key)
        });
        for slot in self.flows.slots() {
            let Some(flow) = self.flows.get(slot).filter(|flow| is_gone(&flow.key)) else { continue };
            flow.error.get_or_insert(StreamError::Reset);
            flow.socket().abort();
            self.end(slot, now);
        }
    }

    /// What waits on a port, if a service listens there. An appliance has few of them.
    fn backlog(&mut self, port: u16) -> Option<&mut Backlog> {
        self.listeners.iter_mut().find(|backlog| backlog.port == port)
    }

    /// Puts a connection into the queue of those with something to do.
    fn mark(&mut self, slot: u32) {
        if let Some(flow) = self.flows.get(slot)
            && !core::mem::replace(&mut flow.dirty, true)
        {
            self.dirty.push_back(slot);
        }
    }

    /// Gives a connection its turn at `deadline` at the latest. A timer that is earlier stays
    /// where it is: to look too early costs less than to move it with every segment.
    fn schedule(&mut self, slot: u32, deadline: Option<Instant>) {
        let (Some(flow), Some(deadline)) = (self.flows.get(slot), deadline) else { return };
        if flow.timer.is_some_and(|timer| timer <= deadline) {
            return;
        }
        flow.timer = Some(deadline);
        self.timers.push(Reverse((deadline, slot)));
        if self.timers.len() > 2 * self.flows.len() + SWEEP {
            let flows = &mut self.flows;
            self.timers.retain(|Reverse((deadline, slot))| {
                flows.get(*slot).is_some_and(|flow| flow.timer == Some(*deadline))
            });
        }
    }

    /// A connection has ended: no segment is its any more. Its holder may still read what it
    /// received; if there is none, it goes.
    fn end(&mut self, slot: u32, now: Instant) {
        let Some(flow) = self.flows.get(slot) else { return };
        if core::mem::replace(&mut flow.over, true) {
            return;
        }
        flow.timer = None;
        let (key, owner, sent, stamps) = (flow.key, flow.owner, flow.sent, flow.stamps);
        let in_time_wait = flow.state() == State::TimeWait;
        if !in_time_wait {
            // Wakes who waits for it.
            flow.socket().abort();
        }
        self.table.remove(&key, Place::Flow(slot));
        if let (true, Some(last)) = (in_time_wait, sent) {
            while self.time_wait.make_room(&mut self.table).is_some() {}
            // Without memory it is forgotten: stray segments of it are refused then.
            let _ = self.time_wait.insert(&mut self.table, key, TimeWait { last, stamps }, now);
        }
        if owner == Owner::Orphan {
            self.free(slot);
        }
    }

    /// Forgets a connection at once.
    fn free(&mut self, slot: u32) {
        let Some(flow) = self.flows.remove(slot) else { return };
        self.table.remove(&flow.key, Place::Flow(slot));
        self.budget.give_back(flow.cost);
        self.full = None;
    }

    /// Nobody holds a connection any more: what wasn't closed is reset.
    fn abandon(&mut self, slot: u32) {
        let Some(flow) = self.flows.get(slot) else { return };
        flow.owner = Owner::Orphan;
        if flow.over {
            self.free(slot);
            return;
        }
        if !(is_closing(flow.state()) || flow.closing) || flow.socket().can_recv() {
            flow.socket().abort();
        }
        // How long it may linger is decided at its turn.
        flow.deadline = None;
        self.mark(slot);
    }

    /// Closes a port: what was not accepted is reset.
    fn unlisten(&mut self, port: u16) {
        let Some(place) = self.listeners.iter().position(|backlog| backlog.port == port) else { return };
        let backlog = self.listeners.swap_remove(place);
        self.half_open.remove_all(&mut self.table, |key| key.port == port);
        for slot in backlog.ready {
            self.abandon(slot);
        }
    }
}

#[cfg(any(test, feature = "counters"))]
impl Tcp {
    /// How many connections there are.
    pub fn flow_count(&self) -> usize {
        self.flows.len()
    }
}

#[cfg(test)]
impl Tcp {
    pub fn half_open_count(&self) -> usize {
        self.half_open.len()
    }

    /// Tells what cost an idle connection has: in smoltcp's and in our own structures.
    pub fn sizes() -> [usize; 3] {
        use core::mem::size_of;
        [
            size_of::<Flow>(),
            size_of::<smoltcp::socket::tcp::Socket<'static>>(),
            size_of::<smoltcp::iface::SocketSet<'static>>(),
        ]
    }

    /// Connections of any kind.
    pub fn table_count(&self) -> usize {
        self.table.len()
    }

    /// Our next sequence number of the connection with a peer's port.
    pub fn numbers_of(&self, peer: Address, port: u16) -> u32 {
        let flow = self.flows.all().find(|flow| (flow.key.peer, flow.key.peer_port) == (peer, port));
        flow.and_then(|flow| flow.sent).expect("a connection that sent something").next
    }

    pub fn time_wait_count(&self) -> usize {
        self.time_wait.len()
    }

    /// Nothing of any connection is left, but what TIME-WAIT remembers.
    pub fn assert_clean(&self) {
        assert_eq!((self.flows.len(), self.table.len()), (0, self.half_open.len() + self.time_wait.len()));
        assert!(self.timers.len() <= 2 * self.most.min(2000) + SWEEP + 1);
        assert_eq!((self.budget.used(), self.waiting.len()), (0, 0));
        assert!(self.listeners.iter().all(|backlog| backlog.ready.is_empty()));
    }
}

/// The transmit ring is full.
struct Blocked;

/// Whether our half is closed, or about to be.
const fn is_closing(state: State) -> bool {
    matches!(state, State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck | State::TimeWait)
}

/// Room for `count` of them in all; `None` without memory.
fn reserve(list: &mut VecDeque<u32>, count: usize) -> Option<()> {
    list.try_reserve(count.saturating_sub(list.len())).ok()
}

/// Whether `segment` was sent after the connection that has `ended`, by the peer's own clock.
fn is_newer(ended: &TimeWait, segment: &Segment<'_>) -> bool {
    let theirs = segment.timestamp().map(|(theirs, _)| theirs);
    ended.stamps.zip(theirs).is_some_and(|(stamps, theirs)| is_after(theirs.value, stamps.recent.value))
}

/// A segment of old, or one without a timestamp in a connection that has them: dropped. Who sent an
/// old one learns where we are (RFC 7323, section 5.3).
fn late<F: Frames, E: Entropy>(
    lower: &mut Lower<F, E>,
    flow: &mut Flow,
    segment: &Segment<'_>,
    packet: &PacketIn<'_>,
    now: Instant,
) {
    lower.link.counters.late += 1;
    if let (Some(stamps), Some(sent), true) = (flow.stamps, flow.sent, segment.timestamp().is_some()) {
        acknowledge(lower, packet.mac, flow.key, sent, flow.expected(), Some(stamps.reply(now)));
    }
}

/// A reset that isn't exactly where it should be may be forged, and so may a SYN: whoever believes
/// in it is asked (RFC 5961, sections 3.2 and 4.2), once a second at most (section 7). smoltcp does so for the rest.
fn challenge<F: Frames, E: Entropy>(
    lower: &mut Lower<F, E>,
    flow: &mut Flow,
    packet: &PacketIn<'_>,
    now: Instant,
) {
    lower.link.counters.challenged += 1;
    if let Some(sent) = flow.sent
        && flow.challenged.is_none_or(|last| now.since(last) >= Duration::from_secs(1))
    {
        flow.challenged = Some(now);
        let timestamp = flow.stamps.map(|stamps| stamps.reply(now));
        acknowledge(lower, packet.mac, flow.key, sent, flow.expected(), timestamp);
    }
}
