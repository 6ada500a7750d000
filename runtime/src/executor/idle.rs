//! What a loop does that has nothing to do: look, or sleep.
//!
//! A sleep ends by an interrupt, which takes its time to arrive: a microsecond or two on real
//! virtualisation, dozens where that is nested. Who looks at a counter that a device moves sees
//! work at once, but takes a processor meanwhile that others may need: the very ones who make
//! that work, where host processors are few. Neither is always right, so it is tried out.
//!
//! - **How long to look** follows from what a wake-up costs on this host, which the first sleeps
//!   tell: [`LOOK`] times that.
//! - **Whether to look at all** follows from what gets done. Time is cut into epochs. Once in a
//!   while one of them is spent in the other way, and what got done in it is compared with the
//!   epochs before and after. What gets clearly more done is kept. Where both do the same (the
//!   load is what its clients make it), looking is kept only as long as it takes less of the
//!   processor than the wake-ups would.
//! - **A processor that others want is left to them**: time that passes in one step during a look
//!   was the host's, who gave it to somebody else. Where that is a good part of all time, it sleeps.
//!   Of all time, and not of that spent looking: who has much to do looks little, and is
//!   interrupted there as everywhere, by its own clients too.
//!
//! Pure: it is told the time.

use core::mem;

/// For how many times the cost of a wake-up a loop looks before it sleeps.
const LOOK: u64 = 4;
/// The longest look, in nanoseconds, whatever a wake-up costs.
const LONGEST_LOOK: u64 = 400_000;
/// The least length of an epoch: in nanoseconds …
const EPOCH: u64 = 10_000_000;
/// … and in rests, so that there is something to compare.
const RESTS: u32 = 64;
/// Epochs between two trials, at first and at most: a trial that confirms doubles it.
const PATIENCE: u32 = 2;
const MOST_PATIENCE: u32 = 64;
/// By which part one way must get more done to count as better.
const MARGIN: u64 = 20;
/// Which part of the time must have been taken away from looks for others to want the processor.
const STOLEN: u64 = 4;
/// Sleeps by which the cost of a wake-up is told.
const SAMPLES: usize = 3;

/// The two ways to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Look,
    Sleep,
}

impl Way {
    const fn other(self) -> Way {
        match self {
            Way::Look => Way::Sleep,
            Way::Sleep => Way::Look,
        }
    }
}

/// What happened in an epoch.
#[derive(Clone, Copy, Debug, Default)]
struct Epoch {
    began: u64,
    rests: u32,
    work: u64,
    /// Nanoseconds spent looking.
    looked: u64,
    /// How much of that the host took away.
    stolen: u64,
    /// Looks that found something.
    found: u32,
}

/// Where a trial stands.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// None is under way for so many epochs.
    Settled(u32),
    /// This epoch is spent in the other way; in the one before so much got done.
    Trying { before: u64 },
    /// And this one again as before.
    Back { before: u64, tried: Tried },
}

/// What an epoch in one way came to.
#[derive(Clone, Copy, Debug)]
struct Tried {
    rate: u64,
    /// Nanoseconds.
    took: u64,
    looked: u64,
    stolen: u64,
    found: u32,
}

impl Tried {
    /// Whether others wanted the processor while it was spent looking: half of the time would be
    /// theirs then, if they got their part at all.
    const fn is_unwelcome(&self) -> bool {
        self.stolen > self.took / STOLEN
    }
}

/// How a loop rests.
#[derive(Debug)]
pub(super) struct Policy {
    way: Way,
    phase: Phase,
    patience: u32,
    epoch: Epoch,
    /// The rate at which the last trial was decided.
    decided_at: u64,
    /// When the look of this rest ends, once it has begun.
    look_ends: Option<u64>,
    /// The look of this rest is over.
    looked_enough: bool,
    samples: [u64; SAMPLES],
    sampled: usize,
}

impl Policy {
    pub(super) const fn new() -> Self {
        Policy {
            way: Way::Look,
            phase: Phase::Settled(PATIENCE),
            patience: PATIENCE,
            epoch: Epoch { began: 0, rests: 0, work: 0, looked: 0, stolen: 0, found: 0 },
            decided_at: 0,
            look_ends: None,
            looked_enough: false,
            samples: [0; SAMPLES],
            sampled: 0,
        }
    }

    /// What a wake-up costs, in nanoseconds, once it is known.
    pub(super) fn wake_up(&self) -> Option<u64> {
        if self.sampled < SAMPLES {
            return None;
        }
        // On a busy host a wake-up takes longer; the least is what it takes by itself.
        self.samples.iter().min().map(|least| *least.max(&1))
    }

    /// A sleep that should have ended at `until` ended at `now`.
    pub(super) fn overslept(&mut self, until: u64, now: u64) {
        if let Some(late) = now.checked_sub(until)
            && self.sampled < SAMPLES
        {
            self.samples[self.sampled] = late;
            self.sampled += 1;
        }
    }

    /// So much got done since the last call, in whatever unit, and now there is nothing to do.
    /// Whether to look.
    pub(super) fn begin_rest(&mut self, work: u64, now: u64) -> bool {
        if work > 0 {
            self.epoch.work = self.epoch.work.saturating_add(work);
            self.epoch.rests += 1;
            self.look_ends = None;
            self.looked_enough = false;
            if self.epoch.rests >= RESTS && now.saturating_sub(self.epoch.began) >= EPOCH {
                self.end_epoch(now);
            }
        }
        self.way == Way::Look && !self.looked_enough
    }

    /// When a look that goes on at `now` ends.
    pub(super) fn look_until(&mut self, now: u64) -> u64 {
        let length = self.look();
        *self.look_ends.get_or_insert(now.saturating_add(length))
    }

    /// The length of a look.
    fn look(&self) -> u64 {
        self.wake_up().unwrap_or(0).saturating_mul(LOOK).min(LONGEST_LOOK)
    }

    /// A look took so many nanoseconds, of which so many passed between two steps of it, and may
    /// have found something.
    pub(super) fn looked(&mut self, took: u64, longest_step: u64, found: bool, now: u64) {
        self.epoch.looked = self.epoch.looked.saturating_add(took);
        if longest_step > self.look() {
            self.epoch.stolen = self.epoch.stolen.saturating_add(longest_step);
        }
        self.epoch.found += u32::from(found);
        self.looked_enough = !found && self.look_ends.is_some_and(|end| now >= end);
    }

    fn end_epoch(&mut self, now: u64) {
        let epoch = mem::replace(&mut self.epoch, Epoch { began: now, ..Epoch::default() });
        // What got done in 2²⁰ ns, about a millisecond.
        let took = now.saturating_sub(epoch.began);
        let rate = epoch.work.saturating_mul(1 << 10) / (took >> 10).max(1);
        let this = Tried { rate, took, looked: epoch.looked, stolen: epoch.stolen, found: epoch.found };
        match self.phase {
            Phase::Settled(_) if this.is_unwelcome() => {
                self.way = Way::Sleep;
                self.decided_at = rate;
                // One epoch may be mistaken.
                self.patience = PATIENCE;
                self.phase = Phase::Settled(self.patience);
            }
            Phase::Settled(left) if left > 0 && !self.has_changed(rate) => {
                self.phase = Phase::Settled(left - 1);
            }
            Phase::Settled(_) => {
                self.way = self.way.other();
                self.phase = Phase::Trying { before: rate };
            }
            Phase::Trying { before } => {
                self.way = self.way.other();
                self.phase = Phase::Back { before, tried: this };
            }
            Phase::Back { before, tried } => {
                let kept = Tried { rate: before / 2 + rate / 2, ..this };
                let (look, sleep) = match self.way {
                    Way::Look => (kept, tried),
                    Way::Sleep => (tried, kept),
                };
                let better = self.better(look, sleep);
                self.patience =
                    if better == self.way { (self.patience * 2).min(MOST_PATIENCE) } else { PATIENCE };
                self.way = better;
                self.decided_at = rate;
                self.phase = Phase::Settled(self.patience);
            }
        }
    }

    /// Whether the load isn't any more what it was at the last decision.
    const fn has_changed(&self, rate: u64) -> bool {
        let last = self.decided_at;
        last > 0 && (rate > last.saturating_mul(2) || rate < last / 2)
    }

    fn better(&self, look: Tried, sleep: Tried) -> Way {
        let clearly = |rate: u64, than: u64| rate > than.saturating_add(than / MARGIN);
        if look.is_unwelcome() {
            Way::Sleep
        } else if clearly(look.rate, sleep.rate) {
            Way::Look
        } else if clearly(sleep.rate, look.rate) {
            Way::Sleep
        } else {
            // A wake-up takes the host about as long again to bring about.
            let wake_ups = u64::from(look.found).saturating_mul(2 * self.wake_up().unwrap_or(0));
            if look.looked <= wake_ups { Way::Look } else { Way::Sleep }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u64 = 1000;
    const WAKE_UP: u64 = 20 * US;

    /// A load, simulated: how long after the last work there is more, in either way.
    struct Load {
        policy: Policy,
        now: u64,
        /// The longest step of a look.
        step: u64,
    }

    impl Load {
        fn new() -> Load {
            let mut policy = Policy::new();
            for _ in 0..SAMPLES {
                policy.overslept(1000, 1000 + WAKE_UP);
            }
            assert_eq!(policy.wake_up(), Some(WAKE_UP));
            Load { policy, now: 0, step: 1 }
        }

        /// Runs for `time`; the part of the rests that ended by a look, in per cent.
        /// `gap` is how long the next work takes to come, and `looking` how much longer it takes
        /// while somebody looks.
        fn run(&mut self, time: u64, gap: impl Fn(u64) -> u64, looking: u64) -> u64 {
            let (end, mut rests, mut found) = (self.now + time, 0, 0);
            while self.now < end {
                rests += 1;
                let gap = gap(rests);
                if self.policy.begin_rest(1000, self.now) {
                    let until = self.policy.look_until(self.now);
                    let came = self.now + gap + looking;
                    if came <= until {
                        self.policy.looked(gap + looking, self.step, true, came);
                        self.now = came;
                        found += 1;
                        continue;
                    }
                    self.policy.looked(until - self.now, self.step, false, until);
                    assert!(!self.policy.begin_rest(0, until), "one look a rest");
                    self.now = came.max(until) + WAKE_UP;
                } else {
                    self.now += gap + WAKE_UP;
                }
            }
            found * 100 / rests.max(1)
        }
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn looks_where_answers_come_soon() {
        assert!(Load::new().run(SECOND, |_| 30 * US, 0) > 85);
    }

    #[test]
    fn sleeps_where_looking_is_in_the_way() {
        // Each look takes from those who make the work.
        assert!(Load::new().run(SECOND, |_| 10 * US, 40 * US) < 15);
    }

    #[test]
    fn sleeps_where_nothing_comes_while_it_looks() {
        let mut load = Load::new();
        load.run(10 * SECOND, |_| 5000 * US, 0);
        let looked = load.policy.epoch.looked;
        load.run(10 * SECOND, |_| 5000 * US, 0);
        assert_eq!(load.policy.way, Way::Sleep);
        assert!(looked < SECOND / 100);
    }

    #[test]
    fn leaves_the_processor_to_others() {
        let mut load = Load::new();
        assert!(load.run(SECOND, |_| 30 * US, 0) > 85);
        // What looks find came while somebody else had the processor.
        load.step = 81 * US;
        assert!(load.run(SECOND, |_| 30 * US, 0) < 15);
        load.step = 1;
        assert!(load.run(2 * SECOND, |_| 30 * US, 0) > 40, "until they no longer want it");
    }

    #[test]
    fn who_is_busy_may_be_interrupted_while_looking() {
        let mut policy = Load::new().policy;
        let (mut now, mut rests, mut looks) = (0, 0, 0);
        while now < SECOND {
            // Work for 200 µs, a look of 5 µs; from one of 16 the host takes half a millisecond.
            now += 200 * US;
            rests += 1;
            let took = if rests % 16 == 0 { 500 * US } else { 5 * US };
            if policy.begin_rest(1000, now) {
                policy.look_until(now);
                now += took;
                policy.looked(took, took - 4 * US, true, now);
                looks += 1;
            } else {
                now += took + WAKE_UP;
            }
        }
        assert!(looks * 10 > rests * 9, "{looks} of {rests}");
    }

    #[test]
    fn follows_the_load() {
        let mut load = Load::new();
        for _ in 0..3 {
            load.run(SECOND, |_| 30 * US, 0);
            assert!(load.run(SECOND, |_| 30 * US, 0) > 85);
            load.run(SECOND, |_| 10 * US, 40 * US);
            assert!(load.run(SECOND, |_| 10 * US, 40 * US) < 15);
        }
    }

    #[test]
    fn a_trial_of_a_steady_load_costs_little() {
        let mut load = Load::new();
        load.run(5 * SECOND, |_| 30 * US, 0);
        assert!(load.run(5 * SECOND, |_| 30 * US, 0) >= 97);
    }

    #[test]
    fn does_not_look_before_it_knows_what_a_wake_up_costs() {
        let mut policy = Policy::new();
        assert_eq!(policy.wake_up(), None);
        assert!(policy.begin_rest(1, 0));
        assert_eq!(policy.look_until(7), 7);
        // Woken before its time: says nothing.
        policy.overslept(10, 9);
        policy.overslept(10, 30);
        policy.overslept(10, 90);
        assert_eq!(policy.wake_up(), None);
        policy.overslept(10, 40);
        assert_eq!(policy.wake_up(), Some(20));
    }
}
