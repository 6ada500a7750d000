//! `Frames`: an Ethernet link.

use core::ops::DerefMut;
use core::task::{Context, Poll};

/// An Ethernet link with one user: the network wired to it.
///
/// Frames are whole Ethernet II frames without the frame check sequence. A received
/// frame stays in the buffer that the device filled; giving it back with
/// [`release`](Self::release) returns the buffer to the device.
pub trait Frames: 'static {
    /// A received frame, in the device's own buffer.
    type Received: DerefMut<Target = [u8]>;

    /// The link's address (IEEE 802 MAC).
    fn mac(&self) -> [u8; 6];

    /// The largest payload of a frame in bytes, without the Ethernet header: 68 to 65535.
    fn mtu(&self) -> usize;

    /// Which checksums the device verifies on receive and fills in on transmit.
    fn checksums(&self) -> Checksums {
        Checksums::default()
    }

    /// The next received frame, if there is one.
    fn receive(&mut self) -> Option<Self::Received>;

    /// Gives a received frame's buffer back to the device.
    fn release(&mut self, frame: Self::Received);

    /// Whether [`transmit`](Self::transmit) has room for a frame now.
    fn can_transmit(&mut self) -> bool;

    /// Queues one frame of `length` bytes that `fill` writes. The device may see it
    /// only at the next [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`FullRing`] when there is no room; `fill` was not called.
    ///
    /// # Panics
    /// When `length` is more than [`mtu`](Self::mtu) + 14.
    fn transmit<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> Result<R, FullRing>;

    /// Tells the device of all queued frames, with one notification at most.
    fn flush(&mut self);

    /// Ready when a frame may have arrived, or room has come for one after
    /// [`FullRing`]. Spurious readiness is allowed.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// There is no room in the transmit ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullRing;

/// What the device does about transport checksums (virtio 1.2 section 5.1.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    /// The device has verified those of received frames, or they never left the host.
    pub receive: bool,
    /// The device fills in those of transmitted frames.
    pub transmit: bool,
}
