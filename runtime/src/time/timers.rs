//! The timers of an executor: a binary heap whose entries know where they stand.
//!
//! Setting, moving and cancelling a timer takes O(log n), the next deadline O(1).

use alloc::vec::Vec;
use core::mem;
use core::task::Waker;

/// Names a timer from its setting to its firing or cancelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerId {
    slot: u32,
    /// Told apart from later timers in the same slot: 2³² of them, that is, for a timer
    /// that is asked for while it is long gone. Its owner forgets the id before.
    generation: u32,
}

struct Entry {
    deadline: u64,
    slot: u32,
}

struct Slot {
    generation: u32,
    state: State,
}

enum State {
    /// Names the next free slot.
    Free(u32),
    Set {
        place: u32,
        waker: Waker,
    },
}

/// Says that the list of free slots ends.
const NONE: u32 = u32::MAX;

/// The timers of an executor.
pub(crate) struct Timers {
    /// A heap: an entry is due no earlier than the one at half its place.
    heap: Vec<Entry>,
    slots: Vec<Slot>,
    free: u32,
}

impl Timers {
    pub(crate) const fn new() -> Self {
        Timers { heap: Vec::new(), slots: Vec::new(), free: NONE }
    }

    /// How many timers are set.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<u64> {
        self.heap.first().map(|entry| entry.deadline)
    }

    /// Sets a timer, or what it wakes if `old` is still set (a timer doesn't move).
    pub(crate) fn set(&mut self, old: Option<TimerId>, deadline: u64, waker: &Waker) -> TimerId {
        if let Some(id) = old.filter(|id| self.renew(*id, waker)) {
            return id;
        }
        if self.free == NONE {
            self.free = self.slots.len() as u32;
            self.slots.push(Slot { generation: 0, state: State::Free(NONE) });
        }
        let slot = self.free;
        let place = self.heap.len();
        self.heap.push(Entry { deadline, slot });
        let entry = &mut self.slots[slot as usize];
        let set = State::Set { place: place as u32, waker: waker.clone() };
        if let State::Free(next) = mem::replace(&mut entry.state, set) {
            self.free = next;
        }
        let id = TimerId { slot, generation: entry.generation };
        self.rise(place);
        id
    }

    /// Whether a timer has neither fired nor been cancelled; then it wakes `waker`.
    pub(crate) fn renew(&mut self, id: TimerId, waker: &Waker) -> bool {
        match self.state(id) {
            Some(State::Set { waker: current, .. }) => {
                current.clone_from(waker);
                true
            }
            _ => false,
        }
    }

    /// Takes a timer away if it is still set; returns its waker.
    pub(crate) fn cancel(&mut self, id: TimerId) -> Option<Waker> {
        match self.state(id) {
            Some(&mut State::Set { place, .. }) => self.remove(place as usize),
            _ => None,
        }
    }

    /// Takes away the earliest timer that is due at `now`; returns its waker.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<Waker> {
        if self.next()? > now {
            return None;
        }
        self.remove(0)
    }

    fn state(&mut self, id: TimerId) -> Option<&mut State> {
        self.slots
            .get_mut(id.slot as usize)
            .filter(|slot| slot.generation == id.generation)
            .map(|slot| &mut slot.state)
    }

    fn remove(&mut self, place: usize) -> Option<Waker> {
        let entry = self.heap.swap_remove(place);
        if place < self.heap.len() {
            // The last entry stands here now: it may be too early or too late for it.
            self.note_place(place);
            self.rise(place);
            self.sink(place);
        }
        let slot = &mut self.slots[entry.slot as usize];
        slot.generation = slot.generation.wrapping_add(1);
        match mem::replace(&mut slot.state, State::Free(self.free)) {
            State::Set { waker, .. } => {
                self.free = entry.slot;
                Some(waker)
            }
            State::Free(next) => {
                slot.state = State::Free(next);
                None
            }
        }
    }

    /// Moves the entry at `place` up until the one above is due no later.
    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let above = (place - 1) / 2;
            if self.heap[above].deadline <= self.heap[place].deadline {
                return;
            }
            self.swap(place, above);
            place = above;
        }
    }

    /// Moves the entry at `place` down until those below are due no earlier.
    fn sink(&mut self, mut place: usize) {
        loop {
            let mut below = 2 * place + 1;
            if below >= self.heap.len() {
                return;
            }
            if below + 1 < self.heap.len() && self.heap[below + 1].deadline < self.heap[below].deadline {
                below += 1;
            }
            if self.heap[place].deadline <= self.heap[below].deadline {
                return;
            }
            self.swap(place, below);
            place = below;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.note_place(one);
        self.note_place(other);
    }

    fn note_place(&mut self, at: usize) {
        if let State::Set { place, .. } = &mut self.slots[self.heap[at].slot as usize].state {
            *place = at as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Step {
        Set(u64),
        Cancel(usize),
        Advance(u64),
    }

    fn steps() -> impl Strategy<Value = std::vec::Vec<Step>> {
        let step = prop_oneof![
            3 => (0u64..1000).prop_map(Step::Set),
            2 => any::<usize>().prop_map(Step::Cancel),
            1 => (0u64..200).prop_map(Step::Advance),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn behaves_as_a_sorted_map(steps in steps()) {
            let mut timers = Timers::new();
            let mut model: BTreeMap<u64, std::vec::Vec<TimerId>> = BTreeMap::new();
            let mut ids = std::vec::Vec::new();
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Set(delay) => {
                        let id = timers.set(None, now + delay, Waker::noop());
                        model.entry(now + delay).or_default().push(id);
                        ids.push(id);
                    }
                    Step::Cancel(index) => {
                        // Also ids that have fired or were cancelled before.
                        let Some(&id) = ids.get(index % ids.len().max(1)) else { continue };
                        let known = model.values_mut().find_map(|at| {
                            at.iter().position(|other| *other == id).map(|index| at.remove(index))
                        });
                        prop_assert_eq!(timers.cancel(id).is_some(), known.is_some());
                    }
                    Step::Advance(by) => {
                        now += by;
                        let due: usize = model.range(..=now).map(|(_, ids)| ids.len()).sum();
                        model = model.split_off(&(now + 1));
                        let mut fired = 0;
                        let mut last = 0;
                        while let Some(next) = timers.next().filter(|next| *next <= now) {
                            prop_assert!(next >= last);
                            last = next;
                            prop_assert!(timers.pop_due(now).is_some());
                            fired += 1;
                        }
                        prop_assert!(timers.pop_due(now).is_none());
                        prop_assert_eq!(fired, due);
                    }
                }
                model.retain(|_, ids| !ids.is_empty());
                prop_assert_eq!(timers.next(), model.keys().next().copied());
                prop_assert_eq!(timers.len(), model.values().map(|ids| ids.len()).sum::<usize>());
            }
        }
    }

    #[test]
    fn setting_again_keeps_the_timer() {
        let mut timers = Timers::new();
        let id = timers.set(None, 5, Waker::noop());
        assert_eq!(timers.set(Some(id), 5, Waker::noop()), id);
        assert_eq!(timers.len(), 1);
        assert!(timers.pop_due(5).is_some());
        assert_ne!(timers.set(Some(id), 9, Waker::noop()), id);
    }
}
