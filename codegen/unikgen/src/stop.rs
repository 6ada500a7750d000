//! Requests to end: Ctrl-C (SIGINT), SIGTERM, and SIGHUP of a terminal that is closed.
//!
//! The first one ends whatever a build has started; what then goes wrong is no news, and the
//! command ends with 128 + the signal's number, as shells have it. Whoever waits in a loop
//! asks [`requested`]. A second one, or nothing happening, ends the command at once: what it
//! runs doesn't outlive it (see [`leash`](crate::monitor::leash)).

use std::process::exit;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use unik_codegen::children;

/// How long an orderly end may take.
const GRACE: Duration = Duration::from_secs(5);

/// What is added to [`GRACE`], in milliseconds: see [`allow`].
static ALLOWED: AtomicU64 = AtomicU64::new(0);

/// The number of the first signal; 0 before there was one.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// The signal that asked for the end, if one did.
pub fn requested() -> Option<i32> {
    Some(SIGNAL.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
}

/// Gives an orderly end that much more time from now on.
pub fn allow(more: Duration) {
    ALLOWED.store(u64::try_from(more.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
}

/// The exit code for an end by this signal.
pub fn code(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

/// Takes these signals from now on.
///
/// # Errors
/// When the handlers can't be set.
pub fn listen() -> anyhow::Result<()> {
    let taken = [SIGINT, SIGTERM, SIGHUP];
    // Under `nohup` it goes on without its terminal.
    let taken = taken.into_iter().filter(|signal| *signal != SIGHUP || !is_ignored(SIGHUP));
    let mut signals = Signals::new(taken).context("can't handle signals")?;
    std::thread::spawn(move || {
        for signal in &mut signals {
            if SIGNAL.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                exit(code(signal).into());
            }
            children::end_all();
            std::thread::spawn(move || {
                std::thread::sleep(GRACE + Duration::from_millis(ALLOWED.load(Ordering::SeqCst)));
                exit(code(signal).into());
            });
        }
    });
    Ok(())
}

/// Whether we were started with this signal ignored.
fn is_ignored(signal: i32) -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores(&status, signal))
}

fn ignores(status: &str, signal: i32) -> bool {
    let mask =
        status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_a_mask() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert!(ignores(status, SIGHUP) && !ignores(status, SIGINT) && !ignores("", SIGHUP));
    }

    #[test]
    fn codes_as_shells_have_them() {
        assert_eq!([SIGHUP, SIGINT, SIGTERM].map(code), [129, 130, 143]);
    }
}
