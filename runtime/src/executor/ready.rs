//! The ready queue: which tasks were woken.
//!
//! A [`Waker`](core::task::Waker) may be cloned, woken and dropped on any thread, so
//! what stands behind it holds atomics and nothing else; the futures themselves never
//! leave the thread of their executor. The queue is an intrusive stack of [`Header`]s:
//! waking pushes one (a compare-and-swap, no allocation), the executor takes all of
//! them at once (a swap) and turns them around, so that tasks run in the order in
//! which they were woken. Taking everything at once leaves no ABA problem.

use alloc::sync::Arc;
use alloc::task::Wake;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::platform::Bell;

/// What a task's wakers share. Belongs to one task from its spawning to its end.
pub(super) struct Header {
    /// Where the executor keeps the future.
    slot: u32,
    /// Whether the header is in the queue, or its task has ended: nothing to do for a waker.
    queued: AtomicBool,
    /// The header that was woken before this one, while in the queue.
    next: AtomicPtr<Header>,
    queue: Arc<ReadyQueue>,
}

impl Header {
    /// The header of a task in `slot`, not yet in the queue.
    pub(super) fn new(slot: u32, queue: &Arc<ReadyQueue>) -> Arc<Self> {
        Arc::new(Header {
            slot,
            queued: AtomicBool::new(false),
            next: AtomicPtr::new(ptr::null_mut()),
            queue: Arc::clone(queue),
        })
    }

    /// Where the executor keeps the future.
    pub(super) fn slot(&self) -> u32 {
        self.slot
    }

    /// Says that the task is about to be polled: a wake-up from now on counts anew.
    pub(super) fn begin_poll(&self) {
        // A swap and not a store: it reads what the last waker wrote, so everything
        // that a waker did before finding the flag set is visible to the poll.
        self.queued.swap(false, Ordering::AcqRel);
    }

    /// Says that the task has ended: later wake-ups do nothing.
    pub(super) fn retire(&self) {
        self.queued.store(true, Ordering::Release);
    }
}

impl Wake for Header {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.queue.push(Arc::clone(self));
        }
    }
}

/// The tasks woken since the last [`take`](Self::take).
pub(super) struct ReadyQueue {
    /// The header woken last; each is an `Arc` turned into a pointer.
    head: AtomicPtr<Header>,
    /// Of the loop that takes from the queue.
    bell: Bell,
}

impl ReadyQueue {
    /// The queue of this thread's loop.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(ReadyQueue { head: AtomicPtr::new(ptr::null_mut()), bell: Bell::of_this_loop() })
    }

    /// Adds `header`, whose `queued` flag the caller has just turned from false to true.
    fn push(&self, header: Arc<Header>) {
        let pointer = Arc::into_raw(header).cast_mut();
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: `pointer` is an `Arc` that this function owns until the exchange
            // below succeeds; `next` is an atomic, so a shared reference is enough.
            unsafe { (*pointer).next.store(head, Ordering::Relaxed) };
            // Release: whoever takes the queue sees `next`.
            match self.head.compare_exchange_weak(head, pointer, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(current) => head = current,
            }
        }
        if head.is_null() {
            self.bell.ring();
        }
    }

    /// Whether nothing was woken since the last [`take`](Self::take).
    pub(super) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// Takes everything that was woken up to now, the earliest first.
    pub(super) fn take(&self) -> Batch {
        let mut stack = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        let mut first = ptr::null_mut();
        while !stack.is_null() {
            // SAFETY: every pointer in the stack came from `Arc::into_raw` in `push`, and
            // the swap above made this thread the only one that can reach it. `next` can't
            // change under us: only `push` writes it, and only for a header whose `queued`
            // flag was false, while those in the stack have it set.
            let below = unsafe { (*stack).next.swap(first, Ordering::Relaxed) };
            first = stack;
            stack = below;
        }
        Batch { first }
    }
}

/// Headers taken from the queue, in the order in which they were woken.
pub(super) struct Batch {
    first: *mut Header,
}

impl Batch {
    /// Whether nothing was woken.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_null()
    }
}

impl Iterator for Batch {
    type Item = Arc<Header>;

    fn next(&mut self) -> Option<Arc<Header>> {
        if self.first.is_null() {
            return None;
        }
        // SAFETY: the batch owns the `Arc` behind each of its pointers (see `take`); the
        // pointer leaves the batch in the next line, so it is turned back only once.
        let header = unsafe { Arc::from_raw(self.first) };
        self.first = header.next.load(Ordering::Relaxed);
        Some(header)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use core::task::Waker;
    use std::thread;

    fn slots(queue: &ReadyQueue) -> Vec<u32> {
        queue.take().map(|header| header.slot()).collect()
    }

    #[test]
    fn takes_in_the_order_of_waking_and_each_once() {
        let queue = ReadyQueue::new();
        let headers: Vec<_> = (0..5).map(|slot| Header::new(slot, &queue)).collect();
        for slot in [3, 1, 4, 1, 3, 0] {
            headers[slot].wake_by_ref();
        }
        assert_eq!(slots(&queue), [3, 1, 4, 0]);
        assert!(queue.take().is_empty());
    }

    #[test]
    fn counts_a_wake_up_during_the_poll() {
        let queue = ReadyQueue::new();
        let header = Header::new(7, &queue);
        header.wake_by_ref();
        for header in queue.take() {
            header.begin_poll();
            header.wake_by_ref();
        }
        assert_eq!(slots(&queue), [7]);
        header.retire();
        header.wake_by_ref();
        assert!(queue.take().is_empty());
    }

    #[test]
    fn a_dropped_batch_leaks_nothing() {
        let queue = ReadyQueue::new();
        let headers: Vec<_> = (0..3).map(|slot| Header::new(slot, &queue)).collect();
        headers.iter().for_each(Wake::wake_by_ref);
        let mut batch = queue.take();
        batch.next();
        drop(batch);
        assert!(headers.iter().all(|header| Arc::strong_count(header) == 1));
    }

    #[test]
    fn wakers_of_other_threads_lose_nothing() {
        let queue = ReadyQueue::new();
        let headers: Vec<_> = (0..64).map(|slot| Header::new(slot, &queue)).collect();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let wakers: Vec<Waker> = headers.iter().cloned().map(Waker::from).collect();
                thread::spawn(move || (0..200).for_each(|_| wakers.iter().for_each(Waker::wake_by_ref)))
            })
            .collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            queue.take().for_each(|header| header.begin_poll());
        }
        threads.into_iter().for_each(|thread| thread.join().expect("a waking thread"));
        queue.take().for_each(|header| header.begin_poll());
        headers.iter().for_each(Wake::wake_by_ref);
        assert_eq!(slots(&queue).len(), 64);
    }
}
