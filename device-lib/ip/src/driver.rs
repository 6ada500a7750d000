//! The background task that moves frames between the device and the stack.
//!
//! A turn: take up to 256 frames; let the services that they woke have theirs; send what
//! there is to send; notify the device once; ask for an interrupt, and look again; sleep
//! until then, or until the next deadline.

use core::future::poll_fn;
use core::task::{Context, Poll};

use unik::interface::{Entropy, Frames};
use unik::time::{Alarm, Duration, Instant};

use crate::stack::Shared;

/// Frames that are taken before the services have their turn.
const BATCH: usize = 256;
/// The longest sleep: should an interrupt ever be lost, the network stands still no longer.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Runs the network for ever.
pub(crate) async fn run<F: Frames, E: Entropy>(shared: Shared<F, E>) {
    let mut alarm = Alarm::new();
    let mut services_had_their_turn = false;
    poll_fn(|cx| {
        turn(&shared, &mut alarm, &mut services_had_their_turn, cx);
        Poll::<()>::Pending
    })
    .await;
}

fn turn<F: Frames, E: Entropy>(
    shared: &Shared<F, E>,
    alarm: &mut Alarm,
    services_had_their_turn: &mut bool,
    cx: &mut Context<'_>,
) {
    let mut stack = shared.borrow_mut();
    let now = Instant::now();
    if !*services_had_their_turn && stack.receive(BATCH, now) > 0 {
        // The services that were woken stand before us in the queue of ready tasks.
        *services_had_their_turn = true;
        cx.waker().wake_by_ref();
        return;
    }
    *services_had_their_turn = false;
    stack.send(now);
    stack.set_driver(cx.waker());
    if stack.lower.link.frames.poll_ready(cx).is_ready() {
        cx.waker().wake_by_ref();
        return;
    }
    let longest = now + LONGEST_SLEEP;
    let deadline = stack.next_deadline().map_or(longest, |deadline| deadline.min(longest));
    drop(stack);
    // The deadline moves with every segment. A turn too early, when that of a segment long
    // acknowledged comes, costs less than to follow it.
    if alarm.poll_reached(deadline, cx).is_ready() {
        cx.waker().wake_by_ref();
    }
}
