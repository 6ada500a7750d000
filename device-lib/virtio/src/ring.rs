//! The rings of a queue: what is available, what is used, and who wants to be told of it.

use core::sync::atomic::{AtomicU16, Ordering, fence};

use crate::memory::Shared;
use crate::queue::RingAddresses;

/// Bytes of a descriptor.
const DESCRIPTOR: usize = 16;
/// The device writes the buffer (`VIRTQ_DESC_F_WRITE`).
const WRITE: u32 = 2;
/// In the available ring: don't interrupt (`VIRTQ_AVAIL_F_NO_INTERRUPT`).
const NO_INTERRUPT: u16 = 1;
/// In the used ring: don't notify (`VIRTQ_USED_F_NO_NOTIFY`).
const NO_NOTIFY: u16 = 1;

/// The descriptor table and both rings of a queue (virtio 1.2, section 2.7), as its driver has
/// them. Every descriptor is a buffer of its own.
#[derive(Debug)]
pub(crate) struct Ring {
    descriptors: Shared,
    /// The available ring, and the used ring.
    rings: Shared,
    /// Where in that the used ring is.
    used: usize,
    mask: u16,
    event_index: bool,
    /// Index of the next entry of the available ring that we write.
    next_available: u16,
    /// What the device was last told of `next_available`.
    published: u16,
    /// Index of the next entry of the used ring that we read.
    next_used: u16,
}

impl Ring {
    /// Rings of `size` descriptors that ask for no interrupts; `None` if memory is short. The
    /// descriptors may not be written after the seal if `fixed`.
    ///
    /// # Panics
    /// If `size` is not a power of two from 2 to 32768.
    pub fn new(size: u16, fixed: bool, event_index: bool) -> Option<Ring> {
        assert!(size.is_power_of_two() && size >= 2, "the size of a queue is a power of two");
        let entries = usize::from(size);
        let table = entries * DESCRIPTOR;
        let descriptors = if fixed { Shared::read_only_at_seal(table)? } else { Shared::new(table)? };
        let used = (6 + 2 * entries).next_multiple_of(4);
        let rings = Shared::new(used + 6 + 8 * entries)?;
        let (next_available, published, next_used) = (0, 0, 0);
        let mask = size - 1;
        let ring = Ring { descriptors, rings, used, mask, event_index, next_available, published, next_used };
        ring.disarm();
        Some(ring)
    }

    /// Descriptors in the table.
    pub fn size(&self) -> u16 {
        // The mask of the largest ring, 32768, is 32767.
        self.mask + 1
    }

    /// Where the device finds all this.
    pub fn addresses(&self) -> RingAddresses {
        let available = self.rings.address();
        RingAddresses {
            descriptors: self.descriptors.address(),
            available,
            used: available + self.used as u64,
        }
    }

    /// Writes descriptor `id`: a buffer that the device writes if `writable`, else reads.
    pub fn describe(&self, id: u16, address: u64, length: u32, writable: bool) {
        let at = usize::from(id) * DESCRIPTOR;
        self.descriptors.write_u64(at, address);
        self.descriptors.write_u32(at + 8, length);
        self.descriptors.write_u32(at + 12, if writable { WRITE } else { 0 });
    }

    /// Changes the length of descriptor `id`.
    pub fn set_length(&self, id: u16, length: u32) {
        self.descriptors.write_u32(usize::from(id) * DESCRIPTOR + 8, length);
    }

    /// Puts descriptor `id` into the available ring, for the next [`publish`](Self::publish).
    pub fn offer(&mut self, id: u16) {
        self.rings.write_u16(4 + 2 * usize::from(self.next_available & self.mask), id);
        self.next_available = self.next_available.wrapping_add(1);
    }

    /// Shows the device what was offered, should it happen to look.
    pub fn show(&self) {
        self.rings.write_u16(2, self.next_available);
    }

    /// Whether something was offered that wasn't published.
    pub fn is_unpublished(&self) -> bool {
        self.published != self.next_available
    }

    /// Shows the device what was offered; `true` if it wants a notification for what was since the
    /// last call (sections 2.7.10 and 2.7.13.4).
    pub fn publish(&mut self) -> bool {
        let (old, new) = (self.published, self.next_available);
        if old == new {
            return false;
        }
        self.show();
        self.published = new;
        // Our index must be visible before we look whether the device waits for it.
        fence(Ordering::SeqCst);
        if self.event_index {
            let event = self.rings.read_u16(self.used + 4 + 8 * usize::from(self.size()));
            new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
        } else {
            self.rings.read_u16(self.used) & NO_NOTIFY == 0
        }
    }

    /// How many entries of the used ring there are to take, if the device can be believed.
    pub fn waiting(&self) -> u16 {
        self.rings.read_u16(self.used + 2).wrapping_sub(self.next_used)
    }

    /// The used ring's index, and up to where entries were taken.
    pub fn used_index(&self) -> (&'static AtomicU16, u16) {
        (self.rings.atomic_u16(self.used + 2), self.next_used)
    }

    /// Takes the next entry of the used ring, of which there is one: an id and a length, both
    /// unchecked.
    pub fn take(&mut self) -> (u32, u32) {
        let entry = self.used + 4 + 8 * usize::from(self.next_used & self.mask);
        self.next_used = self.next_used.wrapping_add(1);
        (self.rings.read_u32(entry), self.rings.read_u32(entry + 4))
    }

    /// Asks for an interrupt at the `after`-th used buffer from now on (1: the next);
    /// `true` if that many are there already, so that none may come.
    pub fn arm(&self, after: u16) -> bool {
        let after = after.max(1);
        if self.event_index {
            self.write_event(self.next_used.wrapping_add(after - 1));
        } else {
            self.rings.write_u16(0, 0);
        }
        // The request must be visible before we look whether it came too late.
        fence(Ordering::SeqCst);
        self.waiting() >= after
    }

    /// Asks for no interrupts. With event indices one may still come after 65,535 buffers.
    pub fn disarm(&self) {
        if self.event_index {
            self.write_event(self.next_used.wrapping_sub(1));
        } else {
            self.rings.write_u16(0, NO_INTERRUPT);
        }
    }

    fn write_event(&self, index: u16) {
        self.rings.write_u16(4 + 2 * usize::from(self.size()), index);
    }
}
