//! The whole network of one instance: what is below the handles, without input or output.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::task::Waker;

use log::info;
use smoltcp::wire::IpProtocol;
use unik::interface::{Entropy, EntropyError, Frames};
use unik::start::{Listen, Protocol};
use unik::time::Instant;

#[cfg(feature = "dhcp")]
use crate::dhcp::{CLIENT_PORT, Client, Event, SERVER_PORT};
#[cfg(feature = "icmp")]
use crate::icmp::Icmp;
use crate::link::EtherType;
use crate::lower::{Addressing, Lower, PacketIn};
#[cfg(feature = "icmp")]
use crate::report::{Report, Trouble};
#[cfg(feature = "tcp")]
use crate::tcp::Tcp;
#[cfg(feature = "udp")]
use crate::udp::{Delivery, Ports};
use crate::{Counters, Options};

/// What the handles and the driver share.
pub(crate) type Shared<F, E> = Rc<RefCell<Stack<F, E>>>;

/// The network, as services are given it: implements `Tcp` and `Udp` as its parts have them.
#[derive(Debug)]
pub struct Handle<F: Frames, E: Entropy>(Shared<F, E>);

impl<F: Frames, E: Entropy> Clone for Handle<F, E> {
    fn clone(&self) -> Self {
        Handle(self.0.clone())
    }
}

impl<F: Frames, E: Entropy> Handle<F, E> {
    pub(crate) fn new(shared: Shared<F, E>) -> Self {
        Handle(shared)
    }

    #[cfg(any(feature = "tcp", feature = "udp", feature = "counters"))]
    pub(crate) fn shared(&self) -> &Shared<F, E> {
        &self.0
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.0.borrow().lower.link.counters
    }
}

/// The network.
#[derive(Debug)]
pub(crate) struct Stack<F: Frames, E: Entropy> {
    pub lower: Lower<F, E>,
    instance: &'static str,
    listens: &'static [Listen],
    driver: Option<Waker>,
    #[cfg(feature = "icmp")]
    icmp: Icmp,
    #[cfg(feature = "udp")]
    pub udp: Ports,
    #[cfg(feature = "tcp")]
    pub tcp: Tcp,
    #[cfg(feature = "counters")]
    pub ports: crate::ports::Ports,
    #[cfg(feature = "dhcp")]
    pub dhcp: Option<Client>,
    #[cfg(feature = "dns")]
    pub names: unik_dns::Client,
    /// The file says which servers to ask for names.
    #[cfg(feature = "dns")]
    pub named_servers: bool,
}

impl<F: Frames, E: Entropy> Stack<F, E> {
    /// A network on `frames` with a fixed address, or with none until DHCP has one.
    ///
    /// # Errors
    /// [`EntropyError`]: there is no network without secrets.
    pub fn new(
        instance: &'static str,
        options: &'static Options,
        listens: &'static [Listen],
        addressing: Option<Addressing>,
        frames: F,
        entropy: E,
    ) -> Result<Self, EntropyError> {
        let lower = Lower::new(frames, entropy, options, addressing)?;
        Ok(Stack {
            instance,
            listens,
            driver: None,
            #[cfg(feature = "icmp")]
            icmp: Icmp::new(),
            #[cfg(feature = "udp")]
            udp: Ports::new(options.udp_buffer),
            #[cfg(feature = "tcp")]
            tcp: Tcp::new(options, &lower)?,
            #[cfg(feature = "dhcp")]
            dhcp: addressing.is_none().then(|| Client::new(lower.link.mac, options.hostname)),
            #[cfg(feature = "counters")]
            ports: crate::ports::Ports::new(listens),
            #[cfg(feature = "dns")]
            names: crate::names::client(instance, options),
            #[cfg(feature = "dns")]
            named_servers: options.resolver.is_some(),
            lower,
        })
    }

    /// Whether a service of the plan listens there.
    #[cfg(any(feature = "tcp", feature = "udp", feature = "counters"))]
    pub fn is_declared(&self, protocol: Protocol, port: u16) -> bool {
        self.listens.iter().any(|listen| (listen.protocol, listen.port) == (protocol, port))
    }

    /// Gives the driver a turn as soon as the running task has ended its own.
    pub fn wake_driver(&mut self) {
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }

    /// Whom [`wake_driver`](Self::wake_driver) wakes, once.
    pub fn set_driver(&mut self, waker: &Waker) {
        match &mut self.driver {
            Some(driver) => driver.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Takes up to `most` received frames; returns how many there were.
    pub fn receive(&mut self, most: usize, now: Instant) -> usize {
        self.lower.now = now;
        for count in 0..most {
            let Some(frame) = self.lower.link.frames.receive() else { return count };
            self.lower.link.verified = self.lower.link.frames.is_verified(&frame);
            self.receive_frame(&frame, now);
            self.lower.link.frames.release(frame);
        }
        most
    }

    fn receive_frame(&mut self, frame: &[u8], now: Instant) {
        let Some(frame) = self.lower.link.parse(frame) else { return };
        if frame.kind == EtherType::Arp {
            self.lower.receive_arp(&frame, now);
            return;
        }
        let mut whole = Vec::new();
        let packet = match frame.kind {
            #[cfg(feature = "ipv6")]
            EtherType::Ipv6 => self.lower.parse_v6(&frame, &mut whole),
            _ => self.lower.parse(&frame, &mut whole),
        };
        let Some(packet) = packet else { return };
        #[cfg(feature = "counters")]
        let before = self.before();
        self.receive_packet(&packet, now);
        #[cfg(feature = "counters")]
        self.count_port(&packet, &before);
    }

    fn receive_packet(&mut self, packet: &PacketIn<'_>, now: Instant) {
        match packet.protocol {
            #[cfg(feature = "tcp")]
            IpProtocol::Tcp if packet.to_us => self.tcp.receive(&mut self.lower, packet, now),
            #[cfg(any(feature = "udp", feature = "dhcp"))]
            IpProtocol::Udp => self.receive_datagram(packet, now),
            #[cfg(feature = "icmp")]
            IpProtocol::Icmp => {
                if let Some(report) = self.icmp.receive(&mut self.lower, packet) {
                    self.receive_report(&report, now);
                }
            }
            #[cfg(all(feature = "ipv6", feature = "icmp"))]
            IpProtocol::Icmpv6 => {
                if let Some(report) = self.lower.receive_icmp_v6(packet, now) {
                    self.receive_report(&report, now);
                }
            }
            _ => self.lower.link.counters.protocol += 1,
        }
    }

    /// An ICMP error about a packet of ours goes to whose packet it was.
    #[cfg(feature = "icmp")]
    fn receive_report(&mut self, report: &Report, now: Instant) {
        let is_believed = match report.protocol {
            #[cfg(feature = "tcp")]
            IpProtocol::Tcp => self.tcp.receive_report(&mut self.lower, report, now),
            // Datagrams have no secret that would prove it; what it can do is bounded.
            #[cfg(feature = "udp")]
            IpProtocol::Udp => {
                let is_ours =
                    self.udp.has(report.port) && self.lower.source_for(report.peer) == Some(report.own);
                if let (true, Trouble::TooLarge { mtu }) = (is_ours, report.trouble) {
                    let before = self.lower.path_mtu(report.peer);
                    self.lower.paths.learn(report.peer, mtu, report.length, before, now);
                }
                is_ours
            }
            _ => false,
        };
        match is_believed {
            true => self.lower.link.counters.reports += 1,
            false => self.lower.link.counters.icmp += 1,
        }
    }

    #[cfg(any(feature = "udp", feature = "dhcp"))]
    fn receive_datagram(&mut self, packet: &PacketIn<'_>, now: Instant) {
        let Some(datagram) = crate::datagram::parse(&mut self.lower, packet) else { return };
        #[cfg(feature = "dhcp")]
        if (datagram.to_port, datagram.from_port) == (CLIENT_PORT, SERVER_PORT) {
            let event = self.dhcp.as_mut().and_then(|client| client.receive(datagram.data, now));
            if let Some(client) = &self.dhcp {
                self.lower.routes.give(client.routes());
            }
            #[cfg(feature = "dns")]
            {
                self.lower.name_servers_changed = true;
            }
            self.apply(event);
            return;
        }
        if self.lower.source_for(packet.from).is_none() {
            self.lower.link.counters.not_ours += 1;
            return;
        }
        #[cfg(feature = "udp")]
        if self.udp.deliver(&mut self.lower, packet.from, &datagram) == Delivery::Done {
            return;
        }
        let _ = now;
        self.lower.link.counters.udp_refused += 1;
        #[cfg(feature = "icmp")]
        if packet.to_us {
            self.icmp.port_unreachable(&mut self.lower, packet, now);
        }
    }

    /// Sends what there is to send, as far as the ring has room, and notifies the device once.
    pub fn send(&mut self, now: Instant) {
        self.lower.now = now;
        #[cfg(feature = "dhcp")]
        self.run_dhcp(now);
        self.lower.poll(now);
        #[cfg(feature = "dns")]
        self.find_name_servers();
        #[cfg(all(feature = "ipv6", feature = "tcp"))]
        while let Some(address) = self.lower.v6.lost.pop() {
            self.tcp.lose_address(address.into(), now);
        }
        let changed = core::mem::take(&mut self.lower.neighbours_changed);
        #[cfg(feature = "tcp")]
        self.tcp.send(&mut self.lower, changed, now);
        // A neighbour that TCP has just begun to wait for is asked for at once.
        self.lower.poll(now);
        self.lower.link.flush();
        self.lower.wake_waiters(changed);
    }

    /// When [`send`](Self::send) has something to do, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.lower.next_deadline(),
            #[cfg(feature = "tcp")]
            self.tcp.next_deadline(),
            #[cfg(feature = "dhcp")]
            self.dhcp.as_ref().map(Client::next_deadline),
        ];
        deadlines.into_iter().flatten().min()
    }

    #[cfg(feature = "dhcp")]
    fn run_dhcp(&mut self, now: Instant) {
        use crate::link::BROADCAST;
        use crate::lower::Hop;

        let Some(client) = self.dhcp.as_mut().filter(|client| client.next_deadline() <= now) else { return };
        // Without randomness the transaction is one that others may guess: still an address.
        let random = self.lower.random().unwrap_or(now.as_nanos());
        let (message, event) = client.poll(now, random);
        if let Some(message) = message {
            let station = match message.to.is_broadcast() {
                true => Hop::To(BROADCAST),
                false => self.lower.hop(message.to.into(), now),
            };
            // A message that can't go now is repeated like one that was lost.
            if let Hop::To(station) = station {
                let from = (message.from.into(), CLIENT_PORT);
                let to = (message.to.into(), SERVER_PORT);
                if !crate::datagram::transmit(&mut self.lower, station, from, to, &message.data) {
                    self.lower.link.counters.replies_dropped += 1;
                }
            }
        }
        self.apply(event);
    }

    #[cfg(feature = "dhcp")]
    fn apply(&mut self, event: Option<Event>) {
        let addressing = match event {
            None => return,
            Some(Event::Bound(addressing)) => Some(addressing),
            Some(Event::Lost) => None,
        };
        match addressing {
            Some(own) => info!("{}: address {}/{} by DHCP", self.instance, own.address, own.prefix),
            None => info!("{}: the DHCP lease has ended", self.instance),
        }
        self.set_addressing(addressing);
    }

    /// Changes our address: the connections of the old one are no more.
    #[cfg(feature = "dhcp")]
    pub fn set_addressing(&mut self, addressing: Option<Addressing>) {
        self.lower.neighbours.clear();
        self.lower.announce();
        let before = core::mem::replace(&mut self.lower.addressing, addressing);
        self.lower.neighbours_changed = true;
        #[cfg(feature = "tcp")]
        if let Some(before) = before {
            self.tcp.lose_address(before.address.into(), self.lower.now);
        }
        self.lower.wake_waiters(true);
    }
}
