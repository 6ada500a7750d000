//! PCI functions: configuration space, BARs and MSI-X (PCI Local Bus 3.0, PCI Express 4.0).
//!
//! Configuration space is reached through ports 0xCF8 and 0xCFC where they answer, else
//! through the memory-mapped window of QEMU's microvm. Both are gone after the seal.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use super::device::{self, MapError, Mapped};
use super::interrupt::{Interrupt, InterruptError};
use super::{OneThread, paging, ports};

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
    /// What follows the id and the pointer to the next one: its third and fourth byte.
    pub head: [u8; 2],
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
/// The function that was asked last for its command and status, and what they are.
static COMMAND_OF: OneThread<Cell<Option<(PciAddress, u32)>>> = OneThread::new(Cell::new(None));
static SCAN: OneThread<RefCell<Scan>> = OneThread::new(RefCell::new(Scan::new()));
/// The BARs that were asked for: measuring one takes a dozen accesses, each an exit.
static MEASURED: OneThread<RefCell<Vec<(PciAddress, u8, Bar)>>> = OneThread::new(RefCell::new(Vec::new()));

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
    /// The first doubleword of its configuration.
    id: u32,
}

/// Every function on bus 0 and behind its bridges, in the order of their addresses; none
/// after the seal. A place is looked at once, and only when the iterator comes to it.
pub fn pci_functions() -> impl Iterator<Item = PciFunction> {
    let mut next = 0;
    core::iter::from_fn(move || {
        if paging::is_sealed() {
            return None;
        }
        let function = SCAN.borrow_mut().function(next)?;
        next += 1;
        Some(function)
    })
}

/// How far the search for functions is.
struct Scan {
    found: Vec<PciFunction>,
    /// The place to look at next; `None` at the end.
    next: Option<PciAddress>,
    /// The buses that there are, as far as bridges were found.
    buses: [bool; 256],
}

impl Scan {
    const fn new() -> Self {
        let mut buses = [false; 256];
        buses[0] = true;
        Scan { found: Vec::new(), next: Some(PciAddress { bus: 0, device: 0, function: 0 }), buses }
    }

    /// The function with this number, if there are so many.
    fn function(&mut self, number: usize) -> Option<PciFunction> {
        while self.found.len() <= number {
            self.look(self.next?);
        }
        self.found.get(number).copied()
    }

    fn look(&mut self, address: PciAddress) {
        let mut function = PciFunction { address, id: 0 };
        function.id = function.read32(ID);
        let is_there = !matches!(function.id().0, 0 | u16::MAX);
        let mut has_more = address.function > 0;
        if is_there {
            let header = function.read32(HEADER) >> 16;
            if header & 0x7f == 1 {
                self.buses[usize::from(function.read8(SECONDARY_BUS + 1))] = true;
            }
            has_more |= header & 0x80 != 0;
            self.found.push(function);
        }
        self.next = self.after(address, has_more);
    }

    /// The place after `address`, whose device `has_more` functions or not.
    fn after(&self, address: PciAddress, has_more: bool) -> Option<PciAddress> {
        let PciAddress { bus, device, function } = address;
        if has_more && function < 7 {
            Some(PciAddress { function: function + 1, ..address })
        } else if device < 31 {
            Some(PciAddress { bus, device: device + 1, function: 0 })
        } else {
            // Firmware numbers a bridge's bus above the bridge's own, so one pass finds all.
            let bus = (bus..=u8::MAX).skip(1).find(|bus| self.buses[usize::from(*bus)])?;
            Some(PciAddress { bus, device: 0, function: 0 })
        }
    }
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
        ports::out32(ADDRESS_PORT, 1 << 31);
        ports::in32(ADDRESS_PORT)
    };
    let access = if answered == 1 << 31 {
        Access::Ports
    } else if config(PciAddress { bus: 0, device: 0, function: 0 }).is_ok() {
        Access::Memory
    } else {
        Access::None
    };
    ACCESS.set(Some(access));
    access
}

/// The memory-mapped configuration space that holds a function's, and where in it that starts.
/// Mapped by two buses, as one large page: each write to a live page table is expensive.
fn config(address: PciAddress) -> Result<(Mapped, usize), MapError> {
    const TWO_BUSES: u64 = 2 << 20;
    let index = u64::from(address.bus) << 8 | u64::from(address.device) << 3 | u64::from(address.function);
    let offset = index << 12;
    let mapped = device::map_until_seal(MICROVM_CONFIG + (offset & !(TWO_BUSES - 1)), TWO_BUSES)?;
    Ok((mapped, (offset & (TWO_BUSES - 1)) as usize))
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
        (self.id as u16, (self.id >> 16) as u16)
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
                    ports::out32(ADDRESS_PORT, self.port_address(offset));
                    ports::in32(DATA_PORT)
                }
            }
            Access::Memory if offset < 4096 => {
                let offset = usize::from(offset & !3);
                config(self.address).map_or(u32::MAX, |(mapped, start)| mapped.read(start + offset))
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
                    ports::out32(ADDRESS_PORT, self.port_address(offset));
                    ports::out32(DATA_PORT, value);
                }
            }
            Access::Memory if offset < 4096 => {
                if let Ok((mapped, start)) = config(self.address) {
                    mapped.write(start + usize::from(offset & !3), value);
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
        let has_list = self.command() & STATUS_CAPABILITIES != 0;
        let mut next = if has_list { self.read8(CAPABILITIES) & !3 } else { 0 };
        let function = *self;
        core::iter::from_fn(move || {
            let offset = u16::from(next);
            if offset < 0x40 {
                return None;
            }
            let [id, following, head @ ..] = function.read32(offset).to_le_bytes();
            next = following & !3;
            (id != 0xff).then_some(PciCapability { id, offset, head })
        })
        .take(48)
    }

    /// What BAR `index` (0–5) describes; gives it an address if it has none. Asks the device
    /// once.
    ///
    /// # Errors
    /// [`PciError::NoBar`], [`PciError::NoSpace`] or [`PciError::Sealed`].
    pub fn bar(&self, index: u8) -> Result<Bar, PciError> {
        if paging::is_sealed() {
            return Err(PciError::Sealed);
        }
        let known = |known: &&(PciAddress, u8, Bar)| (known.0, known.1) == (self.address, index);
        if let Some(&(.., bar)) = MEASURED.borrow().iter().find(known) {
            return Ok(bar);
        }
        let bar = self.measure_bar(index)?;
        MEASURED.borrow_mut().push((self.address, index, bar));
        Ok(bar)
    }

    fn measure_bar(&self, index: u8) -> Result<Bar, PciError> {
        if index > 5 || self.is_upper_half(index) {
            return Err(PciError::NoBar);
        }
        let offset = BARS + 4 * u16::from(index);
        let low = self.read32(offset);
        if low & 1 != 0 {
            let mut size = 0;
            self.measure(offset, [low], |[mask]| {
                size = (!(mask & !3) as u16).wrapping_add(1);
                [low]
            });
            return Ok(Bar::Io { port: (low & !3) as u16, size });
        }
        if is_wide(low) && index == 5 {
            return Err(PciError::NoBar);
        }
        let mut place = Err(PciError::NoBar);
        if is_wide(low) {
            let high = self.read32(offset + 4);
            self.measure(offset, [low, high], |[low_mask, high_mask]| {
                let mask = u64::from(high_mask) << 32 | u64::from(low_mask & !15);
                place = place_of(u64::from(high) << 32 | u64::from(low & !15), mask);
                place.map_or([low, high], |(address, _)| [address as u32, (address >> 32) as u32])
            });
        } else {
            self.measure(offset, [low], |[mask]| {
                let mask = match mask & !15 {
                    0 => 0,
                    mask => 0xffff_ffff << 32 | u64::from(mask),
                };
                place = place_of(u64::from(low & !15), mask);
                place.map_or([low], |(address, _)| [address as u32])
            });
        }
        place.map(|(address, size)| Bar::Memory { address, size, prefetchable: low & 8 != 0 })
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

    /// Asks which bits of the BAR at `offset`, which holds `values`, are there, and leaves in it
    /// what `settle` makes of the answer. The device is deaf meanwhile.
    fn measure<const N: usize>(
        &self,
        offset: u16,
        values: [u32; N],
        settle: impl FnOnce([u32; N]) -> [u32; N],
    ) {
        let command = self.command() & 0xffff;
        let decodes = command & (COMMAND_IO | COMMAND_MEMORY) != 0;
        let place = |index: usize| offset + 4 * index as u16;
        // SAFETY: with decoding off the BAR describes nothing. What is left in it is what it
        // held, or a place of its own from `place_of`.
        unsafe {
            if decodes {
                self.set_command(command & !(COMMAND_IO | COMMAND_MEMORY));
            }
            for index in 0..values.len() {
                self.write32(place(index), u32::MAX);
            }
            let masks = core::array::from_fn(|index| self.read32(place(index)));
            for (index, value) in settle(masks).into_iter().enumerate() {
                self.write32(place(index), value);
            }
            if decodes {
                self.set_command(command);
            }
        }
    }

    /// The command and status registers, as they were when the driver last asked or wrote.
    fn command(&self) -> u32 {
        if let Some((_, command)) = COMMAND_OF.get().filter(|(address, _)| *address == self.address) {
            return command;
        }
        let command = self.read32(COMMAND);
        COMMAND_OF.set(Some((self.address, command)));
        command
    }

    /// Writes the command register.
    ///
    /// # Safety
    /// As for [`write32`](Self::write32).
    unsafe fn set_command(&self, command: u32) {
        let status = self.command() & 0xffff_0000;
        // SAFETY: the caller's. The upper half is status, whose bits clear when written as ones.
        unsafe { self.write32(COMMAND, command & 0xffff) };
        COMMAND_OF.set(Some((self.address, status | command & 0xffff)));
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
        let command = self.command() & 0xffff;
        // SAFETY: moves no BAR; the device reads and writes what its driver tells it to.
        unsafe {
            self.set_command(command | COMMAND_MEMORY | COMMAND_BUS_MASTER | COMMAND_NO_INTX);
        }
        Ok(())
    }

    /// Its MSI-X table, switched on. Every entry is masked, as the machine's reset left it (PCI
    /// 3.0, 6.8.2.9). The function's memory space must be [enabled](PciFunction::enable).
    ///
    /// # Errors
    /// [`PciError::NoMsiX`], or why the table could not be mapped.
    pub fn msix(&self) -> Result<MsiX, PciError> {
        let capability = self.capabilities().find(|found| found.id == CAPABILITY_MSIX);
        self.msix_at(&capability.ok_or(PciError::NoMsiX)?)
    }

    /// As [`msix`](Self::msix), for who has the capability at hand already.
    ///
    /// # Errors
    /// As [`msix`](Self::msix).
    pub fn msix_at(&self, capability: &PciCapability) -> Result<MsiX, PciError> {
        if paging::is_sealed() {
            return Err(PciError::Sealed);
        }
        if capability.id != CAPABILITY_MSIX {
            return Err(PciError::NoMsiX);
        }
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
        // SAFETY: switches interrupt delivery from the line to the table, all masked.
        unsafe { self.write32(capability.offset, (control | MSIX_ENABLE) & !MSIX_MASK_ALL) };
        Ok(MsiX { table, entries })
    }
}

/// Address and size of a memory BAR that holds `address`, and whose bits that are there are
/// `mask` (none if there is no BAR): gives it the next free place of the microvm's window if it has none.
fn place_of(address: u64, mask: u64) -> Result<(u64, u64), PciError> {
    if mask == 0 {
        return Err(PciError::NoBar);
    }
    let size = (!mask).wrapping_add(1);
    if address != 0 {
        return Ok((address, size));
    }
    if access() != Access::Memory {
        return Err(PciError::NoSpace); // where there are ports, firmware assigns
    }
    let address = NEXT_BAR.get().checked_next_multiple_of(size).ok_or(PciError::NoSpace)?;
    let end = address.checked_add(size).ok_or(PciError::NoSpace)?;
    if end > MICROVM_BARS.end {
        return Err(PciError::NoSpace);
    }
    // The window holds no memory on a microvm, and no address is given twice. Whole pages, so
    // that no two devices share one.
    NEXT_BAR.set(end.next_multiple_of(4096));
    Ok((address, size))
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

    /// Entries of the table.
    #[must_use]
    pub fn entries(&self) -> u16 {
        self.entries
    }

    /// The table's registers.
    #[must_use]
    pub fn table(&self) -> &Mapped {
        &self.table
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
