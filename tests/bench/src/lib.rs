//! Measures appliances beside what people use today.
//!
//! `tests/bench/run` is the command; the book's page on measuring says what each row shows and
//! what it doesn't. How it hangs together:
//!
//! - [`rows`] is the table: what is measured, of which sides, and which ratios must reach what.
//! - [`sides`] starts a side: an appliance in a virtual machine, nginx, a Linux machine,
//!   a reflector. Each has a network namespace of its own, or a pair joined by a veth.
//! - [`load`] puts a load on a side, by wrk, iperf3 or one of our [`client`]s, and
//!   [`suite`] does that for the cells of a row in turn, round after round.
//! - [`report`], [`chart`] and [`book`] say what came out.
//! - [`instructions`] counts the guest's instructions, by QEMU's `-icount`, with a client that
//!   makes [`frames`] by hand: the one figure that doesn't depend on the host.
#![deny(unsafe_code)]

pub mod arguments;
pub mod book;
pub mod chart;
pub mod client;
mod cpio;
pub mod debian;
pub mod frames;
pub mod instructions;
pub mod load;
pub mod process;
mod qmp;
pub mod reflector;
pub mod report;
pub mod rows;
pub mod server;
pub mod sides;
pub mod statistics;
pub mod suite;
