//! Virtio over PCI (virtio 1.2, section 4.1), modern interface with MSI-X.
//!
//! After the seal only the notification registers are left: the common configuration, the
//! device's configuration and the MSI-X table are mapped until the seal only.

use alloc::vec::Vec;
use core::task::{Context, Poll};

use unik::platform::machine::device::{Bar, Interrupt, Mapped, MsiX, PciFunction, map, map_until_seal};

use crate::queue::RingAddresses;
use crate::setup::{Port, SetupError, Transport, bells_alone};

/// Offsets in the common configuration (section 4.1.4.3).
mod common {
    pub const DEVICE_FEATURE_SELECT: usize = 0;
    pub const DEVICE_FEATURE: usize = 4;
    pub const DRIVER_FEATURE_SELECT: usize = 8;
    pub const DRIVER_FEATURE: usize = 12;
    pub const CONFIG_VECTOR: usize = 16;
    pub const QUEUES: usize = 18;
    pub const STATUS: usize = 20;
    pub const GENERATION: usize = 21;
    pub const QUEUE_SELECT: usize = 22;
    pub const QUEUE_SIZE: usize = 24;
    pub const QUEUE_VECTOR: usize = 26;
    pub const QUEUE_ENABLE: usize = 28;
    pub const QUEUE_NOTIFY_OFFSET: usize = 30;
    pub const QUEUE_DESCRIPTORS: usize = 32;
    pub const QUEUE_DRIVER: usize = 40;
    pub const QUEUE_DEVICE: usize = 48;
    pub const LENGTH: u32 = 56;
}

/// The vendor of virtio devices.
const VENDOR: u16 = 0x1af4;
/// A vendor-specific capability.
const VENDOR_CAPABILITY: u8 = 0x09;
/// The MSI-X capability.
const MSIX_CAPABILITY: u8 = 0x11;
/// "No vector" (section 4.1.5.1.2).
const NO_VECTOR: u16 = 0xffff;

/// What a virtio capability points at (section 4.1.4).
mod structure {
    pub const COMMON: u8 = 1;
    pub const NOTIFY: u8 = 2;
    pub const DEVICE: u8 = 4;
}

/// A PCI function that is a virtio device.
#[derive(Debug)]
pub(crate) struct PciTransport {
    common: Mapped,
    device: Option<Mapped>,
    notify: Mapped,
    notify_multiplier: usize,
    msix: MsiX,
    offered: Option<u64>,
    /// How many queues the device has, once asked.
    queues: Option<u16>,
    /// The queue that the device has selected.
    selected: Option<u16>,
    /// The queue whose size was asked for last, and that size: it needn't be written again.
    size: Option<(u16, u16)>,
    bells: Vec<usize>,
    interrupts: Vec<Interrupt>,
}

/// The virtio id (section 5) of `function`; `None` if it is another device (4.1.2).
pub(crate) fn device_id(function: &PciFunction) -> Option<u32> {
    match function.id() {
        (VENDOR, 0x1000) => Some(1),
        (VENDOR, 0x1005) => Some(4),
        (VENDOR, id @ 0x1040..=0x107f) => Some(u32::from(id - 0x1040)),
        _ => None,
    }
}

impl PciTransport {
    /// Maps the registers of `function`.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn open(function: &PciFunction) -> Result<Self, SetupError> {
        let (mut common, mut device, mut notify, mut msix) = (None, None, None, None);
        for capability in function.capabilities() {
            if capability.id == MSIX_CAPABILITY && msix.is_none() {
                msix = Some(capability);
            }
            if capability.id != VENDOR_CAPABILITY {
                continue;
            }
            let at = capability.offset;
            let [_, structure] = capability.head;
            // Where a structure is given twice, the first is the device's preference.
            match structure {
                structure::COMMON if common.is_none() => {
                    common = Some(region(function, at, common::LENGTH)?);
                }
                structure::DEVICE if device.is_none() => device = Some(region(function, at, 1)?),
                structure::NOTIFY if notify.is_none() => {
                    notify = Some((region(function, at, 2)?, function.read32(at + 16)));
                }
                _ => {}
            }
        }
        let (Some(common), Some((notify, multiplier))) = (common, notify) else {
            return Err(SetupError::Legacy);
        };
        let no_table = SetupError::Machine("the PCI function has no usable MSI-X table");
        let msix = msix.ok_or(no_table)?;
        // The table's BAR gets its address now: moving one of a function that decodes is slow.
        function.bar(function.read8(msix.offset + 4) & 7).map_err(|_| no_table)?;
        function.enable().map_err(|_| SetupError::Machine("the PCI function can't be enabled"))?;
        let until_seal = |(address, length)| {
            map_until_seal(address, length)
                .map_err(|_| SetupError::Machine("the device's registers can't be mapped"))
        };
        let common = until_seal(common)?;
        let device = device.map(until_seal).transpose()?;
        let msix = function.msix_at(&msix).map_err(|_| no_table)?;
        let others = [Some(&common), device.as_ref(), Some(msix.table())];
        bells_alone(notify, others.into_iter().flatten().map(|other| (other.phys(), other.len() as u64)))?;
        let notify = map(notify.0, notify.1)
            .map_err(|_| SetupError::Machine("the device's registers can't be mapped"))?;
        let transport = PciTransport {
            common,
            device,
            notify,
            notify_multiplier: multiplier as usize,
            msix,
            offered: None,
            queues: None,
            selected: None,
            size: None,
            bells: Vec::new(),
            interrupts: Vec::new(),
        };
        Ok(transport)
    }

    /// Selects queue `index` for the registers of one queue.
    fn select(&mut self, index: u16) {
        if self.selected != Some(index) {
            self.common.write(common::QUEUE_SELECT, index);
            self.selected = Some(index);
        }
    }

    fn write_address(&self, offset: usize, address: u64) {
        self.common.write(offset, address as u32);
        self.common.write(offset + 4, (address >> 32) as u32);
    }
}

/// Physical address and length of what the capability at `at` points at, checked against its
/// BAR (section 4.1.4).
fn region(function: &PciFunction, at: u16, least: u32) -> Result<(u64, u64), SetupError> {
    let bar = function.read8(at + 4);
    let (offset, length) = (function.read32(at + 8), function.read32(at + 12));
    let Ok(Bar::Memory { address, size, .. }) = function.bar(bar) else {
        return Err(SetupError::Registers("a virtio capability names no memory BAR"));
    };
    if length < least || u64::from(offset) + u64::from(length) > size {
        return Err(SetupError::Registers("a virtio capability lies outside its BAR"));
    }
    Ok((address + u64::from(offset), u64::from(length)))
}

impl Transport for PciTransport {
    type Port = PciPort;

    fn features(&mut self) -> u64 {
        if let Some(offered) = self.offered {
            return offered;
        }
        let half = |index: u32| {
            self.common.write(common::DEVICE_FEATURE_SELECT, index);
            u64::from(self.common.read::<u32>(common::DEVICE_FEATURE))
        };
        let offered = half(0) | half(1) << 32;
        self.offered = Some(offered);
        offered
    }

    fn set_features(&mut self, features: u64) {
        self.common.write(common::DRIVER_FEATURE_SELECT, 0u32);
        self.common.write(common::DRIVER_FEATURE, features as u32);
        self.common.write(common::DRIVER_FEATURE_SELECT, 1u32);
        self.common.write(common::DRIVER_FEATURE, (features >> 32) as u32);
    }

    fn status(&mut self) -> u8 {
        self.common.read(common::STATUS)
    }

    fn set_status(&mut self, status: u8) {
        self.common.write(common::STATUS, status);
    }

    fn queue_limit(&mut self, index: u16) -> u16 {
        if index >= *self.queues.get_or_insert_with(|| self.common.read(common::QUEUES)) {
            return 0;
        }
        self.select(index);
        let limit = self.common.read(common::QUEUE_SIZE);
        self.size = Some((index, limit));
        limit
    }

    fn set_queue(&mut self, index: u16, size: u16, at: RingAddresses) -> Result<(), SetupError> {
        // Queues are set up in their order, so that a bell and a vector have their number.
        if usize::from(index) != self.bells.len() {
            return Err(SetupError::NoQueue);
        }
        if index == 0 {
            self.common.write(common::CONFIG_VECTOR, NO_VECTOR);
        }
        self.select(index);
        let bell = usize::from(self.common.read::<u16>(common::QUEUE_NOTIFY_OFFSET))
            .checked_mul(self.notify_multiplier)
            .filter(|bell| bell + 2 <= self.notify.len() && bell.is_multiple_of(2))
            .ok_or(SetupError::Registers("a queue's bell lies outside the notification registers"))?;
        let interrupt = self
            .msix
            .route(index)
            .map_err(|_| SetupError::Machine("no MSI-X interrupt could be had for a queue"))?;
        self.common.write(common::QUEUE_VECTOR, index);
        if self.common.read::<u16>(common::QUEUE_VECTOR) != index {
            return Err(SetupError::Registers("the device refused an interrupt for a queue"));
        }
        if self.size != Some((index, size)) {
            self.common.write(common::QUEUE_SIZE, size);
        }
        self.write_address(common::QUEUE_DESCRIPTORS, at.descriptors);
        self.write_address(common::QUEUE_DRIVER, at.available);
        self.write_address(common::QUEUE_DEVICE, at.used);
        self.common.write(common::QUEUE_ENABLE, 1u16);
        self.bells.push(bell);
        self.interrupts.push(interrupt);
        Ok(())
    }

    fn config(&mut self, offset: usize) -> u8 {
        match &self.device {
            Some(device) if offset < device.len() => device.read(offset),
            _ => 0,
        }
    }

    fn config_generation(&mut self) -> u32 {
        u32::from(self.common.read::<u8>(common::GENERATION))
    }

    fn start(mut self, status: u8) -> Result<PciPort, SetupError> {
        self.set_status(status);
        Ok(PciPort { notify: self.notify, bells: self.bells, interrupts: self.interrupts })
    }
}

/// A running PCI device.
#[derive(Debug)]
pub(crate) struct PciPort {
    notify: Mapped,
    bells: Vec<usize>,
    interrupts: Vec<Interrupt>,
}

impl Port for PciPort {
    fn notify(&self, index: u16) {
        if let Some(bell) = self.bells.get(usize::from(index)) {
            self.notify.write(*bell, index);
        }
    }

    fn poll_interrupt(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut fired = Poll::Pending;
        for interrupt in &self.interrupts {
            if interrupt.poll(cx).is_ready() {
                fired = Poll::Ready(());
            }
        }
        fired
    }
}
