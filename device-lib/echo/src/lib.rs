//! `echo`: sends back what it is sent, over TCP and UDP (RFC 862). For measuring, and for
//! testing networks, it can have a sink and a source beside it: discard (RFC 863) and
//! chargen (RFC 864).
//!
//! # TCP
//! Each connection has a task with a buffer of 2 KiB; what isn't sent back yet isn't read
//! further, so a client that doesn't read its echo is held up by its own window. When
//! the client closes its half, the rest is sent back and our half is closed too. A
//! connection on which nothing moves for `idle-timeout` is reset. With `max-connections`
//! open on a port, others wait in the network's queue.
//!
//! Discard reads as echo does, 16 KiB at a time, and closes after the client. Chargen sends
//! lines of 72 characters until the client ends the connection; what the client sends isn't
//! read, so it is the client's own window that it fills. Neither is in an image whose file
//! doesn't ask for it.
//!
//! When the [appliance is to end](unik::shutdown), what came before is sent back and our half is
//! closed; the client then has the time to close its own.
//!
//! # UDP
//! One datagram at a time, up to the largest that there is. Datagrams from port 0 and
//! from the ports of echo (also ours), daytime, qotd, chargen and time are dropped: their
//! sender would answer the answer, without end.
//!
//! # Left out
//! Limits per client; counters that anything reads (what is dropped shows in the log).
//! Chargen over UDP, which answers a small datagram of a forged sender with a large one.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "chargen")]
mod chargen;
#[cfg(feature = "discard")]
mod discard;
mod echo;
mod tcp;
mod udp;

use unik::interface::{Tcp, Udp};
use unik::start::{Context, StartError};

unik::options!();

/// Starts the service on the network `net`.
///
/// # Errors
/// When the network refuses a port, and when the file asks for what the crate was built
/// without.
pub async fn start<N: Tcp + Udp>(cx: &Context, options: &'static Options, net: N) -> Result<(), StartError> {
    let listen =
        |port: u16| net.listen(port).map_err(|error| cx.error(alloc::format!("TCP port {port}: {error}")));
    let port = options.port;
    let listener = listen(port)?;
    let socket = net.bind(port).map_err(|error| cx.error(alloc::format!("UDP port {port}: {error}")))?;
    cx.spawn(tcp::serve(*cx, options, listener, echo::Echo));
    cx.spawn(udp::serve(*cx, port, socket));
    if let Some(port) = options.discard {
        #[cfg(feature = "discard")]
        cx.spawn(tcp::serve(*cx, options, listen(port)?, discard::Discard));
        #[cfg(not(feature = "discard"))]
        return Err(
            cx.error(alloc::format!("the image has no discard for port {port}: build it with the feature"))
        );
    }
    if let Some(port) = options.chargen {
        #[cfg(feature = "chargen")]
        cx.spawn(tcp::serve(*cx, options, listen(port)?, chargen::Chargen));
        #[cfg(not(feature = "chargen"))]
        return Err(
            cx.error(alloc::format!("the image has no chargen for port {port}: build it with the feature"))
        );
    }
    Ok(())
}
