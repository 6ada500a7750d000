//! For tests: a link in memory, entropy from a counter, and time that stands still.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::task::{Context, Poll};

use smoltcp::wire::{Ipv4Packet, TcpPacket};
use unik::interface::{Entropy, EntropyError, Frames, FullRing, Offload, Offloads};

use crate::link::Mac;

type Queue = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// One end of a link.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    mac: Mac,
    incoming: Queue,
    outgoing: Queue,
    /// How many frames may be on their way.
    pub room: Rc<Cell<usize>>,
    /// What this end's device takes over of sending.
    pub offloads: Offloads,
    /// How many segments it cut.
    pub cuts: Rc<Cell<usize>>,
    /// Of how many large frames the wire loses one, if it does, and how many there were.
    pub loses: Rc<Cell<Option<usize>>>,
    large: Rc<Cell<usize>>,
    /// The longest frame that this end has sent.
    pub longest: Rc<Cell<usize>>,
    /// Longer frames are lost without a word.
    pub carries: Rc<Cell<usize>>,
}

impl Wire {
    /// Two ends of one link.
    pub fn pair() -> (Wire, Wire) {
        let (one, other) = (Queue::default(), Queue::default());
        let end = |mac, incoming: &Queue, outgoing: &Queue| Wire {
            mac: [2, 0, 0, 0, 0, mac],
            incoming: incoming.clone(),
            outgoing: outgoing.clone(),
            room: Rc::new(Cell::new(256)),
            offloads: Offloads::default(),
            cuts: Rc::default(),
            loses: Rc::default(),
            large: Rc::default(),
            longest: Rc::default(),
            carries: Rc::new(Cell::new(usize::MAX)),
        };
        (end(1, &one, &other), end(2, &other, &one))
    }

    /// One end, with nobody at the other.
    pub fn alone() -> Wire {
        Wire::pair().0
    }

    /// What was sent from this end and not received yet.
    pub fn take_sent(&self) -> Vec<Vec<u8>> {
        self.outgoing.borrow_mut().drain(..).collect()
    }

    /// Whether nothing is on its way, in either direction.
    pub fn is_idle(&self) -> bool {
        self.incoming.borrow().is_empty() && self.outgoing.borrow().is_empty()
    }

    /// A copy of the last frame that this end will receive.
    pub fn peek_incoming(&self) -> Option<Vec<u8>> {
        self.incoming.borrow().back().cloned()
    }

    /// A copy of what this end will receive.
    pub fn copy_incoming(&self) -> Vec<Vec<u8>> {
        self.incoming.borrow().iter().cloned().collect()
    }

    fn is_lost(&self, length: usize) -> bool {
        if length > self.carries.get() {
            return true;
        }
        let Some(every) = self.loses.get().filter(|_| length > 200) else { return false };
        self.large.set(self.large.get() + 1);
        self.large.get().is_multiple_of(every)
    }

    /// Lets this end receive `frame`.
    pub fn deliver(&self, frame: Vec<u8>) {
        self.incoming.borrow_mut().push_back(frame);
    }
}

impl Frames for Wire {
    type Received = Vec<u8>;

    fn mac(&self) -> Mac {
        self.mac
    }

    fn mtu(&self) -> usize {
        1500
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        self.incoming.borrow_mut().pop_front()
    }

    fn release(&mut self, _frame: Vec<u8>) {}

    fn can_transmit(&mut self) -> bool {
        self.outgoing.borrow().len() < self.room.get()
    }

    fn transmit<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> Result<R, FullRing> {
        assert!(length <= 1514);
        self.longest.set(self.longest.get().max(length));
        if !self.can_transmit() {
            return Err(FullRing);
        }
        let mut frame = alloc::vec![0; length];
        let result = fill(&mut frame);
        if !self.is_lost(length) {
            self.outgoing.borrow_mut().push_back(frame);
        }
        Ok(result)
    }

    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn transmit_offloaded<R>(
        &mut self,
        length: usize,
        offload: Offload,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, FullRing> {
        assert!(self.offloads.checksum && offload.checksum == 16);
        assert!(length <= if offload.segment.is_some() { self.offloads.segmentation.unwrap() } else { 1514 });
        if !self.can_transmit() {
            return Err(FullRing);
        }
        let mut frame = alloc::vec![0; length];
        let result = fill(&mut frame);
        let transport = usize::from(offload.transport);
        let mut outgoing = self.outgoing.borrow_mut();
        match offload.segment {
            None => {
                finish(&mut frame[transport..]);
                outgoing.push_back(frame);
            }
            Some(size) => {
                self.cuts.set(self.cuts.get() + 1);
                outgoing.extend(cut(&frame, transport, usize::from(size.get())));
            }
        }
        Ok(result)
    }

    fn flush(&mut self) {}

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        // Tests drive the stack by hand.
        Poll::Pending
    }
}

/// Computes the checksum of a segment of TCP that holds the sum over its pseudo-header.
fn finish(segment: &mut [u8]) {
    let sum: u32 = segment
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
}

/// Cuts a segment of TCP over IPv4.
fn cut(frame: &[u8], transport: usize, size: usize) -> Vec<Vec<u8>> {
    let headers = transport + usize::from(frame[transport + 12] >> 4) * 4;
    let count = (frame.len() - headers).div_ceil(size);
    assert!(count > 1, "short enough as it was");
    let parts = frame[headers..].chunks(size).enumerate().map(|(index, data)| {
        let mut part = [&frame[..headers], data].concat();
        let length = part.len() - 14;
        let mut packet = Ipv4Packet::new_unchecked(&mut part[14..]);
        packet.set_total_len(length as u16);
        packet.fill_checksum();
        let ends = (packet.src_addr().into(), packet.dst_addr().into());
        let mut segment = TcpPacket::new_unchecked(packet.payload_mut());
        segment.set_seq_number(segment.seq_number() + index * size);
        segment.set_fin(segment.fin() && index + 1 == count);
        segment.set_psh(segment.psh() && index + 1 == count);
        segment.fill_checksum(&ends.0, &ends.1);
        part
    });
    parts.collect()
}

/// Entropy that nobody should use.
#[derive(Clone, Debug)]
pub(crate) struct Counter(Rc<Cell<u64>>);

impl Counter {
    pub fn new(seed: u64) -> Self {
        Counter(Rc::new(Cell::new(seed)))
    }
}

impl Entropy for Counter {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        for byte in bytes {
            // Knuth's generator (MMIX).
            self.0.set(
                self.0.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407),
            );
            *byte = (self.0.get() >> 56) as u8;
        }
        Ok(())
    }
}
