//! Connections that are idle.

use std::io::{Read, Write};
use std::net::SocketAddr;

use serde_json::{Value, json};
use unik_tests::client::connect;

use super::wrong;

/// Opens `connections`, one after the other; each asks once, so that it is an idle
/// connection as browsers leave them, and no half-open one. Holds them until the input ends.
pub(super) fn run(to: SocketAddr, connections: usize) -> std::io::Result<Value> {
    let mut held = Vec::with_capacity(connections);
    for number in 0..connections {
        let ask = || -> std::io::Result<_> {
            let mut stream = connect(to)?;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")?;
            let (mut answer, mut length) = ([0; 8192], 0);
            while super::paced::complete(&answer[..length])?.is_none() {
                match stream.read(&mut answer[length..])? {
                    0 => return Err(wrong("closed before it answered")),
                    more => length += more,
                }
            }
            Ok(stream)
        };
        held.push(ask().map_err(|error| wrong(format!("idle connection {number}: {error}")))?);
    }
    println!("held {}", held.len());
    let mut input = [0; 64];
    while std::io::stdin().read(&mut input)? > 0 {}
    Ok(json!({ "done": held.len() }))
}
