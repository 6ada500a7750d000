//! Virtio over MMIO (virtio 1.2, section 4.2).
//!
//! The registers that move data, the bells and the acknowledgement of the interrupt, share a
//! page with those that say where the queues are. So after the seal the page is the gate's, and
//! what it writes there for the driver was fixed before.

use alloc::vec::Vec;
use core::task::{Context, Poll};

use unik::platform::machine::device::{
    GateWrite, Interrupt, Mapped, MmioWindow, Trigger, map_for_gate, map_until_seal,
};

use crate::queue::RingAddresses;
use crate::setup::{Port, SetupError, Transport};

/// Register offsets (section 4.2.2).
mod register {
    pub const MAGIC: usize = 0x00;
    pub const VERSION: usize = 0x04;
    pub const DEVICE_ID: usize = 0x08;
    pub const DEVICE_FEATURES: usize = 0x10;
    pub const DEVICE_FEATURES_SELECT: usize = 0x14;
    pub const DRIVER_FEATURES: usize = 0x20;
    pub const DRIVER_FEATURES_SELECT: usize = 0x24;
    pub const QUEUE_SELECT: usize = 0x30;
    pub const QUEUE_SIZE_MAX: usize = 0x34;
    pub const QUEUE_SIZE: usize = 0x38;
    pub const QUEUE_READY: usize = 0x44;
    pub const QUEUE_NOTIFY: usize = 0x50;
    pub const INTERRUPT_ACKNOWLEDGE: usize = 0x64;
    pub const STATUS: usize = 0x70;
    pub const QUEUE_DESCRIPTORS: usize = 0x80;
    pub const QUEUE_DRIVER: usize = 0x90;
    pub const QUEUE_DEVICE: usize = 0xa0;
    pub const CONFIG_GENERATION: usize = 0xfc;
    pub const CONFIG: usize = 0x100;
}

/// Both causes of an interrupt: used buffers, a change of the configuration.
const ALL_CAUSES: u32 = 3;

/// "virt", little-endian.
const MAGIC: u32 = 0x7472_6976;

/// A device in an MMIO window.
#[derive(Debug)]
pub(crate) struct MmioTransport {
    registers: Mapped,
    gsi: u32,
    offered: Option<u64>,
    /// The queue that the device has selected.
    selected: Option<u16>,
    bells: Vec<GateWrite>,
}

impl MmioTransport {
    /// The device in `window` and its id (section 5); `None` where there is none.
    ///
    /// # Errors
    /// [`SetupError::Legacy`], and [`SetupError::Machine`] if it can't be mapped.
    pub fn open(window: MmioWindow) -> Result<Option<(Self, u32)>, SetupError> {
        if window.size < register::CONFIG as u64 {
            return Ok(None);
        }
        // Only up to the seal: the driver may not take it.
        let registers = map_until_seal(window.base, window.size)
            .map_err(|_| SetupError::Machine("a virtio-mmio window can't be mapped"))?;
        let id = registers.read::<u32>(register::DEVICE_ID);
        if registers.read::<u32>(register::MAGIC) != MAGIC || id == 0 {
            return Ok(None);
        }
        if registers.read::<u32>(register::VERSION) != 2 {
            return Err(SetupError::Legacy);
        }
        Ok(Some((
            MmioTransport { registers, gsi: window.gsi, offered: None, selected: None, bells: Vec::new() },
            id,
        )))
    }

    fn write(&self, offset: usize, value: u32) {
        self.registers.write(offset, value);
    }

    /// Selects queue `index` for the registers of one queue.
    fn select(&mut self, index: u16) {
        if self.selected != Some(index) {
            self.write(register::QUEUE_SELECT, u32::from(index));
            self.selected = Some(index);
        }
    }

    /// A write that the gate does when the device runs.
    fn gate_write(&self, offset: usize, value: u32) -> Result<GateWrite, SetupError> {
        self.registers
            .gate_write(offset, value)
            .map_err(|_| SetupError::Machine("the gate takes no more writes to registers"))
    }

    fn write_address(&self, offset: usize, address: u64) {
        self.write(offset, address as u32);
        self.write(offset + 4, (address >> 32) as u32);
    }
}

impl Transport for MmioTransport {
    type Port = MmioPort;

    fn features(&mut self) -> u64 {
        if let Some(offered) = self.offered {
            return offered;
        }
        let half = |index: u32| {
            self.write(register::DEVICE_FEATURES_SELECT, index);
            u64::from(self.registers.read::<u32>(register::DEVICE_FEATURES))
        };
        let offered = half(0) | half(1) << 32;
        self.offered = Some(offered);
        offered
    }

    fn set_features(&mut self, features: u64) {
        self.write(register::DRIVER_FEATURES_SELECT, 0);
        self.write(register::DRIVER_FEATURES, features as u32);
        self.write(register::DRIVER_FEATURES_SELECT, 1);
        self.write(register::DRIVER_FEATURES, (features >> 32) as u32);
    }

    fn status(&mut self) -> u8 {
        self.registers.read::<u32>(register::STATUS) as u8
    }

    fn set_status(&mut self, status: u8) {
        self.write(register::STATUS, u32::from(status));
    }

    fn queue_limit(&mut self, index: u16) -> u16 {
        self.select(index);
        let limit = self.registers.read::<u32>(register::QUEUE_SIZE_MAX);
        u16::try_from(limit).unwrap_or(1 << 15)
    }

    fn set_queue(&mut self, index: u16, size: u16, at: RingAddresses) -> Result<(), SetupError> {
        // Queues are set up in their order, so that a bell has their number.
        if usize::from(index) != self.bells.len() {
            return Err(SetupError::NoQueue);
        }
        self.bells.push(self.gate_write(register::QUEUE_NOTIFY, u32::from(index))?);
        // That it isn't in use needn't be asked (section 4.2.3.2, step 2): the reset saw to it.
        self.select(index);
        self.write(register::QUEUE_SIZE, u32::from(size));
        self.write_address(register::QUEUE_DESCRIPTORS, at.descriptors);
        self.write_address(register::QUEUE_DRIVER, at.available);
        self.write_address(register::QUEUE_DEVICE, at.used);
        self.write(register::QUEUE_READY, 1);
        Ok(())
    }

    fn config(&mut self, offset: usize) -> u8 {
        let offset = register::CONFIG + offset;
        if offset < self.registers.len() { self.registers.read(offset) } else { 0 }
    }

    fn config_generation(&mut self) -> u32 {
        self.registers.read(register::CONFIG_GENERATION)
    }

    fn start(mut self, status: u8) -> Result<MmioPort, SetupError> {
        // While the line is low: the reset cleared its causes, and there are none up to here.
        let interrupt = Interrupt::from_gsi(self.gsi, Trigger::Edge)
            .map_err(|_| SetupError::Machine("the device's interrupt line can't be routed"))?;
        let acknowledge = self.gate_write(register::INTERRUPT_ACKNOWLEDGE, ALL_CAUSES)?;
        map_for_gate(self.registers.phys(), self.registers.len() as u64)
            .map_err(|_| SetupError::Machine("a virtio-mmio window can't be kept"))?;
        self.set_status(status);
        Ok(MmioPort { bells: self.bells, acknowledge, interrupt })
    }
}

/// A running device in an MMIO window.
#[derive(Debug)]
pub(crate) struct MmioPort {
    bells: Vec<GateWrite>,
    acknowledge: GateWrite,
    interrupt: Interrupt,
}

impl Port for MmioPort {
    fn notify(&self, index: u16) {
        if let Some(bell) = self.bells.get(usize::from(index)) {
            bell.write();
        }
    }

    fn poll_interrupt(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let fired = self.interrupt.poll(cx);
        if fired.is_ready() {
            // Both causes at once, without asking which: reading the status is another exit.
            // What the device uses from here on raises the line anew.
            self.acknowledge.write();
        }
        fired.map(drop)
    }
}
