//! The clients. Each runs as a process of its own inside a network namespace, for a given
//! time, and prints what it measured as one line of JSON.

mod bulk;
mod hold;
mod paced;
mod poll;
mod window;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::statistics::Latencies;

pub use bulk::Way;
pub(crate) use paced::complete;

/// What a client does.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// HTTP requests at a fixed rate, whatever the answers.
    Paced {
        /// Requests per second.
        rate: f64,
        /// How many connections they are spread over.
        connections: usize,
    },
    /// Bytes through connections, as many as go.
    Bulk {
        /// Which way.
        way: Way,
        /// How many connections at once.
        flows: usize,
    },
    /// UDP datagrams that come back, so many at once.
    Datagrams {
        /// How many are on their way at a time.
        window: usize,
    },
    /// ICMP echo requests, one at a time.
    Ping,
    /// Connections that have asked once and are idle since.
    Hold {
        /// How many.
        connections: usize,
    },
}

/// Does `task` against `to` for `time`, and says what it measured. [`Task::Hold`] says that
/// it holds them, and goes on until its input ends.
///
/// # Errors
/// When the other side refuses, breaks a connection, or answers something else.
pub fn run(task: &Task, to: SocketAddr, time: Duration) -> std::io::Result<Value> {
    // Timers to the nanosecond, as far as the host can, instead of 50 µs late.
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
    match *task {
        Task::Paced { rate, connections } => paced::run(to, rate, connections, time),
        Task::Bulk { way, flows } => bulk::run(to, way, flows, time),
        Task::Datagrams { window } => window::datagrams(to, window, time),
        Task::Ping => window::ping(to, time),
        Task::Hold { connections } => hold::run(to, connections),
    }
}

/// What all of them print: operations per second and in all, what went wrong, and times.
fn measured(done: u64, errors: u64, time: Duration, latencies: &Latencies) -> Value {
    let us = |share| latencies.quantile(share) as f64 / 1000.0;
    json!({
        "rate": done as f64 / time.as_secs_f64(),
        "done": done,
        "errors": errors,
        "p50_us": us(0.5),
        "p99_us": us(0.99),
        "p999_us": us(0.999),
    })
}

fn wrong(what: impl Into<String>) -> std::io::Error {
    std::io::Error::other(what.into())
}
