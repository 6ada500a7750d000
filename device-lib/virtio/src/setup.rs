//! How a driver and its device come together (virtio 1.2, sections 2.1, 2.2 and 3.1).

use core::fmt;
use core::task::{Context, Poll};

use crate::feature;
use crate::queue::RingAddresses;

/// Device status bits (virtio 1.2, section 2.1).
mod status {
    pub const ACKNOWLEDGE: u8 = 1;
    pub const DRIVER: u8 = 2;
    pub const DRIVER_OK: u8 = 4;
    pub const FEATURES_OK: u8 = 8;
    pub const FAILED: u8 = 128;
    /// What [`negotiate`](super::negotiate) leaves.
    pub const NEGOTIATED: u8 = ACKNOWLEDGE | DRIVER | FEATURES_OK;
}

/// How often the status is read until a reset must be over.
const RESET_ATTEMPTS: u32 = 100_000;

/// Access to a device that isn't running yet (virtio 1.2, section 4).
pub trait Transport {
    /// What remains of it when the device runs.
    type Port: Port;

    /// The features that the device offers. Asks the device once: every access to a register
    /// is an exit from the machine.
    fn features(&mut self) -> u64;

    /// Tells the device which features the driver takes.
    fn set_features(&mut self, features: u64);

    /// The device status.
    fn status(&mut self) -> u8;

    /// Writes the device status; 0 resets the device.
    fn set_status(&mut self, status: u8);

    /// The most descriptors that queue `index` can have; 0 if there is no such queue. Selects
    /// the queue, for a [`set_queue`](Self::set_queue) that follows.
    fn queue_limit(&mut self, index: u16) -> u16;

    /// Tells the device where queue `index` is, gives it an interrupt, and enables it.
    ///
    /// # Errors
    /// [`SetupError`].
    fn set_queue(&mut self, index: u16, size: u16, at: RingAddresses) -> Result<(), SetupError>;

    /// The byte at `offset` of the device's own configuration; 0 past its end.
    fn config(&mut self, offset: usize) -> u8;

    /// A value that changes whenever the configuration does (section 2.5).
    fn config_generation(&mut self) -> u32;

    /// Routes what interrupts aren't routed yet, then writes `status`, which sets the device
    /// running: in this order, so that no interrupt comes before there is a way for it. Gives
    /// what is needed while the device runs.
    ///
    /// # Errors
    /// [`SetupError`].
    fn start(self, status: u8) -> Result<Self::Port, SetupError>;

    /// A consistent copy of `N` bytes of configuration at `offset` (section 2.5.3).
    fn config_bytes<const N: usize>(&mut self, offset: usize) -> [u8; N] {
        let mut bytes = [0; N];
        // Bounded: a device that changes it all the time gets what was read last.
        for _ in 0..16 {
            let before = self.config_generation();
            for (index, byte) in bytes.iter_mut().enumerate() {
                *byte = self.config(offset + index);
            }
            if self.config_generation() == before {
                break;
            }
        }
        bytes
    }

    /// Sets a device running with which features were [negotiated](negotiate) (3.1.1, step 8).
    ///
    /// # Errors
    /// [`SetupError`].
    fn activate(self) -> Result<Self::Port, SetupError>
    where
        Self: Sized,
    {
        self.start(status::NEGOTIATED | status::DRIVER_OK)
    }
}

/// A running device: its doorbells and its interrupt.
pub trait Port: 'static {
    /// Tells the device that queue `index` has something for it.
    fn notify(&self, index: u16);

    /// Ready if the device interrupted since the last call; else wakes the waker of `cx`
    /// when it does. An interrupt means "look at the queues", no more.
    fn poll_interrupt(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Resets the device and agrees on features: `VERSION_1`, and those of `wanted` that the
/// device offers (3.1.1, steps 1 to 6). Returns what was agreed on.
///
/// # Errors
/// [`SetupError`]; the device is told that the driver gave up.
pub fn negotiate(transport: &mut impl Transport, wanted: u64) -> Result<u64, SetupError> {
    transport.set_status(0);
    if !(0..RESET_ATTEMPTS).any(|_| transport.status() == 0) {
        return Err(SetupError::NoReset);
    }
    // One after the other: Firecracker refuses both at once.
    transport.set_status(status::ACKNOWLEDGE);
    transport.set_status(status::ACKNOWLEDGE | status::DRIVER);
    let offered = transport.features();
    if offered & feature::VERSION_1 == 0 {
        transport.set_status(status::FAILED);
        return Err(SetupError::Legacy);
    }
    let agreed = offered & (wanted | feature::VERSION_1);
    transport.set_features(agreed);
    transport.set_status(status::NEGOTIATED);
    if transport.status() & status::FEATURES_OK == 0 {
        transport.set_status(status::FAILED);
        return Err(SetupError::Features);
    }
    Ok(agreed)
}

/// Why a device could not be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// The device didn't reset.
    NoReset,
    /// The device is older than virtio 1.0.
    Legacy,
    /// The device refused the features that it offered.
    Features,
    /// The device lacks a queue, or one as large as the driver needs.
    NoQueue,
    /// No memory for the queues.
    NoMemory,
    /// The device's registers aren't as the specification has them.
    Registers(&'static str),
    /// The machine gave no interrupt or no mapping.
    Machine(&'static str),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SetupError::NoReset => "the device didn't reset",
            SetupError::Legacy => {
                "the device is older than virtio 1.0; with QEMU say \
                 `-global virtio-mmio.force-legacy=false`, or `disable-legacy=on` for PCI"
            }
            SetupError::Features => "the device refused the features that it offered",
            SetupError::NoQueue => "the device lacks a queue that the driver needs",
            SetupError::NoMemory => "there is not enough memory for the queues",
            SetupError::Registers(what) | SetupError::Machine(what) => what,
        })
    }
}

impl core::error::Error for SetupError {}

/// Refuses a device that has something else in a page of its bells, since those pages stay. Each is
/// an address and a length.
///
/// # Errors
/// [`SetupError::Registers`].
#[cfg_attr(not(unik_machine), allow(dead_code, reason = "for the transport over PCI"))]
pub(crate) fn bells_alone(
    bells: (u64, u64),
    others: impl IntoIterator<Item = (u64, u64)>,
) -> Result<(), SetupError> {
    let pages = |(address, length): (u64, u64)| {
        (address >> 12, address.saturating_add(length.saturating_sub(1)) >> 12)
    };
    let (first, last) = pages(bells);
    let shares = |other: (u64, u64)| {
        let (other_first, other_last) = pages(other);
        first <= other_last && other_first <= last
    };
    if others.into_iter().any(shares) {
        return Err(SetupError::Registers("the device's bells share a page with other registers"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::{Device, MockTransport};

    #[test]
    fn features_are_those_that_both_have() {
        let mut transport = MockTransport::new(Device::new(0b1011 | feature::VERSION_1, &[64]));
        assert_eq!(negotiate(&mut transport, 0b0110), Ok(0b0010 | feature::VERSION_1));
        assert_eq!(transport.status(), 11);
    }

    #[test]
    fn an_old_device_is_refused() {
        let mut transport = MockTransport::new(Device::new(0b1011, &[64]));
        assert_eq!(negotiate(&mut transport, 0), Err(SetupError::Legacy));
        assert_eq!(transport.status(), 128);
    }

    #[test]
    fn a_device_that_refuses_the_features_or_never_resets_is_refused() {
        let device = Device::new(feature::VERSION_1, &[64]);
        device.refuse_features();
        assert_eq!(negotiate(&mut MockTransport::new(device), 0), Err(SetupError::Features));
        let device = Device::new(feature::VERSION_1, &[64]);
        device.never_reset();
        assert_eq!(negotiate(&mut MockTransport::new(device), 0), Err(SetupError::NoReset));
    }

    #[test]
    fn bells_are_alone_in_their_pages() {
        let bells = (0xfe00_3000, 0x1000);
        // As QEMU has them: a page for each.
        assert_eq!(bells_alone(bells, [(0xfe00_0000, 56), (0xfe00_2000, 0x1000), (0xfe00_4000, 64)]), Ok(()));
        assert_eq!(bells_alone(bells, []), Ok(()));
        let refused = Err(SetupError::Registers("the device's bells share a page with other registers"));
        for other in
            [(0xfe00_3000, 56), (0xfe00_3ff8, 8), (0xfe00_2fff, 2), (0xfe00_0000, 0x4_0000), (0xfe00_3800, 0)]
        {
            assert_eq!(bells_alone(bells, [(0xfe00_0000, 56), other]), refused, "{other:x?}");
        }
        // Bells in the middle of a page, and over several.
        assert_eq!(bells_alone((0xfe00_3800, 4), [(0xfe00_3000, 56)]), refused);
        assert_eq!(bells_alone((0xfe00_3000, 0x4000), [(0xfe00_6fff, 1)]), refused);
        assert_eq!(bells_alone((0xfe00_3000, 0x4000), [(0xfe00_7000, 1)]), Ok(()));
    }
}
