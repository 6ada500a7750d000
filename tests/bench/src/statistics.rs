//! Medians, spread, and latencies.

/// What several rounds gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    /// Of `values`; nothing of none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Spread> {
        let mut values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        values.sort_unstable_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Spread { median, least, most })
    }
}

/// Times in buckets: exact below 128 ns, then 64 buckets for each doubling, so that a
/// bucket is at most 1.6 % wide. What a hundred million samples take is 30 KiB.
#[derive(Clone, Debug)]
pub struct Latencies {
    counts: Vec<u64>,
    total: u64,
}

const EXACT: u64 = 128;
const PER_DOUBLING: u64 = EXACT / 2;

impl Latencies {
    /// None yet.
    #[must_use]
    pub fn new() -> Latencies {
        Latencies { counts: vec![0; bucket(u64::MAX) + 1], total: 0 }
    }

    /// One more, in nanoseconds.
    pub fn add(&mut self, ns: u64) {
        self.counts[bucket(ns)] += 1;
        self.total += 1;
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The time in nanoseconds that `share` of them (0 to 1) don't exceed, to 1.6 %; 0
    /// when there are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(at);
            }
        }
        0
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies::new()
    }
}

fn bucket(ns: u64) -> usize {
    if ns < EXACT {
        return ns as usize;
    }
    // The leading seven bits choose the bucket: 64 to 127, one set for each shift.
    let shift = u64::from(ns.ilog2()) - u64::from((EXACT / 2).ilog2());
    (EXACT + (shift - 1) * PER_DOUBLING + ((ns >> shift) - PER_DOUBLING)) as usize
}

/// The largest time of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < EXACT {
        return bucket;
    }
    let shift = (bucket - EXACT) / PER_DOUBLING + 1;
    let leading = (bucket - EXACT) % PER_DOUBLING + PER_DOUBLING;
    (leading << shift) | ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_none() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]).map(|s| (s.median, s.least, s.most)), Some((2.0, 1.0, 3.0)));
        assert_eq!(Spread::of(&[4.0, 1.0]).map(|s| s.median), Some(2.5));
        assert_eq!(Spread::of(&[f64::NAN]), None);
    }

    #[test]
    fn buckets_follow_each_other_and_are_narrow() {
        for ns in (0..100_000).chain([u64::MAX, u64::MAX / 3, 1 << 40]) {
            let at = bucket(ns);
            assert!(upper(at) >= ns, "{ns}");
            assert!(at == 0 || upper(at - 1) < ns, "{ns}");
            assert!(upper(at) - ns <= ns / 63, "{ns}: up to {}", upper(at));
        }
    }

    #[test]
    fn quantiles() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.quantile(0.5), 0);
        (1..=1000).for_each(|us| latencies.add(us * 1000));
        let near = |share, us: u64| latencies.quantile(share).abs_diff(us * 1000) <= us * 17;
        assert!(near(0.5, 500) && near(0.99, 990) && near(0.999, 999) && near(1.0, 1000));
        assert_eq!(latencies.count(), 1000);
    }
}
