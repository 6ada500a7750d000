//! The futures of the tasks, each in a slot that its [`Header`] names.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::Waker;

use super::ready::{Header, ReadyQueue};

/// A task's future.
pub(super) type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;

/// A task.
pub(super) struct Task {
    /// The instance that spawned it.
    pub(super) name: &'static str,
    /// Whether the appliance may end without it.
    pub(super) background: bool,
    /// The future, and its waker, made once. Taken out while the task is polled.
    pub(super) body: Option<(TaskFuture, Waker)>,
    header: Arc<Header>,
}

enum Slot {
    /// Names the next free slot.
    Free(u32),
    Taken(Task),
}

/// Says that the list of free slots ends.
const NONE: u32 = u32::MAX;

/// All tasks of an executor.
pub(super) struct Tasks {
    slots: Vec<Slot>,
    free: u32,
    foreground: usize,
}

impl Tasks {
    pub(super) const fn new() -> Self {
        Tasks { slots: Vec::new(), free: NONE, foreground: 0 }
    }

    /// How many tasks there are without which the appliance ends.
    pub(super) fn foreground(&self) -> usize {
        self.foreground
    }

    /// How many tasks there are.
    #[cfg(not(unik_machine))]
    pub(super) fn count(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(slot, Slot::Taken(_))).count()
    }

    /// Wakes each.
    pub(super) fn wake_all(&self) {
        for slot in &self.slots {
            if let Slot::Taken(task) = slot {
                task.header.wake_by_ref();
            }
        }
    }

    /// The appliance may end without the task in `slot`, if there is one.
    pub(super) fn release(&mut self, slot: u32) {
        if let Some(Slot::Taken(task)) = self.slots.get_mut(slot as usize)
            && !mem::replace(&mut task.background, true)
        {
            self.foreground -= 1;
        }
    }

    /// Takes out the next task from `slot` on that isn't in the background.
    pub(super) fn take_foreground(&mut self, slot: &mut u32) -> Option<Task> {
        while let Some(at) = self.slots.get(*slot as usize) {
            let is_foreground = matches!(at, Slot::Taken(task) if !task.background);
            *slot += 1;
            if is_foreground {
                return self.free_slot(*slot - 1);
            }
        }
        None
    }

    /// Adds a task; returns its header, which the caller wakes.
    pub(super) fn insert(
        &mut self,
        name: &'static str,
        background: bool,
        future: TaskFuture,
        queue: &Arc<ReadyQueue>,
    ) -> Arc<Header> {
        if self.free == NONE {
            // 2³² − 1 tasks don't fit into any memory; the last number says "none".
            let slot = self.slots.len() as u32;
            self.slots.push(Slot::Free(NONE));
            self.free = slot;
        }
        let header = Header::new(self.free, queue);
        let task = Task {
            name,
            background,
            body: Some((future, Waker::from(Arc::clone(&header)))),
            header: Arc::clone(&header),
        };
        if let Slot::Free(next) = mem::replace(&mut self.slots[self.free as usize], Slot::Taken(task)) {
            self.free = next;
        }
        self.foreground += usize::from(!background);
        header
    }

    /// The task of `header`, unless it has ended.
    pub(super) fn find(&mut self, header: &Arc<Header>) -> Option<&mut Task> {
        match self.slots.get_mut(header.slot() as usize) {
            // The slot may have been given to another task since.
            Some(Slot::Taken(task)) if Arc::ptr_eq(&task.header, header) => Some(task),
            _ => None,
        }
    }

    /// Takes out the task of `header`, which has ended.
    pub(super) fn remove(&mut self, header: &Arc<Header>) -> Option<Task> {
        self.find(header)?;
        self.free_slot(header.slot())
    }

    /// Takes out any task; `None` when there is none left.
    pub(super) fn pop(&mut self) -> Option<Task> {
        // The list names slots that are about to go.
        self.free = NONE;
        while let Some(slot) = self.slots.pop() {
            if let Slot::Taken(task) = slot {
                self.forget(&task);
                return Some(task);
            }
        }
        None
    }

    fn free_slot(&mut self, slot: u32) -> Option<Task> {
        match mem::replace(&mut self.slots[slot as usize], Slot::Free(self.free)) {
            Slot::Taken(task) => {
                self.free = slot;
                self.forget(&task);
                Some(task)
            }
            Slot::Free(next) => {
                self.slots[slot as usize] = Slot::Free(next);
                None
            }
        }
    }

    fn forget(&mut self, task: &Task) {
        task.header.retire();
        self.foreground -= usize::from(!task.background);
    }
}
