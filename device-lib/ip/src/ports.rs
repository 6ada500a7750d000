//! What the firewall does: how often each port that a service listens on was reached, and how often one
//! was that nobody does. Logged now and then, for whoever looks after the appliance.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt::Write as _;

use smoltcp::wire::IpProtocol;
use unik::interface::{Entropy, Frames};
use unik::start::{Listen, Protocol};
use unik::time::{Duration, sleep};

use crate::Counters;
use crate::lower::PacketIn;
use crate::stack::{Handle, Stack};

/// What came to one port, or to all that nobody listens on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCounters {
    /// Connections whose handshake was complete, or datagrams that were taken.
    pub accepted: u64,
    /// Segments answered with a reset, of no connection that there is; datagrams answered with "port
    /// unreachable".
    pub refused: u64,
    /// Connections and datagrams for which there was no room, and what didn't hold together.
    pub dropped: u64,
}

/// The counters of all ports.
#[derive(Debug)]
pub(crate) struct Ports {
    listens: Vec<(Listen, PortCounters)>,
    closed: PortCounters,
}

/// What was counted before a packet was looked at.
pub(crate) struct Before {
    counters: Counters,
    connections: usize,
}

impl Ports {
    pub fn new(listens: &[Listen]) -> Self {
        let listens = listens.iter().map(|listen| (*listen, PortCounters::default())).collect();
        Ports { listens, closed: PortCounters::default() }
    }

    fn of(&mut self, protocol: Protocol, port: u16) -> &mut PortCounters {
        let is_it =
            |(listen, _): &&mut (Listen, PortCounters)| (listen.protocol, listen.port) == (protocol, port);
        match self.listens.iter_mut().find(is_it) {
            Some((_, counters)) => counters,
            None => &mut self.closed,
        }
    }
}

impl<F: Frames, E: Entropy> Stack<F, E> {
    fn connections(&self) -> usize {
        #[cfg(feature = "tcp")]
        return self.tcp.flow_count();
        #[cfg(not(feature = "tcp"))]
        0
    }

    /// To be compared with, once a packet was looked at.
    pub fn before(&self) -> Before {
        Before { counters: self.lower.link.counters, connections: self.connections() }
    }

    /// Counts for its port what became of `packet`.
    pub fn count_port(&mut self, packet: &PacketIn<'_>, before: &Before) {
        let protocol = match packet.protocol {
            IpProtocol::Tcp => Protocol::Tcp,
            IpProtocol::Udp => Protocol::Udp,
            _ => return,
        };
        let Some(&[_, _, high, low]) = packet.payload.first_chunk::<4>() else { return };
        let (was, is) = (&before.counters, &self.lower.link.counters);
        let refused = is.tcp_refused + is.udp_refused > was.tcp_refused + was.udp_refused;
        let dropped = |counters: &Counters| {
            counters.malformed
                + counters.checksum
                + counters.not_ours
                + counters.udp_overflow
                + counters.connections_refused
                + counters.backlog_full
        };
        let dropped = dropped(is) > dropped(was);
        let accepted = match protocol {
            Protocol::Tcp => self.connections() > before.connections,
            Protocol::Udp => !refused && !dropped,
        };
        let port = u16::from_be_bytes([high, low]);
        let is_listened_on = self.is_declared(protocol, port);
        let counters = self.ports.of(protocol, port);
        counters.refused += u64::from(refused);
        counters.dropped += u64::from(dropped);
        // Ports of clients of ours aren't anybody's business.
        counters.accepted += u64::from(accepted && is_listened_on);
    }

    /// All counters in words, a line each.
    pub fn told(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = String::new();
        for (what, count) in self.lower.link.counters.reasons() {
            if count > 0 {
                // A String takes all.
                let _ = write!(line, "{}{count} {what}", if line.is_empty() { "" } else { ", " });
            }
        }
        lines.push(line);
        let mut tell = |name: core::fmt::Arguments<'_>, counters: &PortCounters| {
            let PortCounters { accepted, refused, dropped } = counters;
            if counters != &PortCounters::default() {
                lines.push(alloc::format!(
                    "{name}: {accepted} accepted, {refused} refused, {dropped} dropped"
                ));
            }
        };
        for (Listen { protocol, port, service }, counters) in &self.ports.listens {
            let protocol = if *protocol == Protocol::Tcp { "tcp" } else { "udp" };
            tell(format_args!("{protocol} {port} ({service})"), counters);
        }
        tell(format_args!("closed ports"), &self.ports.closed);
        lines
    }
}

impl<F: Frames, E: Entropy> Handle<F, E> {
    /// What came to a port that a service listens on.
    #[must_use]
    pub fn port_counters(&self, protocol: Protocol, port: u16) -> PortCounters {
        *self.shared().borrow_mut().ports.of(protocol, port)
    }

    /// What came to ports that nobody listens on.
    #[must_use]
    pub fn closed_port_counters(&self) -> PortCounters {
        self.shared().borrow().ports.closed
    }
}

/// Logs the counters, each time that something was counted since the last.
pub(crate) async fn report<F: Frames, E: Entropy>(
    instance: &'static str,
    shared: Rc<RefCell<Stack<F, E>>>,
    every: Duration,
) {
    let mut last = Counters::default();
    loop {
        sleep(every).await;
        let stack = shared.borrow();
        let counters = stack.lower.link.counters;
        if counters == last {
            continue;
        }
        last = counters;
        let lines = stack.told();
        drop(stack);
        for line in lines {
            log::info!("{instance}: {line}");
        }
    }
}
