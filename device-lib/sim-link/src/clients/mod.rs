//! Clients: what uses the services of an appliance, and judges their answers.

mod connection;
mod datagrams;
mod echo;
mod http;
mod ping;

use std::cell::RefCell;
use std::rc::Rc;

use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::wire::Ipv4Address;
use unik::platform::sim::Random;

use crate::scenario::{Listen, Speaks};

pub(crate) use http::Pages;

/// What a client may use in its turn.
pub(crate) struct Cx<'a> {
    pub now: u64,
    pub interface: &'a mut Interface,
    pub sockets: &'a mut SocketSet<'static>,
    pub random: &'a mut Random,
    /// The appliance.
    pub guest: Ipv4Address,
    /// The next port of this host that nobody has had.
    pub next_port: &'a mut u16,
    /// The connections that there were: our port, and the appliance's.
    pub opened: &'a mut Vec<(u16, u16)>,
    /// Sockets that nobody uses any more, once they are closed.
    pub closing: &'a mut Vec<SocketHandle>,
    /// The appliance was asked to end.
    pub is_ending: bool,
    /// Set by a client that got further.
    pub progress: bool,
}

/// What a client comes to in its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It waits for something to come, or for this time.
    Wait(u64),
    /// It is done.
    Done,
    /// A connection broke: on a link with faults it may be tried again.
    Broken(String),
    /// The appliance did something that it must not do.
    Wrong(String),
}

/// A use of a service.
pub(crate) trait Client {
    /// Has a turn.
    fn step(&mut self, cx: &mut Cx<'_>) -> Step;

    /// What it waits for, for people.
    fn waits_for(&self) -> String;

    /// Leaves nothing behind: called once, when it has no more turns.
    fn leave(&mut self, cx: &mut Cx<'_>);
}

/// What a client is for.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// Uses a port.
    Use(Listen),
    /// Pings the appliance.
    Ping,
}

impl Task {
    /// What it is, for people.
    pub fn name(&self) -> String {
        match self {
            Task::Ping => "ping".into(),
            Task::Use(listen) => {
                let protocol = if listen.is_tcp { "TCP" } else { "UDP" };
                format!("`{}` on {protocol} port {}", listen.service, listen.port)
            }
        }
    }

    /// A client that does it.
    pub fn client(&self, random: &mut Random, pages: &Rc<RefCell<Pages>>) -> Box<dyn Client> {
        match self {
            Task::Ping => Box::new(ping::Ping::new(random)),
            Task::Use(listen) => match (listen.is_tcp, listen.speaks) {
                (true, Speaks::Echo) => Box::new(echo::Echo::new(listen.port, random)),
                (true, Speaks::Http) => Box::new(http::Http::new(listen.port, random, Rc::clone(pages))),
                (true, Speaks::Unknown) => Box::new(echo::Touch::new(listen.port, random)),
                (false, speaks) => {
                    Box::new(datagrams::Datagrams::new(listen.port, speaks == Speaks::Echo, random))
                }
            },
        }
    }
}

/// Bytes that are unlike each other at every place.
fn pattern(length: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

/// One millisecond.
const MS: u64 = 1_000_000;
