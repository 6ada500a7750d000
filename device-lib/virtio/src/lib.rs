//! Virtio 1.2 split queues over MMIO and PCI, shared by the virtio drivers (not a component).
//!
//! A driver finds its device with `find` (on the machine), agrees on features with
//! [`negotiate`], makes its [`Queue`]s, and calls [`Transport::activate`]. What is left
//! after that is a [`Port`]: the doorbells and the interrupt, nothing that could move a
//! queue.
//!
//! | module | holds | virtio 1.2 |
//! |---|---|---|
//! | [`memory`] | memory shared with a device; all `unsafe` of this crate | 2.6 |
//! | [`queue`] | the split queue, on fixed buffers | 2.7 |
//! | [`outbox`] | the split queue to the device, for messages of any length | 2.7 |
//! | [`setup`] | what a transport can do, and the order in which a driver asks for it | 3.1 |
//! | `mmio`, `pci`, `find` | the two transports and the search; machine only | 4.1, 4.2 |
//! | `mock` | a device in host memory, for the tests of drivers | |
//!
//! # What a device can do to us
//! Nothing that a device writes is believed: an index, id or length outside of what was
//! handed out is a [`DeviceError`], after which the driver stops using the device. A
//! device can always withhold service, and, there being no IOMMU, it can write to guest
//! memory behind our back; that is the monitor's business.
//!
//! # What nobody can do with a device
//! There being no IOMMU, who programs a device can have it write over the page tables. So after
//! the seal nobody can, whatever code runs. Each descriptor belongs to one fixed buffer for as
//! long as the image runs; the table of a queue that the device writes through is never changed
//! after [`Queue::new`], and lives in memory that is read-only after the seal. Of the registers
//! only the bells are left: over PCI a page that holds nothing else, over MMIO writes that the
//! gate does, fixed before the seal.
//!
//! # Left out
//! Packed queues, legacy devices, notification data, the admin queue, a reset after
//! `DEVICE_NEEDS_RESET`. Chains of several descriptors, and with them indirect ones: each message
//! is one piece of memory, so that one descriptor is enough for it.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(unik_machine)]
mod find;
#[cfg(test)]
mod fuzz;
pub mod memory;
#[cfg(unik_machine)]
mod mmio;
#[cfg(all(any(test, feature = "mock"), not(unik_machine)))]
pub mod mock;
pub mod outbox;
#[cfg(unik_machine)]
mod pci;
pub mod queue;
mod ring;
pub mod setup;

#[cfg(unik_machine)]
pub use find::{FindError, MachinePort, MachineTransport, find};
pub use memory::Buffer;
pub use outbox::Outbox;
pub use queue::{DeviceError, Direction, Queue, RingAddresses};
pub use setup::{Port, SetupError, Transport, negotiate};

/// The kinds of device that there are drivers for (virtio 1.2, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Network card (5.1).
    Network = 1,
    /// Entropy source (5.4).
    Entropy = 4,
}

/// Feature bits that belong to no device in particular (virtio 1.2, section 6).
pub mod feature {
    /// Event indices in the rings (2.7.7, 2.7.10).
    pub const EVENT_INDEX: u64 = 1 << 29;
    /// The device follows virtio 1.0 or later.
    pub const VERSION_1: u64 = 1 << 32;
}
