//! The appliance's end of a link: `Frames`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use unik::interface::{Frames, FullRing};
use unik::platform::sim;

/// Frames in each of the two rings, as many as a virtio device has.
const RING: usize = 256;
/// Nanoseconds that ten bytes take to leave the transmit ring: 10 Gb/s.
const TEN_BYTES: u64 = 8;
/// The largest packet that the link carries.
pub(crate) const MTU: usize = 1500;

/// The appliance's end of a simulated Ethernet.
#[derive(Debug)]
pub struct SimLink {
    end: Rc<RefCell<End>>,
}

/// What the link's two sides share.
#[derive(Debug)]
pub(crate) struct End {
    pub mac: [u8; 6],
    incoming: VecDeque<Vec<u8>>,
    /// Queued, and not flushed.
    queued: Vec<Vec<u8>>,
    /// Flushed: on their way as soon as the link has its turn.
    pub outgoing: Vec<Vec<u8>>,
    /// When each frame that was flushed has left the ring.
    leaving: VecDeque<u64>,
    is_blocked: bool,
    waker: Option<Waker>,
}

impl End {
    pub fn new(mac: [u8; 6]) -> Self {
        End {
            mac,
            incoming: VecDeque::new(),
            queued: Vec::new(),
            outgoing: Vec::new(),
            leaving: VecDeque::new(),
            is_blocked: false,
            waker: None,
        }
    }

    /// A frame arrives; whether there was room for it.
    pub fn deliver(&mut self, frame: &[u8]) -> bool {
        let has_room = self.incoming.len() < RING;
        if has_room {
            self.incoming.push_back(frame.to_vec());
            self.wake();
        }
        has_room
    }

    /// When the link has something to do for the appliance, without a frame arriving.
    pub fn next_event(&self) -> Option<u64> {
        if !self.outgoing.is_empty() {
            return Some(0);
        }
        self.leaving.front().copied().filter(|_| self.is_blocked && self.waker.is_some())
    }

    /// Tells the appliance of room that it waits for.
    pub fn run(&mut self, now: u64) {
        if self.is_blocked && self.has_room(now) {
            self.wake();
        }
    }

    fn has_room(&mut self, now: u64) -> bool {
        while self.leaving.front().is_some_and(|leaves| *leaves <= now) {
            self.leaving.pop_front();
        }
        self.queued.len() + self.leaving.len() < RING
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl SimLink {
    pub(crate) fn new(end: Rc<RefCell<End>>) -> Self {
        SimLink { end }
    }
}

impl Frames for SimLink {
    type Received = Vec<u8>;

    fn mac(&self) -> [u8; 6] {
        self.end.borrow().mac
    }

    fn mtu(&self) -> usize {
        MTU
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        self.end.borrow_mut().incoming.pop_front()
    }

    fn release(&mut self, _frame: Vec<u8>) {}

    fn can_transmit(&mut self) -> bool {
        let mut end = self.end.borrow_mut();
        let has_room = end.has_room(sim::now());
        end.is_blocked = !has_room;
        has_room
    }

    fn transmit<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> Result<R, FullRing> {
        assert!(length <= MTU + 14, "a frame of {length} bytes");
        if !self.can_transmit() {
            return Err(FullRing);
        }
        let mut frame = vec![0; length];
        let result = fill(&mut frame);
        self.end.borrow_mut().queued.push(frame);
        Ok(result)
    }

    fn flush(&mut self) {
        let end = &mut *self.end.borrow_mut();
        let mut free = end.leaving.back().copied().unwrap_or(0).max(sim::now());
        for frame in end.queued.drain(..) {
            free += (frame.len() as u64 * TEN_BYTES).div_ceil(10);
            end.leaving.push_back(free);
            end.outgoing.push(frame);
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let end = &mut *self.end.borrow_mut();
        if !end.incoming.is_empty() || (end.is_blocked && end.has_room(sim::now())) {
            end.is_blocked = false;
            return Poll::Ready(());
        }
        end.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_bounded() {
        let end = Rc::new(RefCell::new(End::new([2, 0, 0, 0, 0, 1])));
        let mut link = SimLink::new(Rc::clone(&end));
        for _ in 0..RING {
            assert_eq!(link.transmit(60, |frame| frame.len()), Ok(60));
        }
        assert_eq!(link.transmit(60, |_| ()), Err(FullRing));
        assert_eq!(end.borrow().next_event(), None, "nothing was flushed");
        link.flush();
        assert_eq!(end.borrow().outgoing.len(), RING);
        assert!(!link.can_transmit(), "they take their time");
        let mut cx = Context::from_waker(Waker::noop());
        assert!(link.poll_ready(&mut cx).is_pending());
        end.borrow_mut().outgoing.clear();
        let next = end.borrow().next_event();
        assert_eq!(next, Some(48));
        assert!((0..RING).all(|_| end.borrow_mut().deliver(&[0])));
        assert!(!end.borrow_mut().deliver(&[0]));
        assert!(link.poll_ready(&mut cx).is_ready());
        assert_eq!(link.receive(), Some(vec![0]));
    }
}
