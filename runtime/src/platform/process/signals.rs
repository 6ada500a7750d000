//! SIGINT and SIGTERM: a byte on a socket pair, that the loop sees when it waits.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Context;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};

use super::reactor::Registration;
use crate::{executor, logging, shutdown};

/// Asks for the [end](shutdown) at the first SIGINT or SIGTERM, and ends at once at a second one.
pub(super) fn handle() {
    let seen = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        if let Err(error) = handle_one(signal, &seen) {
            logging::print(format_args!("warning: signal {signal} ends the appliance at once: {error}\n"));
        }
    }
}

fn handle_one(signal: i32, seen: &Arc<AtomicBool>) -> io::Result<()> {
    // In this order: the first signal finds the flag unset, and sets it.
    flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(seen))?;
    flag::register(signal, Arc::clone(seen))?;
    let (receiver, sender) = UnixStream::pair()?;
    receiver.set_nonblocking(true)?;
    pipe::register(signal, sender)?;
    let receiver = Registration::new(receiver)?;
    executor::spawn_background("signals", async move {
        let read = |cx: &mut Context<'_>| receiver.poll_read(cx, |mut stream| stream.read(&mut [0]));
        // Whatever it is that was read: only the signal's handler writes.
        let _ = std::future::poll_fn(read).await;
        shutdown::ask();
    });
    Ok(())
}
