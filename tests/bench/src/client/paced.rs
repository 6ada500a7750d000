//! HTTP requests at a fixed rate, whether or not the answers keep up: an open loop.
//!
//! A client that waits for an answer before it asks again measures a server that stands
//! still for a second by one slow request. Here each request has its time, and its latency
//! counts from then on, also while it waits for a free connection.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use unik_tests::client::connect;

use super::poll::Poll;
use super::{measured, wrong};
use crate::statistics::Latencies;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
/// How long the last answers are waited for.
const LINGER: Duration = Duration::from_secs(2);

struct Connection {
    stream: TcpStream,
    buffer: Box<[u8; 8192]>,
    length: usize,
    /// When the request that it waits for should have been sent.
    due: Option<Duration>,
}

pub(super) fn run(to: SocketAddr, rate: f64, connections: usize, time: Duration) -> std::io::Result<Value> {
    if !(rate > 0.0 && rate.is_finite()) {
        return Err(wrong("a rate above 0"));
    }
    let mut poll = Poll::new()?;
    let mut all = Vec::with_capacity(connections);
    for number in 0..connections {
        let stream = connect(to)?;
        stream.set_nonblocking(true)?;
        poll.add(&stream, number, false)?;
        all.push(Connection { stream, buffer: Box::new([0; 8192]), length: 0, due: None });
    }
    let mut free: VecDeque<usize> = (0..connections).collect();
    let (mut latencies, mut sent, mut errors) = (Latencies::new(), 0_u64, 0_u64);
    let begin = Instant::now();
    let due_at = |number: u64| Duration::from_secs_f64(number as f64 / rate);
    let mut next = due_at(0);
    loop {
        let now = begin.elapsed();
        while next <= begin.elapsed().min(time)
            && let Some(number) = free.pop_front()
        {
            let connection = &mut all[number];
            // 32 bytes always find room: nothing else is on the way.
            connection.stream.write_all(REQUEST)?;
            connection.due = Some(next);
            sent += 1;
            next = due_at(sent);
        }
        let waiting = free.len() < connections;
        if next > time && !waiting {
            break;
        }
        if now > time + LINGER {
            // What is not answered by now never is; what was due and never sent is lost, too.
            let lost = (connections - free.len()) as u64;
            let unsent = ((time.as_secs_f64() * rate) as u64).saturating_sub(sent);
            errors += lost + unsent;
            break;
        }
        let pause = if next > time || free.is_empty() {
            Duration::from_millis(50)
        } else {
            next.saturating_sub(begin.elapsed())
        };
        for number in poll.wait(pause)? {
            if answered(&mut all[number])? {
                if let Some(due) = all[number].due.take() {
                    latencies.add(begin.elapsed().saturating_sub(due).as_nanos() as u64);
                }
                free.push_back(number);
            }
        }
    }
    // Of the time in which they were to be sent, or of what it took, if that was longer.
    Ok(measured(latencies.count(), errors, begin.elapsed().max(time), &latencies))
}

/// Reads what is there; true once the answer is complete.
fn answered(connection: &mut Connection) -> std::io::Result<bool> {
    match connection.stream.read(&mut connection.buffer[connection.length..]) {
        Ok(0) => Err(wrong("the server closed a connection, or sent too much")),
        Ok(length) => {
            connection.length += length;
            match complete(&connection.buffer[..connection.length])? {
                None => Ok(false),
                Some(length) if length == connection.length => {
                    connection.length = 0;
                    Ok(true)
                }
                Some(_) => Err(wrong("more than one answer to one request")),
            }
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// The length of the answer at the start of `bytes`, once it is all there.
pub(crate) fn complete(bytes: &[u8]) -> std::io::Result<Option<usize>> {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..head]).map_err(|_| wrong("a head that is no text"))?;
    if !text.starts_with("HTTP/1.1 200") {
        return Err(wrong(format!("answered `{}`", text.lines().next().unwrap_or_default())));
    }
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .ok_or_else(|| wrong("an answer without Content-Length"))?;
    let whole = head + 4 + length;
    Ok((bytes.len() >= whole).then_some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_complete_or_not_or_wrong() {
        let answer = b"HTTP/1.1 200 OK\r\nX: y\r\ncontent-length: 3\r\n\r\nabc";
        for cut in 0..answer.len() {
            assert_eq!(complete(&answer[..cut]).expect("right so far"), None, "{cut}");
        }
        assert_eq!(complete(answer).expect("right"), Some(answer.len()));
        assert!(complete(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(complete(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn a_server_that_stands_still_is_seen_in_the_latencies() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; REQUEST.len()];
            let mut number = 0;
            while stream.read_exact(&mut request).is_ok() {
                number += 1;
                // Once it stands still for as long as twenty requests are apart.
                if number == 10 {
                    std::thread::sleep(Duration::from_millis(100));
                }
                if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                    return;
                }
            }
        });
        let said = run(to, 200.0, 1, Duration::from_millis(500)).expect("answers");
        assert_eq!((said["done"].as_u64(), said["errors"].as_u64()), (Some(101), Some(0)), "{said}");
        // Not one of a hundred was slow, but all that were due meanwhile: about twenty.
        assert!(said["p99_us"].as_f64() > Some(60_000.0), "{said}");
    }
}
