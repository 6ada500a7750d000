//! A timer for deadlines that move all the time, and are hardly ever reached.

use core::future::{Future, poll_fn};
use core::marker::PhantomData;
use core::pin::pin;
use core::task::{Context, Poll};

use super::timers::TimerId;
use super::{Instant, TimedOut, now};
use crate::executor;

/// One timer for one deadline after the other, of one task.
///
/// [`timeout`](super::timeout) sets a timer for each wait and takes it away afterwards. Whoever
/// waits thousands of times a second, each time a little longer than before, needs neither: a timer
/// of an earlier wait stays where it is, and when it fires before its time, the next is set.
#[derive(Debug, Default)]
pub struct Alarm {
    /// The timer that may be set, and for when.
    timer: Option<(TimerId, Instant)>,
    /// The timer belongs to this thread's executor.
    local: PhantomData<*const ()>,
}

impl Alarm {
    /// One for which no timer is set yet.
    #[must_use]
    pub const fn new() -> Alarm {
        Alarm { timer: None, local: PhantomData }
    }

    /// Gives `future` until the deadline, for which it asks when `future` isn't ready at once;
    /// then drops it.
    ///
    /// # Errors
    /// [`TimedOut`], as of [`timeout_at`](super::timeout_at).
    pub async fn limit<F: Future>(
        &mut self,
        deadline: impl FnOnce() -> Instant,
        future: F,
    ) -> Result<F::Output, TimedOut> {
        let mut future = pin!(future);
        let (mut ask, mut deadline) = (Some(deadline), Instant::NEVER);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => {
                if let Some(ask) = ask.take() {
                    deadline = ask();
                }
                self.poll_reached(deadline, cx).map(|()| Err(TimedOut))
            }
        })
        .await
    }

    /// Ready when `deadline` has passed; else the task is woken by then, and perhaps before.
    pub fn poll_reached(&mut self, deadline: Instant, cx: &Context<'_>) -> Poll<()> {
        if let Some((timer, set_for)) = self.timer {
            // What is set and hasn't fired yet fires by then.
            let renew = || executor::with(|executor| executor.timers.borrow_mut().renew(timer, cx.waker()));
            if set_for <= deadline && renew() {
                return Poll::Pending;
            }
        }
        if now() >= deadline {
            return Poll::Ready(());
        }
        self.cancel();
        if deadline != Instant::NEVER {
            let timer = executor::with(|executor| {
                executor.timers.borrow_mut().set(None, deadline.as_nanos(), cx.waker())
            });
            self.timer = Some((timer, deadline));
        }
        Poll::Pending
    }

    fn cancel(&mut self) {
        if let Some((timer, _)) = self.timer.take() {
            super::cancel(timer);
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::{block_on, yield_now};
    use crate::time::{Duration, sleep};
    use core::cell::Cell;

    const MS: Duration = Duration::from_millis(1);

    fn timers() -> usize {
        executor::with(|executor| executor.timers.borrow().len())
    }

    #[test]
    fn one_timer_serves_many_waits() {
        block_on(async {
            let mut alarm = Alarm::new();
            for _ in 0..10 {
                let limit = alarm.limit(|| now() + Duration::from_secs(60), yield_now());
                assert_eq!(limit.await, Ok(()));
                assert_eq!(timers(), 1);
            }
            // Sooner than it is set for, and later than an earlier one that fires meanwhile.
            let start = now();
            assert_eq!(alarm.limit(|| start + 2 * MS, core::future::pending::<()>()).await, Err(TimedOut));
            assert!(start.elapsed() >= 2 * MS && start.elapsed() < Duration::from_secs(30));
            assert_eq!(alarm.limit(|| now() + 2 * MS, yield_now()).await, Ok(()));
            let start = now();
            assert_eq!(alarm.limit(|| start + 6 * MS, core::future::pending::<()>()).await, Err(TimedOut));
            assert!(start.elapsed() >= 6 * MS);
            drop(alarm);
            assert_eq!(timers(), 0);
        });
    }

    #[test]
    fn what_is_ready_at_once_asks_for_no_deadline() {
        block_on(async {
            let asked = Cell::new(false);
            let mut alarm = Alarm::new();
            let deadline = || {
                asked.set(true);
                now()
            };
            assert_eq!(alarm.limit(deadline, async { 7 }).await, Ok(7));
            assert!(!asked.get());
            assert_eq!(alarm.limit(|| Instant::NEVER, sleep(MS)).await, Ok(()));
            assert_eq!(timers(), 0, "never needs no timer");
        });
    }
}
