//! `clock`: wall-clock time, as the platform knows it.
//!
//! On a machine from the monitor (kvmclock) or the real-time clock, in a process from
//! the host. Where the monitor gives no clock (QEMU's microvm with `rtc=off` and without
//! KVM), [`now`](Clock::now) says `None`; a service then does without.
#![no_std]
#![forbid(unsafe_code)]

use unik::interface::Clock;
use unik::platform;
use unik::start::{Context, StartError};

unik::options!();

/// Starts the clock.
///
/// # Errors
/// None; the signature is that of every component.
pub async fn start(_cx: &Context, _options: &'static Options) -> Result<WallClock, StartError> {
    Ok(WallClock)
}

/// The platform's clock.
#[derive(Clone, Copy, Debug)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Option<u64> {
        platform::wall_clock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_a_clock() {
        assert!(WallClock.now().is_some_and(|time| time > 1_600_000_000_000_000_000));
    }
}
