//! Interrupts as events: a vector each, counted, with one waiter.
//!
//! There are no handlers. The gate takes an interrupt only while it sleeps and tells its
//! vector to [`wait`](super::wait), which counts it here and wakes the waiter.

use core::cell::{Cell, RefCell};
use core::task::{Context, Poll, Waker};

use super::gate::{END_DEVICE_VECTOR, FIRST_DEVICE_VECTOR};
use super::memory::Range;
use super::paging::{self, Until};
use super::{OneThread, apic};

/// How a line says that it wants attention. Lines are active high.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A rising edge: virtio-mmio.
    Edge,
    /// High for as long as the device wants attention: it comes again and again until the
    /// device is told to stop.
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
    /// All 16 vectors are taken.
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

const VECTORS: usize = (END_DEVICE_VECTOR - FIRST_DEVICE_VECTOR) as usize;

/// What is known of one vector.
struct Slot {
    /// Times it fired since the waiter was last told.
    count: Cell<u32>,
    waker: RefCell<Option<Waker>>,
}

static SLOTS: OneThread<[Slot; VECTORS]> =
    OneThread::new([const { Slot { count: Cell::new(0), waker: RefCell::new(None) } }; VECTORS]);
static TAKEN: OneThread<Cell<usize>> = OneThread::new(Cell::new(0));

/// Counts an interrupt and wakes its waiter.
pub fn raise(vector: u8) {
    let index = usize::from(vector.wrapping_sub(FIRST_DEVICE_VECTOR));
    // Others are the spurious vector, which means nothing.
    let Some(slot) = SLOTS.get(index) else { return };
    slot.count.set(slot.count.get().saturating_add(1));
    let waker = slot.waker.borrow_mut().take();
    if let Some(waker) = waker {
        waker.wake();
    }
}

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
        let controller = IoApic::of(gsi)?;
        let interrupt = Interrupt::new()?;
        controller.route(gsi, interrupt.vector, trigger);
        Ok(interrupt)
    }

    /// A message-signalled interrupt: what the device is to write to raise it.
    ///
    /// [`MsiX::route`](super::pci::MsiX::route) does this for PCI functions.
    ///
    /// # Errors
    /// See [`InterruptError`].
    pub fn from_message() -> Result<(Interrupt, Message), InterruptError> {
        let interrupt = Interrupt::new()?;
        // Edge-triggered, fixed delivery, to this processor.
        let message =
            Message { address: 0xfee0_0000 | u64::from(apic::id()) << 12, data: interrupt.vector.into() };
        Ok((interrupt, message))
    }

    fn new() -> Result<Interrupt, InterruptError> {
        if paging::is_sealed() {
            return Err(InterruptError::Sealed);
        }
        let index = TAKEN.get();
        if index >= VECTORS {
            return Err(InterruptError::NoVector);
        }
        TAKEN.set(index + 1);
        Ok(Interrupt { vector: FIRST_DEVICE_VECTOR + index as u8 })
    }

    /// Ready with the number of times it fired since the last ready poll (at least 1);
    /// otherwise the waker of `context` is woken when it next fires. The last waker wins.
    ///
    /// Several can arrive as one: take it as "look at the device".
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<u32> {
        let slot = &SLOTS[usize::from(self.vector - FIRST_DEVICE_VECTOR)];
        match slot.count.take() {
            0 => {
                let mut waker = slot.waker.borrow_mut();
                match &mut *waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
            count => Poll::Ready(count),
        }
    }
}

/// An I/O APIC (Intel 82093AA). Its pages vanish at the seal; level-triggered lines need no
/// more of it, because the local APIC's end of interrupt reaches it by itself.
struct IoApic {
    base: u64,
    first_gsi: u32,
}

impl IoApic {
    /// QEMU's microvm has a second one behind the first.
    const BASES: [u64; 2] = [0xfec0_0000, 0xfec1_0000];
    const VERSION: u32 = 1;
    const REDIRECTION: u32 = 0x10;
    const LEVEL: u32 = 1 << 15;

    /// The one that has this line.
    fn of(gsi: u32) -> Result<IoApic, InterruptError> {
        let mut first_gsi = 0;
        for base in Self::BASES {
            let page = Range { start: base, end: base + 4096 };
            match paging::map_registers(page, Until::Seal) {
                Ok(()) => {}
                Err(super::device::MapError::Sealed) => return Err(InterruptError::Sealed),
                Err(_) => return Err(InterruptError::NoSuchLine),
            }
            let controller = IoApic { base, first_gsi };
            let version = controller.read(Self::VERSION);
            if version == 0 || version == u32::MAX {
                break;
            }
            let lines = (version >> 16 & 0xff) + 1;
            if gsi < first_gsi + lines {
                return Ok(controller);
            }
            first_gsi += lines;
        }
        Err(InterruptError::NoSuchLine)
    }

    fn route(&self, gsi: u32, vector: u8, trigger: Trigger) {
        let register = Self::REDIRECTION + 2 * (gsi - self.first_gsi);
        let level = if trigger == Trigger::Level { Self::LEVEL } else { 0 };
        self.write(register + 1, u32::from(apic::id()) << 24);
        self.write(register, u32::from(vector) | level);
    }

    fn read(&self, register: u32) -> u32 {
        let base = self.base as *mut u32;
        // SAFETY: `of` mapped the page, before the seal, and only it and its caller use this;
        // offset 0 selects the register that offset 16 shows.
        unsafe {
            base.write_volatile(register);
            base.add(4).read_volatile()
        }
    }

    fn write(&self, register: u32, value: u32) {
        let base = self.base as *mut u32;
        // SAFETY: as in `read`; the register routes an interrupt and reaches no memory.
        unsafe {
            base.write_volatile(register);
            base.add(4).write_volatile(value);
        }
    }
}
