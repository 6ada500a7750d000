//! Timestamps in segments (RFC 7323): what tells a segment of old from one whose numbers have come
//! round, and what a SYN cookie remembers more with. In an image where the plan asks for them.

use core::sync::atomic::{AtomicU32, Ordering};

use smoltcp::wire::TcpTimestampRepr;
use unik::time::Instant;

use super::segment::{Segment, Syn, is_after};

/// Whether they are in this image.
pub(crate) const ENABLED: bool = cfg!(feature = "timestamps");

/// One tick of the clock in nanoseconds: 1 ms, the finest that RFC 7323, section 5.4, allows.
const TICK: u64 = 1_000_000;

/// Bits of a timestamp that stand for the options of a SYN that was answered with a cookie, and
/// their meaning: the window's scale, or all ones for none, and below that selective acknowledgements.
const COOKIE_BITS: u32 = 6;
const NO_SCALE: u32 = 0x0f;

/// What nobody can have in an image without timestamps: the compiler sees that, and leaves out what
/// would be done with it.
#[cfg(not(feature = "timestamps"))]
type Existing = core::convert::Infallible;
#[cfg(feature = "timestamps")]
type Existing = ();

/// What the peer's clock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub value: u32,
    exists: Existing,
}

impl Stamp {
    /// `None` in an image without timestamps.
    #[cfg_attr(not(feature = "timestamps"), allow(clippy::missing_const_for_fn))]
    pub fn new(value: u32) -> Option<Stamp> {
        #[cfg(feature = "timestamps")]
        return Some(Stamp { value, exists: () });
        #[cfg(not(feature = "timestamps"))]
        None
    }
}

/// What a connection with timestamps knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamps {
    /// What is added to the clock, so that it tells nobody how long we run: differs by connection.
    pub offset: u32,
    /// The peer's last one that counted: TS.Recent.
    pub recent: Stamp,
}

/// The clock of connections with this `offset`.
pub(crate) const fn clock(offset: u32, now: Instant) -> u32 {
    if ENABLED { offset.wrapping_add((now.as_nanos() / TICK) as u32) } else { 0 }
}

impl Stamps {
    /// For what is sent now.
    pub fn reply(&self, now: Instant) -> TcpTimestampRepr {
        TcpTimestampRepr::new(clock(self.offset, now), self.recent.value)
    }

    /// Whether `segment` may be the connection's (RFC 7323, sections 3.2 and 5.3). If it may, and
    /// holds what was `acknowledged` last or follows it, its timestamp is the recent one (section
    /// 4.3): whoever can't say where the peer is can't move the peer's clock.
    ///
    /// Nothing of a connection is old enough for that clock to have come round since (24 days): a
    /// peer is silent for two minutes at most.
    pub fn accept(&mut self, segment: &Segment<'_>, acknowledged: Option<u32>) -> bool {
        if segment.rst {
            return true;
        }
        let Some((theirs, _)) = segment.timestamp() else { return false };
        if is_after(self.recent.value, theirs.value) {
            return false;
        }
        let reaches =
            |acknowledged: u32| acknowledged.wrapping_sub(segment.sequence) as usize <= segment.length;
        if acknowledged.is_some_and(reaches) {
            self.recent = theirs;
        }
        true
    }
}

/// The timestamp of an answer to a SYN that isn't remembered: it says which of the SYN's options hold.
/// Never later than the clock.
pub(crate) const fn cookie(syn: &Syn, offset: u32, now: Instant) -> u32 {
    let scale = match syn.window_scale {
        Some(scale) => scale as u32,
        None => NO_SCALE,
    };
    let options = scale << 1 | syn.selective as u32;
    let (clock, mask) = (clock(offset, now), (1 << COOKIE_BITS) - 1);
    let stamp = clock & !mask | options;
    if stamp & mask > clock & mask { stamp.wrapping_sub(1 << COOKIE_BITS) } else { stamp }
}

/// The window's scale and whether selective acknowledgements are allowed, as a peer gives them back.
pub(crate) const fn options_of_cookie(echo: u32) -> (Option<u8>, bool) {
    let scale = echo >> 1 & NO_SCALE;
    // No SYN says more than 14.
    (if scale == NO_SCALE { None } else { Some(scale as u8) }, echo & 1 == 1)
}

#[cfg(not(test))]
static STAMP: AtomicU32 = AtomicU32::new(0);

#[cfg(test)]
std::thread_local! {
    static STAMP: AtomicU32 = const { AtomicU32::new(0) };
}

/// Sets the timestamp of what smoltcp is going to send: it asks a function that knows of no
/// connection.
pub(crate) fn set(stamp: u32) {
    #[cfg(not(test))]
    STAMP.store(stamp, Ordering::Relaxed);
    #[cfg(test)]
    STAMP.with(|place| place.store(stamp, Ordering::Relaxed));
}

/// What [`set`] was told.
pub(crate) fn get() -> u32 {
    #[cfg(not(test))]
    return STAMP.load(Ordering::Relaxed);
    #[cfg(test)]
    STAMP.with(|place| place.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use unik::time::Duration;

    #[test]
    fn cookies_keep_the_options_and_are_never_ahead_of_the_clock() {
        let syn = Syn {
            sequence: 1,
            window: 1,
            segment_size: None,
            window_scale: None,
            selective: false,
            timestamp: Stamp::new(3),
        };
        for ticks in 0..200u64 {
            for offset in [0, 1, u32::MAX - 90] {
                let now = Instant::START + Duration::from_millis(ticks);
                for window_scale in (0..=14).map(Some).chain([None]) {
                    for selective in [false, true] {
                        let stamp = cookie(&Syn { window_scale, selective, ..syn }, offset, now);
                        assert_eq!(options_of_cookie(stamp), (window_scale, selective));
                        assert!(clock(offset, now).wrapping_sub(stamp) < 1 << COOKIE_BITS);
                    }
                }
            }
        }
    }
}
