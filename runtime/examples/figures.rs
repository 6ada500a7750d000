//! What the executor costs here: `cargo run --release -p unik --example figures`.
//!
//! Each figure is the best of five rounds, in nanoseconds of one operation.

use std::future::pending;

use unik::executor::{block_on, spawn, yield_now};
use unik::sync::channel;
use unik::time::{Duration, Instant, now, sleep, timeout};

const COUNT: u32 = 100_000;

fn main() {
    println!("{:>8.1} ns  spawn a task, run it, end it", best(spawn_and_end));
    println!("{:>8.1} ns  yield, alone", best(|| yield_with(1)));
    println!("{:>8.1} ns  yield, 1,000 tasks", best(|| yield_with(1000)));
    println!("{:>8.1} ns  value through a channel of 64", best(pass_values));
    println!("{:>8.1} ns  value through a channel of 1 (two switches)", best(hand_over));
    println!("{:>8.1} ns  set and cancel a timer, 1,000 others set", best(set_timers));
    let mut late: Vec<Duration> = (0..200).map(|_| lateness()).collect();
    late.sort();
    println!(
        "{:>8} µs  lateness of a 1 ms sleep, median; {} µs at worst of 200",
        late[100].as_micros(),
        late[199].as_micros()
    );
}

fn best(round: impl Fn() -> Duration) -> f64 {
    let best = (0..5).map(|_| round()).min().unwrap_or_default();
    best.as_nanos() as f64 / f64::from(COUNT)
}

fn timed(start: Instant) -> Duration {
    start.elapsed()
}

fn spawn_and_end() -> Duration {
    block_on(async {
        let start = now();
        for _ in 0..COUNT / 100 {
            for _ in 0..100 {
                spawn("task", async {});
            }
            yield_now().await;
        }
        timed(start)
    })
}

fn yield_with(tasks: u32) -> Duration {
    block_on(async move {
        for _ in 1..tasks {
            spawn("task", async {
                loop {
                    yield_now().await;
                }
            });
        }
        let start = now();
        for _ in 0..COUNT / tasks {
            yield_now().await;
        }
        timed(start)
    })
}

fn pass_values() -> Duration {
    through(64)
}

fn hand_over() -> Duration {
    through(1)
}

fn through(capacity: usize) -> Duration {
    block_on(async move {
        let (sender, mut receiver) = channel(capacity);
        let start = now();
        spawn("sender", async move {
            for value in 0..COUNT {
                if sender.send(value).await.is_err() {
                    return;
                }
            }
        });
        while receiver.receive().await.is_some() {}
        timed(start)
    })
}

fn set_timers() -> Duration {
    block_on(async {
        for seconds in 0..1000 {
            spawn("timer", sleep(Duration::from_secs(1000 + seconds)));
        }
        yield_now().await;
        let start = now();
        for _ in 0..COUNT {
            // Polled once: the timer is set, and cancelled when the time is up: at once.
            let _ = timeout(Duration::ZERO, timeout(Duration::from_secs(1500), pending::<()>())).await;
        }
        timed(start)
    })
}

fn lateness() -> Duration {
    block_on(async {
        let deadline = now() + Duration::from_millis(1);
        sleep(Duration::from_millis(1)).await;
        now() - deadline
    })
}
