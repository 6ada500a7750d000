//! Memory that a device reads and writes beside us.
//!
//! All `unsafe` code of the virtio drivers stands here. The two types have one rule each:
//! a [`Shared`] region is only ever touched by atomic accesses; a [`Buffer`] belongs to
//! either the driver or the device, and holding the value means that it is the driver's.

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

/// Bytes of a page: the alignment of every region.
pub const PAGE: usize = 4096;

/// Zeroed memory that the device may access at any time: the rings of a queue, and its
/// descriptors.
///
/// Never freed, since a device may hold its address for as long as the image runs.
#[derive(Debug)]
pub struct Shared {
    base: NonNull<u8>,
    len: usize,
    address: u64,
}

impl Shared {
    /// At least `len` bytes, or `None` if `len` is 0 or memory is short.
    #[must_use]
    pub fn new(len: usize) -> Option<Shared> {
        let (base, address) = allocate(len, Content::Zeroed)?;
        Some(Shared { base, len, address })
    }

    /// As [`new`](Self::new), but a page fault to write after the seal: for what tells the device
    /// where to write. There are 256 KiB of it in an image.
    #[must_use]
    pub fn read_only_at_seal(len: usize) -> Option<Shared> {
        let (base, address) = allocate(len, Content::ReadOnlyAtSeal)?;
        Some(Shared { base, len, address })
    }

    /// The address by which the device knows the first byte.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Reads two bytes at `offset`; later reads see what the device wrote before them.
    ///
    /// # Panics
    /// If the access isn't aligned or not inside: offsets are the driver's own, never the
    /// device's.
    #[must_use]
    pub fn read_u16(&self, offset: usize) -> u16 {
        self.atomic_u16(offset).load(Ordering::Acquire)
    }

    /// The two bytes at `offset`, for as long as the image runs.
    ///
    /// # Panics
    /// As [`read_u16`](Self::read_u16).
    #[must_use]
    pub fn atomic_u16(&self, offset: usize) -> &'static AtomicU16 {
        let place = self.place::<u16>(offset).cast::<u16>();
        // SAFETY: `place` checked alignment and bounds; the region is never freed and never
        // accessed but through atomics, so an `AtomicU16` may stand for these two bytes.
        unsafe { AtomicU16::from_ptr(place.as_ptr()) }
    }

    /// Reads four bytes at `offset`.
    ///
    /// # Panics
    /// As [`read_u16`](Self::read_u16).
    #[must_use]
    pub fn read_u32(&self, offset: usize) -> u32 {
        let place = self.place::<u32>(offset).cast::<u32>();
        // SAFETY: as in `atomic_u16`.
        unsafe { AtomicU32::from_ptr(place.as_ptr()) }.load(Ordering::Acquire)
    }

    /// Writes two bytes at `offset`; a device that sees them sees all that was written before.
    ///
    /// # Panics
    /// As [`read_u16`](Self::read_u16).
    pub fn write_u16(&self, offset: usize, value: u16) {
        self.atomic_u16(offset).store(value, Ordering::Release);
    }

    /// Writes four bytes at `offset`.
    ///
    /// # Panics
    /// As [`read_u16`](Self::read_u16).
    pub fn write_u32(&self, offset: usize, value: u32) {
        let place = self.place::<u32>(offset).cast::<u32>();
        // SAFETY: as in `atomic_u16`.
        unsafe { AtomicU32::from_ptr(place.as_ptr()) }.store(value, Ordering::Release);
    }

    /// Writes eight bytes at `offset`.
    ///
    /// # Panics
    /// As [`read_u16`](Self::read_u16).
    pub fn write_u64(&self, offset: usize, value: u64) {
        let place = self.place::<u64>(offset).cast::<u64>();
        // SAFETY: as in `atomic_u16`.
        unsafe { AtomicU64::from_ptr(place.as_ptr()) }.store(value, Ordering::Release);
    }

    fn place<T>(&self, offset: usize) -> NonNull<u8> {
        let inside = offset.checked_add(size_of::<T>()).is_some_and(|end| end <= self.len);
        assert!(inside && offset.is_multiple_of(align_of::<T>()), "access outside a shared region");
        // SAFETY: `offset` was just checked to lie inside the region.
        unsafe { self.base.add(offset) }
    }
}

/// One fixed buffer of a queue, in the driver's hands: it derefs to its bytes.
///
/// While the device has it, the [`Queue`](crate::Queue) holds the value. A buffer that is
/// dropped is lost to its queue.
#[derive(Debug)]
pub struct Buffer {
    base: NonNull<u8>,
    capacity: usize,
    address: u64,
    id: u16,
}

impl Buffer {
    /// `count` buffers of `capacity` bytes each, one after the other, with ids from 0; `None` if
    /// memory is short. They hold whatever the memory held: touching their pages would take
    /// milliseconds of boot.
    #[must_use]
    pub(crate) fn allocate(count: u16, capacity: usize) -> Option<Vec<Buffer>> {
        let (base, address) = allocate(capacity.checked_mul(usize::from(count))?, Content::Any)?;
        let mut buffers = Vec::new();
        buffers.try_reserve_exact(usize::from(count)).ok()?;
        buffers.extend((0..count).map(|id| {
            let offset = usize::from(id) * capacity;
            // SAFETY: `offset` is at most `count - 1` times `capacity`, inside what was
            // allocated.
            let base = unsafe { base.add(offset) };
            Buffer { base, capacity, address: address + offset as u64, id }
        }));
        Some(buffers)
    }

    /// Which of its queue's buffers this is: the index of its descriptor.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.id
    }

    /// The address by which the device knows the first byte.
    #[must_use]
    pub(crate) fn address(&self) -> u64 {
        self.address
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `base` is the start of `capacity` initialised bytes that are never freed.
        // `allocate` made one value for each stretch and it isn't `Clone`, so nobody else on
        // our side refers to them; a queue keeps the value while the device may use them.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), self.capacity) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes the reference unique.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr(), self.capacity) }
    }
}

/// What fresh memory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Zeroed,
    /// Zero, and then what is written before the seal.
    ReadOnlyAtSeal,
    Any,
}

/// Page-aligned memory that is never freed, and its address for the device.
#[cfg(unik_machine)]
fn allocate(len: usize, content: Content) -> Option<(NonNull<u8>, u64)> {
    use unik::platform::machine::device::Dma;
    // `Dma` isn't freed when dropped.
    let memory = match content {
        Content::Zeroed => Dma::new(len)?,
        Content::ReadOnlyAtSeal => Dma::read_only_at_seal(len)?,
        Content::Any => Dma::unzeroed(len)?,
    };
    Some((memory.as_ptr(), memory.phys()))
}

/// As on the machine, but from the host's heap: the "device" of a test is in this process.
#[cfg(not(unik_machine))]
fn allocate(len: usize, content: Content) -> Option<(NonNull<u8>, u64)> {
    let layout = core::alloc::Layout::from_size_align(len, PAGE).ok()?;
    if len == 0 {
        return None;
    }
    // SAFETY: the layout isn't empty.
    let base = NonNull::new(unsafe { alloc::alloc::alloc_zeroed(layout) })?;
    if content == Content::Any {
        // SAFETY: just allocated. What a driver takes to be zero, its tests then find.
        unsafe { base.write_bytes(0xa5, len) };
    }
    Some((base, base.as_ptr().expose_provenance() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_memory_is_zeroed_and_keeps_what_is_written() {
        let memory = Shared::new(64).unwrap();
        assert_eq!(memory.read_u32(0), 0);
        memory.write_u64(8, 0x1122_3344_5566_7788);
        assert_eq!(memory.read_u32(8), 0x5566_7788);
        assert_eq!(memory.read_u16(14), 0x1122);
    }

    #[test]
    #[should_panic(expected = "outside a shared region")]
    fn an_access_past_the_end_panics() {
        let _ = Shared::new(64).unwrap().read_u32(62);
    }

    #[test]
    fn no_memory_of_no_bytes() {
        assert!(Shared::new(0).is_none());
        assert!(Buffer::allocate(4, usize::MAX).is_none());
    }

    #[test]
    fn buffers_do_not_overlap() {
        let mut buffers = Buffer::allocate(4, 100).unwrap();
        for buffer in &mut buffers {
            let id = buffer.id() as u8;
            buffer.fill(id);
        }
        for buffer in &buffers {
            assert!(buffer.iter().all(|byte| *byte == buffer.id() as u8));
            assert_eq!(buffer.len(), 100);
        }
    }
}
