//! A queue to the device whose messages stand one behind the other in one piece of memory.
//!
//! A message takes the bytes that it has and one descriptor, be it 60 bytes long or 60,000. Memory
//! is given out in a circle: it comes back when the device is done with a message and with
//! all before it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU16;

use crate::memory::Buffer;
use crate::queue::{DeviceError, RingAddresses};
use crate::ring::Ring;

/// Messages begin at multiples of this, a cache line.
const ALIGN: usize = 64;

/// The driver's side of a queue to the device.
///
/// Descriptors and memory stay writable: the device only reads through them.
#[derive(Debug)]
pub struct Outbox {
    ring: Ring,
    memory: Buffer,
    /// Where the next message may begin.
    head: usize,
    /// Descriptors that no message has.
    free: Vec<u16>,
    /// Messages that the device has, the oldest first.
    lent: VecDeque<Lent>,
    /// How many of those it isn't done with.
    pending: u16,
}

#[derive(Clone, Copy, Debug)]
struct Lent {
    id: u16,
    /// Where it begins, with what was left out before it at the end of the memory.
    begin: usize,
    done: bool,
}

impl Outbox {
    /// A queue of at most `size` messages, which take at most `memory` bytes; `None` if memory is
    /// short.
    ///
    /// # Panics
    /// If `size` is not a power of two from 2 to 32768, or `memory` doesn't fit into 32 bits.
    #[must_use]
    pub fn new(size: u16, memory: usize, event_index: bool) -> Option<Outbox> {
        assert!(u32::try_from(memory).is_ok(), "the length of a message fits into 32 bits");
        let ring = Ring::new(size, false, event_index)?;
        let memory = Buffer::allocate(1, memory)?.pop()?;
        let (mut free, mut lent) = (Vec::new(), VecDeque::new());
        free.try_reserve_exact(usize::from(size)).ok()?;
        lent.try_reserve_exact(usize::from(size)).ok()?;
        free.extend((0..size).rev());
        Some(Outbox { ring, memory, head: 0, free, lent, pending: 0 })
    }

    /// Where the device finds the queue.
    #[must_use]
    pub fn addresses(&self) -> RingAddresses {
        self.ring.addresses()
    }

    /// Messages that the device isn't done with, as far as was looked.
    #[must_use]
    pub fn pending(&self) -> u16 {
        self.pending
    }

    /// Whether there is room for a message of `length` bytes. Looks at what the device is done
    /// with only where there is none otherwise, which leaves the used ring's cache line to it.
    ///
    /// # Errors
    /// [`DeviceError`]; the device must not be used any more.
    pub fn has_room(&mut self, length: usize) -> Result<bool, DeviceError> {
        if self.has_room_now(length) {
            return Ok(true);
        }
        self.reclaim()?;
        Ok(self.has_room_now(length))
    }

    /// As [`has_room`](Self::has_room), without a look at what the device is done with.
    #[must_use]
    pub fn has_room_now(&self, length: usize) -> bool {
        self.place(length).is_some()
    }

    /// The memory for a message of `length` bytes, with whatever was there; `None` if there is
    /// [no room](Self::has_room). [`queue`](Self::queue) queues it.
    pub fn message(&mut self, length: usize) -> Option<&mut [u8]> {
        let place = self.place(length)?;
        Some(&mut self.memory[place..place + length])
    }

    /// Queues the [message](Self::message) of `length` bytes that was just written; whether there
    /// is one.
    #[must_use]
    pub fn queue(&mut self, length: usize) -> bool {
        let Some((place, id)) = self.place(length).and_then(|place| Some((place, self.free.pop()?))) else {
            return false;
        };
        let begin = if self.lent.is_empty() { place } else { self.head };
        // `new` checked that it fits.
        self.ring.describe(id, self.memory.address() + place as u64, length as u32, false);
        self.ring.offer(id);
        self.lent.push_back(Lent { id, begin, done: false });
        self.pending += 1;
        self.head = (place + length).next_multiple_of(ALIGN);
        true
    }

    /// Where a message of `length` bytes can begin now.
    #[inline(never)] // it is asked in many places, and images are small
    fn place(&self, length: usize) -> Option<usize> {
        if self.free.is_empty() {
            return None;
        }
        let fits = |place: usize, end: usize| (length < end && place + length <= end).then_some(place);
        let all = self.memory.len();
        let Some(oldest) = self.lent.front() else {
            // All of it is free, but from the middle on there may be too little.
            return fits(self.head, all).or_else(|| (length <= all).then_some(0));
        };
        // The head doesn't catch up with the oldest: if both were at one place, nothing would tell
        // whether all is free or nothing.
        let before_oldest = |place: usize| fits(place, oldest.begin.saturating_sub(ALIGN));
        if self.head > oldest.begin {
            fits(self.head, all).or_else(|| before_oldest(0))
        } else {
            before_oldest(self.head)
        }
    }

    /// Takes back what the device is done with.
    ///
    /// # Errors
    /// [`DeviceError`]; the device must not be used any more.
    pub fn reclaim(&mut self) -> Result<(), DeviceError> {
        loop {
            let waiting = self.ring.waiting();
            if waiting == 0 {
                return Ok(());
            }
            if waiting > self.pending {
                return Err(DeviceError::UsedTooMany);
            }
            // Devices are known to write nonsense as the length of what they only read.
            let (id, _) = self.ring.take();
            // The oldest, for most devices.
            let found = self.lent.iter_mut().find(|lent| u32::from(lent.id) == id && !lent.done);
            found.ok_or(DeviceError::UnknownBuffer(id))?.done = true;
            self.pending -= 1;
            while let Some(lent) = self.lent.front().filter(|lent| lent.done) {
                self.free.push(lent.id);
                self.lent.pop_front();
            }
        }
    }

    /// Shows the device what was queued, should it happen to look. Whether it wants a
    /// notification, [`publish`](Self::publish) has to find out later.
    pub fn show(&self) {
        self.ring.show();
    }

    /// Whether something was queued that wasn't published.
    #[must_use]
    pub fn is_unpublished(&self) -> bool {
        self.ring.is_unpublished()
    }

    /// Shows the device what was queued; `true` if it wants a notification for what was since the
    /// last call (sections 2.7.10 and 2.7.13.4).
    #[must_use]
    pub fn publish(&mut self) -> bool {
        self.ring.publish()
    }

    /// Asks for an interrupt at the `after`-th message that the device is done with from now on
    /// (1: the next); `true` if that many are there already, so that none may come.
    #[must_use]
    pub fn arm(&self, after: u16) -> bool {
        self.ring.arm(after)
    }

    /// Asks for no interrupts. With event indices one may still come after 65,535 messages.
    pub fn disarm(&self) {
        self.ring.disarm();
    }

    /// The used ring's index, which the device moves on with each message that it is done with,
    /// and up to where that was looked at.
    #[must_use]
    pub fn used_index(&self) -> (&'static AtomicU16, u16) {
        self.ring.used_index()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::DeviceQueue;

    fn pair(size: u16, memory: usize) -> (Outbox, DeviceQueue) {
        let outbox = Outbox::new(size, memory, true).unwrap();
        let device = DeviceQueue::new(size, outbox.addresses());
        (outbox, device)
    }

    fn send(outbox: &mut Outbox, length: usize, byte: u8) -> bool {
        if !outbox.has_room(length).unwrap() {
            return false;
        }
        outbox.message(length).unwrap().fill(byte);
        outbox.queue(length)
    }

    #[test]
    fn messages_of_any_length_arrive_as_they_were_written() {
        let (mut outbox, mut device) = pair(8, 8192);
        // Long enough for the indices, and the memory, to wrap many times.
        let mut length = 1;
        for round in 0..70_000u32 {
            length = (length * 31 + 7) % 1300;
            assert!(send(&mut outbox, length.max(1), round as u8), "round {round}");
            let _ = outbox.publish();
            if round % 3 == 2 {
                for back in (0..3).rev() {
                    let message = device.next().unwrap();
                    assert!(!message.writable);
                    let bytes = message.bytes();
                    assert!(bytes.iter().all(|byte| *byte == (round - back) as u8), "round {round}");
                    device.give_back(u32::from(message.id), 0);
                }
            }
        }
    }

    #[test]
    fn full_is_full_and_room_comes_back_in_order() {
        let (mut outbox, mut device) = pair(8, 1024);
        for _ in 0..4 {
            assert!(send(&mut outbox, 200, 1));
        }
        assert!(!send(&mut outbox, 60, 1), "four times 256 bytes");
        let _ = outbox.publish();
        let messages: Vec<_> = core::iter::from_fn(|| device.next()).collect();
        // Out of order: nothing can be used again before the oldest is done.
        device.give_back(u32::from(messages[1].id), 0);
        assert!(!send(&mut outbox, 60, 2));
        assert_eq!(outbox.pending(), 3);
        device.give_back(u32::from(messages[0].id), 0);
        assert!(send(&mut outbox, 200, 2));
        assert!(outbox.has_room(60).unwrap());
        assert!(!outbox.has_room(200).unwrap(), "one place stays free");
        for message in &messages[2..] {
            device.give_back(u32::from(message.id), 0);
        }
        let _ = outbox.publish();
        let last = device.next().unwrap();
        assert_eq!(last.bytes(), [2; 200]);
        device.give_back(u32::from(last.id), 0);
        assert!(send(&mut outbox, 1024, 3), "all of it, wherever the last one ended");
        assert!(!outbox.has_room(1).unwrap());
        assert!(!outbox.has_room(1025).unwrap());
    }

    #[test]
    fn no_more_messages_than_descriptors() {
        let (mut outbox, _device) = pair(4, 4096);
        for _ in 0..4 {
            assert!(send(&mut outbox, 1, 0));
        }
        assert!(!send(&mut outbox, 1, 0));
    }

    #[test]
    fn a_hostile_device_gets_errors_not_panics() {
        let lend = || {
            let (mut outbox, device) = pair(4, 4096);
            assert!(send(&mut outbox, 10, 0) && send(&mut outbox, 10, 0));
            let _ = outbox.publish();
            (outbox, device)
        };
        let (mut outbox, mut device) = lend();
        device.set_used_index(3);
        assert_eq!(outbox.reclaim(), Err(DeviceError::UsedTooMany));

        let (mut outbox, mut device) = lend();
        device.give_back(0x1_0000, 0);
        assert_eq!(outbox.reclaim(), Err(DeviceError::UnknownBuffer(0x1_0000)));

        // Twice the younger one, while the older is on its way.
        let (mut outbox, mut device) = lend();
        device.give_back(1, 0);
        device.give_back(1, 0);
        assert_eq!(outbox.reclaim(), Err(DeviceError::UnknownBuffer(1)));
    }

    #[test]
    fn what_was_only_shown_is_notified_later() {
        let (mut outbox, mut device) = pair(8, 4096);
        assert!(send(&mut outbox, 10, 0));
        outbox.show();
        assert!(device.next().is_some());
        assert!(send(&mut outbox, 10, 0));
        assert!(outbox.is_unpublished());
        assert!(outbox.publish(), "the device waits for index 0");
        assert!(send(&mut outbox, 10, 0));
        outbox.show();
        device.notify_at(3);
        assert!(!outbox.publish(), "it took note of that one by itself");
    }
}
