//! Address resolution (RFC 826): which station has which address.
//!
//! An entry is used for as long as it is there; after a minute it is confirmed in the
//! background by asking again. Nothing waits in the table: who needs an address that isn't
//! known yet is told so, and told again when something has changed.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use unik::interface::Frames;
use unik::time::{Duration, Instant};

use crate::link::{BROADCAST, EtherType, Link, Mac, is_group};

/// The most neighbours that are remembered; the least used one goes first.
const CAPACITY: usize = 1024;
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
    address: Ipv4Addr,
    mac: Option<Mac>,
    /// When it was last heard of.
    confirmed: Instant,
    used: Instant,
    /// Something speaks against it: ask before it is old.
    doubted: bool,
    /// Requests since it was last heard of.
    tries: u8,
    /// When to ask (again), or, for a silent one, when it may be asked for again.
    next: Instant,
}

/// The neighbours on one link.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    /// Ordered by their addresses.
    entries: Vec<Entry>,
    asking: Vec<Ipv4Addr>,
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
    /// The station of `address`; asks for it if need be.
    pub fn lookup(&mut self, address: Ipv4Addr, now: Instant) -> Answer {
        let place = match self.place(address) {
            Ok(place) => place,
            // Asking for more would let a flood of addresses grow the table.
            Err(_) if self.asking.len() >= ASKING => return Answer::Silent,
            Err(_) => self.insert(Entry {
                address,
                mac: None,
                confirmed: now,
                used: now,
                doubted: false,
                tries: 0,
                next: now,
            }),
        };
        let entry = &mut self.entries[place];
        entry.used = now;
        let is_asked = self.asking.contains(&address);
        let must_ask = match entry.mac {
            Some(_) => now.since(entry.confirmed) > if entry.doubted { RETRY } else { FRESH },
            None => entry.next <= now,
        };
        if must_ask && !is_asked && self.asking.len() < ASKING {
            entry.tries = 0;
            entry.next = now;
            self.asking.push(address);
        }
        match entry.mac {
            Some(mac) => Answer::Known(mac),
            None if is_asked || must_ask => Answer::Wait,
            None => Answer::Silent,
        }
    }

    /// Remembers that `address` is at `mac`; a new entry only if `create`. Says whether
    /// somebody may have waited for it.
    pub fn learn(&mut self, address: Ipv4Addr, mac: Mac, create: bool, now: Instant) -> bool {
        let fresh =
            Entry { address, mac: Some(mac), confirmed: now, used: now, doubted: false, tries: 0, next: now };
        match self.place(address) {
            Ok(place) => self.entries[place] = fresh,
            Err(_) if create => {
                self.insert(fresh);
            }
            Err(_) => return false,
        }
        let before = self.asking.len();
        self.asking.retain(|asked| *asked != address);
        before != self.asking.len()
    }

    /// A packet of a connection with `address` came from `mac`. If that is where we have it, it
    /// is still there (RFC 1122, section 2.3.2.1: what the transport sees counts as an answer).
    /// If we have it at another station it is time to ask: somebody may have lied to us, or the
    /// host has moved; then only an answer ends the doubt.
    pub fn saw(&mut self, address: Ipv4Addr, mac: Mac, now: Instant) {
        let Ok(place) = self.place(address) else { return };
        let entry = &mut self.entries[place];
        match entry.mac {
            Some(known) if known != mac => entry.doubted = true,
            Some(_) if !entry.doubted => {
                entry.confirmed = now;
                self.asking.retain(|asked| *asked != address);
            }
            _ => {}
        }
    }

    /// Whether anybody is being asked for.
    pub fn is_asking(&self) -> bool {
        !self.asking.is_empty()
    }

    /// Sends the requests that are due, as `own`; says whether a neighbour was given up.
    pub fn poll<F: Frames>(&mut self, link: &mut Link<F>, own: Ipv4Addr, now: Instant) -> bool {
        let mut given_up = false;
        let entries = &mut self.entries;
        self.asking.retain(|address| {
            let Ok(place) = entries.binary_search_by_key(address, |entry| entry.address) else {
                return false;
            };
            let entry = &mut entries[place];
            if entry.next > now {
                return true;
            }
            if entry.tries >= TRIES {
                entry.mac = None;
                entry.next = now + GIVEN_UP;
                given_up = true;
                return false;
            }
            entry.tries += 1;
            entry.next = now + RETRY;
            let request = Arp { is_request: true, sender_mac: link.mac, sender: own, target: *address };
            request.send(link, BROADCAST);
            true
        });
        given_up
    }

    /// When [`poll`](Self::poll) has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.asking.iter().filter_map(|address| Some(self.entries[self.place(*address).ok()?].next)).min()
    }

    /// Forgets everybody: the network has changed.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.asking.clear();
    }

    fn place(&self, address: Ipv4Addr) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&address, |entry| entry.address)
    }

    /// Adds a new entry, at the cost of the one that was used least recently if need be.
    fn insert(&mut self, entry: Entry) -> usize {
        if self.entries.len() >= CAPACITY {
            let oldest = self.entries.iter().enumerate().min_by_key(|(_, entry)| entry.used);
            if let Some((oldest, _)) = oldest {
                let gone = self.entries.remove(oldest).address;
                self.asking.retain(|asked| *asked != gone);
            }
        }
        let place = self.place(entry.address).unwrap_or_else(|place| place);
        self.entries.insert(place, entry);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Wire;

    const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
    const MAC: Mac = [2, 0, 0, 0, 0, 7];

    fn at(seconds: u64) -> Instant {
        Instant::START + Duration::from_secs(seconds)
    }

    fn poll(neighbours: &mut Neighbours, link: &mut Link<Wire>, now: Instant) -> (bool, usize) {
        let given_up = neighbours.poll(link, Ipv4Addr::new(10, 0, 0, 1), now);
        (given_up, link.frames.take_sent().len())
    }

    #[test]
    fn an_unknown_neighbour_is_asked_for_and_found() {
        let (mut neighbours, mut link) = (Neighbours::default(), Link::new(Wire::alone()));
        assert_eq!(neighbours.lookup(A, at(0)), Answer::Wait);
        assert_eq!(poll(&mut neighbours, &mut link, at(0)), (false, 1));
        assert_eq!(poll(&mut neighbours, &mut link, at(0)), (false, 0));
        assert!(neighbours.learn(A, MAC, true, at(0)));
        assert_eq!(neighbours.lookup(A, at(0)), Answer::Known(MAC));
        assert_eq!(neighbours.next_deadline(), None);
    }

    #[test]
    fn a_silent_neighbour_is_given_up_and_asked_for_again_later() {
        let (mut neighbours, mut link) = (Neighbours::default(), Link::new(Wire::alone()));
        for second in 0..3 {
            assert_eq!(neighbours.lookup(A, at(second)), Answer::Wait);
            assert_eq!(poll(&mut neighbours, &mut link, at(second)), (false, 1));
        }
        assert_eq!(poll(&mut neighbours, &mut link, at(3)), (true, 0));
        assert_eq!(neighbours.lookup(A, at(3)), Answer::Silent);
        assert_eq!(neighbours.lookup(A, at(7)), Answer::Wait);
    }

    #[test]
    fn an_old_entry_is_used_while_it_is_confirmed() {
        let (mut neighbours, mut link) = (Neighbours::default(), Link::new(Wire::alone()));
        neighbours.learn(A, MAC, true, at(0));
        assert_eq!(neighbours.lookup(A, at(61)), Answer::Known(MAC));
        assert_eq!(poll(&mut neighbours, &mut link, at(61)), (false, 1));
        assert_eq!(neighbours.lookup(A, at(61)), Answer::Known(MAC));
        neighbours.learn(A, MAC, false, at(61));
        assert_eq!(poll(&mut neighbours, &mut link, at(70)), (false, 0));
    }

    #[test]
    fn an_entry_that_packets_contradict_is_asked_for_again() {
        let (mut neighbours, mut link) = (Neighbours::default(), Link::new(Wire::alone()));
        neighbours.learn(A, MAC, true, at(0));
        neighbours.saw(A, MAC, at(0));
        neighbours.lookup(A, at(5));
        assert_eq!(poll(&mut neighbours, &mut link, at(5)), (false, 0));
        neighbours.saw(A, [4; 6], at(5));
        assert_eq!(neighbours.lookup(A, at(5)), Answer::Known(MAC));
        assert_eq!(poll(&mut neighbours, &mut link, at(5)), (false, 1));
        neighbours.learn(A, [4; 6], false, at(5));
        assert_eq!(neighbours.lookup(A, at(5)), Answer::Known([4; 6]));
        assert_eq!(poll(&mut neighbours, &mut link, at(9)), (false, 0));
    }

    #[test]
    fn a_connection_that_goes_on_confirms_its_peer() {
        let (mut neighbours, mut link) = (Neighbours::default(), Link::new(Wire::alone()));
        neighbours.learn(A, MAC, true, at(0));
        neighbours.lookup(A, at(61));
        assert_eq!(poll(&mut neighbours, &mut link, at(61)), (false, 1));
        assert!(neighbours.is_asking());
        neighbours.saw(A, MAC, at(62));
        assert!(!neighbours.is_asking());
        assert_eq!(poll(&mut neighbours, &mut link, at(70)), (false, 0));
        assert_eq!(neighbours.lookup(A, at(121)), Answer::Known(MAC));
        assert!(!neighbours.is_asking());
    }

    #[test]
    fn only_an_answer_ends_a_doubt() {
        let (mut neighbours, mut link) = (Neighbours::default(), Link::new(Wire::alone()));
        neighbours.learn(A, MAC, true, at(0));
        neighbours.saw(A, [4; 6], at(5));
        neighbours.lookup(A, at(5));
        neighbours.saw(A, MAC, at(6));
        assert_eq!(poll(&mut neighbours, &mut link, at(6)), (false, 1));
        assert!(neighbours.is_asking());
    }

    #[test]
    fn the_table_is_bounded_and_nobody_is_created_unasked() {
        let mut neighbours = Neighbours::default();
        assert!(!neighbours.learn(A, MAC, false, at(0)));
        for number in 0..5000u32 {
            neighbours.learn(Ipv4Addr::from(number), MAC, true, at(u64::from(number)));
        }
        assert_eq!(neighbours.entries.len(), CAPACITY);
        for number in 0..5000u32 {
            neighbours.lookup(Ipv4Addr::from(0x0a00_0000 + number), at(5000));
        }
        assert_eq!(neighbours.entries.len(), CAPACITY);
        assert_eq!(neighbours.asking.len(), ASKING);
    }

    #[test]
    fn packets_that_are_not_arp_are_refused() {
        assert_eq!(Arp::parse(&[0; 27]), None);
        assert_eq!(Arp::parse(&[0; 28]), None);
    }
}
