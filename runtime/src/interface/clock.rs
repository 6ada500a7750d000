//! `Clock`: wall-clock time.

/// The time of day. Monotonic time needs no interface: see [`crate::time`].
pub trait Clock: Clone + 'static {
    /// Nanoseconds since 1970-01-01 00:00 UTC without leap seconds (POSIX time), or
    /// `None` where the monitor gives no clock.
    fn now(&self) -> Option<u64>;
}
