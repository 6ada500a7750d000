//! Connections on which nothing has happened for a while: the first to go when it gets
//! crowded.
//!
//! A client that went away without a word (its last segment was lost, its machine is off)
//! leaves a connection behind that looks like one kept alive. It must not keep others out.

use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};

/// Those of one instance, the one that has waited longest first.
#[derive(Debug, Default)]
pub(crate) struct Dozing {
    queue: RefCell<VecDeque<(u64, Waker)>>,
    /// The last number that was given; they don't repeat.
    last: Cell<u64>,
}

impl Dozing {
    /// Sends the one away that has waited longest, if there is any.
    pub(crate) fn send_one_away(&self) {
        let first = self.queue.borrow_mut().pop_front();
        if let Some((_, waker)) = first {
            waker.wake();
        }
    }

    /// Waits for `event`; if its connection `dozes`, at the end of the queue. `None`: it was
    /// sent away. What came counts, even if it came too late by a hair.
    pub(crate) async fn until_sent_away<T>(&self, dozes: bool, event: impl Future<Output = T>) -> Option<T> {
        let mut event = pin!(event);
        let mut place = self.place();
        poll_fn(|cx| match event.as_mut().poll(cx) {
            Poll::Ready(event) => Poll::Ready(Some(event)),
            Poll::Pending if dozes => place.poll(cx).map(|()| None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// A place at the end of the queue, taken when it is first polled.
    fn place(&self) -> Place<'_> {
        Place { dozing: self, number: None }
    }

    fn find(&self, number: u64) -> Option<usize> {
        self.queue.borrow().binary_search_by_key(&number, |(number, _)| *number).ok()
    }
}

/// A place in the queue.
#[derive(Debug)]
struct Place<'a> {
    dozing: &'a Dozing,
    number: Option<u64>,
}

impl Place<'_> {
    /// Ready when its holder is sent away.
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Some(number) = self.number else {
            let number = self.dozing.last.get() + 1;
            self.dozing.last.set(number);
            self.number = Some(number);
            self.dozing.queue.borrow_mut().push_back((number, cx.waker().clone()));
            return Poll::Pending;
        };
        match self.dozing.find(number) {
            Some(at) => {
                self.dozing.queue.borrow_mut()[at].1.clone_from(cx.waker());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(at) = self.number.and_then(|number| self.dozing.find(number)) {
            self.dozing.queue.borrow_mut().remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_has_waited_longest_goes() {
        let dozing = Dozing::default();
        let cx = Context::from_waker(Waker::noop());
        dozing.send_one_away();
        let (mut first, mut second, mut third) = (dozing.place(), dozing.place(), dozing.place());
        for place in [&mut second, &mut first, &mut third] {
            assert!(place.poll(&cx).is_pending());
        }
        dozing.send_one_away();
        assert!(second.poll(&cx).is_ready());
        assert!(first.poll(&cx).is_pending());
        drop(first);
        dozing.send_one_away();
        assert!(third.poll(&cx).is_ready(), "places that are gone are not in the queue");
        drop((second, third));
        assert!(dozing.queue.borrow().is_empty());
    }
}
