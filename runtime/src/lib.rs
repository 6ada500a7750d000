//! The runtime of a unikernel appliance.
//!
//! A generated crate holds one `start` function (the *wiring*): it starts every
//! component instance of the plan in order, gives each the handles of those it was
//! wired to, and returns. From then on the [`executor`] runs the tasks they spawned.
//!
//! What is common stands in this crate's own modules; what differs between a virtual
//! machine and a Linux process stands behind one seam, [`platform`].
//!
//! | module | holds |
//! |---|---|
//! | [`platform`] | the seam: memory, time, entropy, console, start and end |
//! | [`executor`] | tasks, wake-ups, the idle loop |
//! | [`time`] | monotonic instants, timers, deadlines |
//! | [`sync`] | notification and channels between tasks of the one thread |
//! | [`interface`] | what components give and take from each other |
//! | [`health`] | the health tests of entropy sources |
//! | [`logging`] | the log on the console |
//! | [`start`] | how an instance is started, and what it says when it can't |
//! | [`boot`] | values that are given at boot |
//! | [`shutdown`] | the end of an appliance in order |
//!
//! Everything runs on one thread; handles are cheap `Clone`s and needn't be `Send`.
//! Nothing here assumes that there is only one such loop in a machine.
#![no_std]

extern crate alloc;
#[cfg(not(unik_machine))]
extern crate std;

pub mod boot;
pub mod executor;
pub mod health;
pub mod interface;
pub mod logging;
pub mod platform;
pub mod shutdown;
pub mod start;
pub mod sync;
pub mod time;

pub use log;
pub use unik_component_macros::{handler, options, service};
#[cfg(feature = "appliance")]
pub use unik_macros::appliance;
