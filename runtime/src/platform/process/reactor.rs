//! Events of file descriptors, through epoll.
//!
//! Each source is watched edge-triggered from its registration to its end, in both
//! directions: one system call for both. A direction counts as ready until an operation
//! says that it would block; the next edge makes it ready again. No edge is lost
//! between the operation and the note that it would block, since edges are only
//! collected in [`wait`], on this very thread.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::vec::Vec;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::executor;

std::thread_local! {
    static REACTOR: Rc<Reactor> = Rc::new(Reactor::new());
}

struct Reactor {
    epoll: OwnedFd,
    events: RefCell<Vec<epoll::Event>>,
    sources: RefCell<Sources>,
}

/// How many events are collected at once; more are there at the next wait.
const EVENTS: usize = 1024;

/// The watched sources; the key of an event is a place here.
struct Sources {
    places: Vec<Option<Rc<Readiness>>>,
    free: Vec<usize>,
}

/// What is known of a source, and who waits for it.
#[derive(Default)]
struct Readiness {
    read: Direction,
    write: Direction,
}

struct Direction {
    is_ready: Cell<bool>,
    waiting: Cell<Option<Waker>>,
}

impl Default for Direction {
    fn default() -> Self {
        Direction { is_ready: Cell::new(true), waiting: Cell::new(None) }
    }
}

impl Direction {
    fn set_ready(&self) {
        self.is_ready.set(true);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    fn poll<R>(&self, cx: &mut Context<'_>, mut operation: impl FnMut() -> io::Result<R>) -> Poll<io::Result<R>> {
        ready!(executor::poll_budget(cx));
        while self.is_ready.get() {
            match operation() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_ready.set(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
        self.waiting.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Reactor {
    fn new() -> Self {
        let epoll = match epoll::create(epoll::CreateFlags::CLOEXEC) {
            Ok(epoll) => epoll,
            Err(error) => panic!("the host gives no event queue (epoll): {error}"),
        };
        Reactor {
            epoll,
            events: RefCell::new(Vec::with_capacity(EVENTS)),
            sources: RefCell::new(Sources { places: Vec::new(), free: Vec::new() }),
        }
    }
}

/// A file descriptor that tasks of this thread wait for: a non-blocking socket, a pipe.
///
/// One task at a time can wait for it to become readable, and one for writable; the
/// last to ask is the one that is woken.
pub struct Registration<T: AsFd> {
    source: T,
    readiness: Rc<Readiness>,
    key: usize,
    reactor: Rc<Reactor>,
}

impl<T: AsFd> Registration<T> {
    /// Watches `source`, which must be non-blocking, until this value is dropped.
    ///
    /// # Errors
    /// When the host has no room for it, or can't watch such a source (a plain file).
    pub fn new(source: T) -> io::Result<Self> {
        let reactor = REACTOR.with(Rc::clone);
        let readiness = Rc::new(Readiness::default());
        let key = {
            let mut sources = reactor.sources.borrow_mut();
            sources.free.pop().unwrap_or_else(|| {
                sources.places.push(None);
                sources.places.len() - 1
            })
        };
        let directions = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        let added = epoll::add(&reactor.epoll, &source, epoll::EventData::new_u64(key as u64), directions);
        let mut sources = reactor.sources.borrow_mut();
        match added {
            Ok(()) => {
                sources.places[key] = Some(Rc::clone(&readiness));
                drop(sources);
                Ok(Registration { source, readiness, key, reactor })
            }
            Err(error) => {
                sources.free.push(key);
                Err(error.into())
            }
        }
    }

    /// The source. Operations on it that may block belong into
    /// [`poll_read`](Self::poll_read) or [`poll_write`](Self::poll_write).
    pub fn source(&self) -> &T {
        &self.source
    }

    /// Tries `operation`; when it would block, waits until the source is readable.
    /// Takes from the task's [budget](executor::poll_budget).
    ///
    /// # Errors
    /// Those of `operation`, but `WouldBlock` and `Interrupted`.
    pub fn poll_read<R>(
        &self,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.readiness.read.poll(cx, || operation(&self.source))
    }

    /// Tries `operation`; when it would block, waits until the source is writable.
    /// Takes from the task's [budget](executor::poll_budget).
    ///
    /// # Errors
    /// Those of `operation`, but `WouldBlock` and `Interrupted`.
    pub fn poll_write<R>(
        &self,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.readiness.write.poll(cx, || operation(&self.source))
    }
}

impl<T: AsFd> Drop for Registration<T> {
    fn drop(&mut self) {
        // Closing the descriptor isn't enough: a duplicate of it may live on, in a child.
        // Fails only when the descriptor isn't watched; it always is.
        let _ = epoll::delete(&self.reactor.epoll, &self.source);
        let readiness = {
            let mut sources = self.reactor.sources.borrow_mut();
            sources.free.push(self.key);
            sources.places[self.key].take()
        };
        drop(readiness);
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Registration<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registration").field(&self.source).finish()
    }
}

/// See [`super::wait`].
pub(super) fn wait(until: Option<u64>) {
    let reactor = REACTOR.with(Rc::clone);
    let mut events = reactor.events.borrow_mut();
    events.clear();
    let nanoseconds = until.map(|until| until.saturating_sub(super::now()));
    let mut result = epoll::wait(&reactor.epoll, spare_capacity(&mut *events), timespec(nanoseconds).as_ref());
    if result == Err(Errno::NOSYS) {
        // Linux before 5.11 waits for whole milliseconds only.
        let rounded = nanoseconds.map(|time| time.div_ceil(1_000_000).saturating_mul(1_000_000));
        result = epoll::wait(&reactor.epoll, spare_capacity(&mut *events), timespec(rounded).as_ref());
    }
    match result {
        Ok(_) => {}
        // A signal; its handler has left a byte, and the loop comes back.
        Err(Errno::INTR) => return,
        Err(error) => panic!("the host can't wait for events: {error}"),
    }
    // What went wrong with a source shows in both directions: the next operation says it.
    let broken = epoll::EventFlags::ERR | epoll::EventFlags::HUP;
    for event in events.iter() {
        let (key, flags) = (event.data.u64() as usize, event.flags);
        let readiness = reactor.sources.borrow().places.get(key).cloned().flatten();
        let Some(readiness) = readiness else { continue };
        if flags.intersects(epoll::EventFlags::IN | broken) {
            readiness.read.set_ready();
        }
        if flags.intersects(epoll::EventFlags::OUT | broken) {
            readiness.write.set_ready();
        }
    }
}

fn timespec(nanoseconds: Option<u64>) -> Option<Timespec> {
    let nanoseconds = nanoseconds?;
    // Both fit: 2⁶⁴ ns are 1.8 × 10¹⁰ s.
    Some(Timespec { tv_sec: (nanoseconds / 1_000_000_000) as _, tv_nsec: (nanoseconds % 1_000_000_000) as _ })
}
