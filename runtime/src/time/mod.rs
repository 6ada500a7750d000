//! Monotonic instants, timers, deadlines.
//!
//! Time here starts at 0 when the appliance does and never goes back. The time of day
//! is another thing: [`Clock`](crate::interface::Clock).

mod alarm;
mod timers;

use core::fmt;
use core::future::{Future, poll_fn};
use core::marker::PhantomData;
use core::ops::{Add, AddAssign, Sub};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

pub use alarm::Alarm;
pub use core::time::Duration;
pub(crate) use timers::Timers;

use crate::executor;
use crate::platform;
use timers::TimerId;

/// A point in monotonic time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The start of the appliance.
    pub const START: Instant = Instant(0);
    /// Later than any instant that is reached (584 years): "never", as a deadline.
    pub const NEVER: Instant = Instant(u64::MAX);

    /// The current instant.
    #[must_use]
    pub fn now() -> Instant {
        Instant(platform::now())
    }

    /// The instant `nanoseconds` after the start of the appliance.
    #[must_use]
    pub const fn from_nanos(nanoseconds: u64) -> Instant {
        Instant(nanoseconds)
    }

    /// Nanoseconds since the start of the appliance.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero when `earlier` is the later one.
    #[must_use]
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The time from `self` until now; zero when `self` is still to come.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        Instant::now().since(self)
    }
}

/// Saturates at [`Instant::NEVER`].
impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        let nanoseconds = duration.as_secs().saturating_mul(1_000_000_000);
        Instant(self.0.saturating_add(nanoseconds).saturating_add(duration.subsec_nanos().into()))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

/// As [`Instant::since`].
impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.since(earlier)
    }
}

/// The current instant.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits for `duration`, from this call on.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(now() + duration)
}

/// Waits until `deadline`; ready at once when it has passed.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, timer: None, local: PhantomData }
}

/// A future that is ready at its deadline. Dropping it takes its timer away.
#[must_use = "a future does nothing until it is awaited"]
#[derive(Debug)]
pub struct Sleep {
    deadline: Instant,
    timer: Option<TimerId>,
    /// The timer belongs to this thread's executor.
    local: PhantomData<*const ()>,
}

impl Sleep {
    /// When it is ready.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Moves the deadline, of a future that may have been polled or even been ready.
    pub fn reset(&mut self, deadline: Instant) {
        self.cancel();
        self.deadline = deadline;
    }

    fn cancel(&mut self) {
        if let Some(timer) = self.timer.take() {
            cancel(timer);
        }
    }
}

fn cancel(timer: TimerId) {
    // No executor: the thread is ending, and its timers have gone already.
    executor::try_with(|executor| {
        let waker = executor.timers.borrow_mut().cancel(timer);
        drop(waker);
    });
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.deadline {
            self.cancel();
            return Poll::Ready(());
        }
        if self.deadline != Instant::NEVER {
            let deadline = self.deadline.as_nanos();
            self.timer = Some(executor::with(|executor| {
                executor.timers.borrow_mut().set(self.timer, deadline, cx.waker())
            }));
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Gives `future` until `limit` from now; then drops it.
///
/// # Errors
/// [`TimedOut`] when the future wasn't ready by then. A future that is ready in the very
/// poll in which the time runs out counts as ready.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, TimedOut> {
    timeout_at(now() + limit, future).await
}

/// Gives `future` until `deadline`; then drops it.
///
/// # Errors
/// As [`timeout`].
pub async fn timeout_at<F: Future>(deadline: Instant, future: F) -> Result<F::Output, TimedOut> {
    let mut future = pin!(future);
    let mut sleep = pin!(sleep_until(deadline));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => sleep.as_mut().poll(cx).map(|()| Err(TimedOut)),
    })
    .await
}

/// The time for something has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl core::error::Error for TimedOut {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::{block_on, spawn, yield_now};
    use alloc::rc::Rc;
    use alloc::vec::Vec;
    use core::cell::RefCell;

    const MS: Duration = Duration::from_millis(1);

    fn timer_count() -> usize {
        executor::with(|executor| executor.timers.borrow().len())
    }

    #[test]
    fn sleeps_as_long_as_asked_and_in_order() {
        let order = Rc::new(RefCell::new(Vec::new()));
        let start = now();
        block_on(async {
            for ms in [12, 4, 8] {
                let order = Rc::clone(&order);
                spawn("test", async move {
                    sleep(ms * MS).await;
                    order.borrow_mut().push(ms);
                });
            }
            sleep(16 * MS).await;
        });
        assert_eq!(*order.borrow(), [4, 8, 12]);
        assert!(start.elapsed() >= 16 * MS);
    }

    #[test]
    fn a_dropped_sleep_leaves_no_timer() {
        block_on(async {
            let never = timeout(Duration::from_secs(3600), async { sleep(MS).await });
            assert_eq!(never.await, Ok(()));
            assert_eq!(timer_count(), 0);
            assert_eq!(timeout(2 * MS, sleep(Duration::MAX)).await, Err(TimedOut));
            assert_eq!(timer_count(), 0);
        });
    }

    #[test]
    fn a_sleep_can_be_moved() {
        block_on(async {
            let start = now();
            let mut sleep = pin!(sleep(Duration::from_secs(3600)));
            poll_fn(|cx| {
                assert!(sleep.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            sleep.reset(start + 3 * MS);
            sleep.as_mut().await;
            assert!(start.elapsed() >= 3 * MS && start.elapsed() < Duration::from_secs(60));
        });
    }

    #[test]
    fn timers_fire_while_tasks_are_busy() {
        block_on(async {
            spawn("busy", async {
                loop {
                    yield_now().await;
                }
            });
            sleep(2 * MS).await;
        });
    }

    #[test]
    fn instants_saturate() {
        assert_eq!(Instant::START + Duration::MAX, Instant::NEVER);
        assert_eq!(Instant::START - Instant::NEVER, Duration::ZERO);
        assert_eq!(Instant::from_nanos(5) + Duration::from_secs(2), Instant::from_nanos(2_000_000_005));
    }
}
