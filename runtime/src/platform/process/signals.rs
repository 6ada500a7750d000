//! SIGINT and SIGTERM: a byte on a socket pair, that the loop sees when it waits.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Context;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};

use super::reactor::Registration;
use crate::{executor, logging};

/// Ends the process in order at the first SIGINT or SIGTERM, at once at a second one.
pub(super) fn handle() {
    for signal in [SIGINT, SIGTERM] {
        if let Err(error) = handle_one(signal) {
            logging::print(format_args!("warning: signal {signal} ends the appliance at once: {error}\n"));
        }
    }
}

fn handle_one(signal: i32) -> io::Result<()> {
    let exit_code = 128 + signal;
    let seen = Arc::new(AtomicBool::new(false));
    // In this order: the first signal finds the flag unset, and sets it.
    flag::register_conditional_shutdown(signal, exit_code, Arc::clone(&seen))?;
    flag::register(signal, seen)?;
    let (receiver, sender) = UnixStream::pair()?;
    receiver.set_nonblocking(true)?;
    pipe::register(signal, sender)?;
    let receiver = Registration::new(receiver)?;
    executor::spawn_background("signals", async move {
        let read = |cx: &mut Context<'_>| receiver.poll_read(cx, |mut stream| stream.read(&mut [0]));
        // Whatever it is that was read: only the signal's handler writes.
        let _ = std::future::poll_fn(read).await;
        std::process::exit(exit_code);
    });
    Ok(())
}
