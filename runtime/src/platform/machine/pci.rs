//! PCI functions: configuration space, BARs and MSI-X (PCI Local Bus 3.0, PCI Express 4.0).
//!
//! Configuration space is reached through the memory-mapped window of QEMU's microvm where
//! there is one, else through ports 0xCF8 and 0xCFC. Both are gone after the seal.

use super::device::MapError;
use super::interrupt::{Interrupt, InterruptError};

/// Where a function sits on segment 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciAddress {
    /// Bus, 0–255.
    pub bus: u8,
    /// Device, 0–31.
    pub device: u8,
    /// Function, 0–7.
    pub function: u8,
}

/// A capability in a function's configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciCapability {
    /// Its kind: 0x09 is vendor-specific, 0x11 is MSI-X.
    pub id: u8,
    /// Where it starts in configuration space.
    pub offset: u16,
}

/// What a base address register describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// Registers in memory space.
    Memory {
        /// Physical address; assigned if it wasn't.
        address: u64,
        /// Bytes.
        size: u64,
        /// Reads have no side effects.
        prefetchable: bool,
    },
    /// Registers in port space, which is closed after the seal.
    Io {
        /// First port.
        port: u16,
        /// Ports.
        size: u16,
    },
}

/// Why a function could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PciError {
    /// The image is sealed.
    Sealed,
    /// The function has no such BAR.
    NoBar,
    /// No address space is left for a BAR.
    NoSpace,
    /// The function has no MSI-X capability.
    NoMsiX,
    /// The MSI-X table has no such entry.
    NoEntry,
    /// Its registers could not be mapped.
    Map(MapError),
    /// Its interrupt could not be routed.
    Interrupt(InterruptError),
}

impl core::fmt::Display for PciError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            PciError::Sealed => f.write_str("the image is sealed: PCI configuration is closed"),
            PciError::NoBar => f.write_str("the PCI function has no such BAR"),
            PciError::NoSpace => f.write_str("no address space is left for a PCI BAR"),
            PciError::NoMsiX => f.write_str("the PCI function has no MSI-X capability"),
            PciError::NoEntry => f.write_str("the MSI-X table has no such entry"),
            PciError::Map(error) => error.fmt(f),
            PciError::Interrupt(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for PciError {}

impl From<MapError> for PciError {
    fn from(error: MapError) -> Self {
        PciError::Map(error)
    }
}

impl From<InterruptError> for PciError {
    fn from(error: InterruptError) -> Self {
        PciError::Interrupt(error)
    }
}

/// A function that answered. After the seal its configuration reads as all ones.
#[derive(Clone, Copy, Debug)]
pub struct PciFunction {
    address: PciAddress,
}

/// Every function of every bus, in the order of their addresses; none after the seal.
pub fn pci_functions() -> impl Iterator<Item = PciFunction> {
    core::iter::empty()
}

impl PciFunction {
    /// Where it sits.
    #[must_use]
    pub fn address(&self) -> PciAddress {
        self.address
    }

    /// Vendor and device id: `(0x1af4, 0x1041)` is a modern virtio-net.
    #[must_use]
    pub fn id(&self) -> (u16, u16) {
        (self.read16(0), self.read16(2))
    }

    /// Class, subclass and programming interface.
    #[must_use]
    pub fn class(&self) -> (u8, u8, u8) {
        (self.read8(11), self.read8(10), self.read8(9))
    }

    /// Reads a byte of configuration space.
    #[must_use]
    pub fn read8(&self, offset: u16) -> u8 {
        (self.read32(offset & !3) >> ((offset & 3) * 8)) as u8
    }

    /// Reads a little-endian word; `offset` is rounded down to a multiple of 2.
    #[must_use]
    pub fn read16(&self, offset: u16) -> u16 {
        (self.read32(offset & !3) >> ((offset & 2) * 8)) as u16
    }

    /// Reads a little-endian doubleword; `offset` is rounded down to a multiple of 4.
    #[must_use]
    pub fn read32(&self, offset: u16) -> u32 {
        let _ = offset;
        u32::MAX
    }

    /// Writes a doubleword of configuration space; nothing happens after the seal.
    ///
    /// # Safety
    /// The write must not move a BAR over memory or over another device's registers.
    pub unsafe fn write32(&self, offset: u16, value: u32) {
        let _ = (offset, value);
    }

    /// Its capabilities, in their order (at most 48: a list that loops ends).
    pub fn capabilities(&self) -> impl Iterator<Item = PciCapability> {
        core::iter::empty()
    }

    /// What BAR `index` (0–5) describes; gives it an address if it has none.
    ///
    /// # Errors
    /// [`PciError::NoBar`], [`PciError::NoSpace`] or [`PciError::Sealed`].
    pub fn bar(&self, index: u8) -> Result<Bar, PciError> {
        let _ = index;
        Err(PciError::NoBar)
    }

    /// Lets the function answer in memory space and read and write memory (bus master);
    /// switches its interrupt line off: drivers use MSI-X.
    ///
    /// # Errors
    /// [`PciError::Sealed`].
    pub fn enable(&self) -> Result<(), PciError> {
        Err(PciError::Sealed)
    }

    /// Its MSI-X table, switched on with every entry masked.
    ///
    /// # Errors
    /// [`PciError::NoMsiX`], or why the table could not be mapped.
    pub fn msix(&self) -> Result<MsiX, PciError> {
        Err(PciError::NoMsiX)
    }
}

/// A function's MSI-X table, switched on. Its pages vanish at the seal.
#[derive(Debug)]
pub struct MsiX {
    entries: u16,
}

impl MsiX {
    /// Entries of the table.
    #[must_use]
    pub fn entries(&self) -> u16 {
        self.entries
    }

    /// Routes entry `entry` to a fresh interrupt and unmasks it.
    ///
    /// # Errors
    /// [`PciError::NoEntry`], or why no interrupt could be had.
    pub fn route(&mut self, entry: u16) -> Result<Interrupt, PciError> {
        let _ = entry;
        Err(PciError::NoEntry)
    }
}
