//! `Frames`: an Ethernet link.

use core::num::NonZeroU16;
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

    /// What the device takes over of sending.
    fn offloads(&self) -> Offloads {
        Offloads::default()
    }

    /// The next received frame, if there is one. One of TCP may be longer than [`mtu`](Self::mtu):
    /// segments that were put together on their way, or never taken apart.
    fn receive(&mut self) -> Option<Self::Received>;

    /// Whether the checksum of the frame's transport header needn't be verified: the device did,
    /// or it never left the host. The field itself may hold anything then.
    fn is_verified(&self, frame: &Self::Received) -> bool {
        let _ = frame;
        false
    }

    /// Gives a received frame's buffer back to the device.
    fn release(&mut self, frame: Self::Received);

    /// Whether [`transmit`](Self::transmit) has room for any frame now, and
    /// [`transmit_offloaded`](Self::transmit_offloaded) for the longest.
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

    /// As [`transmit`](Self::transmit), but the device finishes the frame. One that it cuts into
    /// segments may be as long as [`Offloads::segmentation`] says.
    ///
    /// # Errors
    /// [`FullRing`] when there is no room; `fill` was not called.
    ///
    /// # Panics
    /// When the frame is too long, or the device doesn't do that: see [`offloads`](Self::offloads).
    fn transmit_offloaded<R>(
        &mut self,
        length: usize,
        offload: Offload,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, FullRing> {
        let _ = fill;
        panic!("a link without offloads was asked for {offload:?} of {length} bytes")
    }

    /// Tells the device of all queued frames, with one notification at most.
    fn flush(&mut self);

    /// Ready when a frame may have arrived, or room has come for one after
    /// [`FullRing`]. Spurious readiness is allowed.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// There is no room in the transmit ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullRing;

/// What a device takes over of sending (virtio 1.2, section 5.1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// The checksum of a transport header, where that is asked for.
    pub checksum: bool,
    /// The longest frame of TCP over IPv4 or IPv6 that it cuts into segments, Ethernet header
    /// included; `None` if it doesn't. It does so only with the checksum.
    pub segmentation: Option<usize>,
}

/// What the device is to do to a frame before it goes out (virtio 1.2, section 5.1.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// Where the transport header begins in the frame. The checksum covers all from there on.
    pub transport: u16,
    /// Where in that header the checksum is; it holds the sum over the pseudo-header, not
    /// complemented.
    pub checksum: u16,
    /// Bytes of data for each segment of TCP, if it is to be cut.
    pub segment: Option<NonZeroU16>,
}
