//! The watchdog: ends an image whose task never gives way.
//!
//! Tasks share one thread, so one that loops for ever stops all. While ring 3 runs, the timer
//! ticks, once a second on average. The gate counts the ticks since the last wait. When there are
//! more than [`set_limit`] allows it ends the image, with a crash record that names the task. After a
//! task's turn [`progress`] enters the gate, if there was a tick: so what is limited is one turn.
//!
//! Waiting counts as nothing, however long, and so does whatever else keeps the machine from
//! running: a tick that comes late isn't counted. A machine that its monitor pauses, or whose host
//! gives it a twentieth of a processor, is found running by one tick in twenty, since the distance
//! of ticks is random. It then has twenty times as long.
//!
//! What the count is made of is the gate's, not ring 3's: a task that loops can't hold it back but
//! by waiting.

use core::sync::atomic::{AtomicBool, Ordering};

use super::{apic, calls, clock};

/// There was a tick since this was cleared. The gate sets it.
pub static TICKED: AtomicBool = AtomicBool::new(false);

/// Ticks that one turn may last, unless [`set_limit`] says otherwise: seconds, on average.
pub const LIMIT: u32 = 10;

const SECOND: u64 = 1_000_000_000;
/// A tick lasts 2,048 to 6,143 parts of a second.
const PARTS: u64 = 4096;
/// What makes the longest tick fit into the timer.
pub const MOST_TICK_PART: u32 = u32::MAX / 6144;

/// How late a tick may be and count. A timer that takes deadlines is as late as the host is. One
/// that counts down has a rate of its own, measured at boot.
const SLACK: u64 = 2_000_000;
const COUNTDOWN_SLACK: u64 = 16_000_000;

/// Sets the length of ticks and the limit; from the seal on it watches.
pub fn start() {
    let part = u32::try_from(apic::counts(SECOND).div_ceil(PARTS)).unwrap_or(u32::MAX).min(MOST_TICK_PART);
    let slack = clock::ticks(if apic::is_countdown() { COUNTDOWN_SLACK } else { SLACK });
    calls::set_ticks(part, clock::ticks(SECOND).div_ceil(PARTS), u32::try_from(slack).unwrap_or(u32::MAX));
    set_limit(LIMIT);
}

/// Sets how many seconds one turn of a task may take, about, and at least half of that; 0 for no
/// limit. Before the seal only.
pub fn set_limit(seconds: u32) {
    calls::set_tick_limit(if seconds == 0 { u32::MAX } else { seconds });
}

/// What to write, and to which register, for the first tick; the page of an xAPIC is written
/// right away, and the register is one that takes any value then.
pub fn first_tick() -> (u32, u64) {
    apic::arm_by_msr(apic::counts(SECOND))
}

/// Says that a task's turn ended.
pub fn progress() {
    // One thread: nothing comes between.
    if TICKED.load(Ordering::Relaxed) {
        TICKED.store(false, Ordering::Relaxed);
        // Takes the tick, or whatever came before it.
        super::wait(Some(0));
    }
}
