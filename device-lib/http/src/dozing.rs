//! Connections on which nothing happens between two requests: the first to go when it gets
//! crowded, and when the appliance is to end.
//!
//! A client that went away without a word (its last segment was lost, its machine is off)
//! leaves a connection behind that looks like one kept alive. It must not keep others out.

use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use unik::shutdown;
use unik::time::{Duration, Instant};

/// Those of one instance, the one that has waited longest first.
#[derive(Debug, Default)]
pub(crate) struct Dozing {
    queue: RefCell<VecDeque<Entry>>,
    /// The last number that was given; they don't repeat.
    last: Cell<u64>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    since: Instant,
    waker: Waker,
}

impl Dozing {
    /// Sends the one away that has waited longest, if it has for `least`; says whether it did.
    pub(crate) fn send_one_away(&self, least: Duration) -> bool {
        let first = {
            let mut queue = self.queue.borrow_mut();
            let is_old = queue.front().is_some_and(|first| first.since.elapsed() >= least);
            if is_old { queue.pop_front() } else { None }
        };
        first.map(|first| first.waker.wake()).is_some()
    }

    /// A place at the end of the queue, taken when somebody first waits in it.
    pub(crate) fn place(&self) -> Place<'_> {
        Place { dozing: self, number: None }
    }

    fn find(&self, number: u64) -> Option<usize> {
        self.queue.borrow().binary_search_by_key(&number, |entry| entry.number).ok()
    }
}

/// A place in the queue.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    dozing: &'a Dozing,
    number: Option<u64>,
}

impl Place<'_> {
    /// Waits in it for `event`. `None`: its holder was sent away, since another needs the place or
    /// the appliance is to end. What came counts, even if it
    /// came too late by a hair.
    pub(crate) async fn until_sent_away<T>(&mut self, event: impl Future<Output = T>) -> Option<T> {
        let mut event = pin!(event);
        poll_fn(|cx| match event.as_mut().poll(cx) {
            Poll::Ready(event) => Poll::Ready(Some(event)),
            Poll::Pending => self.poll(cx).map(|()| None),
        })
        .await
    }

    /// Ready when its holder is sent away.
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        if shutdown::is_asked() {
            return Poll::Ready(());
        }
        let Some(number) = self.number else {
            let number = self.dozing.last.get() + 1;
            self.dozing.last.set(number);
            self.number = Some(number);
            let entry = Entry { number, since: Instant::now(), waker: cx.waker().clone() };
            self.dozing.queue.borrow_mut().push_back(entry);
            return Poll::Pending;
        };
        match self.dozing.find(number) {
            // A task keeps its waker.
            Some(_) => Poll::Pending,
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
        assert!(!dozing.send_one_away(Duration::ZERO));
        let (mut first, mut second, mut third) = (dozing.place(), dozing.place(), dozing.place());
        for place in [&mut second, &mut first, &mut third] {
            assert!(place.poll(&cx).is_pending());
        }
        assert!(dozing.send_one_away(Duration::ZERO));
        assert!(second.poll(&cx).is_ready());
        assert!(first.poll(&cx).is_pending());
        assert!(!dozing.send_one_away(Duration::from_secs(100)), "none has waited for so long");
        drop(first);
        assert!(dozing.send_one_away(Duration::ZERO));
        assert!(third.poll(&cx).is_ready(), "places that are gone are not in the queue");
        drop((second, third));
        assert!(dozing.queue.borrow().is_empty());
    }
}
