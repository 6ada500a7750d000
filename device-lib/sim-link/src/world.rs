//! All links of a run, from the start of the appliance to the verdict.

use std::cell::RefCell;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::rc::Rc;

use unik::platform::Ending;
use unik::platform::sim::{self, End as RunEnd, Random, Report, World};
use unik::shutdown;

use crate::clients::{Pages, Task};
use crate::dhcp::Server;
use crate::host::{Host, Rules};
use crate::link::{End, SimLink};
use crate::probe;
use crate::scenario::{Network, Scenario};
use crate::segment::Segment;
use crate::trace::Trace;

const SECOND: u64 = 1_000_000_000;
/// The services answer within this time, DHCP with its repetitions included.
const START: u64 = 120 * SECOND;
/// Clients begin within this time, of one round and another.
const ROUND: u64 = 2 * SECOND;
/// All connections end within this time: the longest is one whose peer went without a word, and
/// that is only asked for a sign of life after 60 s, or waits so long for its other half to close.
const QUIET: u64 = 200 * SECOND;
/// An appliance that is asked to ends within this time: more than it can ask for.
const END: u64 = 2 * 3600 * SECOND;
/// Questions for old connections, and their answers.
const APART: u64 = 1_000_000;
const ANSWERS: u64 = 10 * SECOND;
/// No failure says more than the first few.
const SHOWN: usize = 5;

std::thread_local! {
    /// The links of this run, which come one by one.
    static LINKS: RefCell<Option<Rc<RefCell<Links>>>> = const { RefCell::new(None) };
}

/// Plugs in the link of the instance `name`.
pub(crate) fn plug_in(name: &'static str, mac: Option<[u8; 6]>) -> Result<SimLink, String> {
    LINKS.with(|links| {
        let mut links = links.borrow_mut();
        let all = match &mut *links {
            Some(all) => all,
            none => {
                let scenario =
                    Scenario::from_arguments().unwrap_or_else(|error| sim::refuse(&error.to_string()));
                let all = Rc::new(RefCell::new(Links::new(scenario, sim::random())));
                sim::connect(Box::new(Connected(Rc::clone(&all))));
                none.insert(all)
            }
        };
        all.borrow_mut().plug_in(name, mac)
    })
}

/// The links, as the platform has them.
struct Connected(Rc<RefCell<Links>>);

impl World for Connected {
    fn next_event(&self) -> Option<u64> {
        Some(self.0.borrow().next_event())
    }

    fn run(&mut self, now: u64) -> bool {
        self.0.borrow_mut().run(now)
    }

    fn ready(&mut self, now: u64, tasks: usize) {
        self.0.borrow_mut().ready(now, tasks);
    }

    fn report(&mut self, now: u64, end: &RunEnd) -> Report {
        match self.0.try_borrow_mut() {
            Ok(mut links) => links.report(now, end),
            Err(_) => Report { facts: Vec::new(), failures: vec!["the simulation itself panicked".into()] },
        }
    }
}

/// How far a run is, and until when that may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Start,
    Clients,
    Quiet,
    Probe,
    Over,
}

struct Links {
    scenario: Scenario,
    random: Random,
    segments: Vec<Segment>,
    trace: Trace,
    phase: Phase,
    until: u64,
    /// When the appliance is asked to end, and whether it was.
    shutdown: Option<u64>,
    asked: Option<u64>,
    /// Tasks when the services began to wait for clients.
    tasks: usize,
    /// What went wrong between clients and appliance.
    failures: Vec<String>,
}

impl Links {
    fn new(scenario: Scenario, random: Random) -> Self {
        Links {
            scenario,
            random,
            segments: Vec::new(),
            trace: Trace::new(),
            phase: Phase::Start,
            until: START,
            shutdown: None,
            asked: None,
            tasks: 0,
            failures: Vec::new(),
        }
    }

    fn plug_in(&mut self, name: &'static str, mac: Option<[u8; 6]>) -> Result<SimLink, String> {
        let number = self.segments.len();
        let mac = mac.unwrap_or([0x52, 0x54, 0, 0, 0, number as u8]);
        let random = self.random.fork("link").fork(name);
        let mut segment = Segment::new(number, name, End::new(mac), self.scenario.faults, random);
        if let Some(capture) = &self.scenario.capture {
            let path = capture_path(capture, name, number);
            let failed = |error: io::Error| format!("can't write {}: {error}", path.display());
            self.trace.capture(number, &path).map_err(failed)?;
        }
        for network in self.scenario.networks.iter().filter(|network| network.link == name) {
            self.scenario.populate(network, &mut segment, &self.random);
        }
        let link = SimLink::new(Rc::clone(&segment.end));
        self.segments.push(segment);
        Ok(link)
    }

    fn rules(&self) -> Rules {
        Rules::new(&self.scenario.faults, self.scenario.patience, self.asked.is_some())
    }

    fn next_event(&self) -> u64 {
        let next = self.segments.iter().map(Segment::next_event).min().unwrap_or(u64::MAX).min(self.until);
        self.shutdown.map_or(next, |at| next.min(at))
    }

    fn ready(&mut self, now: u64, tasks: usize) {
        self.tasks = tasks;
        self.phase = Phase::Clients;
        self.until = now.saturating_add(self.scenario.limit);
        self.shutdown = self.scenario.shutdown.map(|after| now.saturating_add(after));
        for segment in &mut self.segments {
            let name = segment.name;
            for network in self.scenario.networks.iter().filter(|network| network.link == name) {
                self.scenario.give_work(network, segment, &self.random, now);
            }
        }
        self.go_on(now);
    }

    /// Does what is due; whether the run is over.
    fn run(&mut self, now: u64) -> bool {
        if self.shutdown.is_some_and(|at| at <= now) {
            self.shutdown = None;
            self.asked = Some(now);
            self.until = now.saturating_add(END);
            shutdown::ask();
        }
        let rules = self.rules();
        for segment in &mut self.segments {
            segment.run(now, rules, &mut self.trace);
        }
        self.go_on(now);
        self.phase == Phase::Over
    }

    /// Goes on to the next phase where this one is through.
    fn go_on(&mut self, now: u64) {
        let hosts = || self.segments.iter().flat_map(|segment| &segment.hosts);
        let failures: Vec<String> = hosts().flat_map(Host::failures).collect();
        if !failures.is_empty() {
            self.failures = failures;
            self.phase = Phase::Over;
            return;
        }
        let is_late = now >= self.until;
        match self.phase {
            Phase::Start if is_late => {
                self.fail(format!("the services didn't answer after {} s", START / SECOND));
            }
            Phase::Clients if self.asked.is_some() && is_late => {
                self.fail("it doesn't end, though it was asked to".into());
            }
            Phase::Clients if self.asked.is_some() => {}
            // Whoever is through before that waits for it.
            Phase::Clients if self.shutdown.is_some() && !is_late => {}
            Phase::Clients if hosts().all(|host| host.unfinished().next().is_none()) => {
                self.phase = Phase::Quiet;
                self.until = now + QUIET;
                for segment in &mut self.segments {
                    let delay = segment.faults.delay;
                    segment.faults = crate::Faults { delay, ..crate::Faults::default() };
                }
            }
            Phase::Clients if is_late => {
                let waiting: Vec<String> = hosts().flat_map(Host::unfinished).collect();
                let limit = self.scenario.limit / SECOND;
                self.fail(format!("not done after {limit} s: {}", waiting.join("; ")));
            }
            Phase::Quiet if is_late => {
                let tasks = sim::tasks();
                if tasks > self.tasks {
                    self.fail(format!(
                        "tasks are left that weren't there before the clients, {}: {} s after the last of them, a service hasn't ended what it began",
                        tasks - self.tasks,
                        QUIET / SECOND
                    ));
                    return;
                }
                self.phase = Phase::Probe;
                self.until = self.ask(now) + ANSWERS;
            }
            Phase::Probe if is_late => {
                let left = self.left();
                if left > 0 {
                    self.fail(format!(
                        "{left} connections are still there {} s after their clients went",
                        QUIET / SECOND
                    ));
                }
                self.phase = Phase::Over;
            }
            _ => {}
        }
    }

    fn fail(&mut self, why: String) {
        self.failures.push(why);
        self.phase = Phase::Over;
    }

    /// Asks for each connection that there was; gives when the last question is on its way.
    fn ask(&mut self, now: u64) -> u64 {
        let mut random = self.random.fork("probe");
        for segment in &mut self.segments {
            let guest = segment.end.borrow().mac;
            let network = self.scenario.networks.iter().find(|network| network.link == segment.name);
            let Some(address) = network.map(|network| network.address) else { continue };
            segment.answers = Some(Vec::new());
            let mut questions = Vec::new();
            for host in &segment.hosts {
                for (port, to) in &host.opened {
                    let (from, to) = ((host.mac, host.address, *port), (guest, address, *to));
                    questions.push(probe::question(from, to, random.word() as u32));
                }
            }
            for (at, question) in questions.into_iter().enumerate() {
                segment.ask(now + at as u64 * APART, question);
            }
        }
        let most =
            self.segments.iter().map(|segment| segment.hosts.iter().map(|host| host.opened.len()).sum());
        now + most.max().unwrap_or(0usize) as u64 * APART
    }

    /// How many connections said that they are still there.
    fn left(&self) -> usize {
        let left = self.segments.iter().map(|segment| {
            let mut left: Vec<(Ipv4Addr, u16, u16)> = segment
                .answers
                .iter()
                .flatten()
                .filter(|(.., is_there)| *is_there)
                .map(|(host, port, from, _)| (*host, *port, *from))
                .collect();
            left.sort_unstable();
            left.dedup();
            left.len()
        });
        left.sum()
    }

    fn report(&mut self, now: u64, end: &RunEnd) -> Report {
        let mut failures = std::mem::take(&mut self.failures);
        match end {
            RunEnd::Over => {}
            RunEnd::Ended(Ending::Done) if self.asked.is_some() => {}
            RunEnd::Ended(Ending::Panic) => failures.push("the appliance panicked".into()),
            RunEnd::Ended(ending) => {
                failures.push(format!("the appliance ended before its clients had: {ending:?}"));
            }
            RunEnd::Stuck(why) => failures.push(why.clone()),
        }
        if failures.len() > SHOWN {
            let more = failures.len() - SHOWN;
            failures.truncate(SHOWN);
            failures.push(format!("and {more} more"));
        }
        failures.extend(self.trace.close());
        let hosts = || self.segments.iter().flat_map(|segment| &segment.hosts);
        let (done, all) = hosts().map(Host::done).fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        let counts = self.trace.counts;
        let mut facts = vec![
            ("hash", self.trace.hash()),
            ("clients", format!("{done} of {all}")),
            ("connections", hosts().map(|host| host.opened.len()).sum::<usize>().to_string()),
            ("retries", hosts().map(Host::retries).sum::<u64>().to_string()),
            ("gave-up", hosts().map(Host::gave_up).sum::<usize>().to_string()),
            ("sent", counts.sent.to_string()),
            ("received", counts.received.to_string()),
            ("lost", counts.lost.to_string()),
            ("duplicated", counts.duplicated.to_string()),
            ("reordered", counts.reordered.to_string()),
            ("corrupted", counts.corrupted.to_string()),
            ("overflow", counts.overflow.to_string()),
        ];
        if let Some(asked) = self.asked {
            facts.push(("ended-after", format!("{} ms", now.saturating_sub(asked) / 1_000_000)));
        }
        let broke: Vec<&str> = hosts().flat_map(|host| &host.broke).take(SHOWN).map(String::as_str).collect();
        if !broke.is_empty() {
            facts.push(("broke", broke.join("; ")));
        }
        Report { facts, failures }
    }
}

impl Scenario {
    /// Plugs in the hosts of `network`.
    fn populate(&self, network: &Network, segment: &mut Segment, random: &Random) {
        let pages = Rc::new(RefCell::new(Pages::new(&self.paths)));
        let host = |mac: [u8; 6], address: Ipv4Addr| {
            let random = random.fork("host").fork(&address.to_string());
            Host::new(mac, (address, network.prefix), network.address, random, Rc::clone(&pages))
        };
        if let Some(gateway) = network.gateway {
            let mac = [0x02, 0, 0, 0, 0, 1];
            segment.hosts.push(host(mac, gateway));
            segment.server = (!network.is_fixed).then_some(Server {
                mac,
                own: gateway,
                gives: network.address,
                prefix: network.prefix,
            });
        }
        for (at, address) in network.hosts().take(self.clients as usize).enumerate() {
            let [high, low] = (at as u16).to_be_bytes();
            segment.hosts.push(host([0x02, 0, 0, 1, high, low], address));
        }
    }

    /// Gives the hosts their clients, from `now` on: each uses each port, and pings, once a round.
    fn give_work(&self, network: &Network, segment: &mut Segment, random: &Random, now: u64) {
        let mut random = random.fork("work").fork(&network.name);
        let gateway = network.gateway;
        for host in segment.hosts.iter_mut().filter(|host| Some(host.address) != gateway) {
            for round in 0..u64::from(self.rounds) {
                for task in network.listens.iter().cloned().map(Task::Use).chain([Task::Ping]) {
                    let start = now + round * ROUND + random.between(1, ROUND);
                    host.add(task, start);
                }
            }
        }
    }
}

/// The file of a link: as asked, for the first one, else with its name before the extension.
fn capture_path(asked: &str, name: &str, number: usize) -> PathBuf {
    let path = PathBuf::from(asked);
    if number == 0 {
        return path;
    }
    let extension = path.extension().map_or("pcap".into(), |text| text.to_string_lossy().into_owned());
    path.with_extension(format!("{name}.{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_link_has_a_capture() {
        assert_eq!(capture_path("/x/run.pcap", "nic", 0), PathBuf::from("/x/run.pcap"));
        assert_eq!(capture_path("/x/run.pcap", "nic2", 1), PathBuf::from("/x/run.nic2.pcap"));
    }
}
