//! Virtio network device (virtio 1.2, section 5.1), over MMIO and PCI.
//!
//! A queue of fixed buffers for what is received, and one piece of memory for what is sent. A turn
//! of the network above is:
//! take received frames, give them back, queue frames, and [`flush`](unik::interface::Frames::flush)
//! once, which rings the bell once and only if the device waits for it. Interrupts are
//! asked for only by [`poll_ready`](unik::interface::Frames::poll_ready), just before
//! sleeping, with another look afterwards; and not at all while the executor looks at the rings
//! itself. The book's page "From the ring to the stack" has the whole of it.
//!
//! # Implemented
//! Event indices, checksums in both directions, merged receive buffers, receipt of long segments of
//! TCP, their segmentation on transmit, MTU, the address of the device, choice among several
//! devices by order or by address.
//!
//! # Left out
//! Several queue pairs, the control queue, link status, UDP segmentation.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod coalesced;
#[cfg(test)]
mod fuzz;
mod header;
mod nic;
#[cfg(unik_machine)]
mod start;

pub use nic::{Counters, Nic, Received, Settings};
#[cfg(unik_machine)]
pub use start::start;

unik::options!();
