//! PCI functions: configuration space, BARs and MSI-X (PCI Local Bus 3.0, PCI Express 4.0).
//!
//! Configuration space is reached through ports 0xCF8 and 0xCFC where they answer, else
//! through the memory-mapped window of QEMU's microvm. Both are gone after the seal.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use super::device::{self, MapError, Mapped};
use super::interrupt::{Interrupt, InterruptError};
use super::{OneThread, cpu, paging};

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

impl core::fmt::Display for PciAddress {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus, self.device, self.function)
    }
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
        /// First port; 0 if the firmware assigned none.
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
    /// The function has no such BAR, or it describes nothing.
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

/// How configuration space is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Ports,
    Memory,
    None,
}

const ADDRESS_PORT: u16 = 0xcf8;
const DATA_PORT: u16 = 0xcfc;
/// Configuration space of QEMU's microvm: 4 KiB a function.
const MICROVM_CONFIG: u64 = 0xe000_0000;
/// Where QEMU's microvm takes memory BARs, which no firmware assigns there.
const MICROVM_BARS: core::ops::Range<u64> = 0xc000_0000..0xe000_0000;

static ACCESS: OneThread<Cell<Option<Access>>> = OneThread::new(Cell::new(None));
static NEXT_BAR: OneThread<Cell<u64>> = OneThread::new(Cell::new(MICROVM_BARS.start));
static FOUND: OneThread<RefCell<Option<Vec<PciFunction>>>> = OneThread::new(RefCell::new(None));

const ID: u16 = 0x00;
const COMMAND: u16 = 0x04;
const HEADER: u16 = 0x0c;
const BARS: u16 = 0x10;
const SECONDARY_BUS: u16 = 0x18;
const CAPABILITIES: u16 = 0x34;
const COMMAND_IO: u32 = 1;
const COMMAND_MEMORY: u32 = 1 << 1;
const COMMAND_BUS_MASTER: u32 = 1 << 2;
const COMMAND_NO_INTX: u32 = 1 << 10;
const STATUS_CAPABILITIES: u32 = 1 << 20;
const CAPABILITY_MSIX: u8 = 0x11;
const MSIX_ENABLE: u32 = 1 << 31;
const MSIX_MASK_ALL: u32 = 1 << 30;

/// A function that answered. After the seal its configuration reads as all ones.
#[derive(Clone, Copy, Debug)]
pub struct PciFunction {
    address: PciAddress,
}

/// Every function on bus 0 and behind its bridges, in the order of their addresses; none
/// after the seal. The buses are looked at once, the first time.
pub fn pci_functions() -> impl Iterator<Item = PciFunction> {
    let mut found = FOUND.borrow_mut();
    let functions =
        if paging::is_sealed() { Vec::new() } else { found.get_or_insert_with(find_functions).clone() };
    functions.into_iter()
}

fn find_functions() -> Vec<PciFunction> {
    let mut functions = Vec::new();
    let mut buses = [false; 256];
    buses[0] = true;
    // Firmware numbers a bridge's bus above the bridge's own, so one pass finds all.
    for bus in 0..=u8::MAX {
        if !buses[usize::from(bus)] {
            continue;
        }
        for device in 0..32 {
            for function in 0..8 {
                let found = PciFunction { address: PciAddress { bus, device, function } };
                let (vendor, _) = found.id();
                if vendor != 0 && vendor != u16::MAX {
                    let header = found.read32(HEADER) >> 16;
                    if header & 0x7f == 1 {
                        buses[usize::from(found.read8(SECONDARY_BUS + 1))] = true;
                    }
                    functions.push(found);
                    if header & 0x80 != 0 {
                        continue; // has further functions
                    }
                }
                if function == 0 {
                    break;
                }
            }
        }
    }
    functions
}

/// Finds out, once, how configuration space is reached.
fn access() -> Access {
    if paging::is_sealed() {
        return Access::None;
    }
    if let Some(access) = ACCESS.get() {
        return access;
    }
    // SAFETY: selects a configuration register, if there is such a port at all.
    let answered = unsafe {
        cpu::out32(ADDRESS_PORT, 1 << 31);
        cpu::in32(ADDRESS_PORT)
    };
    let access = if answered == 1 << 31 {
        Access::Ports
    } else if config_page(PciAddress { bus: 0, device: 0, function: 0 }).is_ok() {
        Access::Memory
    } else {
        Access::None
    };
    ACCESS.set(Some(access));
    access
}

/// The memory-mapped configuration space of a function.
fn config_page(address: PciAddress) -> Result<Mapped, MapError> {
    let index = u64::from(address.bus) << 8 | u64::from(address.device) << 3 | u64::from(address.function);
    device::map_until_seal(MICROVM_CONFIG + (index << 12), 4096)
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
        let id = self.read32(ID);
        (id as u16, (id >> 16) as u16)
    }

    /// Class, subclass and programming interface.
    #[must_use]
    pub fn class(&self) -> (u8, u8, u8) {
        let [_, interface, subclass, class] = self.read32(8).to_le_bytes();
        (class, subclass, interface)
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

    /// Reads a little-endian doubleword; `offset` is rounded down to a multiple of 4. What
    /// lies beyond the configuration space reads as all ones.
    #[must_use]
    pub fn read32(&self, offset: u16) -> u32 {
        match access() {
            Access::Ports if offset < 256 => {
                // SAFETY: configuration reads have no effect on memory.
                unsafe {
                    cpu::out32(ADDRESS_PORT, self.port_address(offset));
                    cpu::in32(DATA_PORT)
                }
            }
            Access::Memory if offset < 4096 => {
                config_page(self.address).map_or(u32::MAX, |page| page.read(usize::from(offset & !3)))
            }
            _ => u32::MAX,
        }
    }

    /// Writes a doubleword of configuration space; nothing happens after the seal.
    ///
    /// # Safety
    /// The write must not move a BAR over memory or over another device's registers, nor
    /// let the device reach memory that isn't its driver's.
    pub unsafe fn write32(&self, offset: u16, value: u32) {
        match access() {
            Access::Ports if offset < 256 => {
                // SAFETY: the caller's.
                unsafe {
                    cpu::out32(ADDRESS_PORT, self.port_address(offset));
                    cpu::out32(DATA_PORT, value);
                }
            }
            Access::Memory if offset < 4096 => {
                if let Ok(page) = config_page(self.address) {
                    page.write(usize::from(offset & !3), value);
                }
            }
            _ => {}
        }
    }

    fn port_address(&self, offset: u16) -> u32 {
        1 << 31
            | u32::from(self.address.bus) << 16
            | u32::from(self.address.device) << 11
            | u32::from(self.address.function) << 8
            | u32::from(offset & 0xfc)
    }

    /// Its capabilities, in their order (at most 48: a list that loops ends).
    pub fn capabilities(&self) -> impl Iterator<Item = PciCapability> {
        let has_list = self.read32(COMMAND) & STATUS_CAPABILITIES != 0;
        let mut next = if has_list { self.read8(CAPABILITIES) & !3 } else { 0 };
        let function = *self;
        core::iter::from_fn(move || {
            let offset = u16::from(next);
            if offset < 0x40 {
                return None;
            }
            let [id, following, ..] = function.read32(offset).to_le_bytes();
            next = following & !3;
            (id != 0xff).then_some(PciCapability { id, offset })
        })
        .take(48)
    }

    /// What BAR `index` (0–5) describes; gives it an address if it has none.
    ///
    /// # Errors
    /// [`PciError::NoBar`], [`PciError::NoSpace`] or [`PciError::Sealed`].
    pub fn bar(&self, index: u8) -> Result<Bar, PciError> {
        if paging::is_sealed() {
            return Err(PciError::Sealed);
        }
        if index > 5 || self.is_upper_half(index) {
            return Err(PciError::NoBar);
        }
        let offset = BARS + 4 * u16::from(index);
        let low = self.read32(offset);
        if low & 1 != 0 {
            let size = !(self.measure(offset) & !3) as u16;
            return Ok(Bar::Io { port: (low & !3) as u16, size: size.wrapping_add(1) });
        }
        let is_wide = is_wide(low);
        if is_wide && index == 5 {
            return Err(PciError::NoBar);
        }
        let low_mask = self.measure(offset) & !15;
        let (high, high_mask) =
            if is_wide { (self.read32(offset + 4), self.measure(offset + 4)) } else { (0, u32::MAX) };
        let mask = u64::from(high_mask) << 32 | u64::from(low_mask);
        if mask as u32 == 0 && (!is_wide || high_mask == 0) {
            return Err(PciError::NoBar);
        }
        let size = (!mask).wrapping_add(1);
        let mut address = u64::from(high) << 32 | u64::from(low & !15);
        if address == 0 {
            address = self.assign(offset, size, is_wide)?;
        }
        Ok(Bar::Memory { address, size, prefetchable: low & 8 != 0 })
    }

    /// Whether BAR `index` is the upper half of the one before it.
    fn is_upper_half(&self, index: u8) -> bool {
        let mut first = 0;
        while first < index {
            let wide = is_wide(self.read32(BARS + 4 * u16::from(first)));
            first += if wide { 2 } else { 1 };
        }
        first > index
    }

    /// Which of a BAR's bits are there: the device is deaf while they are all ones.
    fn measure(&self, offset: u16) -> u32 {
        let command = self.read32(COMMAND) & 0xffff;
        let value = self.read32(offset);
        // SAFETY: with decoding off the BAR describes nothing; both are put back. The upper
        // half of `COMMAND` is status, whose bits clear when written as ones.
        unsafe {
            self.write32(COMMAND, command & !(COMMAND_IO | COMMAND_MEMORY));
            self.write32(offset, u32::MAX);
            let mask = self.read32(offset);
            self.write32(offset, value);
            self.write32(COMMAND, command);
            mask
        }
    }

    /// Gives a memory BAR the next free addresses of the microvm's window.
    fn assign(&self, offset: u16, size: u64, is_wide: bool) -> Result<u64, PciError> {
        if access() != Access::Memory {
            return Err(PciError::NoSpace); // where there are ports, firmware assigns
        }
        let address = NEXT_BAR.get().checked_next_multiple_of(size).ok_or(PciError::NoSpace)?;
        let end = address.checked_add(size).ok_or(PciError::NoSpace)?;
        if end > MICROVM_BARS.end {
            return Err(PciError::NoSpace);
        }
        // Whole pages, so that no two devices share one.
        NEXT_BAR.set(end.next_multiple_of(4096));
        // SAFETY: the window holds no memory on a microvm, and no address is given twice.
        unsafe {
            self.write32(offset, address as u32);
            if is_wide {
                self.write32(offset + 4, (address >> 32) as u32);
            }
        }
        Ok(address)
    }

    /// Lets the function answer in memory space and read and write memory (bus master);
    /// switches its interrupt line off: drivers use MSI-X. Assigned BARs are a condition:
    /// ask for them with [`PciFunction::bar`] first.
    ///
    /// # Errors
    /// [`PciError::Sealed`].
    pub fn enable(&self) -> Result<(), PciError> {
        if paging::is_sealed() {
            return Err(PciError::Sealed);
        }
        let command = self.read32(COMMAND) & 0xffff;
        // SAFETY: moves no BAR; the device reads and writes what its driver tells it to.
        unsafe {
            self.write32(COMMAND, command | COMMAND_MEMORY | COMMAND_BUS_MASTER | COMMAND_NO_INTX);
        }
        Ok(())
    }

    /// Its MSI-X table, switched on with every entry masked. The function's memory space
    /// must be [enabled](PciFunction::enable).
    ///
    /// # Errors
    /// [`PciError::NoMsiX`], or why the table could not be mapped.
    pub fn msix(&self) -> Result<MsiX, PciError> {
        if paging::is_sealed() {
            return Err(PciError::Sealed);
        }
        let capability =
            self.capabilities().find(|found| found.id == CAPABILITY_MSIX).ok_or(PciError::NoMsiX)?;
        let control = self.read32(capability.offset);
        let entries = (control >> 16 & 0x7ff) as u16 + 1;
        let place = self.read32(capability.offset + 4);
        let offset = u64::from(place & !7);
        let bytes = u64::from(entries) * MsiX::ENTRY_BYTES as u64;
        let Bar::Memory { address, size, .. } = self.bar((place & 7) as u8)? else {
            return Err(PciError::NoMsiX);
        };
        if offset + bytes > size {
            return Err(PciError::NoMsiX);
        }
        let table = device::map_until_seal(address + offset, bytes)?;
        for entry in 0..usize::from(entries) {
            table.write::<u32>(entry * MsiX::ENTRY_BYTES + MsiX::CONTROL, MsiX::MASKED);
        }
        // SAFETY: switches interrupt delivery from the line to the table, all masked.
        unsafe { self.write32(capability.offset, (control | MSIX_ENABLE) & !MSIX_MASK_ALL) };
        Ok(MsiX { table, entries })
    }
}

/// Whether a BAR is a memory BAR of 64 bits, which takes the next one, too.
fn is_wide(low: u32) -> bool {
    low & 0b111 == 0b100
}

/// A function's MSI-X table, switched on. Its pages vanish at the seal.
#[derive(Debug)]
pub struct MsiX {
    table: Mapped,
    entries: u16,
}

impl MsiX {
    const ENTRY_BYTES: usize = 16;
    const ADDRESS: usize = 0;
    const DATA: usize = 8;
    const CONTROL: usize = 12;
    const MASKED: u32 = 1;

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
        if entry >= self.entries {
            return Err(PciError::NoEntry);
        }
        let (interrupt, message) = Interrupt::from_message()?;
        let at = usize::from(entry) * Self::ENTRY_BYTES;
        self.table.write(at + Self::ADDRESS, message.address as u32);
        self.table.write(at + Self::ADDRESS + 4, (message.address >> 32) as u32);
        self.table.write(at + Self::DATA, message.data);
        self.table.write(at + Self::CONTROL, 0_u32);
        Ok(interrupt)
    }
}
