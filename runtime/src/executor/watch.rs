//! Counters in memory that a loop looks at before it sleeps: see [`poll_watch`](super::poll_watch).

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU16, Ordering};
use core::task::Waker;

use super::idle::Policy;
use crate::platform;

/// A counter that somebody else moves: a device, as it is done with what it was given.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// The counter; it wraps.
    pub counter: &'static AtomicU16,
    /// Where it stood when the task had no more to do.
    pub seen: u16,
    /// By how much it must have moved to count, at least 1.
    pub after: u16,
}

impl Watch {
    /// Whether it has moved that far.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.counter.load(Ordering::Acquire).wrapping_sub(self.seen) >= self.after.max(1)
    }
}

/// How a task waits for what it [watches](super::poll_watch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watching {
    /// Not at all: a counter has moved already.
    Due,
    /// The loop looks at the counters. The task is woken when one has moved, or when it is time
    /// to ask for an interrupt: by asking again.
    Looking,
    /// The loop is going to sleep: only an interrupt ends that.
    Sleep,
}

struct Entry {
    watch: Watch,
    waker: Waker,
    /// The task has asked for no interrupt.
    looking: bool,
    /// It is to be woken.
    over: bool,
}

/// What a loop watches, and how it rests.
pub(super) struct Watches {
    entries: Vec<Entry>,
    pub(super) policy: Policy,
}

/// How long a sleep lasts that only measures what a wake-up costs, in nanoseconds: long enough
/// for the processor to be really asleep.
const MEASURING_SLEEP: u64 = 30_000;

impl Watches {
    pub(super) const fn new() -> Self {
        Watches { entries: Vec::new(), policy: Policy::new() }
    }

    /// See [`poll_watch`](super::poll_watch).
    pub(super) fn watch(&mut self, waker: &Waker, watches: &[Watch], work: u64, now: u64) -> Watching {
        self.entries.retain(|entry| !entry.waker.will_wake(waker));
        let may_look = self.policy.begin_rest(work, now);
        if watches.iter().any(Watch::is_due) {
            return Watching::Due;
        }
        // Those that have asked for an interrupt are looked at too, when others are.
        self.entries.extend(watches.iter().map(|watch| Entry {
            watch: *watch,
            waker: waker.clone(),
            looking: may_look,
            over: false,
        }));
        if may_look { Watching::Looking } else { Watching::Sleep }
    }

    /// Looks, if a task counts on it, until a counter moves, `is_ready` says so, or it has been
    /// long enough. Whether it did; then whom [`next`](Self::next) names is to be woken.
    pub(super) fn look(&mut self, timer: Option<u64>, is_ready: impl Fn() -> bool) -> bool {
        if !self.entries.iter().any(|entry| entry.looking) {
            return false;
        }
        let began = platform::now();
        if self.policy.wake_up().is_none() {
            let until = began + MEASURING_SLEEP;
            platform::wait(Some(until));
            self.policy.overslept(until, platform::now());
            self.mark_due();
            return true;
        }
        let ends = self.policy.look_until(began);
        let until = timer.map_or(ends, |timer| timer.min(ends));
        let (mut found, mut now, mut longest_step) = (false, began, 0);
        while !found && now < until && !is_ready() {
            core::hint::spin_loop();
            found = self.mark_due();
            let before = core::mem::replace(&mut now, platform::now());
            longest_step = longest_step.max(now - before);
        }
        self.policy.looked(now - began, longest_step, found, now);
        if !found && now >= ends {
            for entry in &mut self.entries {
                entry.over = entry.looking;
            }
        }
        true
    }

    /// Whether there are tasks whose counters have moved: those are to be woken.
    fn mark_due(&mut self) -> bool {
        let mut any = false;
        for entry in &mut self.entries {
            entry.over = entry.watch.is_due();
            any |= entry.over;
        }
        any
    }

    /// One after the other, those that are to be woken after a look.
    pub(super) fn next(&mut self) -> Option<Waker> {
        let place = self.entries.iter().position(|entry| entry.over)?;
        Some(self.entries.swap_remove(place).waker)
    }

    /// Forgets everything that was watched.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}
