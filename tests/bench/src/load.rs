//! A load on a side, and what it gave.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::client::{Task, Way};
use crate::sides::{Started, at, own_program};

/// What is done to a side.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// wrk with one thread: each connection asks again as soon as it is answered.
    Http {
        /// Connections.
        connections: usize,
        /// A new connection for each request.
        close: bool,
    },
    /// [`Load::Http`] beside idle connections.
    Beside {
        /// Connections that ask.
        connections: usize,
        /// Connections that don't.
        idle: usize,
    },
    /// Requests at a fixed rate.
    Paced {
        /// Connections.
        connections: usize,
        /// The share of the highest rate.
        share: f64,
        /// Of the slowest side's highest rate, not of each side's own.
        of_slowest: bool,
    },
    /// One of our clients.
    Client(Task),
    /// iperf3.
    Iperf {
        /// Which way.
        way: Way,
        /// Connections.
        flows: usize,
    },
}

/// What one cell gave in one round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Operations per second.
    pub rate: f64,
    /// Processor time of the side for one operation, in microseconds.
    pub cpu_us: f64,
    /// Operations that failed.
    pub errors: u64,
    /// The latency in microseconds that half, 99 % and 99.9 % don't exceed.
    pub latency_us: [Option<f64>; 3],
}

/// Puts `load` on `side` for `seconds`. `rate` is what [`Load::Paced`] asks for.
///
/// # Errors
/// When a client fails, or finds nothing done.
pub fn apply(load: &Load, side: &Started, seconds: u64, rate: f64) -> io::Result<Sample> {
    let _idle = match *load {
        Load::Beside { idle, .. } => Some(Idle::hold(side, idle)?),
        _ => None,
    };
    let before = side.cpu_time();
    let (done, mut sample) = match *load {
        Load::Http { connections, close } => wrk(side, connections, close, seconds)?,
        Load::Beside { connections, .. } => wrk(side, connections, false, seconds)?,
        Load::Paced { connections, .. } => ours(side, &Task::Paced { rate, connections }, seconds)?,
        Load::Client(ref task) => ours(side, task, seconds)?,
        Load::Iperf { way, flows } => iperf(side, way, flows, seconds)?,
    };
    let used = side.cpu_time().saturating_sub(before);
    if done <= 0.0 {
        return Err(io::Error::other("nothing was answered"));
    }
    sample.cpu_us = used.as_secs_f64() * 1e6 / done;
    Ok(sample)
}

/// The words that have `ours` run a task in a process of its own; [`crate::arguments`]
/// reads them back.
#[must_use]
pub fn words_of(task: &Task) -> Vec<String> {
    let words = |kind: &str, more: &[String]| {
        let mut all = vec![kind.to_string()];
        all.extend_from_slice(more);
        all
    };
    match *task {
        Task::Paced { rate, connections } => words("paced", &[rate.to_string(), connections.to_string()]),
        Task::Bulk { way, flows } => {
            words(if way == Way::In { "bulk-in" } else { "bulk-out" }, &[flows.to_string()])
        }
        Task::Datagrams { window } => words("datagrams", &[window.to_string()]),
        Task::Ping => words("ping", &[]),
        Task::Hold { connections } => words("hold", &[connections.to_string()]),
    }
}

fn client_command(side: &Started, task: &Task, seconds: u64) -> io::Result<Command> {
    let port = match task {
        Task::Paced { .. } | Task::Hold { .. } => 80,
        Task::Bulk { way: Way::In, .. } => 9,
        Task::Bulk { way: Way::Out, .. } => 19,
        Task::Datagrams { .. } | Task::Ping => 7,
    };
    let mut command = bounded(side, seconds);
    command.arg(own_program()?).args(["client", &at(port).to_string(), &seconds.to_string()]);
    command.args(words_of(task));
    Ok(command)
}

/// A command in the client's namespace that can't hang. wrk, as wrk does, waits for the
/// answers of a thousand connections before it ends.
fn bounded(side: &Started, seconds: u64) -> Command {
    let mut command = side.client().command("timeout");
    command.arg((seconds + 60).to_string());
    command
}

fn ours(side: &Started, task: &Task, seconds: u64) -> io::Result<(f64, Sample)> {
    let said = output(client_command(side, task, seconds)?)?;
    let value: Value = serde_json::from_str(said.lines().last().unwrap_or_default())
        .map_err(|error| io::Error::other(format!("the client said `{said}`: {error}")))?;
    let number = |name: &str| value[name].as_f64();
    let sample = Sample {
        rate: number("rate").unwrap_or(0.0),
        errors: value["errors"].as_u64().unwrap_or(0),
        latency_us: ["p50_us", "p99_us", "p999_us"].map(number),
        ..Sample::default()
    };
    Ok((number("done").unwrap_or(0.0), sample))
}

fn wrk(side: &Started, connections: usize, close: bool, seconds: u64) -> io::Result<(f64, Sample)> {
    let mut command = bounded(side, seconds);
    command.args(["wrk", "-t1", "--latency", "--timeout", "5s"]);
    command.arg(format!("-c{connections}")).arg(format!("-d{seconds}s"));
    if close {
        command.args(["-H", "Connection: close"]);
    }
    command.arg(format!("http://{}/", at(80).ip()));
    let said = output(command)?;
    parse_wrk(&said).ok_or_else(|| io::Error::other(format!("wrk said:\n{said}")))
}

fn parse_wrk(said: &str) -> Option<(f64, Sample)> {
    let after = |words: &str| said.lines().find_map(|line| line.trim().strip_prefix(words));
    let done: f64 =
        said.lines().find_map(|line| line.trim().split_once(" requests in "))?.0.trim().parse().ok()?;
    let rate = after("Requests/sec:")?.trim().parse().ok()?;
    let latency = |share: &str| microseconds(after(share)?.trim());
    let numbers = |text: &str| -> u64 {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<u64>().ok()).sum()
    };
    let errors =
        after("Socket errors:").map_or(0, numbers) + after("Non-2xx or 3xx responses:").map_or(0, numbers);
    let sample =
        Sample { rate, errors, latency_us: [latency("50%"), latency("99%"), None], ..Sample::default() };
    Some((done, sample))
}

/// `1.25ms` in microseconds.
fn microseconds(text: &str) -> Option<f64> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let factor = match &text[unit..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 6e7,
        _ => return None,
    };
    text[..unit].parse::<f64>().ok().map(|number| number * factor)
}

fn iperf(side: &Started, way: Way, flows: usize, seconds: u64) -> io::Result<(f64, Sample)> {
    let mut command = bounded(side, seconds);
    command.args(["iperf3", "--json", "--omit", "1", "-c", &at(0).ip().to_string()]);
    command.args(["-t", &seconds.to_string(), "-P", &flows.to_string()]);
    if way == Way::Out {
        command.arg("-R");
    }
    let said = output(command)?;
    let value: Value = serde_json::from_str(&said)
        .map_err(|error| io::Error::other(format!("iperf3 said `{said}`: {error}")))?;
    // What arrived, not what was handed to a socket.
    let received = &value["end"]["sum_received"];
    let bits = received["bits_per_second"].as_f64().unwrap_or(0.0);
    let rate = bits / 8e6;
    Ok((received["bytes"].as_f64().unwrap_or(0.0) / 1e6, Sample { rate, ..Sample::default() }))
}

fn output(mut command: Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("the client ended with {}: {}{said}", output.status, error.trim())))
}

/// Idle connections, until dropped.
struct Idle {
    client: Child,
}

impl Idle {
    fn hold(side: &Started, connections: usize) -> io::Result<Idle> {
        let mut command = client_command(side, &Task::Hold { connections }, 600)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut idle = Idle { client: command.spawn()? };
        let mut line = String::new();
        if let Some(stdout) = idle.client.stdout.as_mut() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line.starts_with("held ") {
            return Ok(idle);
        }
        let mut error = String::new();
        if let Some(stderr) = idle.client.stderr.as_mut() {
            stderr.read_to_string(&mut error)?;
        }
        Err(io::Error::other(format!("{connections} idle connections: {}", error.trim())))
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        // Its input ends, and so does it. Whether it was well until then has been told.
        drop(self.client.stdin.take());
        let _ = self.client.wait();
        // The guest has thousands of closes to deal with.
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRK: &str = "Running 1s test @ http://10.0.2.15/
  1 threads and 10 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.10ms    0.88ms  11.69ms   88.16%
    Req/Sec    10.11k     1.01k   11.41k    70.00%
  Latency Distribution
     50%  850.00us
     75%    1.35ms
     90%    2.02ms
     99%    4.35ms
  10061 requests in 1.00s, 11.48MB read
  Socket errors: connect 0, read 3, write 0, timeout 1
  Non-2xx or 3xx responses: 2
Requests/sec:  10043.21
Transfer/sec:     11.46MB
";

    #[test]
    fn wrk_is_understood() {
        let (done, sample) = parse_wrk(WRK).expect("a result");
        assert_eq!((done, sample.rate, sample.errors), (10061.0, 10043.21, 6));
        assert_eq!(sample.latency_us, [Some(850.0), Some(4350.0), None]);
        assert_eq!(parse_wrk("unable to connect to 10.0.2.15:80 Connection refused"), None);
        assert_eq!(
            [microseconds("2.00s"), microseconds("1.00m"), microseconds("x")],
            [Some(2e6), Some(6e7), None]
        );
    }
}
