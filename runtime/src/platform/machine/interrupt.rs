//! Interrupts as events: a vector each, counted, with one waiter.
//!
//! There are no handlers. The gate takes an interrupt only while it sleeps and tells its
//! vector to [`wait`](super::wait), which counts it here and wakes the waiter.

use core::task::{Context, Poll};

/// How a line says that it wants attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A rising edge: virtio-mmio.
    Edge,
    /// High for as long as the device wants attention.
    Level,
}

/// What a device writes, and where, to raise a message-signalled interrupt
/// (Intel SDM volume 3, 11.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Physical address of the write.
    pub address: u64,
    /// The value written.
    pub data: u32,
}

/// Why an interrupt was not routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptError {
    /// The image is sealed.
    Sealed,
    /// All vectors are taken.
    NoVector,
    /// No interrupt controller has that line.
    NoSuchLine,
}

impl core::fmt::Display for InterruptError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            InterruptError::Sealed => "the image is sealed: no more interrupts can be routed",
            InterruptError::NoVector => "all interrupt vectors are taken",
            InterruptError::NoSuchLine => "no interrupt controller has that line",
        })
    }
}

impl core::error::Error for InterruptError {}

/// A routed interrupt. Holding one proves that its vector belongs to nobody else.
#[derive(Debug)]
pub struct Interrupt {
    vector: u8,
}

impl Interrupt {
    /// Routes a global system interrupt here through the I/O APIC.
    ///
    /// # Errors
    /// See [`InterruptError`].
    pub fn from_gsi(gsi: u32, trigger: Trigger) -> Result<Interrupt, InterruptError> {
        let _ = (gsi, trigger);
        Err(InterruptError::NoSuchLine)
    }

    /// A message-signalled interrupt: what the device is to write to raise it.
    ///
    /// [`MsiX::route`](super::pci::MsiX::route) does this for PCI functions.
    ///
    /// # Errors
    /// See [`InterruptError`].
    pub fn from_message() -> Result<(Interrupt, Message), InterruptError> {
        Err(InterruptError::NoVector)
    }

    /// Ready with the number of times it fired since the last ready poll (at least 1);
    /// otherwise the waker of `context` is woken when it next fires. The last waker wins.
    ///
    /// Interrupts can be lost to coalescing: treat one as "look at the device".
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<u32> {
        let _ = (self.vector, context);
        Poll::Pending
    }
}
