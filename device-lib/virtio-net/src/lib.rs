//! Virtio network device (virtio 1.2, section 5.1), over MMIO and PCI.
//!
//! Two queues of fixed buffers, one for each direction. A turn of the network above is:
//! take received frames, give them back, queue frames, and [`flush`](unik::interface::Frames::flush)
//! once, which rings the bell once and only if the device waits for it. Interrupts are
//! asked for only by [`poll_ready`](unik::interface::Frames::poll_ready), just before
//! sleeping, with another look afterwards.
//!
//! # Implemented
//! Event indices, MTU, the address of the device, choice among several devices by order or
//! by address.
//!
//! # Left out
//! Checksum and segmentation offload, merged receive buffers, several queue pairs, the
//! control queue, link status.
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
