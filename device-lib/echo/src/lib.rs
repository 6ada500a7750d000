//! `echo`: sends back what it is sent, over TCP and UDP (RFC 862).
//!
//! # TCP
//! Each connection has a task with a buffer of 2 KiB; what isn't sent back yet isn't read
//! further, so a client that doesn't read its echo is held up by its own window. When
//! the client closes its half, the rest is sent back and our half is closed too. A
//! connection on which nothing moves for `idle-timeout` is reset. With `max-connections`
//! open, others wait in the network's queue.
//!
//! # UDP
//! One datagram at a time, up to the largest that there is. Datagrams from port 0 and
//! from the ports of echo (also ours), daytime, qotd, chargen and time are dropped: their
//! sender would answer the answer, without end.
//!
//! # Left out
//! Limits per client; counters that anything reads (what is dropped shows in the log).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod tcp;
mod udp;

use unik::interface::{Tcp, Udp};
use unik::start::{Context, StartError};

unik::options!();

/// Starts the service on the network `net`.
///
/// # Errors
/// When the network refuses the port.
pub async fn start<N: Tcp + Udp>(cx: &Context, options: &'static Options, net: N) -> Result<(), StartError> {
    let port = options.port;
    let listener = net.listen(port).map_err(|error| cx.error(alloc::format!("TCP port {port}: {error}")))?;
    let socket = net.bind(port).map_err(|error| cx.error(alloc::format!("UDP port {port}: {error}")))?;
    cx.spawn(tcp::serve(*cx, options, listener));
    cx.spawn(udp::serve(*cx, port, socket));
    Ok(())
}
