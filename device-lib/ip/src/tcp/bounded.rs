//! Connections that need no buffers, in bounded tables: half-open ones and those in
//! TIME-WAIT. A new entry pushes out the oldest when the table is full.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use unik::time::{Duration, Instant};

use super::engine::Sent;
use super::segment::{Key, Syn};

/// A handshake that waits for its last segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HalfOpen {
    pub syn: Syn,
    /// What our sequence number was made of.
    pub seed: u64,
    /// Our sequence number.
    pub sequence: u32,
    /// Its peer is through with it, but there was no room for the connection.
    pub held: bool,
}

/// A connection that has ended, remembered for stray segments of its (RFC 9293, 3.6.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeWait {
    /// The numbers of our last segment.
    pub last: Sent,
}

/// Entries by connection, with a bound on their number and their age.
#[derive(Debug)]
pub(crate) struct Bounded<T> {
    /// Where the entry of a connection is. The same type of map as that of the connections with
    /// buffers, so that an image holds its code once.
    places: BTreeMap<Key, u32>,
    entries: Vec<(u64, T)>,
    free: Vec<u32>,
    /// In the order of their insertion; those that are gone or were replaced stay for a while.
    order: VecDeque<(u64, Key, Instant)>,
    count: u64,
    capacity: usize,
    age: Duration,
}

impl<T: Copy> Bounded<T> {
    /// At most `capacity` entries, none older than `age`.
    pub fn new(capacity: usize, age: Duration) -> Self {
        let (places, order) = (BTreeMap::new(), VecDeque::new());
        Bounded { places, entries: Vec::new(), free: Vec::new(), order, count: 0, capacity, age }
    }

    pub fn find(&self, key: &Key) -> Option<T> {
        self.places.get(key).map(|place| self.entries[*place as usize].1)
    }

    pub fn find_mut(&mut self, key: &Key) -> Option<&mut T> {
        self.places.get(key).map(|place| &mut self.entries[*place as usize].1)
    }

    /// Removes the entry of `key`, if there is one.
    pub fn remove(&mut self, key: &Key) {
        if let Some(place) = self.places.remove(key) {
            self.free.push(place);
        }
    }

    /// Adds or replaces an entry; `true` if the oldest had to go for it.
    pub fn insert(&mut self, key: Key, entry: T, now: Instant) -> bool {
        self.expire(now);
        self.count += 1;
        self.remove(&key);
        let mut evicted = false;
        while self.places.len() >= self.capacity {
            evicted = true;
            self.drop_oldest();
        }
        let numbered = (self.count, entry);
        let place = match self.free.pop() {
            Some(place) => {
                self.entries[place as usize] = numbered;
                place
            }
            None => {
                self.entries.push(numbered);
                (self.entries.len() - 1) as u32
            }
        };
        self.places.insert(key, place);
        self.order.push_back((self.count, key, now + self.age));
        // Entries that were removed early leave their place in the order behind.
        while self.order.len() > 2 * self.capacity {
            self.drop_oldest();
        }
        evicted
    }

    /// Drops what is too old.
    pub fn expire(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(_, _, end)| *end <= now) {
            self.drop_oldest();
        }
    }

    /// When [`expire`](Self::expire) has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.order.front().map(|(_, _, end)| *end)
    }

    pub fn clear(&mut self) {
        self.places.clear();
        self.entries.clear();
        self.free.clear();
        self.order.clear();
    }

    /// Removes the entries of a port of ours.
    pub fn remove_port(&mut self, port: u16) {
        let gone: Vec<Key> = self.places.keys().filter(|key| key.port == port).copied().collect();
        for key in gone {
            self.remove(&key);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    fn drop_oldest(&mut self) {
        if let Some((number, key, _)) = self.order.pop_front()
            && self.places.get(&key).is_some_and(|place| self.entries[*place as usize].0 == number)
        {
            self.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn key(number: u32) -> Key {
        Key { peer: Ipv4Addr::from(number), peer_port: 1, port: 80 }
    }

    fn at(seconds: u64) -> Instant {
        Instant::START + Duration::from_secs(seconds)
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut table = Bounded::new(3, Duration::from_secs(10));
        for number in 0..3 {
            assert!(!table.insert(key(number), number, at(0)));
        }
        assert!(!table.insert(key(0), 10, at(1)), "replaced, not added");
        assert!(table.insert(key(3), 3, at(1)));
        assert_eq!(table.find(&key(1)), None);
        assert_eq!(table.find(&key(0)), Some(10));
    }

    #[test]
    fn entries_grow_old() {
        let mut table = Bounded::new(3, Duration::from_secs(10));
        table.insert(key(0), 0, at(0));
        table.insert(key(1), 1, at(5));
        table.insert(key(0), 2, at(8));
        table.expire(at(12));
        assert_eq!(table.len(), 2, "the replaced one is younger");
        table.expire(at(15));
        assert_eq!(table.len(), 1);
        assert_eq!(table.next_deadline(), Some(at(18)));
    }

    #[test]
    fn nothing_grows_however_often_entries_come_and_go() {
        let mut table = Bounded::new(3, Duration::from_secs(10));
        for number in 0..1000 {
            table.insert(key(number), 0, at(0));
            table.remove(&key(number));
        }
        assert!(table.order.len() <= 6);
    }
}
