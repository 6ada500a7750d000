//! A virtio device in host memory, for the tests of drivers (feature `mock`).
//!
//! A test plays the device by hand: it takes chains from a [`DeviceQueue`], writes into
//! them, and gives them back, honestly or not.

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};

use crate::feature;
use crate::queue::RingAddresses;
use crate::setup::{Port, SetupError, Transport};

fn u16_at(address: u64) -> &'static AtomicU16 {
    // SAFETY: addresses come from a `Queue` in this process, whose rings are never freed,
    // are aligned, and are only accessed by atomics.
    unsafe { AtomicU16::from_ptr(with_exposed_provenance_mut(address as usize)) }
}

fn u32_at(address: u64) -> &'static AtomicU32 {
    // SAFETY: as in `u16_at`.
    unsafe { AtomicU32::from_ptr(with_exposed_provenance_mut(address as usize)) }
}

/// The device's side of one queue.
#[derive(Debug)]
pub struct DeviceQueue {
    size: u16,
    at: RingAddresses,
    next_available: u16,
    used: u16,
    /// The used index at the last look at `used_event`.
    signalled: u16,
}

/// A buffer that the driver offered.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    /// The descriptor.
    pub id: u16,
    /// Whether the device may write it.
    pub writable: bool,
    address: u64,
    length: usize,
}

impl Chain {
    /// A copy of its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let base: *const u8 = with_exposed_provenance_mut(self.address as usize);
        // SAFETY: the driver offered these bytes, so it holds no reference to them now.
        unsafe { core::slice::from_raw_parts(base, self.length) }.to_vec()
    }

    /// Writes `data` at its start.
    ///
    /// # Panics
    /// If the buffer isn't writable or too short.
    pub fn write(&self, data: &[u8]) {
        assert!(self.writable && data.len() <= self.length);
        let base: *mut u8 = with_exposed_provenance_mut(self.address as usize);
        // SAFETY: as in `bytes`; the length was checked.
        unsafe { core::ptr::copy_nonoverlapping(data.as_ptr(), base, data.len()) };
    }
}

impl DeviceQueue {
    /// The queue of `size` descriptors at `at`.
    #[must_use]
    pub fn new(size: u16, at: RingAddresses) -> Self {
        DeviceQueue { size, at, next_available: 0, used: 0, signalled: 0 }
    }

    /// The next buffer that the driver offered.
    #[allow(clippy::should_implement_trait, reason = "a later call may have more")]
    pub fn next(&mut self) -> Option<Chain> {
        let available = u16_at(self.at.available + 2).load(Ordering::Acquire);
        if available == self.next_available {
            return None;
        }
        let slot = u64::from(self.next_available % self.size);
        self.next_available = self.next_available.wrapping_add(1);
        let id = u16_at(self.at.available + 4 + 2 * slot).load(Ordering::Acquire);
        let descriptor = self.at.descriptors + 16 * u64::from(id);
        let low = u32_at(descriptor).load(Ordering::Acquire);
        let high = u32_at(descriptor + 4).load(Ordering::Acquire);
        let length = u32_at(descriptor + 8).load(Ordering::Acquire);
        let flags = u16_at(descriptor + 12).load(Ordering::Acquire);
        Some(Chain {
            id,
            writable: flags & 2 != 0,
            address: u64::from(high) << 32 | u64::from(low),
            length: length as usize,
        })
    }

    /// Puts `id` into the used ring, be it true or not.
    pub fn give_back(&mut self, id: u32, written: u32) {
        let entry = self.at.used + 4 + 8 * u64::from(self.used % self.size);
        u32_at(entry).store(id, Ordering::Release);
        u32_at(entry + 4).store(written, Ordering::Release);
        self.set_used_index(self.used.wrapping_add(1));
    }

    /// Sets the used index, be it true or not.
    pub fn set_used_index(&mut self, index: u16) {
        self.used = index;
        u16_at(self.at.used + 2).store(index, Ordering::SeqCst);
    }

    /// Whether the driver wants an interrupt for what was used since the last call.
    pub fn wants_interrupt(&mut self, event_index: bool) -> bool {
        if !event_index {
            return u16_at(self.at.available).load(Ordering::SeqCst) & 1 == 0;
        }
        let event = u16_at(self.at.available + 4 + 2 * u64::from(self.size)).load(Ordering::SeqCst);
        let old = core::mem::replace(&mut self.signalled, self.used);
        self.used.wrapping_sub(event).wrapping_sub(1) < self.used.wrapping_sub(old)
    }

    /// Asks for a notification when the available index passes `index`.
    pub fn notify_at(&mut self, index: u16) {
        u16_at(self.at.used + 4 + 8 * u64::from(self.size)).store(index, Ordering::SeqCst);
    }

    /// Asks for notifications or for none (without event indices).
    pub fn suppress_notifications(&self, suppress: bool) {
        u16_at(self.at.used).store(u16::from(suppress), Ordering::SeqCst);
    }

    /// A copy of the descriptor table, in words.
    #[must_use]
    pub fn descriptor_table(&self) -> Vec<u32> {
        (0..4 * u64::from(self.size))
            .map(|word| u32_at(self.at.descriptors + 4 * word).load(Ordering::SeqCst))
            .collect()
    }
}

#[derive(Debug)]
struct State {
    features: Cell<u64>,
    agreed: Cell<u64>,
    status: Cell<u8>,
    limits: Vec<u16>,
    config: RefCell<Vec<u8>>,
    queues: RefCell<Vec<Option<DeviceQueue>>>,
    notifications: RefCell<Vec<u32>>,
    interrupt: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    refuse: Cell<bool>,
    stuck: Cell<bool>,
}

/// A device; clones are the same one.
#[derive(Clone, Debug)]
pub struct Device(Rc<State>);

impl Device {
    /// A device that offers `features` and queues of at most `limits` descriptors.
    #[must_use]
    pub fn new(features: u64, limits: &[u16]) -> Device {
        Device(Rc::new(State {
            features: Cell::new(features),
            agreed: Cell::new(0),
            status: Cell::new(0),
            limits: limits.to_vec(),
            config: RefCell::default(),
            queues: RefCell::new(limits.iter().map(|_| None).collect()),
            notifications: RefCell::new(vec![0; limits.len()]),
            interrupt: Cell::new(false),
            waker: RefCell::default(),
            refuse: Cell::new(false),
            stuck: Cell::new(false),
        }))
    }

    /// Sets the device's configuration.
    pub fn set_config(&self, bytes: &[u8]) {
        *self.0.config.borrow_mut() = bytes.to_vec();
    }

    /// From now on it refuses whatever features the driver takes.
    pub fn refuse_features(&self) {
        self.0.refuse.set(true);
    }

    /// From now on it never resets.
    pub fn never_reset(&self) {
        self.0.status.set(1);
        self.0.stuck.set(true);
    }

    /// What the driver agreed to.
    #[must_use]
    pub fn agreed(&self) -> u64 {
        self.0.agreed.get()
    }

    /// Plays the device on queue `index`.
    ///
    /// # Panics
    /// If the driver hasn't set up the queue.
    pub fn queue<R>(&self, index: usize, play: impl FnOnce(&mut DeviceQueue) -> R) -> R {
        play(self.0.queues.borrow_mut()[index].as_mut().expect("the queue is set up"))
    }

    /// How often the driver rang the bell of queue `index`.
    #[must_use]
    pub fn notifications(&self, index: usize) -> u32 {
        self.0.notifications.borrow()[index]
    }

    /// Interrupts the driver if it armed queue `index` for what was used; says whether.
    pub fn interrupt(&self, index: usize) -> bool {
        let event_index = self.agreed() & feature::EVENT_INDEX != 0;
        let wanted = self.queue(index, |queue| queue.wants_interrupt(event_index));
        if wanted {
            self.0.interrupt.set(true);
            if let Some(waker) = self.0.waker.borrow_mut().take() {
                waker.wake();
            }
        }
        wanted
    }
}

/// The way to a [`Device`] that isn't running yet.
#[derive(Debug)]
pub struct MockTransport(Device);

impl MockTransport {
    /// The way to `device`.
    #[must_use]
    pub fn new(device: Device) -> Self {
        MockTransport(device)
    }
}

impl Transport for MockTransport {
    type Port = MockPort;

    fn features(&mut self) -> u64 {
        self.0.0.features.get()
    }

    fn set_features(&mut self, features: u64) {
        self.0.0.agreed.set(features);
    }

    fn status(&mut self) -> u8 {
        self.0.0.status.get()
    }

    fn set_status(&mut self, status: u8) {
        if self.0.0.stuck.get() {
            return;
        }
        let refused = if self.0.0.refuse.get() { 8 } else { 0 };
        self.0.0.status.set(status & !refused);
    }

    fn queue_limit(&mut self, index: u16) -> u16 {
        self.0.0.limits.get(usize::from(index)).copied().unwrap_or(0)
    }

    fn set_queue(&mut self, index: u16, size: u16, at: RingAddresses) -> Result<(), SetupError> {
        let mut queues = self.0.0.queues.borrow_mut();
        let slot = queues.get_mut(usize::from(index)).ok_or(SetupError::NoQueue)?;
        *slot = Some(DeviceQueue::new(size, at));
        Ok(())
    }

    fn config(&mut self, offset: usize) -> u8 {
        self.0.0.config.borrow().get(offset).copied().unwrap_or(0)
    }

    fn config_generation(&mut self) -> u32 {
        0
    }

    fn start(mut self, status: u8) -> Result<MockPort, SetupError> {
        self.set_status(status);
        Ok(MockPort(self.0))
    }
}

/// The way to a running [`Device`].
#[derive(Debug)]
pub struct MockPort(Device);

impl Port for MockPort {
    fn notify(&self, index: u16) {
        self.0.0.notifications.borrow_mut()[usize::from(index)] += 1;
    }

    fn poll_interrupt(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        *self.0.0.waker.borrow_mut() = Some(cx.waker().clone());
        if self.0.0.interrupt.take() { Poll::Ready(()) } else { Poll::Pending }
    }
}
