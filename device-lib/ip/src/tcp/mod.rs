//! TCP (RFC 9293): which segment belongs to which connection, and when each has its turn.

mod bounded;
mod engine;
mod flow;
mod handshake;
mod segment;
mod stream;

use alloc::collections::{BTreeMap, BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::task::Waker;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{self, State};
use smoltcp::wire::{IpAddress, IpEndpoint, IpListenEndpoint};
use unik::interface::{ConnectError, Entropy, Frames, StreamError};
use unik::time::{Duration, Instant};

use crate::Options;
use crate::link::{EtherType, Mac};
use crate::lower::{Hop, Lower, PacketIn};
use bounded::{Bounded, HalfOpen, TimeWait};
use engine::Engine;
use flow::{Budget, Flow, Flows, Owner};
use segment::{Key, Segment, acknowledgement, is_after};

pub use stream::{Listener, Stream};

/// Handshakes that are remembered, and for how long (RFC 9293 gives no number).
const HALF_OPEN: usize = 4096;
const HALF_OPEN_AGE: Duration = Duration::from_secs(30);
/// Connections in TIME-WAIT, and for how long: twice the maximum segment lifetime that
/// Linux assumes.
const TIME_WAIT: usize = 4096;
const TIME_WAIT_AGE: Duration = Duration::from_secs(60);
/// Connections of a port that no service has accepted yet.
const BACKLOG: usize = 1024;
/// How long a peer has to answer our SYN, and how long to close after us.
const CONNECT: Duration = Duration::from_secs(30);
const LINGER: Duration = Duration::from_secs(60);
/// Segments that one connection sends before the others have their turn.
const BURST: usize = 64;
/// How many timers that count no more may lie around beside as many as there are connections.
const SWEEP: usize = 64;
/// When to look again at a connection that says "now" but sends nothing.
const LATER: Duration = Duration::from_millis(10);
/// How many ports are tried for a connection of ours.
const EPHEMERAL_TRIES: u32 = 64;
const FIRST_EPHEMERAL: u16 = 49152;

/// All connections of a network.
#[derive(Debug)]
pub(crate) struct Tcp {
    engine: Engine,
    flows: Flows,
    /// Which connection a segment belongs to.
    table: BTreeMap<Key, u32>,
    half_open: Bounded<HalfOpen>,
    /// Half-open connections whose SYN-ACK found no room in the transmit ring.
    unanswered: VecDeque<(Key, Mac)>,
    /// Handshakes whose SYN-ACK is sent again when they are still half-open then, and how
    /// often after that. Without it a peer whose last segment was lost, and that has nothing
    /// to say before we do, would wait for ever.
    unfinished: VecDeque<(Instant, Key, Mac, u8)>,
    /// No SYN-ACK is sent again before.
    pause: Instant,
    time_wait: Bounded<TimeWait>,
    listeners: Vec<Backlog>,
    /// Connections with something to do, in the order of their turns.
    dirty: VecDeque<u32>,
    /// An entry counts if it is the timer of its connection; others are swept out now and then.
    timers: BinaryHeap<Reverse<(Instant, u32)>>,
    /// Connections whose peer's station isn't known yet.
    waiting: Vec<u32>,
    budget: Budget,
    most: usize,
    /// Since when there is no room for a connection, as far as one was turned away.
    full: Option<Instant>,
    /// A connection without buffers to speak of, in which handshakes are begun.
    scratch: (SocketSet<'static>, SocketHandle),
}

/// A port that a service listens on.
#[derive(Debug)]
struct Backlog {
    port: u16,
    ready: VecDeque<u32>,
    waker: Option<Waker>,
}

impl Tcp {
    pub fn new<F: Frames, E: Entropy>(options: &Options, lower: &Lower<F, E>) -> Self {
        let offload = lower.link.frames.offloads().checksum;
        let address = lower.addressing.map(|own| own.address);
        // Its receive buffer is what the peer is promised: that of a real connection.
        let scratch = new_sockets(options.tcp_buffer, 1);
        Tcp {
            engine: Engine::new(lower.mtu(), offload, address),
            flows: Flows::default(),
            table: BTreeMap::new(),
            half_open: Bounded::new(HALF_OPEN, HALF_OPEN_AGE),
            unanswered: VecDeque::new(),
            unfinished: VecDeque::new(),
            pause: Instant::START,
            time_wait: Bounded::new(TIME_WAIT, TIME_WAIT_AGE),
            listeners: Vec::new(),
            dirty: VecDeque::new(),
            timers: BinaryHeap::new(),
            waiting: Vec::new(),
            budget: Budget::new(options.tcp_memory, options.tcp_buffer),
            most: usize::try_from(options.max_connections).unwrap_or(usize::MAX),
            full: None,
            scratch,
        }
    }

    /// Takes a segment that was sent to us.
    pub fn receive<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        packet: &PacketIn<'_>,
        now: Instant,
    ) {
        let Some(segment) = Segment::parse(lower, packet) else { return };
        if let Some(&slot) = self.table.get(&segment.key) {
            self.feed(lower, slot, packet, segment.rst, now);
        } else if let Some(half_open) = self.half_open.find(&segment.key) {
            self.complete(lower, half_open, &segment, packet, now);
        } else if let Some(ended) = self.time_wait.find(&segment.key) {
            self.remind(lower, ended, &segment, packet, now);
        } else {
            self.begin(lower, &segment, packet, now);
        }
    }

    /// A segment of an existing connection.
    fn feed<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        slot: u32,
        packet: &PacketIn<'_>,
        rst: bool,
        now: Instant,
    ) {
        if lower.neighbours.is_asking() {
            lower.saw(packet, now);
        }
        let Some(flow) = self.flows.get(slot) else { return };
        let before = flow.state();
        let polled = self.engine.receive(&mut lower.link, packet.mac, &mut flow.sockets, packet.packet, now);
        flow.sent = polled.sent.or(flow.sent);
        if flow.state() == State::Closed && before != State::Closed {
            // In LAST-ACK this is how it should end.
            if before != State::LastAck || rst {
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
        ended: TimeWait,
        segment: &Segment<'_>,
        packet: &PacketIn<'_>,
        now: Instant,
    ) {
        let expected = ended.last.acknowledgement;
        if segment.rst {
            if segment.sequence == expected {
                self.time_wait.remove(&segment.key);
            }
        } else if segment.syn
            && segment.acknowledgement.is_none()
            && is_after(segment.sequence, expected.wrapping_sub(1))
        {
            // A new connection from the same port, with numbers that the old one can't have.
            self.time_wait.remove(&segment.key);
            self.begin(lower, segment, packet, now);
        } else if segment.syn || segment.fin || segment.length > 0 {
            let reply = acknowledgement(segment.key, packet.to, ended.last.sequence, expected);
            lower.link.reply(packet.mac, EtherType::Ipv4, reply.len(), |bytes| bytes.copy_from_slice(&reply));
        }
    }

    /// Makes a connection, if there is room and memory for one.
    fn open(&mut self, key: Key, owner: Owner) -> Option<u32> {
        if self.flows.len() >= self.most {
            return None;
        }
        let (size, cost) = self.budget.take()?;
        let Some(sockets) = engine::socket(size, size) else {
            self.budget.give_back(cost);
            return None;
        };
        let slot = self.flows.insert(Flow::new(key, sockets, owner, cost));
        self.table.insert(key, slot);
        Some(slot)
    }

    /// Begins a connection of ours to `to`.
    fn connect<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        to: core::net::SocketAddrV4,
    ) -> Result<u32, ConnectError> {
        let now = lower.now;
        let own = lower.addressing.ok_or(ConnectError::Unreachable)?.address;
        if to.port() == 0 || lower.hop(*to.ip(), now) == Hop::Unreachable {
            return Err(ConnectError::Unreachable);
        }
        let key = (0..EPHEMERAL_TRIES)
            .filter_map(|_| lower.random())
            .map(|random| FIRST_EPHEMERAL | random as u16)
            .map(|port| Key { peer: *to.ip(), peer_port: to.port(), port })
            .find(|key| {
                !self.table.contains_key(key)
                    && self.half_open.find(key).is_none()
                    && self.time_wait.find(key).is_none()
                    && self.listeners.iter().all(|backlog| backlog.port != key.port)
            })
            .ok_or(ConnectError::Resources)?;
        let seed = lower.random().ok_or(ConnectError::Resources)?;
        let slot = self.open(key, Owner::Stream).ok_or(ConnectError::Resources)?;
        let mut interface = self.engine.seeded(seed, now);
        let flow = self.flows.get(slot).ok_or(ConnectError::Resources)?;
        let remote = IpEndpoint::new(IpAddress::Ipv4(key.peer), key.peer_port);
        let local = IpListenEndpoint { addr: Some(IpAddress::Ipv4(own)), port: key.port };
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
        self.half_open.expire(now);
        self.time_wait.expire(now);
        self.answer_late(lower, now);
        if neighbours_changed {
            self.dirty.extend(self.waiting.drain(..));
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
                self.waiting.push(slot);
                return Ok(());
            }
            Hop::Unreachable => {
                // Not even a RST would arrive.
                flow.error.get_or_insert(StreamError::TimedOut);
                self.end(slot, now);
                return Ok(());
            }
        };
        let before = flow.state();
        let mut more = true;
        for _ in 0..BURST {
            let Some(polled) = self.engine.send(&mut lower.link, station, &mut flow.sockets, now) else {
                more = false;
                break;
            };
            if polled.blocked {
                return Err(Blocked);
            }
            flow.sent = polled.sent.or(flow.sent);
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
            // A service may go on reading for as long as the peer sends.
            _ => flow.deadline = None,
        }
        let next = self.engine.next_deadline(&flow.sockets, now);
        let next = next.map(|next| if next <= now { now + LATER } else { next });
        let deadline = [next, flow.deadline].into_iter().flatten().min();
        self.schedule(slot, deadline);
        Ok(())
    }

    /// When [`send`](Self::send) has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let timer = self.timers.peek().map(|Reverse((deadline, _))| *deadline);
        let unfinished = self.unfinished.front().map(|(due, ..)| (*due).max(self.pause));
        [timer, unfinished, self.half_open.next_deadline(), self.time_wait.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Our address has changed: what was before is gone, without a word to the peers.
    #[cfg(feature = "dhcp")]
    pub fn change_address<F: Frames, E: Entropy>(&mut self, lower: &Lower<F, E>) {
        self.half_open.clear();
        self.unanswered.clear();
        self.unfinished.clear();
        self.time_wait.clear();
        for slot in self.flows.slots() {
            if let Some(flow) = self.flows.get(slot) {
                flow.error.get_or_insert(StreamError::Reset);
            }
            self.end(slot, lower.now);
        }
        self.time_wait.clear();
        self.engine.set_address(lower.addressing.map(|own| own.address));
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
        let (key, owner, sent) = (flow.key, flow.owner, flow.sent);
        let in_time_wait = flow.state() == State::TimeWait;
        if !in_time_wait {
            // Wakes who waits for it.
            flow.socket().abort();
        }
        if self.table.get(&key) == Some(&slot) {
            self.table.remove(&key);
        }
        if let (true, Some(last)) = (in_time_wait, sent) {
            self.time_wait.insert(key, TimeWait { last }, now);
        }
        if owner == Owner::Orphan {
            self.free(slot);
        }
    }

    /// Forgets a connection at once.
    fn free(&mut self, slot: u32) {
        let Some(flow) = self.flows.remove(slot) else { return };
        if self.table.get(&flow.key) == Some(&slot) {
            self.table.remove(&flow.key);
        }
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
        if !is_closing(flow.state()) || flow.socket().can_recv() {
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
        self.half_open.remove_port(port);
        for slot in backlog.ready {
            self.abandon(slot);
        }
    }
}

#[cfg(test)]
impl Tcp {
    pub fn flow_count(&self) -> usize {
        self.flows.len()
    }

    pub fn half_open_count(&self) -> usize {
        self.half_open.len()
    }

    pub fn time_wait_count(&self) -> usize {
        self.time_wait.len()
    }

    /// Nothing of any connection is left, but what TIME-WAIT remembers.
    pub fn assert_clean(&self) {
        assert_eq!((self.flows.len(), self.table.len()), (0, 0));
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

fn begin_listening(socket: &mut tcp::Socket<'static>, port: u16) {
    socket.abort();
    // A closed socket listens to any port but 0, and no segment to port 0 gets here.
    let _ = socket.listen(port);
}

/// A connection's sockets of which at least the first must be had.
fn new_sockets(receive: usize, transmit: usize) -> (SocketSet<'static>, SocketHandle) {
    engine::socket(receive, transmit).expect("memory for one connection when the network starts")
}
