//! The search for a device on the machine, on both transports.

use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll};

use unik::platform::machine::device::{mmio_windows, pci_functions};

use crate::Kind;
use crate::mmio::{MmioPort, MmioTransport};
use crate::pci::{PciPort, PciTransport, device_id};
use crate::queue::RingAddresses;
use crate::setup::{Port, SetupError, Transport};

/// Why no device was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindError {
    /// There is none of this kind that isn't in use already.
    Missing,
    /// There is one, but it can't be used.
    Unusable(SetupError),
}

/// The most devices that one image drives.
const MOST_DEVICES: usize = 16;

/// The devices that have a driver, so that a second instance gets the next one: the physical
/// address of an MMIO window, or a PCI address with the top bit set; 0 is free.
static CLAIMED: [AtomicU64; MOST_DEVICES] = [const { AtomicU64::new(0) }; MOST_DEVICES];

fn is_claimed(key: u64) -> bool {
    CLAIMED.iter().any(|claim| claim.load(Ordering::Relaxed) == key)
}

/// Claims the device with `key`; `false` if somebody has it or the table is full.
fn claim(key: u64) -> bool {
    !is_claimed(key)
        && CLAIMED
            .iter()
            .any(|slot| slot.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed).is_ok())
}

/// The first device of this `kind` that has no driver yet and that `accept` takes.
/// Windows named on the boot line come first, in its order, then PCI functions by address.
///
/// `accept` may read the device's configuration; it must not change the device.
///
/// # Errors
/// [`FindError`].
pub fn find(
    kind: Kind,
    mut accept: impl FnMut(&mut MachineTransport) -> bool,
) -> Result<MachineTransport, FindError> {
    let mut unusable = None;
    let mut consider = |key: u64, opened: Result<MachineTransport, SetupError>| match opened {
        Ok(mut transport) => (accept(&mut transport) && claim(key)).then_some(transport),
        Err(error) => {
            unusable.get_or_insert(error);
            None
        }
    };
    for window in mmio_windows() {
        if is_claimed(window.base) {
            continue;
        }
        let opened = match MmioTransport::open(window) {
            Ok(Some((transport, id))) if id == kind as u32 => Ok(MachineTransport::Mmio(transport)),
            Ok(_) => continue,
            Err(error) => Err(error),
        };
        if let Some(found) = consider(window.base, opened) {
            return Ok(found);
        }
    }
    for function in pci_functions() {
        let place = function.address();
        let key =
            1 << 63 | u64::from(place.bus) << 16 | u64::from(place.device) << 8 | u64::from(place.function);
        if device_id(&function) != Some(kind as u32) || is_claimed(key) {
            continue;
        }
        if let Some(found) = consider(key, PciTransport::open(&function).map(MachineTransport::Pci)) {
            return Ok(found);
        }
    }
    Err(unusable.map_or(FindError::Missing, FindError::Unusable))
}

/// A device on either transport.
#[derive(Debug)]
#[allow(private_interfaces, reason = "the transports are used through the trait")]
pub enum MachineTransport {
    /// In an MMIO window.
    #[doc(hidden)]
    Mmio(MmioTransport),
    /// A PCI function.
    #[doc(hidden)]
    Pci(PciTransport),
}

/// Calls the same method on whichever transport it is.
macro_rules! either {
    ($self:ident, $transport:ident => $call:expr) => {
        match $self {
            Self::Mmio($transport) => $call,
            Self::Pci($transport) => $call,
        }
    };
}

impl Transport for MachineTransport {
    type Port = MachinePort;

    fn features(&mut self) -> u64 {
        either!(self, transport => transport.features())
    }

    fn set_features(&mut self, features: u64) {
        either!(self, transport => transport.set_features(features));
    }

    fn status(&mut self) -> u8 {
        either!(self, transport => transport.status())
    }

    fn set_status(&mut self, status: u8) {
        either!(self, transport => transport.set_status(status));
    }

    fn queue_limit(&mut self, index: u16) -> u16 {
        either!(self, transport => transport.queue_limit(index))
    }

    fn set_queue(&mut self, index: u16, size: u16, at: RingAddresses) -> Result<(), SetupError> {
        either!(self, transport => transport.set_queue(index, size, at))
    }

    fn config(&mut self, offset: usize) -> u8 {
        either!(self, transport => transport.config(offset))
    }

    fn config_generation(&mut self) -> u32 {
        either!(self, transport => transport.config_generation())
    }

    fn start(self, status: u8) -> Result<MachinePort, SetupError> {
        match self {
            Self::Mmio(transport) => transport.start(status).map(MachinePort::Mmio),
            Self::Pci(transport) => transport.start(status).map(MachinePort::Pci),
        }
    }
}

/// A running device on either transport.
#[derive(Debug)]
#[allow(private_interfaces, reason = "the ports are used through the trait")]
pub enum MachinePort {
    /// In an MMIO window.
    #[doc(hidden)]
    Mmio(MmioPort),
    /// A PCI function.
    #[doc(hidden)]
    Pci(PciPort),
}

impl Port for MachinePort {
    fn notify(&self, index: u16) {
        either!(self, port => port.notify(index));
    }

    fn poll_interrupt(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        either!(self, port => port.poll_interrupt(cx))
    }
}
