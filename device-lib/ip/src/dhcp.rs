//! DHCP client (RFC 2131): the state machine and its messages, without input or output.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use unik::time::{Duration, Instant};

use crate::link::Mac;
use crate::lower::{Addressing, is_host};
use crate::routes::{Way, parse_given};

/// Where servers listen, and where we do.
pub(crate) const SERVER_PORT: u16 = 67;
pub(crate) const CLIENT_PORT: u16 = 68;

/// Bytes before the options: the fixed part and the magic cookie.
const FIXED: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Relays drop shorter messages (RFC 1542, section 2.1).
const SHORTEST: usize = 300;
/// The shortest lease that is taken seriously, in seconds.
const LEAST_LEASE: u32 = 10;
/// How often an offer is asked for before we look for another.
const REQUESTS: u32 = 4;
/// The longest pause between two attempts to find a server.
const LONGEST_PAUSE: Duration = Duration::from_secs(32);
/// The shortest pause between two attempts to renew (section 4.4.5).
const SHORTEST_RENEWAL: Duration = Duration::from_secs(10);

/// Kinds of message (RFC 2132, section 9.6).
mod kind {
    pub const DISCOVER: u8 = 1;
    pub const OFFER: u8 = 2;
    pub const REQUEST: u8 = 3;
    pub const ACK: u8 = 5;
    pub const NAK: u8 = 6;
}

/// Options (RFC 2132).
mod option {
    pub const PAD: u8 = 0;
    pub const MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    #[cfg(feature = "dns")]
    pub const NAME_SERVER: u8 = 6;
    pub const HOST_NAME: u8 = 12;
    /// Classless static routes (RFC 3442).
    pub const ROUTES: u8 = 121;
    pub const REQUESTED: u8 = 50;
    pub const LEASE: u8 = 51;
    pub const KIND: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const PARAMETERS: u8 = 55;
    pub const RENEWAL: u8 = 58;
    pub const REBINDING: u8 = 59;
    pub const CLIENT: u8 = 61;
    pub const END: u8 = 255;
}

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    kind: u8,
    transaction: u32,
    offered: Ipv4Addr,
    server: Option<Ipv4Addr>,
    mask: Option<Ipv4Addr>,
    router: Option<Ipv4Addr>,
    lease: Option<u32>,
    renewal: Option<u32>,
    rebinding: Option<u32>,
    /// Where it says so: then all of them, and `router` means nothing.
    routes: Option<Vec<Way>>,
    #[cfg(feature = "dns")]
    name_servers: [Option<Ipv4Addr>; unik_dns::SERVERS],
}

/// A message to send, from port 68 to port 67.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub from: Ipv4Addr,
    /// The server, or everybody.
    pub to: Ipv4Addr,
    pub data: Vec<u8>,
}

/// What a message or the time brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// We have an address, for the first time or anew.
    Bound(Addressing),
    /// The address isn't ours any more.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Looking for a server.
    Selecting { tries: u32 },
    /// Asking for what a server offered.
    Requesting { offered: Ipv4Addr, server: Ipv4Addr, tries: u32 },
    /// We have an address, and since when we ask to keep it.
    Bound { lease: Lease, renewing: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lease {
    addressing: Addressing,
    server: Ipv4Addr,
    renew: Instant,
    rebind: Instant,
    end: Instant,
}

/// The client of one network.
#[derive(Debug)]
pub(crate) struct Client {
    mac: Mac,
    hostname: Option<&'static str>,
    state: State,
    transaction: u32,
    /// When the current attempt began, for the field `secs`.
    began: Instant,
    next: Instant,
    /// Of the lease.
    routes: Vec<Way>,
    #[cfg(feature = "dns")]
    name_servers: [Option<Ipv4Addr>; unik_dns::SERVERS],
}

impl Client {
    pub fn new(mac: Mac, hostname: Option<&'static str>) -> Self {
        Client {
            mac,
            hostname,
            state: State::Selecting { tries: 0 },
            transaction: 0,
            began: Instant::START,
            next: Instant::START,
            routes: Vec::new(),
            #[cfg(feature = "dns")]
            name_servers: Default::default(),
        }
    }

    /// The ways to other networks, as the server of the lease says, beside the gateway's.
    pub fn routes(&self) -> &[Way] {
        &self.routes
    }

    /// Whom to ask for names, as the server of the lease says.
    #[cfg(feature = "dns")]
    pub fn name_servers(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.name_servers.iter().copied().flatten()
    }

    /// When [`poll`](Self::poll) has something to do.
    pub fn next_deadline(&self) -> Instant {
        self.next
    }

    /// What is to be done at `now`: a message, an event. `random` is fresh each time.
    pub fn poll(&mut self, now: Instant, random: u64) -> (Option<Message>, Option<Event>) {
        if now < self.next {
            return (None, None);
        }
        match self.state {
            State::Selecting { tries } => {
                if tries == 0 {
                    self.began = now;
                }
                self.transaction = (random >> 32) as u32;
                self.state = State::Selecting { tries: tries.saturating_add(1) };
                // 1, 2, 4, … seconds, give or take a half (section 4.1: but for the first ones,
                // since an appliance waits for this to be ready).
                let pause = Duration::from_secs(1 << tries.min(5)).min(LONGEST_PAUSE);
                self.next = now + jitter(pause, random);
                let message = self.message(kind::DISCOVER, now, Ipv4Addr::UNSPECIFIED, None, None);
                (Some(message), None)
            }
            State::Requesting { tries, .. } if tries >= REQUESTS => {
                self.restart(now);
                self.poll(now, random)
            }
            State::Requesting { offered, server, tries } => {
                self.state = State::Requesting { offered, server, tries: tries + 1 };
                self.next = now + jitter(Duration::from_secs(1 << tries.min(3)), random);
                let unset = Ipv4Addr::UNSPECIFIED;
                (Some(self.message(kind::REQUEST, now, unset, Some(offered), Some(server))), None)
            }
            State::Bound { lease, .. } if now >= lease.end => {
                self.restart(now);
                (None, Some(Event::Lost))
            }
            State::Bound { lease, renewing } => {
                if !renewing {
                    self.began = now;
                    self.transaction = (random >> 32) as u32;
                    self.state = State::Bound { lease, renewing: true };
                }
                let own = lease.addressing.address;
                let mut message = self.message(kind::REQUEST, now, own, None, None);
                message.from = own;
                // From the rebinding time on, any server will do (section 4.4.5).
                let until = if now < lease.rebind { lease.rebind } else { lease.end };
                if now < lease.rebind {
                    message.to = lease.server;
                }
                let half = Duration::from_nanos(until.since(now).as_nanos() as u64 / 2);
                self.next = (now + half.max(SHORTEST_RENEWAL)).min(until.max(now));
                (Some(message), None)
            }
        }
    }

    /// Takes a datagram that came to port 68.
    pub fn receive(&mut self, data: &[u8], now: Instant) -> Option<Event> {
        let answer = Answer::parse(data, self.mac)?;
        if answer.transaction != self.transaction {
            return None;
        }
        match (self.state, answer.kind) {
            (State::Selecting { tries }, kind::OFFER) if tries > 0 && is_host(answer.offered) => {
                let server = answer.server?;
                self.state = State::Requesting { offered: answer.offered, server, tries: 0 };
                self.next = now;
                None
            }
            (State::Requesting { offered, server, .. }, kind::ACK) if answer.server == Some(server) => {
                if answer.offered != offered {
                    return None;
                }
                self.bind(&answer, server, now)
            }
            (State::Requesting { server, .. }, kind::NAK) if answer.server == Some(server) => {
                self.restart(now);
                None
            }
            (State::Bound { lease, renewing: true }, kind::ACK) => {
                if answer.offered != lease.addressing.address {
                    return None;
                }
                self.bind(&answer, answer.server.unwrap_or(lease.server), now)
                    .filter(|event| *event != Event::Bound(lease.addressing))
            }
            (State::Bound { renewing: true, .. }, kind::NAK) => {
                self.restart(now);
                Some(Event::Lost)
            }
            _ => None,
        }
    }

    fn restart(&mut self, now: Instant) {
        self.state = State::Selecting { tries: 0 };
        self.next = now;
    }

    fn bind(&mut self, answer: &Answer, server: Ipv4Addr, now: Instant) -> Option<Event> {
        let seconds = answer.lease?.max(LEAST_LEASE);
        let prefix = prefix_of(answer.mask.unwrap_or(class_mask(answer.offered)))?;
        let mut addressing = Addressing { address: answer.offered, prefix, gateway: None };
        let is_neighbour = |router: Ipv4Addr| addressing.is_peer(router) && addressing.is_local(router);
        let routes = answer.routes.iter().flatten().copied();
        let routes = routes.filter(|way| way.router.is_unspecified() || is_neighbour(way.router)).collect();
        let router = answer.router.filter(|router| answer.routes.is_none() && is_neighbour(*router));
        addressing.gateway = router;
        self.routes = routes;
        let after = |seconds: u64| now + Duration::from_secs(seconds);
        // Half and seven eighths of the lease, where the server says nothing sensible (4.4.5).
        let whole = u64::from(seconds);
        let rebind = answer.rebinding.map_or(whole * 7 / 8, u64::from).min(whole);
        let renew = answer.renewal.map_or(whole / 2, u64::from).min(rebind);
        let end = if seconds == u32::MAX { Instant::NEVER } else { after(whole) };
        let lease = Lease { addressing, server, renew: after(renew.max(1)), rebind: after(rebind), end };
        self.state = State::Bound { lease, renewing: false };
        #[cfg(feature = "dns")]
        {
            self.name_servers = answer.name_servers;
        }
        self.next = if end == Instant::NEVER { Instant::NEVER } else { lease.renew };
        Some(Event::Bound(addressing))
    }

    fn message(
        &self,
        kind: u8,
        now: Instant,
        own: Ipv4Addr,
        requested: Option<Ipv4Addr>,
        server: Option<Ipv4Addr>,
    ) -> Message {
        let mut data = Vec::with_capacity(SHORTEST);
        data.extend([1, 1, 6, 0]);
        data.extend(self.transaction.to_be_bytes());
        let seconds = u16::try_from(now.since(self.began).as_secs()).unwrap_or(u16::MAX);
        data.extend(seconds.to_be_bytes());
        data.extend([0, 0]);
        data.extend(own.octets());
        data.resize(28, 0);
        data.extend(self.mac);
        data.resize(FIXED - COOKIE.len(), 0);
        data.extend(COOKIE);
        data.extend([option::KIND, 1, kind, option::CLIENT, 7, 1]);
        data.extend(self.mac);
        let list = [
            option::MASK,
            // Before routers (RFC 3442).
            option::ROUTES,
            option::ROUTER,
            #[cfg(feature = "dns")]
            option::NAME_SERVER,
            option::LEASE,
            option::RENEWAL,
            option::REBINDING,
        ];
        data.extend([option::PARAMETERS, list.len() as u8]);
        data.extend(list);
        for (code, address) in [(option::REQUESTED, requested), (option::SERVER, server)] {
            if let Some(address) = address {
                data.extend([code, 4]);
                data.extend(address.octets());
            }
        }
        if let Some(name) = self.hostname.filter(|name| (1..=63).contains(&name.len())) {
            data.extend([option::HOST_NAME, name.len() as u8]);
            data.extend(name.as_bytes());
        }
        data.push(option::END);
        data.resize(data.len().max(SHORTEST), 0);
        Message { from: Ipv4Addr::UNSPECIFIED, to: Ipv4Addr::BROADCAST, data }
    }
}

/// `pause`, give or take up to a quarter of it.
fn jitter(pause: Duration, random: u64) -> Duration {
    pause * 3 / 4 + pause / 2 * u32::from(random as u8) / 256
}

/// The length of the prefix that `mask` describes, if it describes one.
fn prefix_of(mask: Ipv4Addr) -> Option<u8> {
    let bits = u32::from(mask);
    let length = bits.leading_ones();
    (bits.count_ones() == length).then_some(length as u8)
}

/// The mask of old, for servers that give none (RFC 791).
fn class_mask(address: Ipv4Addr) -> Ipv4Addr {
    match address.octets()[0] {
        0..=127 => Ipv4Addr::new(255, 0, 0, 0),
        128..=191 => Ipv4Addr::new(255, 255, 0, 0),
        _ => Ipv4Addr::new(255, 255, 255, 0),
    }
}

impl Answer {
    /// Reads a server's message to the client at `mac`; `None` if it is none.
    fn parse(data: &[u8], mac: Mac) -> Option<Answer> {
        let (fixed, mut options) = data.split_first_chunk::<FIXED>()?;
        if fixed[..3] != [2, 1, 6] || fixed[28..34] != mac || fixed[236..240] != COOKIE {
            return None;
        }
        let mut answer = Answer {
            kind: 0,
            transaction: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            offered: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]),
            server: None,
            mask: None,
            router: None,
            lease: None,
            renewal: None,
            rebinding: None,
            routes: None,
            #[cfg(feature = "dns")]
            name_servers: Default::default(),
        };
        // A long option comes in parts, which are one (RFC 3396, section 5).
        let mut ways: Option<Vec<u8>> = None;
        while let Some((&code, rest)) = options.split_first() {
            if code == option::END {
                break;
            }
            if code == option::PAD {
                options = rest;
                continue;
            }
            let (&length, rest) = rest.split_first()?;
            let (value, rest) = rest.split_at_checked(usize::from(length))?;
            options = rest;
            let word = value.first_chunk::<4>().map(|word| u32::from_be_bytes(*word));
            let address = word.map(Ipv4Addr::from);
            match code {
                option::KIND => answer.kind = *value.first()?,
                option::SERVER => answer.server = address,
                option::MASK => answer.mask = address,
                option::ROUTER => answer.router = address,
                option::LEASE => answer.lease = word,
                option::RENEWAL => answer.renewal = word,
                option::REBINDING => answer.rebinding = word,
                option::ROUTES => ways.get_or_insert_default().extend_from_slice(value),
                #[cfg(feature = "dns")]
                option::NAME_SERVER => {
                    let servers = value
                        .chunks_exact(4)
                        .map(|server| Ipv4Addr::new(server[0], server[1], server[2], server[3]));
                    let mut servers = servers.filter(|server| is_host(*server));
                    answer.name_servers = core::array::from_fn(|_| servers.next());
                }
                _ => {}
            }
        }
        answer.routes = ways.and_then(|ways| parse_given(&ways));
        (answer.kind != 0).then_some(answer)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 1];
    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);

    fn at(seconds: u64) -> Instant {
        Instant::START + Duration::from_secs(seconds)
    }

    /// A server's answer to the client's message `to`.
    pub(crate) fn answer(to: &[u8], kind: u8, lease: u32) -> Vec<u8> {
        let mut data = to[..FIXED].to_vec();
        data[0] = 2;
        data[16..20].copy_from_slice(&OURS.octets());
        data.extend([option::KIND, 1, kind, option::SERVER, 4]);
        data.extend(SERVER.octets());
        data.extend([option::MASK, 4, 255, 255, 255, 0, option::ROUTER, 4]);
        data.extend(SERVER.octets());
        data.extend([option::LEASE, 4]);
        data.extend(lease.to_be_bytes());
        #[cfg(feature = "dns")]
        data.extend([option::NAME_SERVER, 12, 10, 0, 0, 53, 0, 0, 0, 0, 10, 0, 0, 54]);
        data.push(option::END);
        data
    }

    fn kind_of(message: &Message) -> u8 {
        message.data[FIXED + 2]
    }

    fn bound(lease: u32) -> Client {
        let mut client = Client::new(MAC, Some("ns1"));
        let discover = client.poll(at(0), 1 << 40).0.unwrap();
        assert_eq!(kind_of(&discover), kind::DISCOVER);
        assert_eq!(client.receive(&answer(&discover.data, kind::OFFER, lease), at(0)), None);
        let request = client.poll(at(0), 1 << 41).0.unwrap();
        assert_eq!(kind_of(&request), kind::REQUEST);
        let event = client.receive(&answer(&request.data, kind::ACK, lease), at(0));
        let gateway = Some(SERVER);
        assert_eq!(client.routes(), []);
        #[cfg(feature = "dns")]
        {
            let servers = client.name_servers().map(|server| server.octets()[3]);
            // An address that is nobody's is left out.
            assert!(servers.eq([53, 54]));
        }
        assert_eq!(event, Some(Event::Bound(Addressing { address: OURS, prefix: 24, gateway })));
        client
    }

    #[test]
    fn an_address_is_acquired_renewed_and_lost() {
        let mut client = bound(100);
        assert_eq!(client.next_deadline(), at(50));
        assert_eq!(client.poll(at(49), 0), (None, None));
        let renewal = client.poll(at(50), 7 << 32).0.unwrap();
        assert_eq!((renewal.from, renewal.to), (OURS, SERVER));
        assert_eq!(client.receive(&answer(&renewal.data, kind::ACK, 100), at(51)), None);
        assert_eq!(client.next_deadline(), at(101));
        // From here on the server is silent.
        let mut messages = Vec::new();
        let lost = loop {
            let now = client.next_deadline();
            let (message, event) = client.poll(now, 8 << 32);
            messages.extend(message);
            if event.is_some() {
                break now;
            }
        };
        assert_eq!(lost, at(151));
        assert_eq!(messages.first().unwrap().to, SERVER);
        assert_eq!(messages.last().unwrap().to, Ipv4Addr::BROADCAST);
        assert!(messages.len() < 10);
        assert_eq!(kind_of(&client.poll(lost, 9 << 32).0.unwrap()), kind::DISCOVER);
    }

    #[test]
    fn routes_go_before_a_router() {
        let mut client = Client::new(MAC, None);
        let discover = client.poll(at(0), 1 << 40).0.unwrap();
        client.receive(&answer(&discover.data, kind::OFFER, 100), at(0));
        let request = client.poll(at(0), 1 << 41).0.unwrap();
        let mut ack = answer(&request.data, kind::ACK, 100);
        ack.pop();
        // To two networks, of which the second one's router is no neighbour.
        ack.extend([option::ROUTES, 5, 16, 10, 7, 10, 0]);
        // In two parts (RFC 3396).
        ack.extend([option::ROUTES, 10, 0, 3, 24, 10, 8, 1, 192, 0, 2, 1, option::END]);
        let event = client.receive(&ack, at(0));
        let bound = Event::Bound(Addressing { address: OURS, prefix: 24, gateway: None });
        assert_eq!(event, Some(bound));
        let way = Way { network: Ipv4Addr::new(10, 7, 0, 0), prefix: 16, router: Ipv4Addr::new(10, 0, 0, 3) };
        assert_eq!(client.routes(), [way]);
    }

    #[test]
    fn a_refusal_starts_anew() {
        let mut client = bound(100);
        let renewal = client.poll(at(50), 7 << 32).0.unwrap();
        assert_eq!(client.receive(&answer(&renewal.data, kind::NAK, 0), at(50)), Some(Event::Lost));
        assert_eq!(kind_of(&client.poll(at(50), 0).0.unwrap()), kind::DISCOVER);
    }

    #[test]
    fn no_server_means_patience() {
        let mut client = Client::new(MAC, None);
        let mut count = 0;
        while client.next_deadline() < at(300) {
            let now = client.next_deadline();
            assert!(client.poll(now, 1 << 33).0.is_some());
            count += 1;
        }
        assert!((8..20).contains(&count), "{count}");
    }

    #[test]
    fn answers_to_others_are_ignored() {
        let mut client = Client::new(MAC, None);
        let discover = client.poll(at(0), 1 << 40).0.unwrap();
        let mut offer = answer(&discover.data, kind::OFFER, 100);
        offer[4] ^= 1;
        assert_eq!(client.receive(&offer, at(0)), None);
        assert_eq!(client.state, State::Selecting { tries: 1 });
        offer[4] ^= 1;
        offer[28] ^= 1;
        client.receive(&offer, at(0));
        assert_eq!(client.state, State::Selecting { tries: 1 });
    }

    #[test]
    fn an_endless_lease_is_never_renewed() {
        assert_eq!(bound(u32::MAX).next_deadline(), Instant::NEVER);
    }

    #[test]
    fn masks() {
        assert_eq!(prefix_of(Ipv4Addr::new(255, 255, 240, 0)), Some(20));
        assert_eq!(prefix_of(Ipv4Addr::new(255, 0, 255, 0)), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(mut data in proptest::collection::vec(any::<u8>(), 0..600), real in any::<bool>()) {
            let mut client = Client::new(MAC, None);
            let discover = client.poll(at(0), 1 << 40).0.unwrap();
            if real && data.len() > FIXED {
                data[..FIXED].copy_from_slice(&answer(&discover.data, kind::OFFER, 1)[..FIXED]);
            }
            let _ = client.receive(&data, at(0));
            let _ = client.poll(at(1), 5);
        }
    }
}
