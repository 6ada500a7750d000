//! A host on the other side of the link: smoltcp, and the clients that run there.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::rc::Rc;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};
use unik::platform::sim::Random;

use crate::clients::{Client, Cx, Pages, Step, Task};
use crate::faults::Faults;
use crate::link::MTU;

/// How often a client tries on a link with faults.
const TRIES: u32 = 4;
/// When to look again at a host that says "now" but does nothing.
const LATER: u64 = 1_000_000;
/// Turns that a host has at one time.
const TURNS: usize = 100;

/// A host with clients.
pub(crate) struct Host {
    pub mac: [u8; 6],
    pub address: Ipv4Addr,
    interface: Interface,
    port: Port,
    sockets: SocketSet<'static>,
    random: Random,
    guest: Ipv4Addr,
    next_port: u16,
    /// The connections that there were: our port, and the appliance's.
    pub opened: Vec<(u16, u16)>,
    closing: Vec<SocketHandle>,
    jobs: Vec<Job>,
    pages: Rc<RefCell<Pages>>,
    /// Why clients tried again.
    pub broke: Vec<String>,
    /// When it has a turn, whatever comes.
    next: u64,
}

/// A client, and how it gets on.
struct Job {
    task: Task,
    client: Option<Box<dyn Client>>,
    state: State,
    /// It has a turn when something came, or then.
    wake: u64,
    /// When it last got further.
    progress: u64,
    tries: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Running,
    Done,
    /// It broke too often, on a link where that is no wonder, or the appliance was asked to end.
    GaveUp,
    Failed(String),
}

/// How clients are judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// On a link without faults nothing is tried again.
    pub is_strict: bool,
    /// On one that loses much, a client may give up in the end.
    is_rough: bool,
    /// Nanoseconds without getting further.
    pub patience: u64,
    /// The appliance was asked to end: connections may.
    pub is_ending: bool,
}

/// A share of lost frames, in parts of a million, with which a connection may well break: of
/// four segments in a row none arrives once in 600 times.
const ROUGH: u32 = 150_000;

impl Rules {
    pub fn new(faults: &Faults, patience: u64, is_ending: bool) -> Self {
        let bad = faults.loss.saturating_add(faults.corrupt);
        Rules { is_strict: faults.is_faultless(), is_rough: bad > ROUGH, patience, is_ending }
    }
}

impl Host {
    pub fn new(
        mac: [u8; 6],
        (address, prefix): (Ipv4Addr, u8),
        guest: Ipv4Addr,
        mut random: Random,
        pages: Rc<RefCell<Pages>>,
    ) -> Self {
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac)));
        config.random_seed = random.word();
        let mut port = Port::default();
        let mut interface = Interface::new(config, &mut port, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // The list has room for one: it was empty.
            let _ = addresses.push(IpCidr::new(address.into(), prefix));
        });
        let next_port = 49_152 + random.between(0, 10_000) as u16;
        Host {
            mac,
            address,
            interface,
            port,
            sockets: SocketSet::new(Vec::new()),
            random,
            guest,
            next_port,
            opened: Vec::new(),
            closing: Vec::new(),
            jobs: Vec::new(),
            pages,
            broke: Vec::new(),
            next: u64::MAX,
        }
    }

    /// Gives it something to do, from `start` on.
    pub fn add(&mut self, task: Task, start: u64) {
        let state = State::Running;
        self.jobs.push(Job { task, client: None, state, wake: start, progress: start, tries: 0 });
        self.next = self.next.min(start);
    }

    /// When it has something to do.
    pub fn next_event(&self) -> u64 {
        if self.port.incoming.is_empty() { self.next } else { 0 }
    }

    /// A frame arrives.
    pub fn receive(&mut self, frame: Vec<u8>) {
        self.port.incoming.push_back(frame);
    }

    /// How many clients are through, and how many there are.
    pub fn done(&self) -> (usize, usize) {
        let done = self.jobs.iter().filter(|job| job.state == State::Done).count();
        (done, self.jobs.len())
    }

    /// How many clients gave up.
    pub fn gave_up(&self) -> usize {
        self.jobs.iter().filter(|job| job.state == State::GaveUp).count()
    }

    /// How often clients tried again.
    pub fn retries(&self) -> u64 {
        self.jobs.iter().map(|job| u64::from(job.tries)).sum()
    }

    /// What went wrong.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        self.jobs.iter().filter_map(|job| match &job.state {
            State::Failed(why) => Some(format!("{} from {}: {why}", job.task.name(), self.address)),
            _ => None,
        })
    }

    /// What those wait for that aren't through.
    pub fn unfinished(&self) -> impl Iterator<Item = String> {
        self.jobs.iter().filter(|job| job.state == State::Running).map(|job| {
            let waits = job.client.as_ref().map_or("its turn".into(), |client| client.waits_for());
            format!("{} from {}: {waits}", job.task.name(), self.address)
        })
    }

    /// Lets it do what there is to do; gives the frames that it sends.
    pub fn run(&mut self, now: u64, rules: Rules) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        for _ in 0..TURNS {
            self.interface.poll(at(now), &mut self.port, &mut self.sockets);
            let is_idle = !self.run_jobs(now, rules);
            let has_sent = !self.port.outgoing.is_empty();
            sent.append(&mut self.port.outgoing);
            if is_idle && !has_sent {
                break;
            }
        }
        let sockets = &mut self.sockets;
        self.closing.retain(|handle| {
            let is_open = sockets.get::<tcp::Socket<'static>>(*handle).state() != tcp::State::Closed;
            if !is_open {
                sockets.remove(*handle);
            }
            is_open
        });
        let own = self
            .interface
            .poll_at(at(now), &self.sockets)
            .map_or(u64::MAX, |time| u64::try_from(time.total_micros()).unwrap_or(0).saturating_mul(1_000));
        let own = if own <= now { now + LATER } else { own };
        let jobs = self.jobs.iter().filter(|job| job.state == State::Running);
        let jobs = jobs.map(|job| match &job.client {
            Some(_) => job.wake.min(job.progress.saturating_add(rules.patience)),
            None => job.wake,
        });
        self.next = jobs.min().unwrap_or(u64::MAX).min(own).max(now + 1);
        sent
    }

    /// Gives every client a turn; whether one did something.
    fn run_jobs(&mut self, now: u64, rules: Rules) -> bool {
        let mut did = false;
        for job in &mut self.jobs {
            // Those that have begun may have got something.
            if job.state != State::Running || (job.client.is_none() && job.wake > now) {
                continue;
            }
            let mut client = match job.client.take() {
                Some(client) => client,
                None => {
                    job.progress = now;
                    job.task.client(&mut self.random, &self.pages)
                }
            };
            let mut cx = Cx {
                now,
                interface: &mut self.interface,
                sockets: &mut self.sockets,
                random: &mut self.random,
                guest: self.guest,
                next_port: &mut self.next_port,
                opened: &mut self.opened,
                closing: &mut self.closing,
                is_ending: rules.is_ending,
                progress: false,
            };
            let step = client.step(&mut cx);
            did |= cx.progress;
            if cx.progress {
                job.progress = now;
            }
            let stalled = now >= job.progress.saturating_add(rules.patience);
            let state = match step {
                Step::Wait(_) if stalled => {
                    let waited = rules.patience / 1_000_000_000;
                    State::Failed(format!("no progress for {waited} s: {}", client.waits_for()))
                }
                Step::Wait(until) => {
                    job.wake = until;
                    job.client = Some(client);
                    continue;
                }
                Step::Done => State::Done,
                Step::Broken(_) if rules.is_ending => State::GaveUp,
                Step::Broken(why) if !rules.is_strict && job.tries + 1 < TRIES => {
                    self.broke.push(format!("{}: {why}", job.task.name()));
                    job.tries += 1;
                    job.wake = now + LATER * 1_000;
                    State::Running
                }
                Step::Broken(_) if rules.is_rough => State::GaveUp,
                Step::Broken(why) if job.tries > 0 => {
                    State::Failed(format!("{why}; it had tried {} times before", job.tries))
                }
                Step::Broken(why) | Step::Wrong(why) => State::Failed(why),
            };
            client.leave(&mut cx);
            job.state = state;
            did = true;
        }
        did
    }
}

fn at(now: u64) -> Instant {
    Instant::from_micros((now / 1_000) as i64)
}

/// The host's end of the link.
#[derive(Debug, Default)]
struct Port {
    incoming: VecDeque<Vec<u8>>,
    outgoing: Vec<Vec<u8>>,
}

struct Incoming(Vec<u8>);

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Outgoing<'a>(&'a mut Vec<Vec<u8>>);

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let result = f(&mut frame);
        self.0.push(frame);
        result
    }
}

impl Device for Port {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Incoming, Outgoing<'_>)> {
        let frame = self.incoming.pop_front()?;
        Some((Incoming(frame), Outgoing(&mut self.outgoing)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MTU + 14;
        capabilities
    }
}
