//! The parts of the machine platform that are arithmetic, tested on the host. All else of it
//! is tested by the guest `tests/guests/bringup`.
#![allow(dead_code)] // what only the machine calls

#[path = "../src/platform/machine/calendar.rs"]
mod calendar;
#[path = "../src/platform/machine/ranges.rs"]
mod ranges;
#[path = "../src/platform/machine/windows.rs"]
mod windows;
