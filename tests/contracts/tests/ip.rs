//! Our own stack, twice, on a cable: a good one, and one whose rings are short.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::{Context as Cx, Poll, Waker};

use unik::interface::{Entropy, EntropyError, Frames, FullRing};
use unik::start::{Context, Listen, Protocol};
use unik_contracts::names::NAMES;
use unik_contracts::{Ends, PORT, datagrams, hold, hold_with_losses, names};
use unik_ip::{Ipv4, Options};

static LISTENS: &[Listen] = &[
    Listen { protocol: Protocol::Tcp, port: PORT, service: "contract" },
    Listen { protocol: Protocol::Udp, port: PORT, service: "contract" },
    Listen { protocol: Protocol::Tcp, port: NAMES, service: "contract" },
    Listen { protocol: Protocol::Udp, port: NAMES, service: "contract" },
];

static SERVERS: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))];

const fn options(last: u8) -> Options {
    Options {
        ipv4: Ipv4::Static { address: (Ipv4Addr::new(10, 0, 0, last), 24), gateway: None },
        ipv6: None,
        hostname: None,
        resolver: Some(&SERVERS),
        route: &[],
        counters: None,
        max_connections: 64,
        tcp_buffer: 16384,
        tcp_memory: 8 << 20,
        udp_buffer: 4096,
        segmentation: false,
        timestamps: false,
        mtu: None,
    }
}

static SERVER: Options = options(1);
static CLIENT: Options = options(2);

/// One way of the cable.
#[derive(Default)]
struct Way {
    frames: VecDeque<Vec<u8>>,
    /// One of so many frames gets lost, and what chooses it.
    loses: Option<u64>,
    chance: u64,
    /// Who receives, and who waits for room.
    receiver: Option<Waker>,
    sender: Option<Waker>,
}

/// One end of the cable.
struct Plug {
    mac: [u8; 6],
    room: usize,
    incoming: Rc<RefCell<Way>>,
    outgoing: Rc<RefCell<Way>>,
    is_blocked: bool,
}

fn cable(room: usize, loses: Option<u64>, seed: u64) -> (Plug, Plug) {
    let way = |chance| Rc::new(RefCell::new(Way { loses, chance, ..Way::default() }));
    let (one, other) = (way(seed), way(!seed));
    let plug = |last, incoming: &Rc<RefCell<Way>>, outgoing: &Rc<RefCell<Way>>| Plug {
        mac: [2, 0, 0, 0, 0, last],
        room,
        incoming: Rc::clone(incoming),
        outgoing: Rc::clone(outgoing),
        is_blocked: false,
    };
    (plug(1, &one, &other), plug(2, &other, &one))
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl Frames for Plug {
    type Received = Vec<u8>;

    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn mtu(&self) -> usize {
        1500
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        let way = &mut *self.incoming.borrow_mut();
        let frame = way.frames.pop_front()?;
        wake(&mut way.sender);
        Some(frame)
    }

    fn release(&mut self, _frame: Vec<u8>) {}

    fn can_transmit(&mut self) -> bool {
        self.is_blocked = self.outgoing.borrow().frames.len() >= self.room;
        !self.is_blocked
    }

    fn transmit<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> Result<R, FullRing> {
        if !self.can_transmit() {
            return Err(FullRing);
        }
        let mut frame = vec![0; length];
        let result = fill(&mut frame);
        let way = &mut *self.outgoing.borrow_mut();
        way.chance = following(way.chance);
        if way.loses.is_none_or(|one_of| !(way.chance >> 33).is_multiple_of(one_of)) {
            way.frames.push_back(frame);
        }
        Ok(result)
    }

    fn flush(&mut self) {
        wake(&mut self.outgoing.borrow_mut().receiver);
    }

    fn poll_ready(&mut self, cx: &mut Cx<'_>) -> Poll<()> {
        let has_room = self.outgoing.borrow().frames.len() < self.room;
        if !self.incoming.borrow().frames.is_empty() || (self.is_blocked && has_room) {
            self.is_blocked = false;
            return Poll::Ready(());
        }
        self.incoming.borrow_mut().receiver = Some(cx.waker().clone());
        self.outgoing.borrow_mut().sender = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// The number after `state` of Knuth's generator (MMIX).
fn following(state: u64) -> u64 {
    state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

/// Entropy that nobody should use.
#[derive(Clone)]
struct Counter(Rc<Cell<u64>>);

impl Entropy for Counter {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        for byte in bytes {
            self.0.set(following(self.0.get()));
            *byte = (self.0.get() >> 56) as u8;
        }
        Ok(())
    }
}

/// `loses`: one of so many frames, each way; `seed` says which.
fn on_a_cable(room: usize, loses: Option<u64>, seed: u64) {
    unik::executor::block_on(async {
        let (one, other) = cable(room, loses, seed);
        let cx = [Context::new("server"), Context::new("client")];
        let server = unik_ip::start(&cx[0], &SERVER, LISTENS, one, Counter(Rc::new(Cell::new(1)))).await;
        let client = unik_ip::start(&cx[1], &CLIENT, &[], other, Counter(Rc::new(Cell::new(2)))).await;
        let at = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), PORT));
        let ends = Ends { server: server.expect("a network"), client: client.expect("a network"), at };
        match loses {
            None => hold(&ends).await,
            Some(_) => hold_with_losses(&ends).await,
        }
        datagrams::hold(&ends).await;
        if loses.is_none() {
            // It counts questions, and one that gets lost is put again.
            names::hold(&ends.server, &ends.client).await;
        }
    });
}

#[test]
fn our_stack_keeps_its_promises() {
    on_a_cable(256, None, 0);
}

#[test]
fn our_stack_keeps_its_promises_with_short_rings() {
    on_a_cable(4, None, 0);
}

#[test]
fn our_stack_keeps_its_promises_where_frames_get_lost() {
    let seeds = (1..4).map(|seed| std::thread::spawn(move || on_a_cable(256, Some(20), seed)));
    for seed in seeds.collect::<Vec<_>>() {
        seed.join().expect("every promise");
    }
}
