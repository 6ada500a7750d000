//! The end of an appliance in order.
//!
//! Somebody asks for it: a signal to a process, the monitor of a machine, a scenario of a
//! simulation. From then on
//!
//! 1. networks accept nothing more: [`accept`](crate::interface::TcpListener::accept) isn't ready
//!    any more, its port is closed, and the task that waits there no longer keeps the appliance
//!    alive;
//! 2. what is under way goes on, and services end it soon: they say the last word and close;
//! 3. the appliance ends with [`Ending::Done`] as soon as all its
//!    tasks but those in the background have ended, or when the time for that has run out (`drain`
//!    in the file, 10 s by default). What is left then is cut off, and the console says whose it was.
//!
//! A service needs nothing for that. One whose connections may be idle should end them instead of
//! letting them wait for the time to run out:
//!
//! ```
//! use unik::interface::TcpStream;
//! use unik::shutdown;
//!
//! async fn serve(stream: &mut impl TcpStream) -> Option<()> {
//!     let mut request = [0; 512];
//!     // `None`: no request came, and none is waited for any more.
//!     let length = shutdown::unless_asked(stream.read(&mut request)).await?.ok()?;
//!     stream.write(&request[..length]).await.ok()?;
//!     stream.close().await.ok()
//! }
//! ```

#[cfg(not(unik_machine))]
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use crate::executor;
use crate::logging;
use crate::platform::Ending;
#[cfg(not(unik_machine))]
use crate::time;
use crate::time::Duration;

/// How long what is under way may take, in milliseconds, unless [`set_drain`] says otherwise.
const DRAIN: u32 = 10_000;

/// Whether the end was asked for, and how long it may take.
pub(crate) struct Shutdown {
    is_asked: Cell<bool>,
    /// In milliseconds.
    drain: Cell<u32>,
}

impl Shutdown {
    pub(crate) const fn new() -> Self {
        Shutdown { is_asked: Cell::new(false), drain: Cell::new(DRAIN) }
    }

    pub(crate) fn clear(&self) {
        self.is_asked.set(false);
        self.drain.set(DRAIN);
    }
}

/// Asks the appliance to end in order; to ask again changes nothing. For platforms, and for tests:
/// a service that can't go on says so by [`Context::fail`](crate::start::Context::fail).
///
/// Every task is woken, so that each can look whether it [is asked](is_asked).
pub fn ask() {
    let is_news = executor::with(|executor| !executor.shutdown.is_asked.replace(true));
    if is_news {
        executor::wake_all();
        // On a machine the task that listens for the end sees to that.
        #[cfg(not(unik_machine))]
        executor::spawn_background("(end)", async {
            time::sleep(drain()).await;
            cut_off();
        });
    }
}

/// How long what is under way may take.
pub(crate) fn drain() -> Duration {
    Duration::from_millis(executor::with(|executor| executor.shutdown.drain.get()).into())
}

/// Whether the end was asked for: there is no use in beginning anything.
#[must_use]
#[inline(never)]
pub fn is_asked() -> bool {
    executor::with(|executor| executor.shutdown.is_asked.get())
}

/// Waits until the end is asked for.
pub async fn asked() {
    // Whoever asks wakes every task.
    poll_fn(|_| if is_asked() { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Waits for `future` unless the end is asked for: then drops it, and gives `None`. What is ready
/// in the very poll in which that shows counts.
///
/// It is for the task itself to wait here: a future that is polled by something with a waker of
/// its own learns of the end only when that polls it.
pub async fn unless_asked<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if is_asked() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// For networks, where a service waits for somebody to come: whether the end was asked for. If so,
/// the task that is running no longer keeps the appliance alive.
#[must_use]
#[inline(never)]
pub fn release() -> bool {
    let is_asked = is_asked();
    if is_asked {
        executor::release_current();
    }
    is_asked
}

/// Sets how long what is under way may take once the end is asked for. For the generated wiring.
pub fn set_drain(milliseconds: u32) {
    executor::with(|executor| executor.shutdown.drain.set(milliseconds));
}

/// The time has run out: ends the tasks that are left, and says whose they were.
#[cfg(not(unik_machine))]
pub(crate) fn cut_off() {
    let mut names: Vec<(&'static str, usize)> = Vec::new();
    executor::drop_foreground(&mut |name| match names.iter_mut().find(|(other, _)| *other == name) {
        Some((_, count)) => *count += 1,
        None => names.push((name, 1)),
    });
    for (name, count) in names {
        logging::print(format_args!("unik: cut off {name}: {count}\n"));
    }
    executor::end(Ending::Done);
}

/// The time has run out: ends the tasks that are left, and says how many they were. Whose isn't worth
/// its bytes in an image.
#[cfg(unik_machine)]
pub(crate) fn cut_off() {
    let mut count = 0usize;
    executor::drop_foreground(&mut |_| count += 1);
    logging::print(format_args!("unik: cut off {count}\n"));
    executor::end(Ending::Done);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start::StartError;
    use crate::sync::Notify;
    use crate::time::{now, sleep};
    use alloc::rc::Rc;
    use std::future::pending;

    /// Runs an appliance whose wiring is `wire`, which asks for the end; how long that took.
    fn run(wire: impl Future<Output = ()>) -> Duration {
        let start = now();
        let ending = executor::run(async {
            set_drain(200);
            wire.await;
            Ok::<(), StartError>(())
        });
        assert_eq!(ending, Ending::Done);
        assert!(!is_asked(), "the next appliance of this thread isn't asked");
        start.elapsed()
    }

    #[test]
    fn what_is_under_way_goes_on_and_then_it_ends() {
        let done = Rc::new(Cell::new(0));
        let (one, other) = (Rc::clone(&done), Rc::clone(&done));
        let took = run(async {
            executor::spawn("busy", async move {
                sleep(Duration::from_millis(20)).await;
                assert!(is_asked());
                one.set(one.get() + 1);
            });
            executor::spawn("idle", async move {
                assert_eq!(unless_asked(async { 7 }).await, Some(7));
                assert_eq!(unless_asked(pending::<()>()).await, None);
                asked().await;
                other.set(other.get() + 1);
            });
            executor::spawn("asks", async {
                sleep(Duration::from_millis(5)).await;
                ask();
                ask();
            });
        });
        assert_eq!(done.get(), 2);
        assert!(took < Duration::from_millis(150), "{took:?}");
    }

    #[test]
    fn what_doesnt_end_is_cut_off() {
        let notify = Rc::new(Notify::new());
        let held = Rc::clone(&notify);
        let took = run(async {
            for _ in 0..3 {
                let held = Rc::clone(&held);
                executor::spawn("stubborn", async move { held.notified().await });
            }
            ask();
        });
        assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(20), "{took:?}");
        drop(held);
        assert_eq!(Rc::strong_count(&notify), 1, "the tasks were dropped");
    }

    #[test]
    fn a_task_that_waits_for_somebody_to_come_holds_nothing_up() {
        let took = run(async {
            executor::spawn("accepts", async {
                poll_fn(|_| {
                    let _ = release();
                    Poll::Pending
                })
                .await
            });
            executor::spawn("asks", async { ask() });
        });
        assert!(took < Duration::from_millis(150), "{took:?}");
    }

    #[test]
    fn a_start_that_goes_on_for_ever_ends_too() {
        let start = now();
        let ending = executor::run(async {
            set_drain(30);
            executor::spawn_background("asks", async { ask() });
            pending().await
        });
        assert_eq!(ending, Ending::Done);
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}
