//! A hash table of places: which entry of a list has a key.
//!
//! It holds no keys, only their hashes and the places of their entries, eight bytes each;
//! whoever searches compares the keys. Open addressing with linear probing; what is removed
//! leaves no mark. The hash must be keyed where others choose the keys.

use alloc::vec::Vec;

/// No place.
const NONE: u32 = u32::MAX;
/// Slots of a table with entries, at least.
const LEAST: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    hash: u32,
    place: u32,
}

const EMPTY: Slot = Slot { hash: 0, place: NONE };

/// Places by the hashes of their keys.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// A power of two of them, at least a quarter empty; or none.
    slots: Vec<Slot>,
    used: usize,
}

impl Index {
    /// The place with `hash` of which `is_it` says that it is the one.
    pub fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.place == NONE {
                return None;
            }
            if slot.hash == hash && is_it(slot.place) {
                return Some(slot.place);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a place, which must not be in it; `false` if there is no memory for that.
    #[must_use]
    pub fn insert(&mut self, hash: u32, place: u32) -> bool {
        if (self.used + 1) * 4 > self.slots.len() * 3 && !self.grow() {
            return false;
        }
        self.used += 1;
        self.put(Slot { hash, place });
        true
    }

    /// Removes a place, if it is there.
    pub fn remove(&mut self, hash: u32, place: u32) {
        let Some(mask) = self.slots.len().checked_sub(1) else { return };
        let mut at = hash as usize & mask;
        while self.slots[at] != (Slot { hash, place }) {
            if self.slots[at].place == NONE {
                return;
            }
            at = (at + 1) & mask;
        }
        self.used -= 1;
        // What comes after it and may stand here moves up.
        let mut hole = at;
        loop {
            at = (at + 1) & mask;
            let slot = self.slots[at];
            if slot.place == NONE {
                break;
            }
            let home = slot.hash as usize & mask;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole] = EMPTY;
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.used
    }

    fn put(&mut self, new: Slot) {
        let mask = self.slots.len() - 1;
        let mut at = new.hash as usize & mask;
        while self.slots[at].place != NONE {
            at = (at + 1) & mask;
        }
        self.slots[at] = new;
    }

    fn grow(&mut self) -> bool {
        let count = (self.slots.len() * 2).max(LEAST);
        let mut slots = Vec::new();
        if slots.try_reserve_exact(count).is_err() {
            return false;
        }
        slots.resize(count, EMPTY);
        let before = core::mem::replace(&mut self.slots, slots);
        for slot in before {
            if slot.place != NONE {
                self.put(slot);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_a_set(steps in proptest::collection::vec((any::<bool>(), 0u32..8, 0u32..40), 0..400)) {
            let (mut index, mut set) = (Index::default(), BTreeSet::new());
            for (add, hash, place) in steps {
                // Many of one hash, near the end of the table: they wrap and push each other.
                let hash = hash.wrapping_sub(4);
                if !add {
                    index.remove(hash, place);
                    set.remove(&(hash, place));
                } else if set.insert((hash, place)) {
                    prop_assert!(index.insert(hash, place));
                }
                prop_assert_eq!(index.len(), set.len());
            }
            for hash in 0..8u32 {
                for place in 0..40 {
                    let hash = hash.wrapping_sub(4);
                    let found = index.find(hash, |other| other == place).is_some();
                    prop_assert_eq!(found, set.contains(&(hash, place)));
                }
            }
        }
    }
}
