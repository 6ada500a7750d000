//! The driver itself, on any transport.

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};
use core::task::{Context, Poll};

use log::error;
use unik::interface::{Frames, FullRing};
use unik_virtio::{Buffer, DeviceError, Direction, Port, Queue, SetupError, Transport, feature, negotiate};

/// Feature bits of the network device (virtio 1.2, section 5.1.3).
mod bit {
    pub const MTU: u64 = 1 << 3;
    pub const MAC: u64 = 1 << 5;
}

/// Queues (section 5.1.2).
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;

/// Bytes of `struct virtio_net_hdr` in front of every frame (section 5.1.6).
const HEADER: usize = 12;
/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// The MTU of Ethernet (RFC 894), where the device doesn't say.
const ETHERNET_MTU: u16 = 1500;
/// The least MTU of IPv4 (RFC 791) and the largest jumbo frame that we make buffers for.
const MTU_RANGE: core::ops::RangeInclusive<u16> = 68..=9216;

/// A network card that is running.
#[derive(Debug)]
pub struct Nic<P> {
    port: P,
    instance: &'static str,
    mac: [u8; 6],
    mtu: usize,
    receive: Queue,
    transmit: Queue,
    /// Transmit buffers in our hands.
    free: Vec<Buffer>,
    /// Someone waits for room in the transmit queue.
    wants_room: bool,
    counters: Counters,
}

/// What the driver has counted since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received.
    pub received: u64,
    /// Frames queued for transmission.
    pub transmitted: u64,
    /// Received buffers too short for an Ethernet header, dropped.
    pub runts: u64,
    /// What the device did wrong, if it did; it isn't used since.
    pub broken: Option<DeviceError>,
}

/// The address of the device, if it has one.
pub(crate) fn address(transport: &mut impl Transport) -> Option<[u8; 6]> {
    (transport.features() & bit::MAC != 0).then(|| transport.config_bytes(0))
}

/// The MTU that the device asks for, if it is one that we can do.
fn mtu(transport: &mut impl Transport) -> Option<u16> {
    if transport.features() & bit::MTU == 0 {
        return None;
    }
    Some(u16::from_le_bytes(transport.config_bytes(10))).filter(|mtu| MTU_RANGE.contains(mtu))
}

impl<P: Port> Nic<P> {
    /// Sets the device going with rings of at most `size` descriptors, a power of two. `mac` is
    /// its address, if the caller has read it already.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(
        mut transport: impl Transport<Port = P>,
        instance: &'static str,
        size: u16,
        mac: Option<[u8; 6]>,
    ) -> Result<Self, SetupError> {
        let mtu = mtu(&mut transport);
        let wanted = bit::MAC | feature::EVENT_INDEX | if mtu.is_some() { bit::MTU } else { 0 };
        let agreed = negotiate(&mut transport, wanted)?;
        let mac = mac
            .or_else(|| address(&mut transport))
            .ok_or(SetupError::Registers("the device has no address"))?;
        if mac[0] & 1 != 0 || mac == [0; 6] {
            return Err(SetupError::Registers("the device's address is not that of one host"));
        }
        let mtu = usize::from(mtu.unwrap_or(ETHERNET_MTU));
        let event_index = agreed & feature::EVENT_INDEX != 0;
        // Whole cache lines, so that no two buffers share one.
        let capacity = (HEADER + ETHERNET + mtu).next_multiple_of(64);
        let mut make = |index, direction| {
            let limit = transport.queue_limit(index);
            if limit < 2 {
                return Err(SetupError::NoQueue);
            }
            // The largest power of two within the device's limit.
            let size = size.min(1 << limit.ilog2());
            let (queue, buffers) =
                Queue::new(size, capacity, direction, event_index).ok_or(SetupError::NoMemory)?;
            transport.set_queue(index, size, queue.addresses())?;
            Ok((queue, buffers))
        };
        let (mut receive, buffers) = make(RECEIVE, Direction::FromDevice)?;
        let (transmit, free) = make(TRANSMIT, Direction::ToDevice)?;
        for buffer in buffers {
            receive.offer(buffer, 0);
        }
        let port = transport.activate()?;
        if receive.publish() {
            port.notify(RECEIVE);
        }
        let counters = Counters::default();
        Ok(Nic { port, instance, mac, mtu, receive, transmit, free, wants_room: false, counters })
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Gives the device up: it isn't touched again.
    fn fail(&mut self, error: DeviceError) {
        error!("{}: {error}; it is no longer used", self.instance);
        self.counters.broken = Some(error);
    }

    fn is_broken(&self) -> bool {
        self.counters.broken.is_some()
    }

    /// Takes back the transmit buffers that the device is done with.
    fn reclaim(&mut self) {
        while !self.is_broken() {
            match self.transmit.take() {
                Ok(Some((buffer, _))) => self.free.push(buffer),
                Ok(None) => break,
                Err(error) => self.fail(error),
            }
        }
    }
}

impl<P: Port> Frames for Nic<P> {
    type Received = Received;

    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn mtu(&self) -> usize {
        self.mtu
    }

    fn receive(&mut self) -> Option<Received> {
        while !self.is_broken() {
            match self.receive.take() {
                Ok(Some((buffer, written))) if written >= HEADER + ETHERNET => {
                    self.counters.received += 1;
                    return Some(Received { buffer, end: written });
                }
                Ok(Some((buffer, _))) => {
                    self.counters.runts += 1;
                    self.receive.offer(buffer, 0);
                }
                Ok(None) => break,
                Err(error) => self.fail(error),
            }
        }
        None
    }

    fn release(&mut self, frame: Received) {
        self.receive.offer(frame.buffer, 0);
    }

    fn can_transmit(&mut self) -> bool {
        // Looking at the used ring only when we ran out keeps its cache line with the device.
        if self.free.is_empty() {
            self.reclaim();
        }
        let room = !self.is_broken() && !self.free.is_empty();
        // Remembered until the caller has had a turn with room from its beginning: whoever
        // found none may not be the one that asks next.
        self.wants_room |= !room;
        room
    }

    fn transmit<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> Result<R, FullRing> {
        assert!(length <= self.mtu + ETHERNET, "a frame longer than the link's MTU");
        if !self.can_transmit() {
            return Err(FullRing);
        }
        let mut buffer = self.free.pop().ok_or(FullRing)?;
        // No offload.
        buffer[..HEADER].fill(0);
        let result = fill(&mut buffer[HEADER..HEADER + length]);
        self.transmit.offer(buffer, HEADER + length);
        self.counters.transmitted += 1;
        Ok(result)
    }

    fn flush(&mut self) {
        if self.is_broken() {
            return;
        }
        // The device asks for the first bell only when it has run out of buffers.
        if self.receive.publish() {
            self.port.notify(RECEIVE);
        }
        if self.transmit.publish() {
            self.port.notify(TRANSMIT);
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_broken() {
            return Poll::Pending;
        }
        if self.port.poll_interrupt(cx).is_ready() {
            self.receive.disarm();
            self.transmit.disarm();
            return Poll::Ready(());
        }
        let mut ready = self.receive.arm(1);
        if self.wants_room && !self.free.is_empty() {
            self.wants_room = false;
            ready = true;
        } else if self.wants_room {
            // Half of what is on its way: one interrupt for many frames, and the device still
            // has the other half to work on when it comes.
            ready |= self.transmit.arm(self.transmit.lent().div_ceil(2));
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// A received frame, in the buffer that the device filled.
#[derive(Debug)]
pub struct Received {
    buffer: Buffer,
    /// One past the frame's last byte.
    end: usize,
}

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[HEADER..self.end]
    }
}

impl DerefMut for Received {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[HEADER..self.end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::task::Waker;
    use unik_virtio::mock::{Device, MockPort, MockTransport};

    const MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];

    fn card(features: u64, size: u16) -> (Nic<MockPort>, Device) {
        let device = Device::new(features | feature::VERSION_1 | bit::MAC, &[256, 256]);
        let mut config = MAC.to_vec();
        config.extend([0, 0, 0, 0]);
        config.extend(1400u16.to_le_bytes());
        device.set_config(&config);
        let nic = Nic::new(MockTransport::new(device.clone()), "nic", size, None).unwrap();
        (nic, device)
    }

    /// The device receives `frame` from the wire.
    fn deliver(device: &Device, frame: &[u8]) {
        device.queue(0, |queue| {
            let chain = queue.next().unwrap();
            let mut bytes = [0; HEADER].to_vec();
            bytes.extend(frame);
            chain.write(&bytes);
            queue.give_back(u32::from(chain.id), bytes.len() as u32);
        });
    }

    fn is_ready(nic: &mut Nic<MockPort>) -> bool {
        nic.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn frames_go_both_ways() {
        let (mut nic, device) = card(feature::EVENT_INDEX, 16);
        assert_eq!((nic.mac(), nic.mtu()), (MAC, 1500));
        assert_eq!(nic.transmit(20, |frame| frame.fill(7)), Ok(()));
        nic.flush();
        device.queue(1, |queue| {
            let bytes = queue.next().unwrap().bytes();
            assert_eq!(bytes[..HEADER], [0; HEADER]);
            assert_eq!(bytes[HEADER..], [7; 20]);
        });
        deliver(&device, &[9; 60]);
        let frame = nic.receive().unwrap();
        assert_eq!(*frame, [9; 60]);
        nic.release(frame);
        assert!(nic.receive().is_none());
    }

    #[test]
    fn one_bell_for_many_frames() {
        let (mut nic, device) = card(feature::EVENT_INDEX, 16);
        for _ in 0..5 {
            nic.transmit(60, |_| ()).unwrap();
        }
        assert_eq!(device.notifications(1), 0);
        nic.flush();
        nic.flush();
        assert_eq!(device.notifications(1), 1);
    }

    #[test]
    fn the_full_ring_says_so_and_asks_for_an_interrupt() {
        let (mut nic, device) = card(feature::EVENT_INDEX, 16);
        while nic.can_transmit() {
            nic.transmit(60, |_| ()).unwrap();
        }
        nic.flush();
        assert_eq!(nic.transmit(60, |_| ()), Err(FullRing));
        assert!(!is_ready(&mut nic));
        for sent in 1..=16 {
            device.queue(1, |queue| {
                let id = queue.next().unwrap().id;
                queue.give_back(u32::from(id), 0);
            });
            assert_eq!(device.interrupt(1), sent == 8, "only at half of the ring");
        }
        assert!(is_ready(&mut nic));
        assert!(nic.can_transmit());
    }

    #[test]
    fn who_found_no_room_is_not_forgotten_when_another_finds_some() {
        let (mut nic, device) = card(feature::EVENT_INDEX, 16);
        while nic.can_transmit() {
            nic.transmit(60, |_| ()).unwrap();
        }
        nic.flush();
        device.queue(1, |queue| {
            let id = queue.next().unwrap().id;
            queue.give_back(u32::from(id), 0);
        });
        // The one buffer that came back goes to somebody else.
        nic.transmit(60, |_| ()).unwrap();
        nic.flush();
        assert!(!is_ready(&mut nic));
        for sent in 1..=16 {
            device.queue(1, |queue| {
                let id = queue.next().unwrap().id;
                queue.give_back(u32::from(id), 0);
            });
            assert_eq!(device.interrupt(1), sent == 8);
        }
        assert!(is_ready(&mut nic), "the interrupt");
        assert!(nic.can_transmit());
        assert!(is_ready(&mut nic), "one more turn, to be sure");
        assert!(!is_ready(&mut nic));
    }

    #[test]
    fn interrupts_only_before_sleeping_and_none_is_lost() {
        for features in [0, feature::EVENT_INDEX] {
            let (mut nic, device) = card(features, 16);
            deliver(&device, &[1; 60]);
            assert!(!device.interrupt(0), "not asked for");
            assert!(is_ready(&mut nic), "came before the interrupt was asked for");
            let frame = nic.receive().unwrap();
            nic.release(frame);
            assert!(!is_ready(&mut nic));
            deliver(&device, &[2; 60]);
            assert!(device.interrupt(0));
            assert!(is_ready(&mut nic));
            deliver(&device, &[3; 60]);
            assert!(!device.interrupt(0), "one is enough");
            assert_eq!(nic.receive().unwrap()[0], 2);
            assert_eq!(nic.receive().unwrap()[0], 3);
        }
    }

    #[test]
    fn buffers_circulate_for_ever() {
        let (mut nic, device) = card(0, 16);
        for round in 0..100_000u32 {
            deliver(&device, &[round as u8; 60]);
            let frame = nic.receive().unwrap();
            assert_eq!(frame[0], round as u8);
            nic.release(frame);
            nic.flush();
        }
    }

    #[test]
    fn the_mtu_of_the_device_counts() {
        let (nic, device) = card(bit::MTU, 16);
        assert_eq!(nic.mtu(), 1400);
        assert_ne!(device.agreed() & bit::MTU, 0);
    }

    #[test]
    fn runts_are_dropped_and_counted() {
        let (mut nic, device) = card(0, 16);
        deliver(&device, &[0; 13]);
        device.queue(0, |queue| {
            let id = queue.next().unwrap().id;
            queue.give_back(u32::from(id), 0);
        });
        deliver(&device, &[5; 14]);
        assert_eq!(nic.receive().unwrap().len(), 14);
        assert_eq!(nic.counters().runts, 2);
    }

    #[test]
    fn a_device_that_lies_is_given_up() {
        let (mut nic, device) = card(0, 16);
        deliver(&device, &[0; 60]);
        device.queue(0, |queue| queue.give_back(77, 60));
        assert!(nic.receive().is_some());
        assert!(nic.receive().is_none());
        assert_eq!(nic.counters().broken, Some(DeviceError::UnknownBuffer(77)));
        assert_eq!(nic.transmit(60, |_| ()), Err(FullRing));
        assert!(!is_ready(&mut nic));
        nic.flush();
    }

    #[test]
    fn a_device_without_a_usable_address_or_queue_is_refused() {
        let device = Device::new(feature::VERSION_1 | bit::MAC, &[256, 256]);
        device.set_config(&[1, 0, 0, 0, 0, 1]);
        assert!(Nic::new(MockTransport::new(device), "nic", 16, None).is_err());
        let device = Device::new(feature::VERSION_1 | bit::MAC, &[256, 0]);
        device.set_config(&MAC);
        assert_eq!(Nic::new(MockTransport::new(device), "nic", 16, None).map(drop), Err(SetupError::NoQueue));
    }
}
