//! What was learnt, for as long as it is good (RFC 2181, section 8; RFC 2308).

use alloc::vec::Vec;

use unik::time::{Duration, Instant};

use crate::Outcome;
use crate::message::Kind;
use crate::name::Name;

/// The most names, of each family on its own.
const CAPACITY: usize = 128;
/// The longest that addresses are kept, in seconds; what says so itself, shorter.
const LONGEST: u32 = 3600;
/// The longest that a name isn't asked for which there isn't.
const LONGEST_NONE: u32 = 300;
/// How long a failure holds: whoever asks again in a loop asks us, not the servers (RFC 9520).
const FAILURE: u32 = 1;

/// Outcomes of lookups.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// Few: a list is searched faster than it would pay to do otherwise.
    entries: Vec<Entry>,
    /// Counts uses.
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    name: Name,
    kind: Kind,
    outcome: Outcome,
    until: Instant,
    used: u64,
}

/// For how long an outcome that was given for `seconds` is kept; not at all without them.
pub(crate) fn kept(outcome: &Outcome, seconds: Option<u32>) -> u32 {
    match (outcome, seconds) {
        (Ok(_), seconds) => seconds.unwrap_or(0).min(LONGEST),
        (Err(unik::interface::ResolveError::NoName), seconds) => seconds.unwrap_or(0).min(LONGEST_NONE),
        // Of ours, not of the servers.
        (Err(unik::interface::ResolveError::NoServer | unik::interface::ResolveError::Resources), _) => 0,
        (Err(_), _) => FAILURE,
    }
}

impl Cache {
    /// What is known of a name.
    pub fn find(&mut self, name: &Name, kind: Kind, now: Instant) -> Option<Outcome> {
        self.clock += 1;
        let clock = self.clock;
        let is_it = |entry: &&mut Entry| entry.kind == kind && entry.name == *name && entry.until > now;
        let entry = self.entries.iter_mut().find(is_it)?;
        entry.used = clock;
        Some(entry.outcome.clone())
    }

    /// Keeps an outcome for `seconds`; pushes out what has ended or, else, what wasn't asked for the longest.
    pub fn keep(&mut self, name: &Name, kind: Kind, outcome: Outcome, seconds: u32, now: Instant) {
        self.entries.retain(|entry| (entry.kind != kind || entry.name != *name) && entry.until > now);
        if seconds == 0 {
            return;
        }
        if self.entries.len() >= CAPACITY {
            let oldest = self.entries.iter().enumerate().min_by_key(|(_, entry)| entry.used);
            if let Some((at, _)) = oldest {
                self.entries.swap_remove(at);
            }
        }
        if self.entries.try_reserve(1).is_err() {
            return;
        }
        self.clock += 1;
        let until = now + Duration::from_secs(u64::from(seconds));
        self.entries.push(Entry { name: name.clone(), kind, outcome, until, used: self.clock });
    }

    /// Forgets everything: other servers may know otherwise.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use unik::interface::ResolveError;

    fn at(seconds: u64) -> Instant {
        Instant::START + Duration::from_secs(seconds)
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn good(last: u8) -> Outcome {
        Ok(std::vec![Ipv4Addr::new(192, 0, 2, last).into()])
    }

    #[test]
    fn what_is_known_ends() {
        let mut cache = Cache::default();
        cache.keep(&name("a"), Kind::A, good(1), 10, at(0));
        cache.keep(&name("a"), Kind::Aaaa, Err(ResolveError::NoName), 5, at(0));
        assert_eq!(cache.find(&name("a"), Kind::A, at(9)), Some(good(1)));
        assert_eq!(cache.find(&name("a"), Kind::Aaaa, at(4)), Some(Err(ResolveError::NoName)));
        assert_eq!(cache.find(&name("a"), Kind::Aaaa, at(5)), None);
        assert_eq!(cache.find(&name("a"), Kind::A, at(10)), None);
        assert_eq!(cache.find(&name("b"), Kind::A, at(0)), None);
        cache.keep(&name("a"), Kind::A, good(2), 10, at(1));
        assert_eq!(cache.find(&name("a"), Kind::A, at(1)), Some(good(2)));
        cache.keep(&name("a"), Kind::A, good(3), 0, at(2));
        assert_eq!(cache.find(&name("a"), Kind::A, at(2)), None);
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let mut cache = Cache::default();
        cache.keep(&name("used"), Kind::A, good(1), 1000, at(0));
        for number in 0..1000 {
            cache.keep(&name(&std::format!("n{number}")), Kind::A, good(2), 1000, at(0));
            assert_eq!(cache.find(&name("used"), Kind::A, at(0)), Some(good(1)), "{number}");
        }
        assert_eq!(cache.entries.len(), CAPACITY);
        cache.keep(&name("new"), Kind::A, good(1), 1000, at(1000));
        assert_eq!(cache.entries.len(), 1);
    }

    #[test]
    fn times_are_clamped() {
        assert_eq!(kept(&good(1), Some(u32::MAX)), 3600);
        assert_eq!(kept(&good(1), Some(7)), 7);
        assert_eq!(kept(&Err(ResolveError::NoName), Some(86400)), 300);
        assert_eq!(kept(&Err(ResolveError::NoName), None), 0);
        assert_eq!(kept(&Err(ResolveError::TimedOut), None), 1);
        assert_eq!(kept(&Err(ResolveError::NoServer), None), 0);
    }
}
