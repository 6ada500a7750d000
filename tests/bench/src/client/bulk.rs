//! As many bytes as go, one way.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use unik_tests::client::connect;

use super::poll::Poll;
use super::wrong;

/// What is read or written by one call.
const CHUNK: usize = 128 << 10;
/// How long bytes flow before they count: the windows have opened then, and the sockets'
/// buffers are as full as they will be at the end.
const WARM_UP: Duration = Duration::from_millis(300);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client into the guest.
    In,
    /// Out of the guest to the client.
    Out,
}

pub(super) fn run(to: SocketAddr, way: Way, flows: usize, time: Duration) -> std::io::Result<Value> {
    let mut poll = Poll::new()?;
    let mut streams: Vec<TcpStream> = Vec::new();
    for number in 0..flows {
        let stream = connect(to)?;
        stream.set_nonblocking(true)?;
        poll.add(&stream, number, way == Way::In)?;
        streams.push(stream);
    }
    let mut buffer = vec![b'x'; CHUNK];
    let mut bytes = vec![0_u64; flows];
    let mut begin = Instant::now() + WARM_UP;
    let mut counts = false;
    loop {
        for number in poll.wait(Duration::from_millis(100))? {
            let moved = match way {
                Way::In => streams[number].write(&buffer),
                Way::Out => streams[number].read(&mut buffer),
            };
            match moved {
                Ok(0) => return Err(wrong("the other side closed the connection")),
                Ok(length) => bytes[number] += length as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        let now = Instant::now();
        if !counts && now >= begin {
            counts = true;
            begin = now;
            bytes.fill(0);
        } else if counts && now >= begin + time {
            let seconds = (now - begin).as_secs_f64();
            let total: u64 = bytes.iter().sum();
            // A flow that starves shows beside the sum.
            let least = bytes.iter().min().copied().unwrap_or(0);
            return Ok(json!({
                "rate": total as f64 / 1e6 / seconds,
                "done": total as f64 / 1e6,
                "errors": 0,
                "least_flow": least as f64 / 1e6 / seconds,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_flow_both_ways() {
        let serve = |way| {
            let to = crate::server::sink_or_source(way, "127.0.0.1:0".parse().unwrap()).expect("a port");
            let said = run(to, way, 3, Duration::from_millis(50)).expect("bytes");
            assert!(said["done"].as_f64() > Some(0.1), "{said}");
        };
        serve(Way::In);
        serve(Way::Out);
    }
}
