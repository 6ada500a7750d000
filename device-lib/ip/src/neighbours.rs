//! Which station has which address, as address resolution finds out (RFC 826 for IPv4).
//!
//! An entry is used for as long as it is there; after a minute it is confirmed in the
//! background by asking again. Nothing waits in the table: who needs an address that isn't
//! known yet is told so, and told again when something has changed.

use alloc::vec::Vec;
use core::cell::Cell;
use core::net::Ipv4Addr;

use unik::interface::Frames;
use unik::time::{Duration, Instant};

use crate::address::Address;
use crate::hash::Secret;
use crate::index::Index;
use crate::link::{EtherType, Link, Mac, is_group};

/// The most neighbours that are remembered; one that wasn't used lately goes for a new one.
const CAPACITY: usize = 4096;
/// The most neighbours that are asked for at one time.
const ASKING: usize = 64;
/// How long an entry is believed without asking again.
const FRESH: Duration = Duration::from_secs(60);
/// The time between two requests.
const RETRY: Duration = Duration::from_secs(1);
/// After how many requests without an answer a neighbour is given up.
const TRIES: u8 = 3;
/// How long a neighbour that didn't answer isn't asked for again.
const GIVEN_UP: Duration = Duration::from_secs(3);
/// Bytes of an ARP packet for Ethernet and IPv4.
const LENGTH: usize = 28;
/// Hardware Ethernet, protocol IPv4, their address lengths.
const PREAMBLE: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Known(Mac),
    /// It is being asked for.
    Wait,
    /// It doesn't answer.
    Silent,
}

#[derive(Debug)]
struct Entry {
    address: Address,
    mac: Option<Mac>,
    /// When it was last heard of.
    confirmed: Instant,
    /// It was used since the hand last passed.
    used: bool,
    /// It is among those that are asked for.
    asked: bool,
    /// Something speaks against it: ask before it is old.
    doubted: bool,
    /// Requests since it was last heard of.
    tries: u8,
    /// When to ask (again), or, for a silent one, when it may be asked for again.
    next: Instant,
}

/// The neighbours on one link.
#[derive(Debug)]
pub(crate) struct Neighbours {
    entries: Vec<Entry>,
    index: Index,
    secret: Secret,
    /// The places of those that are asked for, [`ASKING`] at most.
    asking: Vec<u32>,
    /// Where the search for one that isn't used goes on (the clock algorithm).
    hand: usize,
    /// The place that was found last: most packets go where the one before went.
    last: Cell<u32>,
}

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arp {
    pub is_request: bool,
    pub sender_mac: Mac,
    pub sender: Ipv4Addr,
    pub target: Ipv4Addr,
}

impl Arp {
    /// Reads an ARP packet of a kind that we know.
    pub fn parse(packet: &[u8]) -> Option<Arp> {
        let packet: &[u8; LENGTH] = packet.first_chunk()?;
        let is_request = match packet[6..8] {
            [0, 1] => true,
            [0, 2] => false,
            _ => return None,
        };
        let sender_mac: Mac = packet[8..14].try_into().ok()?;
        if packet[..6] != PREAMBLE || is_group(sender_mac) || sender_mac == [0; 6] {
            return None;
        }
        let address = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
        Some(Arp { is_request, sender_mac, sender: address(14), target: address(24) })
    }

    /// Sends it; `to` is the target's station, or all of them.
    pub fn send<F: Frames>(&self, link: &mut Link<F>, to: Mac) {
        link.reply(to, EtherType::Arp, LENGTH, |packet| {
            packet[..6].copy_from_slice(&PREAMBLE);
            packet[6..8].copy_from_slice(&if self.is_request { [0, 1] } else { [0, 2] });
            packet[8..14].copy_from_slice(&self.sender_mac);
            packet[14..18].copy_from_slice(&self.sender.octets());
            packet[18..24].copy_from_slice(&if self.is_request { [0; 6] } else { to });
            packet[24..28].copy_from_slice(&self.target.octets());
        });
    }
}

impl Neighbours {
    pub fn new(secret: Secret) -> Self {
        Neighbours {
            entries: Vec::new(),
            index: Index::default(),
            secret,
            asking: Vec::new(),
            hand: 0,
            last: Cell::new(0),
        }
    }

    /// The station of `address`; asks for it if need be.
    pub fn lookup(&mut self, address: Address, now: Instant) -> Answer {
        let may_ask = self.asking.len() < ASKING;
        let place = match self.place(address) {
            Some(place) => place,
            // Its turn comes when another has answered or was given up.
            None if !may_ask => return Answer::Wait,
            None => match self.insert(address, None, now) {
                Some(place) => place,
                None => return Answer::Silent,
            },
        };
        let entry = &mut self.entries[place as usize];
        entry.used = true;
        let must_ask = match entry.mac {
            Some(_) => now.since(entry.confirmed) > if entry.doubted { RETRY } else { FRESH },
            None => entry.next <= now,
        };
        if must_ask && !entry.asked && may_ask {
            entry.tries = 0;
            entry.next = now;
            entry.asked = true;
            self.asking.push(place);
        }
        match entry.mac {
            Some(mac) => Answer::Known(mac),
            None if entry.asked || must_ask => Answer::Wait,
            None => Answer::Silent,
        }
    }

    /// Remembers that `address` is at `mac`; a new entry only if `create`. Says whether
    /// somebody may have waited for it.
    pub fn learn(&mut self, address: Address, mac: Mac, create: bool, now: Instant) -> bool {
        let place = match self.place(address) {
            Some(place) => place,
            None if !create => return false,
            None => match self.insert(address, Some(mac), now) {
                Some(place) => place,
                None => return false,
            },
        };
        let entry = &mut self.entries[place as usize];
        (entry.mac, entry.confirmed, entry.doubted) = (Some(mac), now, false);
        self.stop_asking(place)
    }

    /// A packet of a connection with `address` came from `mac`. If that is where we have it, it
    /// is still there (RFC 1122, section 2.3.2.1: what the transport sees counts as an answer).
    /// If we have it at another station it is time to ask: somebody may have lied to us, or the
    /// host has moved; then only an answer ends the doubt.
    pub fn saw(&mut self, address: Address, mac: Mac, now: Instant) {
        let Some(place) = self.place(address) else { return };
        let entry = &mut self.entries[place as usize];
        match entry.mac {
            Some(known) if known != mac => entry.doubted = true,
            Some(_) if !entry.doubted => {
                entry.confirmed = now;
                self.stop_asking(place);
            }
            _ => {}
        }
    }

    /// Whether anybody is being asked for.
    pub fn is_asking(&self) -> bool {
        !self.asking.is_empty()
    }

    /// Sends the requests that are due, each by `ask`, which is told of the address and, where
    /// it is known, the station that it had; says whether a neighbour was given up.
    pub fn poll(&mut self, now: Instant, mut ask: impl FnMut(Address, Option<Mac>)) -> bool {
        let mut given_up = false;
        let entries = &mut self.entries;
        self.asking.retain(|place| {
            let entry = &mut entries[*place as usize];
            if entry.next > now {
                return true;
            }
            if entry.tries >= TRIES {
                entry.mac = None;
                entry.asked = false;
                entry.next = now + GIVEN_UP;
                given_up = true;
                return false;
            }
            entry.tries += 1;
            entry.next = now + RETRY;
            ask(entry.address, entry.mac);
            true
        });
        given_up
    }

    /// When [`poll`](Self::poll) has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.asking.iter().map(|place| self.entries[*place as usize].next).min()
    }

    /// Forgets everybody: the network has changed.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.asking.clear();
        self.index = Index::default();
        self.hand = 0;
    }

    fn place(&self, address: Address) -> Option<u32> {
        let is_at = |place: u32| self.entries.get(place as usize).is_some_and(|at| at.address == address);
        if is_at(self.last.get()) {
            return Some(self.last.get());
        }
        let place = self.index.find(self.hash(address), is_at)?;
        self.last.set(place);
        Some(place)
    }

    fn hash(&self, address: Address) -> u32 {
        self.secret.hash(&address.words()) as u32
    }

    fn stop_asking(&mut self, place: u32) -> bool {
        if !core::mem::take(&mut self.entries[place as usize].asked) {
            return false;
        }
        self.asking.retain(|asked| *asked != place);
        true
    }

    /// Adds a new entry, at the cost of one that wasn't used lately if need be; `None` without
    /// memory, or when all are being asked for.
    fn insert(&mut self, address: Address, mac: Option<Mac>, now: Instant) -> Option<u32> {
        let new = Entry {
            address,
            mac,
            confirmed: now,
            // Whoever only says where it is hasn't been of use: a flood of them pushes out itself.
            used: mac.is_none(),
            asked: false,
            doubted: false,
            tries: 0,
            next: now,
        };
        self.asking.try_reserve(1).ok()?;
        if self.entries.len() < CAPACITY {
            self.entries.try_reserve(1).ok()?;
            let place = self.entries.len() as u32;
            if !self.index.insert(self.hash(address), place) {
                return None;
            }
            self.entries.push(new);
            return Some(place);
        }
        // One round takes the marks away, so that the second one ends.
        let place = (0..2 * CAPACITY).find_map(|_| {
            let place = self.hand;
            self.hand = (self.hand + 1) % CAPACITY;
            let entry = &mut self.entries[place];
            (!core::mem::take(&mut entry.used) && !entry.asked).then_some(place as u32)
        })?;
        let gone = self.entries[place as usize].address;
        self.index.remove(self.hash(gone), place);
        if !self.index.insert(self.hash(address), place) {
            return None;
        }
        self.entries[place as usize] = new;
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Address = Address::V4(Ipv4Addr::new(10, 0, 0, 7));
    const MAC: Mac = [2, 0, 0, 0, 0, 7];

    fn at(seconds: u64) -> Instant {
        Instant::START + Duration::from_secs(seconds)
    }

    fn new() -> Neighbours {
        Neighbours::new(Secret::new([1, 2]))
    }

    fn poll(neighbours: &mut Neighbours, now: Instant) -> (bool, usize) {
        let mut asked = 0;
        let given_up = neighbours.poll(now, |_, _| asked += 1);
        (given_up, asked)
    }

    #[test]
    fn an_unknown_neighbour_is_asked_for_and_found() {
        let mut neighbours = new();
        assert_eq!(neighbours.lookup(A, at(0)), Answer::Wait);
        assert_eq!(poll(&mut neighbours, at(0)), (false, 1));
        assert_eq!(poll(&mut neighbours, at(0)), (false, 0));
        assert!(neighbours.learn(A, MAC, true, at(0)));
        assert_eq!(neighbours.lookup(A, at(0)), Answer::Known(MAC));
        assert_eq!(neighbours.next_deadline(), None);
    }

    #[test]
    fn a_silent_neighbour_is_given_up_and_asked_for_again_later() {
        let mut neighbours = new();
        for second in 0..3 {
            assert_eq!(neighbours.lookup(A, at(second)), Answer::Wait);
            assert_eq!(poll(&mut neighbours, at(second)), (false, 1));
        }
        assert_eq!(poll(&mut neighbours, at(3)), (true, 0));
        assert_eq!(neighbours.lookup(A, at(3)), Answer::Silent);
        assert_eq!(neighbours.lookup(A, at(7)), Answer::Wait);
    }

    #[test]
    fn an_old_entry_is_used_while_it_is_confirmed() {
        let mut neighbours = new();
        neighbours.learn(A, MAC, true, at(0));
        assert_eq!(neighbours.lookup(A, at(61)), Answer::Known(MAC));
        assert_eq!(poll(&mut neighbours, at(61)), (false, 1));
        assert_eq!(neighbours.lookup(A, at(61)), Answer::Known(MAC));
        neighbours.learn(A, MAC, false, at(61));
        assert_eq!(poll(&mut neighbours, at(70)), (false, 0));
    }

    #[test]
    fn an_entry_that_packets_contradict_is_asked_for_again() {
        let mut neighbours = new();
        neighbours.learn(A, MAC, true, at(0));
        neighbours.saw(A, MAC, at(0));
        neighbours.lookup(A, at(5));
        assert_eq!(poll(&mut neighbours, at(5)), (false, 0));
        neighbours.saw(A, [4; 6], at(5));
        assert_eq!(neighbours.lookup(A, at(5)), Answer::Known(MAC));
        assert_eq!(poll(&mut neighbours, at(5)), (false, 1));
        neighbours.learn(A, [4; 6], false, at(5));
        assert_eq!(neighbours.lookup(A, at(5)), Answer::Known([4; 6]));
        assert_eq!(poll(&mut neighbours, at(9)), (false, 0));
    }

    #[test]
    fn a_connection_that_goes_on_confirms_its_peer() {
        let mut neighbours = new();
        neighbours.learn(A, MAC, true, at(0));
        neighbours.lookup(A, at(61));
        assert_eq!(poll(&mut neighbours, at(61)), (false, 1));
        assert!(neighbours.is_asking());
        neighbours.saw(A, MAC, at(62));
        assert!(!neighbours.is_asking());
        assert_eq!(poll(&mut neighbours, at(70)), (false, 0));
        assert_eq!(neighbours.lookup(A, at(121)), Answer::Known(MAC));
        assert!(!neighbours.is_asking());
    }

    #[test]
    fn only_an_answer_ends_a_doubt() {
        let mut neighbours = new();
        neighbours.learn(A, MAC, true, at(0));
        neighbours.saw(A, [4; 6], at(5));
        neighbours.lookup(A, at(5));
        neighbours.saw(A, MAC, at(6));
        assert_eq!(poll(&mut neighbours, at(6)), (false, 1));
        assert!(neighbours.is_asking());
    }

    #[test]
    fn the_table_is_bounded_and_nobody_is_created_unasked() {
        let mut neighbours = new();
        assert!(!neighbours.learn(A, MAC, false, at(0)));
        for number in 0..5000u32 {
            neighbours.learn(Ipv4Addr::from(number).into(), MAC, true, at(u64::from(number)));
        }
        assert_eq!(neighbours.entries.len(), CAPACITY);
        for number in 0..5000u32 {
            neighbours.lookup(Ipv4Addr::from(0x0a00_0000 + number).into(), at(5000));
        }
        assert_eq!(neighbours.entries.len(), CAPACITY);
        assert_eq!((neighbours.asking.len(), neighbours.index.len()), (ASKING, CAPACITY));
    }

    #[test]
    fn who_is_used_stays() {
        let mut neighbours = new();
        for number in 0..100_000u32 {
            neighbours.learn(Ipv4Addr::from(0x0b00_0000 + number).into(), MAC, true, at(1));
            for client in 0..if number % 1000 == 0 { 2000u32 } else { 0 } {
                neighbours.learn(Ipv4Addr::from(0x0a00_0000 + client).into(), MAC, number == 0, at(1));
                let answer = neighbours.lookup(Ipv4Addr::from(0x0a00_0000 + client).into(), at(1));
                assert_eq!(answer, Answer::Known(MAC), "{number}: {client}");
            }
        }
    }

    #[test]
    fn packets_that_are_not_arp_are_refused() {
        assert_eq!(Arp::parse(&[0; 27]), None);
        assert_eq!(Arp::parse(&[0; 28]), None);
    }
}
