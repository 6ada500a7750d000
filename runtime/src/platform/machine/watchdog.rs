//! The watchdog: ends an image whose task never gives way.
//!
//! Tasks share one thread, so one that loops for ever stops all. While ring 3 runs, the timer
//! ticks once a second. The gate compares [`PROGRESS`], which the executor counts up with each
//! task's turn, with what it was at the last tick. After [`LIMIT`] ticks of one and the same
//! turn it ends the image with a crash record that names the task.
//!
//! Sleeping counts as nothing, however long: ring 3 doesn't run then. Ticks are counted that
//! were delivered: a machine that is paused, or whose host gives it no time, gets at most one
//! for the whole of that.

use core::sync::atomic::{AtomicU32, Ordering};

use super::{apic, calls};

/// Turns of tasks, and whatever else shows that ring 3 isn't stuck. The gate reads it.
pub static PROGRESS: AtomicU32 = AtomicU32::new(0);

/// Ticks, a second each, that one turn may last.
pub const LIMIT: u32 = 10;

const SECOND: u64 = 1_000_000_000;

/// Sets the length of a tick and the limit; from the seal on it watches.
pub fn start() {
    calls::set_watchdog(tick_length(), LIMIT);
}

/// A second, in the timer's unit; less if the timer can't count that far.
fn tick_length() -> u32 {
    u32::try_from(apic::counts(SECOND)).unwrap_or(u32::MAX)
}

/// What to write, and to which register, for the first tick; the page of an xAPIC is written
/// right away, and the register is one that takes any value then.
pub fn first_tick() -> (u32, u64) {
    apic::arm_by_msr(u64::from(tick_length()))
}

/// Says that a task's turn ended.
pub fn progress() {
    // One thread: nothing comes between.
    PROGRESS.store(PROGRESS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}
