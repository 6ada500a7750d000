//! Where the one executor of this thread lives: the only mutable global of the runtime.

use super::Executor;

#[cfg(not(unik_machine))]
mod place {
    use super::Executor;

    std::thread_local! {
        /// One a thread, so that the tests of a process don't share one.
        static EXECUTOR: Executor = Executor::new();
    }

    pub(super) fn get<R>(use_it: impl FnOnce(&Executor) -> R) -> Option<R> {
        // Fails only while the thread's own values are being dropped.
        EXECUTOR.try_with(use_it).ok()
    }
}

#[cfg(unik_machine)]
mod place {
    use super::Executor;
    use core::cell::OnceCell;

    /// One executor a processor core; an image has one core.
    struct PerCore(OnceCell<Executor>);

    // SAFETY: the image runs on one core, and no interrupt handler runs Rust code:
    // interrupts are taken only inside the gate's wait, on the gate's own stack. So there
    // is one thread, and nothing is ever shared between two.
    unsafe impl Sync for PerCore {}

    static EXECUTOR: PerCore = PerCore(OnceCell::new());

    pub(super) fn get<R>(use_it: impl FnOnce(&Executor) -> R) -> Option<R> {
        loop {
            if let Some(executor) = EXECUTOR.0.get() {
                return Some(use_it(executor));
            }
            fill();
        }
    }

    /// Makes the executor. By itself: what is done once needn't be wherever one is used.
    #[cold]
    #[inline(never)]
    fn fill() {
        // There is none yet. Forgotten if there were, so that no image has the code that drops one.
        if let Err(other) = EXECUTOR.0.set(Executor::new()) {
            core::mem::forget(other);
        }
    }
}

/// Gives `use_it` this thread's executor; `None` while the thread is ending.
pub(crate) fn try_with<R>(use_it: impl FnOnce(&Executor) -> R) -> Option<R> {
    place::get(use_it)
}

/// Gives `use_it` this thread's executor.
///
/// # Panics
/// When the thread is ending and has dropped its executor.
pub(crate) fn with<R>(use_it: impl FnOnce(&Executor) -> R) -> R {
    match try_with(use_it) {
        Some(result) => result,
        None => panic!("the executor of this thread is gone"),
    }
}
