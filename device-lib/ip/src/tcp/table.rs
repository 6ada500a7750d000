//! Which entry a connection has: one search tells whether a segment is of a connection with
//! buffers, of a handshake, or of one that has ended. The hash is keyed: nobody can send
//! segments that all fall onto one place.

use super::segment::Key;
use crate::hash::Secret;
use crate::index::Index;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Flow(u32),
    HalfOpen(u32),
    TimeWait(u32),
}

/// Bits for the number of a place; those above say of which list it is.
const BITS: u32 = 30;

impl Place {
    fn pack(self) -> u32 {
        match self {
            Place::Flow(at) => at,
            Place::HalfOpen(at) => 1 << BITS | at,
            Place::TimeWait(at) => 2 << BITS | at,
        }
    }

    fn unpack(packed: u32) -> Place {
        let at = packed & ((1 << BITS) - 1);
        match packed >> BITS {
            0 => Place::Flow(at),
            1 => Place::HalfOpen(at),
            _ => Place::TimeWait(at),
        }
    }
}

/// The places of all connections.
#[derive(Debug)]
pub(crate) struct Table {
    index: Index,
    secret: Secret,
}

impl Table {
    pub fn new(secret: Secret) -> Self {
        Table { index: Index::default(), secret }
    }

    /// The place with `key`; `is_it` compares.
    pub fn find(&self, key: &Key, mut is_it: impl FnMut(Place) -> bool) -> Option<Place> {
        self.index.find(self.hash(key), |packed| is_it(Place::unpack(packed))).map(Place::unpack)
    }

    /// Adds the place of `key`, which must not have one; `false` without memory.
    #[must_use]
    pub fn insert(&mut self, key: &Key, place: Place) -> bool {
        self.index.insert(self.hash(key), place.pack())
    }

    /// Removes the place of `key`.
    pub fn remove(&mut self, key: &Key, place: Place) {
        self.index.remove(self.hash(key), place.pack());
    }

    fn hash(&self, key: &Key) -> u32 {
        self.secret.hash(&key.words(0)) as u32
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.index.len()
    }
}
