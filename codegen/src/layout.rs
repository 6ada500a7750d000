//! Where everything is in an image, drawn from a seed: the order of the segments and the
//! gaps between them, the order of functions and constants, where the stacks and the heap
//! begin.
//!
//! Who knows one image of an appliance knows nothing of where things are in another; the same
//! seed makes the same image anywhere.

use std::fmt;
use std::io::Read as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::record::Record;
use crate::template;

/// What a layout is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Seed(pub u64);

impl Seed {
    /// The seed of these inputs of a build, the same wherever and whenever it runs.
    #[must_use]
    pub fn of_inputs(inputs: &[&[u8]]) -> Seed {
        let mut hash = Sha256::new();
        for input in inputs {
            hash.update((input.len() as u64).to_le_bytes());
            hash.update(input);
        }
        Seed(first_word(&hash.finalize()))
    }

    /// One that nobody can guess.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn random() -> std::io::Result<Seed> {
        let mut bytes = [0; 8];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Seed(u64::from_le_bytes(bytes)))
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

/// Not a seed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a number from 0 to 2^64 - 1, such as 7 or 0x1f")]
pub struct NoSeed;

impl FromStr for Seed {
    type Err = NoSeed;

    fn from_str(text: &str) -> Result<Seed, NoSeed> {
        let number = match text.strip_prefix("0x") {
            // `from_str_radix` takes a sign, too.
            Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16),
            Some(_) => return Err(NoSeed),
            None => text.parse(),
        };
        number.map(Seed).map_err(|_| NoSeed)
    }
}

impl From<Seed> for String {
    fn from(seed: Seed) -> String {
        seed.to_string()
    }
}

impl TryFrom<String> for Seed {
    type Error = NoSeed;

    fn try_from(text: String) -> Result<Seed, NoSeed> {
        text.parse()
    }
}

fn first_word(hash: &[u8]) -> u64 {
    hash.iter().take(8).rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// Draws from a seed, for one purpose: what is drawn for another doesn't change it.
struct Draw {
    seed: Seed,
    purpose: &'static str,
    drawn: u64,
}

impl Draw {
    fn new(seed: Seed, purpose: &'static str) -> Draw {
        Draw { seed, purpose, drawn: 0 }
    }

    fn word(&mut self) -> u64 {
        let hash = Sha256::new()
            .chain_update(self.seed.0.to_le_bytes())
            .chain_update(self.drawn.to_le_bytes())
            .chain_update(self.purpose)
            .finalize();
        self.drawn += 1;
        first_word(&hash)
    }

    /// A number from 0 to `bound - 1`, all equally likely.
    fn below(&mut self, bound: u64) -> u64 {
        // What is beyond the last whole multiple would make small numbers likelier.
        let whole = u64::MAX - u64::MAX % bound;
        loop {
            let word = self.word();
            if word < whole {
                return word % bound;
            }
        }
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// `parts` numbers that add up to `total`, all such rows equally likely.
    fn split(&mut self, total: u64, parts: usize) -> Vec<u64> {
        // Bars among stars: of `total + parts - 1` places, those of the bars are drawn.
        let places = total + parts as u64 - 1;
        let mut bars = std::collections::BTreeSet::new();
        while bars.len() + 1 < parts {
            bars.insert(self.below(places));
        }
        let mut next = 0;
        let mut row: Vec<u64> = bars
            .iter()
            .map(|&bar| {
                let part = bar - next;
                next = bar + 1;
                part
            })
            .collect();
        row.push(places - next);
        row
    }
}

/// A kind of memory: what has a segment of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Gate,
    GateData,
    Emergency,
    Stack,
    Text,
    Rodata,
    Data,
}

impl Part {
    /// The name of its segment in the linker script.
    const fn segment(self) -> &'static str {
        match self {
            Part::Gate => "gate",
            Part::GateData => "gate_data",
            Part::Emergency => "emergency",
            Part::Stack => "stack",
            Part::Text => "text",
            Part::Rodata => "rodata",
            Part::Data => "data",
        }
    }

    /// Read, write and execute, as `p_flags` has them.
    const fn flags(self) -> u32 {
        match self {
            Part::Gate | Part::Text => 5,
            Part::Rodata => 4,
            Part::GateData | Part::Emergency | Part::Stack | Part::Data => 6,
        }
    }
}

/// Pages of memory that may go into the gaps, at most.
const MOST_GAPS: u64 = 128;
/// And of those this part into the second MiB, where the gate is, and the page tables with it.
const PART_OF_RING_0: u64 = 4;
/// And at most this part of the memory of the appliance.
const PART_OF_MEMORY: u64 = 16;
/// Where the low part of the heap may begin: pages above 64 KiB.
const LOW_HEAP_PLACES: u64 = 16;

const PAGE: u64 = 4096;

/// The layout of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    seed: Seed,
    /// In memory and in the file, each with the pages before it that nothing is in.
    parts: Vec<(Part, u64)>,
    /// Such pages between ring 0 and the page tables.
    before_tables: u64,
    /// Such pages behind the last, before the heap.
    tail: u64,
    low_heap: u64,
}

#[derive(Serialize)]
struct LinkerView {
    seed: String,
    stack_size: u32,
    low_heap: String,
    before_tables: String,
    tail: String,
    parts: Vec<PartView>,
    record: Vec<String>,
}

#[derive(Serialize)]
struct PartView {
    segment: &'static str,
    flags: u32,
    gap: String,
    first_of_ring_3: bool,
    gate: bool,
    gate_data: bool,
    emergency: bool,
    stack: bool,
    text: bool,
    rodata: bool,
    data: bool,
}

impl Layout {
    /// The layout that `seed` gives an appliance with so many bytes of memory.
    #[must_use]
    pub fn new(seed: Seed, memory: u64) -> Layout {
        use Part::{Data, Emergency, Gate, GateData, Rodata, Stack, Text};
        // Ring 0 has 2 MiB of its own, so that no table of ring 3's pages changes at the seal.
        let (mut ring_0, mut ring_3) = ([Gate, GateData], [Emergency, Stack, Text, Rodata, Data]);
        let mut order = Draw::new(seed, "order");
        order.shuffle(&mut ring_0);
        order.shuffle(&mut ring_3);
        let pages = MOST_GAPS.min(memory / PART_OF_MEMORY / PAGE);
        let mut draw = Draw::new(seed, "gaps");
        let mut low = draw.split(pages / PART_OF_RING_0, 3);
        let before_tables = low.pop().unwrap_or_default();
        let mut high = draw.split(pages - pages / PART_OF_RING_0, 6);
        let tail = high.pop().unwrap_or_default();
        let parts = ring_0.into_iter().chain(ring_3).zip(low.into_iter().chain(high));
        let low_heap = 16 + Draw::new(seed, "low heap").below(LOW_HEAP_PLACES);
        Layout { seed, parts: parts.collect(), before_tables, tail, low_heap }
    }

    /// The linker script of an image with this layout, a stack of `stack_size` bytes, and
    /// `record` for what it says of how it was built.
    #[must_use]
    pub fn linker_script(&self, stack_size: u32, record: &Record) -> String {
        let is_ring_0 = |part| matches!(part, Part::Gate | Part::GateData);
        let first_of_ring_3 = self.parts.iter().position(|&(part, _)| !is_ring_0(part));
        let parts = self.parts.iter().enumerate().map(|(index, &(part, gap))| PartView {
            segment: part.segment(),
            flags: part.flags(),
            gap: format!("{:#x}", gap * PAGE),
            first_of_ring_3: Some(index) == first_of_ring_3,
            gate: part == Part::Gate,
            gate_data: part == Part::GateData,
            emergency: part == Part::Emergency,
            stack: part == Part::Stack,
            text: part == Part::Text,
            rodata: part == Part::Rodata,
            data: part == Part::Data,
        });
        let view = LinkerView {
            seed: self.seed.to_string(),
            stack_size,
            parts: parts.collect(),
            low_heap: format!("{:#x}", self.low_heap * PAGE),
            before_tables: format!("{:#x}", self.before_tables * PAGE),
            tail: format!("{:#x}", self.tail * PAGE),
            record: record.note_words().iter().map(|word| format!("{word:#x}")).collect(),
        };
        template::render(template::LINKER_SCRIPT, &view)
    }

    /// What shuffles functions and constants: arguments of the linker.
    #[must_use]
    pub fn linker_arguments(&self) -> Vec<String> {
        // To lld, 0 is another order each time, and 2^32 - 1 the reverse.
        [(".text*", "text"), (".rodata*", "rodata"), (".data*", "data"), (".bss*", "bss")]
            .map(|(sections, purpose)| {
                let seed = 1 + Draw::new(self.seed, purpose).below(u64::from(u32::MAX) - 1);
                format!("--shuffle-sections={sections}={seed}")
            })
            .into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn seeds_are_written_as_they_are_read() {
        for text in ["0", "7", "0x1f", "18446744073709551615", "0xffffffffffffffff"] {
            let seed: Seed = text.parse().unwrap();
            assert_eq!(seed.to_string().parse(), Ok(seed), "{text}");
        }
        for text in ["", "-1", "0x", "0x+1", "1 ", "18446744073709551616", "seven"] {
            assert_eq!(text.parse::<Seed>(), Err(NoSeed), "{text}");
        }
        assert_ne!(Seed::random().unwrap(), Seed::random().unwrap());
    }

    #[test]
    fn inputs_are_told_apart() {
        let seeds = [
            Seed::of_inputs(&[b"ab", b"c"]),
            Seed::of_inputs(&[b"a", b"bc"]),
            Seed::of_inputs(&[b"abc"]),
            Seed::of_inputs(&[b"abc", b""]),
        ];
        assert_eq!(seeds.iter().map(|seed| seed.0).collect::<BTreeSet<_>>().len(), 4);
        assert_eq!(Seed::of_inputs(&[b"ab", b"c"]), seeds[0]);
    }

    #[test]
    fn splits_add_up_and_reach_everything() {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let row = Draw::new(Seed(seed), "test").split(3, 3);
            assert_eq!(row.iter().sum::<u64>(), 3);
            seen.insert(row);
        }
        // C(5, 2)
        assert_eq!(seen.len(), 10);
        assert_eq!(Draw::new(Seed(1), "test").split(0, 4), [0; 4]);
    }

    #[test]
    fn layouts_differ_and_stay_within_bounds() {
        let mut seen = BTreeSet::new();
        let gaps = |layout: &Layout| {
            layout.before_tables + layout.tail + layout.parts.iter().map(|(_, gap)| gap).sum::<u64>()
        };
        for seed in 0..3000 {
            let layout = Layout::new(Seed(seed), 4 << 20);
            assert_eq!(layout, Layout::new(Seed(seed), 4 << 20));
            assert_eq!(gaps(&layout), 64, "a sixteenth of 4 MiB");
            assert_eq!(layout.parts.len(), 7);
            assert!(layout.parts[..2].iter().all(|(part, _)| matches!(part, Part::Gate | Part::GateData)));
            assert!((16..32).contains(&layout.low_heap));
            let order: Vec<_> = layout.parts.iter().map(|(part, _)| part.segment()).collect();
            seen.insert(order.concat());
        }
        assert_eq!(seen.len(), 240, "2! × 5! orders");
        assert_eq!(gaps(&Layout::new(Seed(1), 64 << 30)), MOST_GAPS);
    }

    #[test]
    fn the_linker_gets_no_seed_with_a_meaning_of_its_own() {
        for seed in 0..100 {
            for argument in Layout::new(Seed(seed), 4 << 20).linker_arguments() {
                let (_, number) = argument.rsplit_once('=').unwrap();
                let number: u32 = number.parse().unwrap();
                assert!(number != 0 && number != u32::MAX, "{argument}");
            }
        }
    }
}
