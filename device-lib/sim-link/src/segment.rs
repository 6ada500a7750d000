//! One link: what is on its way there, and who is plugged in.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use unik::platform::sim::Random;

use crate::dhcp::Server;
use crate::faults::Faults;
use crate::host::{Host, Rules};
use crate::link::End;
use crate::probe;
use crate::trace::{Trace, What};

/// A link with its two sides.
pub(crate) struct Segment {
    number: usize,
    pub name: &'static str,
    pub end: Rc<RefCell<End>>,
    pub faults: Faults,
    random: Random,
    /// Frames on their way, by when they arrive; of those that arrive at one time, in their order.
    flights: BTreeMap<(u64, u64), Flight>,
    flown: u64,
    /// When the last frame arrives that none may overtake: at the appliance, and at the hosts.
    last: [u64; 2],
    pub hosts: Vec<Host>,
    pub server: Option<Server>,
    /// The answers of connections that should be gone, while they are asked for.
    pub answers: Option<Vec<(std::net::Ipv4Addr, u16, u16, bool)>>,
}

struct Flight {
    to_guest: bool,
    frame: Vec<u8>,
}

impl Segment {
    pub fn new(number: usize, name: &'static str, end: End, faults: Faults, random: Random) -> Self {
        Segment {
            number,
            name,
            end: Rc::new(RefCell::new(end)),
            faults,
            random,
            flights: BTreeMap::new(),
            flown: 0,
            last: [0; 2],
            hosts: Vec::new(),
            server: None,
            answers: None,
        }
    }

    /// When something is due.
    pub fn next_event(&self) -> u64 {
        let flight = self.flights.first_key_value().map(|((at, _), _)| *at);
        let hosts = self.hosts.iter().map(Host::next_event).min();
        [flight, hosts, self.end.borrow().next_event()].into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    /// Does what is due.
    pub fn run(&mut self, now: u64, rules: Rules, trace: &mut Trace) {
        loop {
            let outgoing = std::mem::take(&mut self.end.borrow_mut().outgoing);
            for frame in outgoing {
                trace.note(now, self.number, What::Sent, &frame);
                self.launch(now, false, frame, trace);
            }
            while let Some(entry) = self.flights.first_entry() {
                if entry.key().0 > now {
                    break;
                }
                let flight = entry.remove();
                self.land(now, flight, trace);
            }
            for at in 0..self.hosts.len() {
                if self.hosts[at].next_event() <= now {
                    for frame in self.hosts[at].run(now, rules) {
                        self.launch(now, true, frame, trace);
                    }
                }
            }
            if self.flights.first_key_value().is_none_or(|((at, _), _)| *at > now) {
                break;
            }
        }
        self.end.borrow_mut().run(now);
    }

    /// A frame is sent, and meets its fate.
    pub fn launch(&mut self, now: u64, to_guest: bool, mut frame: Vec<u8>, trace: &mut Trace) {
        let fate = self.faults.meet(&mut frame, &mut self.random);
        trace.counts.corrupted += u64::from(fate.is_corrupt);
        if fate.copies.is_empty() {
            trace.note(now, self.number, What::Lost, &frame);
        }
        trace.counts.duplicated += fate.copies.len().saturating_sub(1) as u64;
        for (after, may_overtake) in fate.copies {
            let last = &mut self.last[usize::from(to_guest)];
            let arrives = if may_overtake {
                trace.counts.reordered += 1;
                now + after
            } else {
                *last = (*last).max(now + after);
                *last
            };
            self.flown += 1;
            self.flights.insert((arrives, self.flown), Flight { to_guest, frame: frame.clone() });
        }
    }

    /// Sends a frame of nobody's to the appliance, at `when`, whatever else is on its way.
    pub fn ask(&mut self, when: u64, frame: Vec<u8>) {
        self.flown += 1;
        self.flights.insert((when + self.faults.delay.0, self.flown), Flight { to_guest: true, frame });
    }

    fn land(&mut self, now: u64, flight: Flight, trace: &mut Trace) {
        let Flight { to_guest, frame } = flight;
        if to_guest {
            let what = if self.end.borrow_mut().deliver(&frame) { What::Received } else { What::Overflow };
            trace.note(now, self.number, what, &frame);
            return;
        }
        trace.note(now, self.number, What::Delivered, &frame);
        if let Some(reply) = self.server.and_then(|server| server.answer(&frame)) {
            self.launch(now, true, reply, trace);
            return;
        }
        if let Some(answers) = &mut self.answers
            && let Some(answer) = probe::answer(&frame)
        {
            answers.push(answer);
            return;
        }
        let to = frame.get(..6).unwrap_or_default().to_vec();
        let is_for_all = to.first().is_some_and(|first| first & 1 == 1);
        for host in self.hosts.iter_mut().filter(|host| is_for_all || host.mac[..] == to[..]) {
            host.receive(frame.clone());
        }
    }
}
