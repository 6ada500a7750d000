//! Connections that need no buffers, in bounded lists: half-open ones and those in
//! TIME-WAIT. The oldest goes for a new one when the list is full.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use unik::time::{Duration, Instant};

use super::engine::Sent;
use super::segment::{Key, Syn};
use super::table::{Place, Table};
use super::timestamps::Stamps;
use crate::link::Mac;

/// A handshake that waits for its last segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HalfOpen {
    pub syn: Syn,
    /// Where our answer goes.
    pub station: Mac,
    /// Our sequence number.
    pub sequence: u32,
    /// The window that its peer was told.
    pub window: usize,
    /// Its peer is through with it, but there was no room for the connection.
    pub held: bool,
}

/// A connection that has ended, remembered for stray segments of its (RFC 9293, 3.6.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeWait {
    /// The numbers of our last segment.
    pub last: Sent,
    pub stamps: Option<Stamps>,
}

/// One entry of its place: a later one there has another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    place: u32,
    number: u32,
}

#[derive(Debug)]
struct Entry<T> {
    key: Key,
    number: u32,
    value: T,
}

/// Entries by connection, with a bound on their number and their age.
#[derive(Debug)]
pub(crate) struct Bounded<T> {
    kind: fn(u32) -> Place,
    entries: Vec<Option<Entry<T>>>,
    /// Has room for as many as there are entries.
    free: Vec<u32>,
    /// In the order of their insertion; those that are gone stay for a while.
    order: VecDeque<(Ticket, Instant)>,
    count: u32,
    capacity: usize,
    age: Duration,
}

impl<T: Copy> Bounded<T> {
    /// At most `capacity` entries, none older than `age`, in places of one `kind`.
    pub fn new(kind: fn(u32) -> Place, capacity: usize, age: Duration) -> Self {
        let (entries, free, order) = (Vec::new(), Vec::new(), VecDeque::new());
        Bounded { kind, entries, free, order, count: 0, capacity, age }
    }

    /// Whether the entry at `place` is that of `key`.
    pub fn is(&self, place: u32, key: &Key) -> bool {
        matches!(self.entries.get(place as usize), Some(Some(entry)) if entry.key == *key)
    }

    pub fn at(&mut self, place: u32) -> Option<&mut T> {
        self.entries.get_mut(place as usize)?.as_mut().map(|entry| &mut entry.value)
    }

    /// The entry that `ticket` was given for, if it is still there.
    pub fn find(&self, ticket: Ticket) -> Option<(Key, T)> {
        let entry = self.entries.get(ticket.place as usize)?.as_ref()?;
        (entry.number == ticket.number).then_some((entry.key, entry.value))
    }

    /// Removes the entry at `place`.
    pub fn remove(&mut self, table: &mut Table, place: u32) -> Option<(Key, T)> {
        let entry = self.entries.get_mut(place as usize)?.take()?;
        table.remove(&entry.key, (self.kind)(place));
        self.free.push(place);
        Some((entry.key, entry.value))
    }

    /// Drops the oldest entry, if one must go before another can come. To be called until
    /// there is none.
    pub fn make_room(&mut self, table: &mut Table) -> Option<(Key, T)> {
        while self.is_full() || self.order.len() >= 2 * self.capacity {
            if let Some(gone) = self.drop_oldest(table) {
                return Some(gone);
            }
        }
        None
    }

    /// Adds an entry for `key`, which must not have one, where there is
    /// [room](Self::make_room); `None` without memory.
    pub fn insert(&mut self, table: &mut Table, key: Key, value: T, now: Instant) -> Option<Ticket> {
        self.order.try_reserve(1).ok()?;
        let place = match self.free.last() {
            Some(place) => *place,
            None => {
                self.free.try_reserve(self.entries.len() + 1).ok()?;
                self.entries.try_reserve(1).ok()?;
                self.entries.push(None);
                let place = (self.entries.len() - 1) as u32;
                self.free.push(place);
                place
            }
        };
        if !table.insert(&key, (self.kind)(place)) {
            return None;
        }
        self.free.pop();
        self.count = self.count.wrapping_add(1);
        let ticket = Ticket { place, number: self.count };
        self.entries[place as usize] = Some(Entry { key, number: self.count, value });
        self.order.push_back((ticket, now + self.age));
        Some(ticket)
    }

    /// Drops one entry that is too old, if there is one.
    pub fn expire(&mut self, table: &mut Table, now: Instant) -> Option<(Key, T)> {
        while self.order.front().is_some_and(|(_, end)| *end <= now) {
            if let Some(gone) = self.drop_oldest(table) {
                return Some(gone);
            }
        }
        None
    }

    /// When [`expire`](Self::expire) has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.order.front().map(|(_, end)| *end)
    }

    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    /// Removes those of which `is_gone`.
    pub fn remove_all(&mut self, table: &mut Table, mut is_gone: impl FnMut(&Key) -> bool) {
        for place in 0..self.entries.len() {
            if self.entries[place].as_ref().is_some_and(|entry| is_gone(&entry.key)) {
                self.remove(table, place as u32);
            }
        }
    }

    fn drop_oldest(&mut self, table: &mut Table) -> Option<(Key, T)> {
        let (ticket, _) = self.order.pop_front()?;
        self.find(ticket)?;
        self.remove(table, ticket.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Secret;
    use core::net::Ipv4Addr;

    fn key(number: u32) -> Key {
        let own = Ipv4Addr::LOCALHOST.into();
        Key { peer: Ipv4Addr::from(number).into(), own, peer_port: 1, port: 80 }
    }

    fn at(seconds: u64) -> Instant {
        Instant::START + Duration::from_secs(seconds)
    }

    fn new() -> (Table, Bounded<u32>) {
        (Table::new(Secret::new([1, 2])), Bounded::new(Place::TimeWait, 3, Duration::from_secs(10)))
    }

    fn find(table: &Table, list: &mut Bounded<u32>, key: Key) -> Option<u32> {
        let place = table.find(&key, |place| matches!(place, Place::TimeWait(at) if list.is(at, &key)))?;
        let Place::TimeWait(at) = place else { panic!("{place:?}") };
        list.at(at).copied()
    }

    #[test]
    fn the_oldest_goes_first() {
        let (mut table, mut list) = new();
        for number in 0..5 {
            assert_eq!(list.make_room(&mut table).is_some(), number > 2);
            list.insert(&mut table, key(number), number, at(0)).unwrap();
        }
        assert_eq!(find(&table, &mut list, key(1)), None);
        assert_eq!(find(&table, &mut list, key(4)), Some(4));
        assert_eq!((list.len(), table.len()), (3, 3));
    }

    #[test]
    fn entries_grow_old() {
        let (mut table, mut list) = new();
        let first = list.insert(&mut table, key(0), 0, at(0)).unwrap();
        list.insert(&mut table, key(1), 1, at(5)).unwrap();
        list.remove(&mut table, first.place).unwrap();
        let again = list.insert(&mut table, key(0), 2, at(8)).unwrap();
        assert_eq!(again.place, first.place);
        assert!(list.find(first).is_none(), "another one stands in its place");
        assert!(list.expire(&mut table, at(12)).is_none(), "the replaced one is younger");
        assert_eq!(list.expire(&mut table, at(15)), Some((key(1), 1)));
        assert_eq!((list.len(), list.next_deadline()), (1, Some(at(18))));
    }

    #[test]
    fn nothing_grows_however_often_entries_come_and_go() {
        let (mut table, mut list) = new();
        for number in 0..1000 {
            assert!(list.make_room(&mut table).is_none());
            let ticket = list.insert(&mut table, key(number), 0, at(0)).unwrap();
            list.remove(&mut table, ticket.place);
        }
        assert!(list.order.len() <= 6 && list.entries.len() <= 3 && table.len() == 0);
    }
}
