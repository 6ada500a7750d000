//! "Look again": a notification without a value.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

/// Wakes the tasks that wait for something to change. What changed stands elsewhere:
/// whoever is woken looks there.
///
/// A notification is seen by every [`notified`](Self::notified) that was *made* before
/// it, polled or not. So make it, look, and only then await it:
///
/// ```
/// # use unik::sync::Notify;
/// # async fn example(changed: &Notify, look: impl Fn() -> bool) {
/// loop {
///     let notified = changed.notified();
///     if look() { break }
///     notified.await;
/// }
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Notify {
    /// How often [`notify`](Self::notify) was called; wraps after 2⁶⁴.
    count: Cell<u64>,
    waiting: RefCell<Waiting>,
}

/// The wakers of those who wait, each in a slot that its `Notified` knows.
#[derive(Debug, Default)]
struct Waiting {
    slots: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Notify {
    /// One that nobody waits for.
    #[must_use]
    pub const fn new() -> Self {
        Notify { count: Cell::new(0), waiting: RefCell::new(Waiting { slots: Vec::new(), free: Vec::new() }) }
    }

    /// Wakes all who wait.
    pub fn notify(&self) {
        self.count.set(self.count.get().wrapping_add(1));
        let mut index = 0;
        loop {
            // The borrow ends before the waker runs: it may drop another `Notified`.
            let waker = match self.waiting.borrow_mut().slots.get_mut(index) {
                Some(slot) => slot.take(),
                None => return,
            };
            if let Some(waker) = waker {
                waker.wake();
            }
            index += 1;
        }
    }

    /// Waits for the next [`notify`](Self::notify) after this call.
    pub fn notified(&self) -> Notified<'_> {
        Notified { notify: self, seen: self.count.get(), slot: None }
    }
}

/// See [`Notify::notified`].
#[must_use = "a future does nothing until it is awaited"]
#[derive(Debug)]
pub struct Notified<'a> {
    notify: &'a Notify,
    seen: u64,
    slot: Option<usize>,
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.notify.count.get() != self.seen {
            return Poll::Ready(());
        }
        let mut waiting = self.notify.waiting.borrow_mut();
        let Waiting { slots, free } = &mut *waiting;
        let slot = *self.slot.get_or_insert_with(|| {
            free.pop().unwrap_or_else(|| {
                slots.push(None);
                slots.len() - 1
            })
        });
        match &mut slots[slot] {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            let mut waiting = self.notify.waiting.borrow_mut();
            let waker = waiting.slots[slot].take();
            waiting.free.push(slot);
            drop(waiting);
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::{block_on, spawn, yield_now};
    use crate::time::{Duration, timeout};
    use alloc::rc::Rc;

    #[test]
    fn wakes_everyone_once() {
        let notify = Rc::new(Notify::new());
        let woken = Rc::new(Cell::new(0));
        block_on(async {
            for _ in 0..10 {
                let (notify, woken) = (Rc::clone(&notify), Rc::clone(&woken));
                spawn("test", async move {
                    loop {
                        notify.notified().await;
                        woken.set(woken.get() + 1);
                    }
                });
            }
            for round in 1..4 {
                yield_now().await;
                notify.notify();
                yield_now().await;
                assert_eq!(woken.get(), 10 * round);
            }
        });
    }

    #[test]
    fn keeps_what_came_between_making_and_awaiting() {
        let notify = Notify::new();
        block_on(async {
            notify.notify();
            let second = notify.notified();
            assert!(timeout(Duration::from_millis(1), notify.notified()).await.is_err());
            notify.notify();
            second.await;
        });
    }

    #[test]
    fn dropped_waiters_leave_nothing() {
        let notify = Notify::new();
        block_on(async {
            for _ in 0..100 {
                assert!(timeout(Duration::ZERO, notify.notified()).await.is_err());
            }
        });
        assert_eq!(notify.waiting.borrow().slots.len(), 1);
    }
}
