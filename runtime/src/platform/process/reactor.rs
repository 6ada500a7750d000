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
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::thread::{self, ThreadId};
use std::vec::Vec;

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;

use crate::executor;

std::thread_local! {
    static REACTOR: Rc<Reactor> = Rc::new(Reactor::new());
}

struct Reactor {
    epoll: OwnedFd,
    bell: Bell,
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

    fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        mut operation: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
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
        match Self::try_new() {
            Ok(reactor) => reactor,
            Err(error) => panic!("the host gives no event queue (epoll): {error}"),
        }
    }

    fn try_new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        // Edge-triggered, so that nobody needs to read it: each ring is an edge.
        epoll::add(
            &epoll,
            &bell,
            epoll::EventData::new_u64(BELL),
            epoll::EventFlags::IN | epoll::EventFlags::ET,
        )?;
        Ok(Reactor {
            epoll,
            bell: Bell { event: Arc::new(bell), owner: thread::current().id() },
            events: RefCell::new(Vec::with_capacity(EVENTS)),
            sources: RefCell::new(Sources { places: Vec::new(), free: Vec::new() }),
        })
    }
}

/// The key of the bell's events; no source has it.
const BELL: u64 = u64::MAX;

/// Gets a loop out of its [`wait`](super::wait) from another thread.
#[derive(Clone, Debug)]
pub struct Bell {
    event: Arc<OwnedFd>,
    owner: ThreadId,
}

impl Bell {
    /// The bell of the loop of this thread.
    pub fn of_this_loop() -> Bell {
        REACTOR.with(|reactor| reactor.bell.clone())
    }

    /// Makes the loop's wait return, the current one or else the next. Does nothing on
    /// the loop's own thread, which isn't waiting.
    pub fn ring(&self) {
        if thread::current().id() != self.owner {
            // Full after 2⁶⁴ rings; even then the event is there.
            let _ = rustix::io::write(&*self.event, &1u64.to_ne_bytes());
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
    let mut result =
        epoll::wait(&reactor.epoll, spare_capacity(&mut *events), timespec(nanoseconds).as_ref());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::{block_on, spawn, yield_now};
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn pair() -> (Registration<UnixStream>, UnixStream) {
        let (one, other) = UnixStream::pair().expect("a socket pair");
        one.set_nonblocking(true).expect("a non-blocking socket");
        (Registration::new(one).expect("a watched socket"), other)
    }

    async fn read(from: &Registration<UnixStream>, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| from.poll_read(cx, |mut stream| stream.read(buffer))).await
    }

    #[test]
    fn wakes_the_reader_and_the_writer() {
        let (ours, mut theirs) = pair();
        let echo = thread::spawn(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).expect("bytes");
            all.len()
        });
        let sent = block_on(async {
            let mut sent = 0;
            while sent < 4 << 20 {
                let chunk = [7; 10_000];
                sent += poll_fn(|cx| ours.poll_write(cx, |mut stream| stream.write(&chunk)))
                    .await
                    .expect("a reader");
            }
            ours.source().shutdown(std::net::Shutdown::Write).expect("an open socket");
            assert_eq!(read(&ours, &mut [0]).await.expect("the end"), 0);
            sent
        });
        assert_eq!(echo.join().expect("no panic"), sent);
    }

    #[test]
    fn a_fast_peer_starves_nobody() {
        let (ours, mut theirs) = pair();
        theirs.write_all(&[1; 4096]).expect("room");
        block_on(async {
            let turns = Rc::new(Cell::new(0));
            let others = Rc::clone(&turns);
            spawn("other", async move {
                loop {
                    others.set(others.get() + 1);
                    yield_now().await;
                }
            });
            for _ in 0..4096 {
                assert_eq!(read(&ours, &mut [0]).await.expect("a byte"), 1);
            }
            assert!(turns.get() >= 4096 / 64 - 1, "{} turns", turns.get());
        });
    }

    #[test]
    fn keys_are_used_again() {
        for _ in 0..100 {
            let (ours, mut theirs) = pair();
            theirs.write_all(b"x").expect("room");
            block_on(async { assert_eq!(read(&ours, &mut [0]).await.expect("a byte"), 1) });
        }
        REACTOR.with(|reactor| assert_eq!(reactor.sources.borrow().places.len(), 1));
    }
}
