//! The process platform: an appliance as an ordinary Linux program.
//!
//! For development, tests, debuggers, and machines without a hypervisor. It needs no
//! privileges. What differs from the machine:
//!
//! - The console is standard output.
//! - The boot line is the command line's arguments, joined by spaces. Words that no instance
//!   knows are refused, before anything starts: [`check_arguments`].
//! - [`seal`] does nothing: a process has no mappings to protect against its own code.
//! - SIGINT and SIGTERM ask for the [end](crate::shutdown) of the appliance. A second signal ends
//!   it at once, also when a task never gives way, with exit code 130 or 143 (128 and the signal's
//!   number, as shells count).

mod arguments;
mod reactor;
mod signals;

use std::boxed::Box;
use std::io::{self, Write};
use std::string::String;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub use arguments::{Argument, check_arguments, check_arguments_beside, refuse_arguments};
pub use reactor::{Bell, Registration};

use super::{Ending, NoEntropy};
use crate::{executor, logging, start};

/// Prepares the process for an appliance: the clock starts, panics are written to the
/// console and end the process with 101, signals end it in order. For
/// [`entry!`](crate::entry); tests do without.
pub fn begin() {
    now();
    std::panic::set_hook(Box::new(|panic| {
        let task = executor::current_task().unwrap_or("start");
        logging::print(format_args!("panic in {task}: {panic}\n"));
        exit(Ending::Panic);
    }));
    signals::handle();
}

/// Monotonic nanoseconds since the first call in this process.
pub fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    // 584 years fit.
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Nanoseconds since 1970-01-01 UTC; `None` when the host's clock stands before that.
pub fn wall_clock() -> Option<u64> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(time.as_nanos()).ok()
}

/// Sleeps until a registered source has something to do, or until `until`; wakes the
/// tasks that wait for what happened.
///
/// # Panics
/// When the host refuses to wait: out of memory, that is.
pub fn wait(until: Option<u64>) {
    reactor::wait(until);
}

/// Writes all of `bytes` to standard output. When nobody reads it any more, or the disk
/// behind it is full, the bytes are lost: a service doesn't end because of its console.
pub fn console_write(bytes: &[u8]) {
    let mut output = io::stdout().lock();
    // Standard output is buffered up to the last newline; the flush writes the rest.
    let _ = output.write_all(bytes).and_then(|()| output.flush());
}

/// The arguments of the command line, joined by spaces.
pub fn boot_line() -> &'static str {
    static LINE: OnceLock<String> = OnceLock::new();
    LINE.get_or_init(|| {
        let arguments: std::vec::Vec<_> =
            std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
        arguments.join(" ")
    })
}

/// Fills `bytes` from the kernel's random number generator.
///
/// # Errors
/// [`NoEntropy`] when the kernel has none to give.
pub fn entropy(bytes: &mut [u8]) -> Result<(), NoEntropy> {
    getrandom::fill(bytes).map_err(|_| NoEntropy)
}

/// Does nothing: the host's kernel shares the processor out.
pub fn progress() {}

/// Does nothing: see the module's page.
pub fn seal() {}

/// Tells whoever started the process that the services answer, by a line on the console.
pub fn ready() {
    start::print_ready();
}

/// Ends the process with the exit code of `ending`.
pub fn exit(ending: Ending) -> ! {
    std::process::exit(ending.exit_code().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on() {
        let first = now();
        assert!(now() >= first);
        assert!(wall_clock().is_some_and(|time| time > 1_600_000_000 * 1_000_000_000));
    }

    #[test]
    fn entropy_differs() {
        let (mut one, mut other) = ([0; 32], [0; 32]);
        entropy(&mut one).expect("the kernel's entropy");
        entropy(&mut other).expect("the kernel's entropy");
        assert_ne!(one, other);
    }
}
