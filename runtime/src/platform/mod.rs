//! The seam between what is common and what a platform gives.
//!
//! A platform is one module with the functions below, free-standing and with these
//! exact signatures; there is no trait, because there is never more than one platform
//! in an image. A `const` at the end of this file checks the list.
//!
//! | function | meaning |
//! |---|---|
//! | `now() -> u64` | monotonic nanoseconds since the start of the appliance; never goes back |
//! | `wall_clock() -> Option<u64>` | nanoseconds since 1970-01-01 UTC, if the platform knows |
//! | `wait(until: Option<u64>)` | sleep until a registered event or `until` (monotonic ns; in the past: don't sleep); wakes the wakers of what happened; may return early |
//! | `console_write(&[u8])` | write all bytes to the console, unbuffered |
//! | `boot_line() -> &'static str` | the command line that the appliance was started with |
//! | `entropy(&mut [u8]) -> Result<(), NoEntropy>` | bytes from the platform's own source, if it has one |
//! | `progress()` | a task's turn ended: for a watchdog, if the platform has one |
//! | `seal()` | from here on no mapping can change and no device can be added; a second call does nothing |
//! | `ready()` | tell the monitor that the services answer: see [`start::print_ready`](crate::start::print_ready) |
//! | `Bell::of_this_loop()`, `ring(&self)` | get a loop out of its `wait` from another thread or core |
//! | `exit(Ending) -> !` | end the appliance |
//!
//! `machine` has, besides, what drivers need (`device`); `process` has what the
//! components that stand in for drivers need (`process::Registration`); `sim` has what
//! the simulated world is connected by (`sim::World`).
//!
//! Plain cargo builds the process; `--cfg unik_machine` and `--cfg unik_sim`, which only
//! `unikgen` sets, choose the others.

#[cfg(unik_machine)]
pub mod machine;
#[cfg(unik_machine)]
pub use machine as current;

#[cfg(not(unik_machine))]
pub mod process;
#[cfg(not(any(unik_machine, unik_sim)))]
pub use process as current;

#[cfg(not(unik_machine))]
pub mod sim;
#[cfg(unik_sim)]
pub use sim as current;

#[cfg(not(any(unik_machine, unik_sim)))]
pub use process::Bell;

/// Gets a loop out of its [`wait`] from another core. An image has one core, and no
/// interrupt runs code of ours, and a simulation has one thread: so there is nobody to ring it.
#[cfg(any(unik_machine, unik_sim))]
#[derive(Clone, Debug)]
pub struct Bell;

#[cfg(any(unik_machine, unik_sim))]
impl Bell {
    /// The bell of this loop.
    #[must_use]
    pub const fn of_this_loop() -> Bell {
        Bell
    }

    /// Does nothing.
    pub const fn ring(&self) {}
}

#[cfg(not(unik_machine))]
#[doc(hidden)]
pub use current::begin;
pub use current::{boot_line, console_write, entropy, exit, now, progress, ready, seal, wait, wall_clock};

/// How an appliance ends.
///
/// The monitor's exit code says it to the outside: see the book, "Exit codes".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every service returned: exit code 0.
    Done,
    /// A service, or the start of one, failed: exit code 1.
    Failed,
    /// A Rust panic; place and message are on the console: exit code 101.
    Panic,
    /// A processor exception: the crash record is on the console: exit code 102.
    Fault,
}

impl Ending {
    /// The exit code that `unikgen run` and the process platform end with.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Ending::Done => 0,
            Ending::Failed => 1,
            Ending::Panic => 101,
            Ending::Fault => 102,
        }
    }
}

/// The platform has no entropy source of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEntropy;

const _: () = {
    // The seam, checked: a platform that lacks one of these doesn't compile.
    let _: fn() -> u64 = current::now;
    let _: fn() -> Option<u64> = current::wall_clock;
    let _: fn(Option<u64>) = current::wait;
    let _: fn(&[u8]) = current::console_write;
    let _: fn() -> &'static str = current::boot_line;
    let _: fn(&mut [u8]) -> Result<(), NoEntropy> = current::entropy;
    let _: fn() = current::progress;
    let _: fn() = current::seal;
    let _: fn() = current::ready;
    let _: fn() -> Bell = Bell::of_this_loop;
    let _: fn(&Bell) = Bell::ring;
    let _: fn(Ending) -> ! = current::exit;
};
