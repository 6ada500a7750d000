//! What a sender does about losses beyond what smoltcp does, which sends one segment again after three
//! duplicate acknowledgements, and all of them when a timer of at least a second fires.
//!
//! - NewReno (RFC 6582): an acknowledgement of a part of what was on its way when a loss was
//!   noticed says where the next loss is. That one is sent again at once.
//! - A probe for the tail (after RFC 8985, section 7): where no acknowledgement comes for twice the
//!   round-trip time, with what delayed acknowledgements take, the oldest segment is sent again.
//!
//! smoltcp sends a segment again when it is told three times that it is missing, so that is how it
//! is asked to.

use unik::time::{Duration, Instant};

use super::engine::Sent;
use super::segment::{Segment, is_after};

/// How many probes follow one another before it is left to the retransmission timer.
const PROBES: u8 = 3;
/// For how long a peer may hold back the acknowledgement of a single segment (RFC 8985's
/// `max_ack_delay`), and how much later than expected any may come.
const DELAYED: Duration = Duration::from_millis(200);
const SLACK: Duration = Duration::from_millis(25);

/// How long full segments may be lost before the path is taken for one that swallows them.
const SWALLOWED: Duration = Duration::from_secs(2);

/// What is known of the data that a connection has on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovery {
    /// Everything up to here was acknowledged …
    pub acknowledged: u32,
    /// … and everything up to here was sent.
    highest: u32,
    /// The window of the last acknowledgement, as it stood in it.
    window: u16,
    duplicates: u8,
    probes: u8,
    /// Since when nothing that is on its way was acknowledged.
    stuck: Instant,
    /// What had been sent when a loss was noticed that isn't made good yet.
    until: Option<u32>,
    /// The acknowledgement that tells the round-trip time, and since when it runs.
    sample: Option<(u32, Instant)>,
    round_trip: Option<Duration>,
    /// When the oldest segment is sent again, if nothing comes.
    probe: Option<Instant>,
}

impl Recovery {
    /// A connection whose first number after the SYN is `next`.
    pub fn new(next: u32) -> Recovery {
        Recovery {
            acknowledged: next,
            highest: next,
            window: 0,
            duplicates: 0,
            probes: 0,
            stuck: Instant::START,
            until: None,
            sample: None,
            round_trip: None,
            probe: None,
        }
    }

    /// What it takes for smoltcp to believe that the oldest segment is missing: windows of
    /// acknowledgements of all before it. The first differs, and so its count begins anew.
    pub fn persuasion(&self) -> (u32, [u16; 5]) {
        let window = self.window;
        (self.acknowledged, [window ^ 1, window, window, window, window])
    }

    /// When [`is_due`](Self::is_due) may say so.
    pub fn deadline(&self) -> Option<Instant> {
        self.probe
    }

    /// A segment was sent.
    pub fn sent(&mut self, sent: Sent, now: Instant) {
        if is_after(sent.next, self.highest) {
            if self.highest == self.acknowledged {
                self.stuck = now;
            }
            self.highest = sent.next;
            self.sample.get_or_insert((sent.next, now));
            if self.probe.is_none() {
                self.probe = self.patience().map(|patience| now + patience);
            }
        } else if sent.next != self.highest {
            // Whether an acknowledgement is of the first or the second time, nobody knows (Karn).
            self.sample = None;
        }
    }

    /// A segment came. Whether smoltcp, which has had it, is to send the oldest one again.
    pub fn received(&mut self, segment: &Segment<'_>, now: Instant) -> bool {
        let Some(number) = segment.acknowledgement else { return false };
        if is_after(number, self.highest) {
            return false;
        }
        let same_window = core::mem::replace(&mut self.window, segment.window) == segment.window;
        if number == self.acknowledged {
            let is_duplicate = same_window && segment.length == 0 && number != self.highest;
            self.duplicates = if is_duplicate { self.duplicates.saturating_add(1) } else { 0 };
            if self.duplicates == 3 {
                self.until.get_or_insert(self.highest);
            }
            return false;
        }
        if !is_after(number, self.acknowledged) {
            return false;
        }
        (self.acknowledged, self.duplicates, self.probes) = (number, 0, 0);
        self.stuck = now;
        if let Some((_, since)) = self.sample.take_if(|(until, _)| !is_after(*until, number)) {
            let new = now.since(since);
            self.round_trip = Some(self.round_trip.map_or(new, |old| (old * 7 + new) / 8));
        }
        let all = number == self.highest;
        self.probe = self.patience().filter(|_| !all).map(|patience| now + patience);
        match self.until {
            Some(until) if is_after(until, number) => true,
            _ => {
                self.until = None;
                false
            }
        }
    }

    /// Whether the oldest segment is to be sent again, since nothing has come.
    pub fn is_due(&mut self, now: Instant) -> bool {
        if self.probe.is_none_or(|probe| probe > now) {
            return false;
        }
        self.probes += 1;
        let again = self.patience().filter(|_| self.probes < PROBES);
        self.probe = again.map(|patience| now + patience.max(DELAYED) * (1 << (self.probes - 1)));
        if self.highest == self.acknowledged || self.window == 0 {
            return false;
        }
        self.until = Some(self.highest);
        true
    }

    /// Whether packets of more than `least` bytes seem to get lost, and nobody says why.
    pub fn is_swallowed(&self, least: u16, now: Instant) -> bool {
        let outstanding = self.highest.wrapping_sub(self.acknowledged);
        outstanding > u32::from(least) && self.window > 0 && now.since(self.stuck) >= SWALLOWED
    }

    /// How long to wait for an acknowledgement, once it is known how long one takes.
    fn patience(&self) -> Option<Duration> {
        // A flight of one segment may be acknowledged late.
        let is_short = self.highest.wrapping_sub(self.acknowledged) <= 1460;
        let delay = if is_short { DELAYED } else { Duration::ZERO };
        self.round_trip.map(|time| time * 2 + SLACK + delay)
    }
}
