//! Tasks, wake-ups, the idle loop.
//!
//! One thread runs all tasks of an appliance, each from one `.await` to the next. A
//! *round* polls every task that was woken before the round began, in the order of
//! their wake-ups; what they wake has its turn in the next round, so no task starves
//! another. Between rounds timers fire, and the platform is asked for events. Only when
//! nothing is ready does the loop rest, until the next timer: it sleeps, in
//! [`platform::wait`], after having looked for a while at what tasks [watch](poll_watch), where
//! that pays.
//!
//! A task that always finds something to do must still give way: whatever completes
//! without waiting for long stretches asks [`poll_budget`] first.
//!
//! ```
//! # use unik::{executor, time};
//! let answer = executor::block_on(async {
//!     executor::spawn("background", async { time::sleep(time::Duration::from_millis(1)).await });
//!     6 * 7
//! });
//! assert_eq!(answer, 42);
//! ```

mod idle;
mod local;
mod ready;
mod tasks;
mod watch;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

pub(crate) use local::{try_with, with};
pub use watch::{Watch, Watching};

use crate::platform::{self, Ending};
use crate::shutdown::Shutdown;
use crate::start::{self, StartError};
use crate::time::Timers;
use ready::{Header, ReadyQueue};
use tasks::Tasks;
use watch::Watches;

/// After how many polls, at the earliest, the platform is asked for events although tasks
/// are ready.
const POLLS_PER_LOOK: u32 = 64;

/// Asking takes half a microsecond in a process, 20 where the monitor itself runs in a
/// virtual machine. So it is measured, and no more than a sixteenth of the time goes to it.
const LOOK_SHARE: u64 = 16;

/// How long events may stay unseen at most, in nanoseconds, however long asking takes.
const LONGEST_LOOK_INTERVAL: u64 = 1_000_000;

/// How many operations a task may complete in one poll: see [`poll_budget`].
const BUDGET: u32 = 64;

/// Runs an appliance: its wiring, and then the tasks that this spawned, until none is
/// left but background tasks; those are dropped then. All tasks run while the wiring
/// waits for something. What a wiring that failed has to say is printed.
///
/// # Panics
/// When called from a task.
pub fn run(wiring: impl Future<Output = Result<(), StartError>>) -> Ending {
    with(|executor| {
        let failure = Cell::new(None);
        {
            let main = pin!(async {
                if let Err(error) = wiring.await {
                    failure.set(Some(error));
                    executor.ending.set(Some(Ending::Failed));
                }
            });
            executor.drive(main, Until::NoForegroundTask);
        }
        if let Some(error) = failure.take() {
            crate::logging::print(format_args!("error: {error}\n"));
        }
        executor.ending.take().unwrap_or(Ending::Done)
    })
}

/// Runs `main` and the tasks beside it until `main` has its result; then drops all
/// tasks. For tests, and for programs that hold no appliance.
///
/// # Panics
/// When called from a task, and when a task called [`end`] before `main` was through.
pub fn block_on<T>(main: impl Future<Output = T>) -> T {
    let result = Cell::new(None);
    {
        let main = pin!(async { result.set(Some(main.await)) });
        with(|executor| executor.drive(main, Until::Main));
    }
    with(|executor| executor.ending.set(None));
    match result.take() {
        Some(result) => result,
        None => panic!("a task ended the appliance"),
    }
}

/// Runs `task` beside the others until it returns. The appliance lives until the last
/// such task has. `name` is the instance that it works for.
pub fn spawn(name: &'static str, task: impl Future<Output = ()> + 'static) {
    with(|executor| executor.spawn(name, false, Box::pin(task)));
}

/// Like [`spawn`], for a task without which the appliance may end: a driver's, a network's.
pub fn spawn_background(name: &'static str, task: impl Future<Output = ()> + 'static) {
    with(|executor| executor.spawn(name, true, Box::pin(task)));
}

/// Ends the appliance after the current task's turn, whatever else is running.
pub fn end(ending: Ending) {
    with(|executor| executor.ending.set(Some(ending)));
}

/// Gives the background tasks that are ready two turns before the caller, the wiring, does
/// something slow: one in which a network takes what came, one in which it sends its answers.
#[cfg_attr(not(unik_machine), allow(dead_code, reason = "a process has nothing slow to do"))]
pub(crate) fn run_background() {
    with(|executor| executor.run_background(2));
}

/// Wakes every task: something changed that each may look at.
pub(crate) fn wake_all() {
    with(|executor| executor.tasks.borrow().wake_all());
}

/// From now on the appliance may end without the task that is running.
pub(crate) fn release_current() {
    with(|executor| executor.tasks.borrow_mut().release(executor.slot.get()));
}

/// Ends all tasks but those in the background; tells the name of each.
pub(crate) fn drop_foreground(tell: &mut impl FnMut(&'static str)) {
    with(|executor| {
        let mut slot = 0;
        loop {
            // Outside of the borrow: a task that is dropped may wake or spawn others.
            let task = executor.tasks.borrow_mut().take_foreground(&mut slot);
            match task {
                Some(task) => tell(task.name),
                None => return,
            }
        }
    });
}

/// How many tasks there are.
#[cfg(not(unik_machine))]
pub(crate) fn task_count() -> usize {
    with(|executor| executor.tasks.borrow().count())
}

/// The name of the task that is running, if one is: for crash records.
#[must_use]
pub fn current_task() -> Option<&'static str> {
    try_with(|executor| executor.current.get()).flatten()
}

/// Lets every other task that is ready have its turn.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Asks whether the running task may go on. Ready 64 times in one poll of a task; from
/// then on pending, with the task woken for the next round.
///
/// For operations that may be ready for as long as a peer likes (a read from a fast
/// connection): ask before the operation, so that its caller can't starve the others.
pub fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
    with(|executor| match executor.budget.get().checked_sub(1) {
        Some(left) => {
            executor.budget.set(left);
            Poll::Ready(())
        }
        None => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
}

/// Waits until one of `watches` has moved, without asking for an interrupt as long as the loop
/// looks at them by itself: what comes soon is seen at once then. How long it looks, if at all,
/// it finds out: from what a wake-up costs on this host, and from what gets done either way.
///
/// `work` is what the task got done since it last asked, in bytes: that by which the loop
/// compares. A task has one call that counts: the last.
///
/// - [`Watching::Due`]: there is something to do.
/// - [`Watching::Looking`]: the task will be woken, and is to ask again then.
/// - [`Watching::Sleep`]: it must ask for an interrupt, and look again afterwards.
pub fn poll_watch(cx: &mut Context<'_>, watches: &[Watch], work: u64) -> Watching {
    with(|executor| executor.watches.borrow_mut().watch(cx.waker(), watches, work, platform::now()))
}

/// When [`Executor::drive`] returns.
#[derive(Clone, Copy, PartialEq)]
enum Until {
    /// When the main future has.
    Main,
    /// When the main future has, and all tasks that aren't in the background.
    NoForegroundTask,
}

/// Everything that belongs to one loop on one thread.
pub(crate) struct Executor {
    queue: Arc<ReadyQueue>,
    tasks: RefCell<Tasks>,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) addresses: start::Addresses,
    pub(crate) shutdown: Shutdown,
    watches: RefCell<Watches>,
    ending: Cell<Option<Ending>>,
    current: Cell<Option<&'static str>>,
    /// Of the task that is running, or that ran last.
    slot: Cell<u32>,
    budget: Cell<u32>,
    running: Cell<bool>,
}

/// What the main future is called while it runs: no instance can be.
const WIRING: &str = "(start)";

/// The slot of the main future, which is no task and lives on the stack.
const MAIN: u32 = u32::MAX;

impl Executor {
    fn new() -> Self {
        Executor {
            queue: ReadyQueue::new(),
            tasks: RefCell::new(Tasks::new()),
            timers: RefCell::new(Timers::new()),
            addresses: start::Addresses::new(),
            shutdown: Shutdown::new(),
            watches: RefCell::new(Watches::new()),
            ending: Cell::new(None),
            current: Cell::new(None),
            slot: Cell::new(MAIN),
            budget: Cell::new(BUDGET),
            running: Cell::new(false),
        }
    }

    fn spawn(&self, name: &'static str, background: bool, future: tasks::TaskFuture) {
        let header = self.tasks.borrow_mut().insert(name, background, future, &self.queue);
        Waker::from(header).wake();
    }

    fn drive(&self, mut main: Pin<&mut dyn Future<Output = ()>>, until: Until) {
        let _run = Run::begin(self);
        let header = Header::new(MAIN, &self.queue);
        let waker = Waker::from(Arc::clone(&header));
        waker.wake_by_ref();
        let mut main_done = false;
        let mut polls = 0;
        let mut next_look = 0;
        loop {
            self.fire_timers();
            let batch = self.queue.take();
            if batch.is_empty() {
                self.rest();
                polls = 0;
                continue;
            }
            for header in batch {
                if header.slot() != MAIN {
                    self.poll_task(&header);
                } else if !main_done {
                    header.begin_poll();
                    self.budget.set(BUDGET);
                    self.current.set(Some(WIRING));
                    self.slot.set(MAIN);
                    main_done = main.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
                    self.current.set(None);
                }
                platform::progress();
                polls += 1;
                if self.ending.get().is_some() {
                    break;
                }
            }
            let over = main_done && (until == Until::Main || self.tasks.borrow().foreground() == 0);
            if over || self.ending.get().is_some() {
                if until == Until::NoForegroundTask && self.ending.get().is_none_or(|it| it == Ending::Done) {
                    // What was sent last, and the resets of what was cut off, leave with it.
                    self.run_background(2);
                }
                header.retire();
                return;
            }
            if polls >= POLLS_PER_LOOK {
                polls = 0;
                let now = platform::now();
                if now >= next_look {
                    platform::wait(Some(0));
                    let then = platform::now();
                    let took = then.saturating_sub(now);
                    next_look = then + took.saturating_mul(LOOK_SHARE).min(LONGEST_LOOK_INTERVAL);
                }
            }
        }
    }

    /// Nothing is ready.
    fn rest(&self) {
        let next = self.timers.borrow().next();
        if !self.watches.borrow_mut().look(next, || !self.queue.is_empty()) {
            platform::wait(next);
            return;
        }
        loop {
            // Not in the `while let`: the borrow would last while the waker runs.
            let woken = self.watches.borrow_mut().next();
            match woken {
                Some(waker) => waker.wake(),
                None => return,
            }
        }
    }

    fn fire_timers(&self) {
        if self.timers.borrow().next().is_none() {
            return;
        }
        let now = platform::now();
        loop {
            // Not in the `while let`: the borrow would last while the waker runs.
            let due = self.timers.borrow_mut().pop_due(now);
            match due {
                Some(waker) => waker.wake(),
                None => return,
            }
        }
    }

    /// Polls every background task that is ready, up to `turns` times; the others stay ready,
    /// in their order.
    fn run_background(&self, turns: usize) {
        let (current, slot, budget) = (self.current.get(), self.slot.get(), self.budget.get());
        for _ in 0..turns {
            for header in self.queue.take() {
                if self.tasks.borrow_mut().find(&header).is_some_and(|task| task.background) {
                    self.poll_task(&header);
                } else {
                    header.begin_poll();
                    header.wake_by_ref();
                }
            }
        }
        self.current.set(current);
        self.slot.set(slot);
        self.budget.set(budget);
    }

    fn poll_task(&self, header: &Arc<Header>) {
        // The future leaves its slot meanwhile, so that the task can spawn others.
        let taken =
            self.tasks.borrow_mut().find(header).and_then(|task| Some((task.name, task.body.take()?)));
        let Some((name, (mut future, waker))) = taken else { return };
        header.begin_poll();
        self.budget.set(BUDGET);
        self.current.set(Some(name));
        self.slot.set(header.slot());
        let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        if done {
            // Outside of the borrow: what the task held may wake others when dropped.
            let task = self.tasks.borrow_mut().remove(header);
            drop(task);
            drop(future);
        } else if let Some(task) = self.tasks.borrow_mut().find(header) {
            task.body = Some((future, waker));
        }
        self.current.set(None);
    }
}

/// A run of the loop; drops all tasks at its end, also when it unwinds.
struct Run<'a>(&'a Executor);

impl<'a> Run<'a> {
    fn begin(executor: &'a Executor) -> Self {
        assert!(!executor.running.replace(true), "an executor can't run inside a task");
        Run(executor)
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        loop {
            // Outside of the borrow: a task that is dropped may wake or spawn others.
            let task = self.0.tasks.borrow_mut().pop();
            if task.is_none() {
                break;
            }
        }
        drop(self.0.queue.take());
        self.0.watches.borrow_mut().clear();
        self.0.addresses.clear();
        self.0.shutdown.clear();
        self.0.current.set(None);
        self.0.running.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Notify;
    use crate::time::{Duration, sleep};
    use alloc::rc::Rc;
    use alloc::vec::Vec;
    use std::thread;

    /// Says when it is dropped.
    struct Witness(Rc<Cell<u32>>);

    impl Drop for Witness {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn background_tasks_can_have_turns_before_the_others() {
        let order = Rc::new(RefCell::new(Vec::new()));
        let says = |what: &'static str| {
            let order = Rc::clone(&order);
            async move {
                for _ in 0..3 {
                    order.borrow_mut().push(what);
                    yield_now().await;
                }
            }
        };
        block_on(async {
            spawn("service", says("service"));
            spawn_background("driver", says("driver"));
            run_background();
            assert_eq!(*order.borrow(), ["driver", "driver"]);
            assert_eq!(current_task(), Some(WIRING));
            order.borrow_mut().push("main");
            yield_now().await;
            yield_now().await;
        });
        assert_eq!(order.borrow()[..5], ["driver", "driver", "main", "service", "driver"]);
    }

    #[test]
    fn ends_with_the_last_foreground_task() {
        let dropped = Rc::new(Cell::new(0));
        let witness = Witness(Rc::clone(&dropped));
        let ending = run(async {
            spawn("service", async { sleep(Duration::from_millis(2)).await });
            spawn_background("driver", async move {
                let _witness = witness;
                Notify::new().notified().await;
            });
            Ok(())
        });
        assert_eq!((ending, dropped.get()), (Ending::Done, 1));
        assert_eq!(run(async { Ok(()) }), Ending::Done);
    }

    #[test]
    fn tasks_run_while_the_wiring_waits() {
        let seen = Rc::new(Cell::new(false));
        let lease = Rc::new(Notify::new());
        let ending = run(async {
            let (seen, lease) = (Rc::clone(&seen), Rc::clone(&lease));
            let offered = Rc::clone(&lease);
            spawn_background("lan", async move { offered.notify() });
            lease.notified().await;
            seen.set(true);
            Ok(())
        });
        assert_eq!((ending, seen.get()), (Ending::Done, true));
    }

    #[test]
    fn a_failed_wiring_ends_the_rest() {
        let context = crate::start::Context::new("lan");
        let ending = run(async {
            spawn("service", core::future::pending());
            Err(context.error("no lease"))
        });
        assert_eq!(ending, Ending::Failed);
    }

    #[test]
    fn a_task_can_end_the_appliance() {
        let context = crate::start::Context::new("site");
        let ending = run(async move {
            spawn("other", core::future::pending());
            context.spawn(async move { context.fail("the disk is gone") });
            Ok(())
        });
        assert_eq!(ending, Ending::Failed);
    }

    #[test]
    fn slots_are_used_again_and_old_wakers_reach_nobody() {
        block_on(async {
            let old = Rc::new(RefCell::new(Vec::new()));
            for _ in 0..100 {
                let old = Rc::clone(&old);
                spawn(
                    "test",
                    poll_fn(move |cx| {
                        old.borrow_mut().push(cx.waker().clone());
                        Poll::Ready(())
                    }),
                );
                yield_now().await;
            }
            let polls = Rc::new(Cell::new(0));
            let counted = Rc::clone(&polls);
            spawn(
                "test",
                poll_fn(move |_| {
                    counted.set(counted.get() + 1);
                    Poll::<()>::Pending
                }),
            );
            yield_now().await;
            old.borrow().iter().for_each(Waker::wake_by_ref);
            yield_now().await;
            assert_eq!(polls.get(), 1);
        });
    }

    #[test]
    fn each_ready_task_has_one_turn_a_round() {
        let turns = Rc::new(RefCell::new(Vec::new()));
        block_on(async {
            for who in 0..3 {
                let turns = Rc::clone(&turns);
                spawn("test", async move {
                    for _ in 0..4 {
                        turns.borrow_mut().push(who);
                        yield_now().await;
                    }
                });
            }
            for _ in 0..6 {
                yield_now().await;
            }
        });
        assert_eq!(*turns.borrow(), [0, 1, 2].repeat(4));
    }

    #[test]
    fn the_budget_of_one_turn_ends() {
        let most = Rc::new(Cell::new(0));
        block_on(async {
            let most = Rc::clone(&most);
            spawn(
                "greedy",
                poll_fn(move |cx| {
                    let mut done = 0;
                    while poll_budget(cx).is_ready() {
                        done += 1;
                    }
                    most.set(most.get().max(done));
                    Poll::<()>::Pending
                }),
            );
            for _ in 0..3 {
                yield_now().await;
            }
        });
        assert_eq!(most.get(), BUDGET);
    }

    #[test]
    fn a_task_spawned_by_a_dropped_task_is_dropped_too() {
        struct SpawnsOnDrop(Rc<Cell<u32>>);
        impl Drop for SpawnsOnDrop {
            fn drop(&mut self) {
                let witness = Witness(Rc::clone(&self.0));
                spawn("late", async move { drop(witness) });
            }
        }
        let dropped = Rc::new(Cell::new(0));
        let bomb = SpawnsOnDrop(Rc::clone(&dropped));
        block_on(async {
            spawn("test", async move {
                let _bomb = bomb;
                core::future::pending::<()>().await;
            });
            yield_now().await;
        });
        assert_eq!(dropped.get(), 1);
    }

    #[test]
    fn another_thread_can_wake_a_sleeping_loop() {
        block_on(async {
            let mut thread = None;
            let mut first = true;
            poll_fn(|cx| {
                if !core::mem::take(&mut first) {
                    return Poll::Ready(());
                }
                let waker = cx.waker().clone();
                thread = Some(thread::spawn(move || {
                    thread::sleep(Duration::from_millis(10));
                    waker.wake();
                }));
                Poll::Pending
            })
            .await;
            thread.expect("a thread").join().expect("no panic");
        });
    }

    #[test]
    #[should_panic(expected = "inside a task")]
    fn loops_do_not_nest() {
        block_on(async { block_on(async {}) });
    }
}
