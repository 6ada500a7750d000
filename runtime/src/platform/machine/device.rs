//! What a driver needs of the machine: where its device is, the device's registers, memory
//! that the device may reach, and its interrupts.
//!
//! All of it is handed out before the [seal](crate::platform::seal) and refused afterwards:
//! a sealed image can neither map another page nor route another interrupt.
//!
//! ```text
//! for window in mmio_windows() {              // or pci_functions()
//!     let registers = map(window.base, window.size)?;
//!     if registers.read::<u32>(0) != 0x7472_6976 { continue; }
//!     let ring = Dma::new(4096).ok_or(NoMemory)?;
//!     let interrupt = Interrupt::from_gsi(window.gsi, Trigger::Edge)?;
//!     …
//!     poll_fn(|context| interrupt.poll(context)).await;
//! }
//! ```

use core::alloc::Layout;
use core::ptr::NonNull;

pub use super::interrupt::{Interrupt, InterruptError, Message, Trigger};
pub use super::pci::{Bar, MsiX, PciAddress, PciCapability, PciError, PciFunction, pci_functions};
pub use super::windows::MmioWindow;
use super::{boot_arguments, calls, paging};

/// The windows named by `virtio_mmio.device=SIZE@BASE:GSI` on the boot line, in its order.
///
/// An argument of that name that can't be read is skipped. A window needn't hold a device.
pub fn mmio_windows() -> impl Iterator<Item = MmioWindow> {
    boot_arguments().filter_map(MmioWindow::parse)
}

/// Why a physical range was not mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// The image is sealed.
    Sealed,
    /// The range is empty, wraps, or lies beyond what the processor can address.
    OutOfRange,
    /// The range holds guest memory or the interrupt controllers, which are no driver's.
    NotADevice,
    /// The page tables set aside for devices are used up.
    NoTables,
    /// The gate has no slot left for another write.
    NoSlots,
}

impl core::fmt::Display for MapError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            MapError::Sealed => "the image is sealed: nothing more can be mapped",
            MapError::OutOfRange => "the range is empty or outside the physical address space",
            MapError::NotADevice => "the range holds memory or an interrupt controller, not a device",
            MapError::NoTables => "the page tables set aside for devices are used up",
            MapError::NoSlots => "the gate has no slot left for another write to a register",
        })
    }
}

impl core::error::Error for MapError {}

/// Maps a device's registers, uncached, readable and writable, for as long as the image runs.
///
/// `phys` and `len` are in bytes and needn't be page-aligned; whole pages are mapped, at the
/// address that equals the physical one. Mapping a page twice is fine.
///
/// # Errors
/// See [`MapError`].
pub fn map(phys: u64, len: u64) -> Result<Mapped, MapError> {
    paging::map_device(phys, len, paging::Until::End)?;
    Ok(Mapped::new(phys, len))
}

/// As [`map`], but the pages vanish at the seal, unless [`map`] was asked for them too.
///
/// For registers that could undo the seal and aren't needed to move data: a queue's
/// addresses, the MSI-X table. Touching them after the seal is a page fault.
///
/// # Errors
/// See [`MapError`].
pub fn map_until_seal(phys: u64, len: u64) -> Result<Mapped, MapError> {
    paging::map_device(phys, len, paging::Until::Seal)?;
    Ok(Mapped::new(phys, len))
}

/// As [`map`], but after the seal only the gate reaches the pages, for what
/// [`Mapped::gate_write`] asked for before.
///
/// For registers that are needed to move data, and share a page with some that could undo the
/// seal: those of virtio-mmio. Touching them after the seal is a page fault. A page that is
/// mapped in both ways is the gate's.
///
/// # Errors
/// See [`MapError`].
pub fn map_for_gate(phys: u64, len: u64) -> Result<Mapped, MapError> {
    paging::map_device(phys, len, paging::Until::Gate)?;
    Ok(Mapped::new(phys, len))
}

/// One value that the gate writes to one register whenever it is asked: both were fixed before
/// the seal, so that having this, ring 3 can write nothing else.
#[derive(Debug)]
pub struct GateWrite {
    slot: u32,
}

impl GateWrite {
    /// Writes the value, before the seal and after it.
    pub fn write(&self) {
        calls::write(self.slot);
    }
}

/// A device's registers, mapped. Holding one proves that the range was mapped uncached and
/// holds no memory of the guest.
#[derive(Debug)]
pub struct Mapped {
    base: NonNull<u8>,
    len: usize,
}

/// A type that a register can be read or written as: `u8`, `u16`, `u32`, `u64`.
pub trait Register: Copy + sealed::Register {}

mod sealed {
    pub trait Register {}
}

macro_rules! registers {
    ($($type:ty)*) => { $(impl sealed::Register for $type {} impl Register for $type {})* };
}
registers!(u8 u16 u32 u64);

impl Mapped {
    fn new(phys: u64, len: u64) -> Mapped {
        // `map_device` refuses page 0 (it holds memory), so the address isn't null.
        let base = NonNull::new(phys as *mut u8).unwrap_or(NonNull::dangling());
        Mapped { base, len: len as usize }
    }

    /// The first byte: virtual address equals physical address.
    #[must_use]
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.base
    }

    /// The physical address of the first byte.
    #[must_use]
    pub fn phys(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    /// Bytes mapped for the caller.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // never empty: `map` refuses that
    pub fn len(&self) -> usize {
        self.len
    }

    /// Reads the register at `offset` bytes.
    ///
    /// # Panics
    /// If the register isn't aligned or not wholly inside the mapping.
    #[must_use]
    pub fn read<T: Register>(&self, offset: usize) -> T {
        let register = self.register::<T>(offset);
        // SAFETY: `register` checked that the access is aligned and inside the mapping, which
        // stays for as long as the image runs, or faults cleanly once the seal took it away;
        // every bit pattern is a value of a `Register`.
        unsafe { register.read_volatile() }
    }

    /// Writes the register at `offset` bytes.
    ///
    /// # Panics
    /// If the register isn't aligned or not wholly inside the mapping.
    pub fn write<T: Register>(&self, offset: usize, value: T) {
        let register = self.register::<T>(offset);
        // SAFETY: as in `read`; the range holds no memory of the guest, so no Rust object is
        // overwritten by the store itself.
        unsafe { register.write_volatile(value) }
    }

    /// Has the gate write `value` to the register at `offset` bytes whenever the result is
    /// asked to, for as long as the image runs. There are 64 such writes in all.
    ///
    /// # Errors
    /// [`MapError::Sealed`] and [`MapError::NoSlots`].
    ///
    /// # Panics
    /// If the register isn't aligned or not wholly inside the mapping.
    pub fn gate_write(&self, offset: usize, value: u32) -> Result<GateWrite, MapError> {
        if paging::is_sealed() {
            return Err(MapError::Sealed);
        }
        let register = self.register::<u32>(offset) as u64;
        // SAFETY: the mapping holds no memory of the guest. It stays, if it comes from
        // `map_for_gate`; otherwise the gate's write faults cleanly.
        let slot = unsafe { calls::add_write(register, value) };
        slot.map(|slot| GateWrite { slot }).ok_or(MapError::NoSlots)
    }

    fn register<T: Register>(&self, offset: usize) -> *mut T {
        let size = size_of::<T>();
        let address = self.base.as_ptr().wrapping_add(offset);
        let inside = offset.checked_add(size).is_some_and(|end| end <= self.len);
        assert!(inside && (address as usize).is_multiple_of(size), "register outside its device");
        address.cast()
    }
}

/// Memory that a device may read and write: whole pages, physically contiguous, at a virtual
/// address that equals the physical one.
///
/// It isn't freed when dropped, because the device may still hold its address: see
/// [`Dma::free`].
#[derive(Debug)]
pub struct Dma {
    base: NonNull<u8>,
    pages: usize,
}

/// Bytes of a page.
pub const PAGE_SIZE: usize = 4096;

impl Dma {
    /// At least `len` bytes, rounded up to pages, zeroed; `None` if `len` is 0 or memory is
    /// short.
    #[must_use]
    pub fn new(len: usize) -> Option<Dma> {
        let pages = len.div_ceil(PAGE_SIZE);
        let layout = Dma::layout(pages)?;
        // SAFETY: `layout` gives a layout of non-zero size.
        let base = NonNull::new(unsafe { alloc::alloc::alloc_zeroed(layout) })?;
        Some(Dma { base, pages })
    }

    /// As [`new`](Self::new), but with whatever the memory held: for buffers that the device,
    /// or the driver, writes before anyone reads them. Doesn't touch the pages, which is
    /// expensive the first time.
    #[must_use]
    pub fn unzeroed(len: usize) -> Option<Dma> {
        let pages = len.div_ceil(PAGE_SIZE);
        let layout = Dma::layout(pages)?;
        // SAFETY: `layout` gives a layout of non-zero size.
        let mut base = NonNull::new(unsafe { alloc::alloc::alloc(layout) })?.as_ptr();
        // SAFETY: no instruction at all. To the compiler it may write all that the pointer
        // reaches, as a device will: from here on the bytes are initialised, with values that
        // nobody knows, and references to them may be made.
        unsafe { core::arch::asm!("/* {0} */", inout(reg) base, options(nostack, preserves_flags)) };
        Some(Dma { base: NonNull::new(base)?, pages })
    }

    /// At least `len` bytes, rounded up to pages, zeroed, that may be written until the seal and
    /// only read after it: for what tells a device where to write. `None` if `len` is 0, the image
    /// is sealed, or the 256 KiB that an image has of it are used up.
    #[must_use]
    pub fn read_only_at_seal(len: usize) -> Option<Dma> {
        let pages = len.div_ceil(PAGE_SIZE);
        let address = paging::read_only_at_seal(pages as u64).filter(|_| pages > 0)?;
        Some(Dma { base: NonNull::new(address as *mut u8)?, pages })
    }

    fn layout(pages: usize) -> Option<Layout> {
        let bytes = pages.checked_mul(PAGE_SIZE).filter(|bytes| *bytes > 0)?;
        Layout::from_size_align(bytes, PAGE_SIZE).ok()
    }

    /// The first byte.
    #[must_use]
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.base
    }

    /// The address to give to the device.
    #[must_use]
    pub fn phys(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    /// Bytes, a multiple of [`PAGE_SIZE`].
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // never empty: `new` refuses that
    pub fn len(&self) -> usize {
        self.pages * PAGE_SIZE
    }

    /// Takes back what [`Dma::as_ptr`] and [`Dma::len`] of a forgotten `Dma` said.
    ///
    /// # Safety
    /// `base` and `len` come from one `Dma` that was not freed, and are taken back once.
    #[must_use]
    pub unsafe fn from_raw(base: NonNull<u8>, len: usize) -> Dma {
        Dma { base, pages: len / PAGE_SIZE }
    }

    /// Gives the memory back to the heap.
    ///
    /// # Safety
    /// No device holds an address inside it, and no reference to it is left. It comes from
    /// [`Dma::new`] or [`Dma::unzeroed`].
    pub unsafe fn free(self) {
        if let Some(layout) = Dma::layout(self.pages) {
            // SAFETY: it was allocated with this layout; the caller argues for the rest.
            unsafe { alloc::alloc::dealloc(self.base.as_ptr(), layout) };
        }
    }
}
