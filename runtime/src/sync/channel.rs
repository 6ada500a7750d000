//! A bounded queue between tasks.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use super::Notify;

/// A queue for at most `capacity` values, from many senders to one receiver, in the
/// order of sending.
///
/// # Panics
/// When `capacity` is 0.
#[must_use]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel without room passes nothing");
    let shared = Rc::new(Shared {
        values: RefCell::new(VecDeque::new()),
        capacity,
        senders: Cell::new(1),
        receiver_gone: Cell::new(false),
        receiver: Cell::new(None),
        room: Notify::new(),
    });
    (Sender { shared: Rc::clone(&shared) }, Receiver { shared })
}

struct Shared<T> {
    values: RefCell<VecDeque<T>>,
    capacity: usize,
    senders: Cell<usize>,
    receiver_gone: Cell<bool>,
    receiver: Cell<Option<Waker>>,
    room: Notify,
}

impl<T> Shared<T> {
    fn wake_receiver(&self) {
        if let Some(waker) = self.receiver.take() {
            waker.wake();
        }
    }
}

/// The end that sends; a clone sends into the same queue.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Adds `value` to the queue; waits while it is full.
    ///
    /// # Errors
    /// [`Closed`], with the value, when the receiver was dropped.
    pub async fn send(&self, mut value: T) -> Result<(), Closed<T>> {
        loop {
            let room = self.shared.room.notified();
            match self.try_send(value) {
                Ok(()) => return Ok(()),
                Err(SendRefused::Closed(value)) => return Err(Closed(value)),
                Err(SendRefused::Full(refused)) => value = refused,
            }
            room.await;
        }
    }

    /// Adds `value` to the queue if there is room.
    ///
    /// # Errors
    /// [`SendRefused`], with the value.
    pub fn try_send(&self, value: T) -> Result<(), SendRefused<T>> {
        if self.shared.receiver_gone.get() {
            return Err(SendRefused::Closed(value));
        }
        let mut values = self.shared.values.borrow_mut();
        if values.len() >= self.shared.capacity {
            return Err(SendRefused::Full(value));
        }
        values.push_back(value);
        drop(values);
        self.shared.wake_receiver();
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.set(self.shared.senders.get() + 1);
        Sender { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.senders.set(self.shared.senders.get() - 1);
        if self.shared.senders.get() == 0 {
            self.shared.wake_receiver();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// The end that receives.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// The next value; `None` when the queue is empty and all senders were dropped.
    /// Dropping the future loses nothing.
    pub async fn receive(&mut self) -> Option<T> {
        poll_fn(|cx| {
            if let Some(value) = self.try_receive() {
                return Poll::Ready(Some(value));
            }
            if self.shared.senders.get() == 0 {
                return Poll::Ready(None);
            }
            self.shared.receiver.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// The next value, if the queue holds one.
    pub fn try_receive(&mut self) -> Option<T> {
        let value = self.shared.values.borrow_mut().pop_front()?;
        self.shared.room.notify();
        Some(value)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receiver_gone.set(true);
        // Outside of the borrow: a value may hold a sender of this very channel.
        let values = self.shared.values.take();
        drop(values);
        self.shared.room.notify();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// The receiver was dropped; holds the value that wasn't sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed<T>(pub T);

/// Why a value wasn't sent, with the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendRefused<T> {
    /// The queue is full.
    Full(T),
    /// The receiver was dropped.
    Closed(T),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::{block_on, spawn, yield_now};
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn keeps_each_senders_order_and_its_bound(
            capacity in 1usize..8,
            counts in prop::collection::vec(0usize..20, 1..5),
            pauses in prop::collection::vec(0usize..4, 1..8),
        ) {
            let received = block_on(async {
                let (sender, mut receiver) = channel(capacity);
                for (who, count) in counts.iter().copied().enumerate() {
                    let sender = sender.clone();
                    spawn("test", async move {
                        for number in 0..count {
                            sender.send((who, number)).await.expect("a receiver");
                        }
                    });
                }
                drop(sender);
                let mut received = Vec::new();
                let mut pause = pauses.iter().cycle();
                while let Some(value) = receiver.receive().await {
                    assert!(receiver.shared.values.borrow().len() < capacity + 1);
                    received.push(value);
                    for _ in 0..*pause.next().expect("a cycle") {
                        yield_now().await;
                    }
                }
                received
            });
            for (who, count) in counts.iter().copied().enumerate() {
                let of_one: Vec<_> = received.iter().filter(|value| value.0 == who).map(|value| value.1).collect();
                prop_assert_eq!(of_one, (0..count).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn gives_the_value_back() {
        let (sender, receiver) = channel(1);
        assert_eq!(sender.try_send(1), Ok(()));
        assert_eq!(sender.try_send(2), Err(SendRefused::Full(2)));
        drop(receiver);
        assert_eq!(sender.try_send(3), Err(SendRefused::Closed(3)));
        assert_eq!(block_on(sender.send(4)), Err(Closed(4)));
    }

    #[test]
    fn a_dropped_receiver_frees_waiting_senders() {
        let (sender, receiver) = channel(1);
        block_on(async {
            sender.try_send(1).expect("room");
            spawn("test", async move {
                yield_now().await;
                drop(receiver);
            });
            assert_eq!(sender.send(2).await, Err(Closed(2)));
        });
    }
}
