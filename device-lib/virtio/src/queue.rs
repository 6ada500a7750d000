//! The split virtqueue (virtio 1.2, section 2.7), on fixed buffers.
//!
//! Descriptor `i` describes buffer `i` and nothing else, ever. What changes is who has the
//! buffer: [`Queue::offer`] gives it to the device, [`Queue::take`] gets it back.
//! Offered buffers become visible to the device at [`Queue::publish`], which also says
//! whether the device wants to be told.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::AtomicU16;

use crate::memory::Buffer;
use crate::ring::Ring;

/// Who writes into the buffers of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The device reads them: transmit.
    ToDevice,
    /// The device writes them: receive.
    FromDevice,
}

/// Where a queue's three parts are, as the device knows them (virtio 1.2, section 2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingAddresses {
    /// The descriptor table, aligned to 16.
    pub descriptors: u64,
    /// The available ring ("driver area"), aligned to 2.
    pub available: u64,
    /// The used ring ("device area"), aligned to 4.
    pub used: u64,
}

/// The device broke the rules; it must not be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceError {
    /// It says that it used more buffers than it was given.
    UsedTooMany,
    /// It gave back a buffer that it doesn't have.
    UnknownBuffer(u32),
    /// It says that it wrote more bytes than the buffer holds.
    WroteTooMuch(u32),
    /// It says that a message takes so many buffers, and hasn't given them back.
    TooFewBuffers(u16),
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceError::UsedTooMany => f.write_str("the device used more buffers than it was given"),
            DeviceError::UnknownBuffer(id) => {
                write!(f, "the device gave back buffer {id}, which it didn't have")
            }
            DeviceError::WroteTooMuch(length) => {
                write!(f, "the device says that it wrote {length} bytes, more than the buffer holds")
            }
            DeviceError::TooFewBuffers(count) => {
                write!(f, "the device gave back fewer than the {count} buffers of a message")
            }
        }
    }
}

impl core::error::Error for DeviceError {}

/// The driver's side of one queue.
#[derive(Debug)]
pub struct Queue {
    /// Its descriptors are never changed if the device writes through them.
    ring: Ring,
    direction: Direction,
    /// Bytes at the beginning of each buffer of which the device doesn't know.
    headroom: usize,
    /// Buffers that the device has, by id.
    lent: Box<[Option<Buffer>]>,
    lent_count: u16,
}

impl Queue {
    /// A queue of `size` buffers of `capacity` bytes, all of them in the driver's hands;
    /// `None` if memory is short.
    ///
    /// # Panics
    /// If `size` is not a power of two from 2 to 32768 or `capacity` doesn't fit into 32
    /// bits: both are the driver's own.
    #[must_use]
    pub fn new(
        size: u16,
        capacity: usize,
        direction: Direction,
        event_index: bool,
    ) -> Option<(Queue, Vec<Buffer>)> {
        Queue::with_headroom(size, 0, capacity, direction, event_index)
    }

    /// As [`new`](Self::new), but the device doesn't know of the first `headroom` bytes of each
    /// buffer: the driver may write something in front of what it receives.
    ///
    /// # Panics
    /// And if nothing is left of the buffers.
    #[must_use]
    pub fn with_headroom(
        size: u16,
        headroom: usize,
        capacity: usize,
        direction: Direction,
        event_index: bool,
    ) -> Option<(Queue, Vec<Buffer>)> {
        assert!(headroom < capacity, "a buffer has room for the device");
        // Who can change where a device writes can have it write over the page tables.
        let ring = Ring::new(size, direction == Direction::FromDevice, event_index)?;
        let buffers = Buffer::allocate(size, capacity)?;
        let length = u32::try_from(capacity - headroom).expect("a buffer's length fits into 32 bits");
        for buffer in &buffers {
            let address = buffer.address() + headroom as u64;
            ring.describe(buffer.id(), address, length, direction == Direction::FromDevice);
        }
        let mut lent = Vec::new();
        lent.try_reserve_exact(usize::from(size)).ok()?;
        lent.resize_with(usize::from(size), || None);
        let lent = lent.into_boxed_slice();
        Some((Queue { ring, direction, headroom, lent, lent_count: 0 }, buffers))
    }

    /// Descriptors in the queue.
    #[must_use]
    pub fn size(&self) -> u16 {
        self.ring.size()
    }

    /// Buffers that the device has.
    #[must_use]
    pub fn lent(&self) -> u16 {
        self.lent_count
    }

    /// Where the device finds the queue.
    #[must_use]
    pub fn addresses(&self) -> RingAddresses {
        self.ring.addresses()
    }

    /// Gives `buffer` to the device, which sees it at the next [`publish`](Self::publish).
    /// In a queue to the device, its first `length` bytes (behind the headroom) are the message.
    ///
    /// # Panics
    /// If `buffer` belongs to another queue, or `length` is more than it holds.
    pub fn offer(&mut self, buffer: Buffer, length: usize) {
        assert!(length <= buffer.len() - self.headroom, "more bytes than the buffer holds");
        let id = buffer.id();
        if self.direction == Direction::ToDevice {
            // The one field of a descriptor that ever changes, and only where the device reads.
            self.ring.set_length(id, length as u32);
        }
        let slot = &mut self.lent[usize::from(id)];
        assert!(slot.is_none(), "a buffer of another queue");
        *slot = Some(buffer);
        self.lent_count += 1;
        self.ring.offer(id);
    }

    /// Shows the device what was offered; `true` if it wants a notification for that
    /// (sections 2.7.10 and 2.7.13.4).
    #[must_use]
    pub fn publish(&mut self) -> bool {
        self.ring.publish()
    }

    /// The next buffer that the device is done with, and how many bytes it wrote (behind the
    /// headroom).
    ///
    /// # Errors
    /// [`DeviceError`]; the device must not be used any more.
    pub fn take(&mut self) -> Result<Option<(Buffer, usize)>, DeviceError> {
        let waiting = self.ring.waiting();
        if waiting == 0 {
            return Ok(None);
        }
        if waiting > self.lent_count {
            return Err(DeviceError::UsedTooMany);
        }
        let (id, written) = self.ring.take();
        let Some(slot) = usize::try_from(id).ok().and_then(|id| self.lent.get_mut(id)) else {
            return Err(DeviceError::UnknownBuffer(id));
        };
        let Some(buffer) = slot.take() else {
            return Err(DeviceError::UnknownBuffer(id));
        };
        self.lent_count -= 1;
        let written = match self.direction {
            // Devices are known to write nonsense here for buffers that they only read.
            Direction::ToDevice => 0,
            Direction::FromDevice if written as usize > buffer.len() - self.headroom => {
                return Err(DeviceError::WroteTooMuch(written));
            }
            Direction::FromDevice => written as usize,
        };
        Ok(Some((buffer, written)))
    }

    /// Asks for an interrupt at the `after`-th used buffer from now on (1: the next);
    /// `true` if that many are there already, so that none may come.
    #[must_use]
    pub fn arm(&self, after: u16) -> bool {
        self.ring.arm(after)
    }

    /// Asks for no interrupts. With event indices one may still come after 65,535 buffers.
    pub fn disarm(&self) {
        self.ring.disarm();
    }

    /// How many used buffers there are to take, if the device can be believed.
    #[must_use]
    pub fn waiting(&self) -> u16 {
        self.ring.waiting()
    }

    /// The used ring's index, which the device moves on with each buffer that it is done with, and
    /// up to where buffers were taken.
    #[must_use]
    pub fn used_index(&self) -> (&'static AtomicU16, u16) {
        self.ring.used_index()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::DeviceQueue;

    fn pair(size: u16, direction: Direction, event_index: bool) -> (Queue, Vec<Buffer>, DeviceQueue) {
        let (queue, buffers) = Queue::new(size, 64, direction, event_index).unwrap();
        let device = DeviceQueue::new(size, queue.addresses());
        (queue, buffers, device)
    }

    #[test]
    fn a_message_goes_to_the_device_and_its_buffer_comes_back() {
        let (mut queue, mut buffers, mut device) = pair(4, Direction::ToDevice, false);
        let mut buffer = buffers.remove(2);
        buffer[..5].copy_from_slice(b"hello");
        queue.offer(buffer, 5);
        assert!(device.next().is_none(), "not visible before publish");
        assert!(queue.publish());
        let chain = device.next().unwrap();
        assert_eq!((chain.id, chain.writable), (2, false));
        assert_eq!(chain.bytes(), b"hello");
        assert!(queue.take().unwrap().is_none());
        device.give_back(2, 0);
        assert_eq!(queue.take().unwrap().unwrap().0.id(), 2);
        assert_eq!(queue.lent(), 0);
    }

    #[test]
    fn what_the_device_writes_is_received_through_many_wraps() {
        for event_index in [false, true] {
            let (mut queue, buffers, mut device) = pair(4, Direction::FromDevice, event_index);
            for buffer in buffers {
                queue.offer(buffer, 64);
            }
            let _ = queue.publish();
            // More than 65,536 rounds: both indices wrap.
            for round in 0..70_000u32 {
                let chain = device.next().unwrap();
                assert!(chain.writable);
                chain.write(&round.to_le_bytes());
                device.give_back(u32::from(chain.id), 4);
                let (buffer, written) = queue.take().unwrap().unwrap();
                assert_eq!(&buffer[..written], &round.to_le_bytes());
                queue.offer(buffer, 64);
                let _ = queue.publish();
            }
        }
    }

    #[test]
    fn the_table_of_a_receive_queue_never_changes() {
        let (mut queue, buffers, mut device) = pair(4, Direction::FromDevice, true);
        let before = device.descriptor_table();
        for buffer in buffers {
            queue.offer(buffer, 7);
        }
        let _ = queue.publish();
        let chain = device.next().unwrap();
        device.give_back(u32::from(chain.id), 1);
        let (buffer, _) = queue.take().unwrap().unwrap();
        queue.offer(buffer, 3);
        let _ = queue.publish();
        assert_eq!(device.descriptor_table(), before);
    }

    #[test]
    fn one_notification_and_only_if_the_device_waits() {
        let (mut queue, mut buffers, mut device) = pair(8, Direction::ToDevice, true);
        assert!(!queue.publish(), "nothing offered");
        for _ in 0..3 {
            queue.offer(buffers.pop().unwrap(), 1);
        }
        assert!(queue.publish(), "the device waits for index 0");
        queue.offer(buffers.pop().unwrap(), 1);
        assert!(!queue.publish(), "it was told and hasn't asked again");
        device.notify_at(4);
        queue.offer(buffers.pop().unwrap(), 1);
        assert!(queue.publish());
        let (mut queue, mut buffers, device) = pair(8, Direction::ToDevice, false);
        device.suppress_notifications(true);
        queue.offer(buffers.pop().unwrap(), 1);
        assert!(!queue.publish());
    }

    #[test]
    fn the_notification_test_holds_where_indices_wrap() {
        let (mut queue, buffers, mut device) = pair(4, Direction::ToDevice, true);
        let mut buffers = buffers;
        for round in 0..65_540u32 {
            device.notify_at(round as u16);
            queue.offer(buffers.pop().unwrap(), 1);
            assert!(queue.publish(), "round {round}");
            let chain = device.next().unwrap();
            device.give_back(u32::from(chain.id), 0);
            buffers.push(queue.take().unwrap().unwrap().0);
        }
    }

    #[test]
    fn interrupts_only_when_armed() {
        for event_index in [false, true] {
            let (mut queue, buffers, mut device) = pair(8, Direction::FromDevice, event_index);
            for buffer in buffers {
                queue.offer(buffer, 64);
            }
            let _ = queue.publish();
            let use_one = |device: &mut DeviceQueue| {
                let chain = device.next().unwrap();
                device.give_back(u32::from(chain.id), 1);
                device.wants_interrupt(event_index)
            };
            assert!(!use_one(&mut device), "not armed");
            assert!(queue.arm(1), "one is there already");
            while queue.take().unwrap().is_some() {}
            assert!(!queue.arm(1));
            assert!(use_one(&mut device));
            queue.disarm();
            assert!(!use_one(&mut device));
            if event_index {
                while queue.take().unwrap().is_some() {}
                assert!(!queue.arm(3));
                assert!(!use_one(&mut device));
                assert!(!use_one(&mut device));
                assert!(use_one(&mut device), "the third");
            }
        }
    }

    #[test]
    fn a_hostile_device_gets_errors_not_panics() {
        let lend = || {
            let (mut queue, buffers, device) = pair(4, Direction::FromDevice, false);
            for buffer in buffers.into_iter().take(2) {
                queue.offer(buffer, 64);
            }
            let _ = queue.publish();
            (queue, device)
        };
        let (mut queue, mut device) = lend();
        for _ in 0..3 {
            device.give_back(0, 1);
        }
        assert_eq!(queue.take().unwrap_err(), DeviceError::UsedTooMany);

        let (mut queue, mut device) = lend();
        device.give_back(3, 1);
        assert_eq!(queue.take().unwrap_err(), DeviceError::UnknownBuffer(3));

        let (mut queue, mut device) = lend();
        device.give_back(0x1_0000, 1);
        assert_eq!(queue.take().unwrap_err(), DeviceError::UnknownBuffer(0x1_0000));

        let (mut queue, mut device) = lend();
        device.give_back(1, 65);
        assert_eq!(queue.take().unwrap_err(), DeviceError::WroteTooMuch(65));

        let (mut queue, mut device) = lend();
        device.give_back(1, 1);
        device.give_back(1, 1);
        assert!(queue.take().is_ok());
        assert_eq!(queue.take().unwrap_err(), DeviceError::UnknownBuffer(1));

        let (mut queue, mut device) = lend();
        device.set_used_index(0x8000);
        assert_eq!(queue.take().unwrap_err(), DeviceError::UsedTooMany);
    }
}
