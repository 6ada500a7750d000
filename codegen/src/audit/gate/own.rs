//! That the gate in an image is the one that the runtime has, byte by byte.
//!
//! The copy to compare with is not linked ([`Assembled`]). It is linked here, to where the
//! image's sections are: every place that holds an address then has one right value, but for
//! the four names of Rust's that the gate refers to. Of these it is checked that they lie in
//! memory of ring 3 of the right kind, and, with a twin, that the twin calls them so.

use std::collections::BTreeMap;
use std::ops::Range;

use object::elf;
use object::read::elf::SectionHeader as _;
use sha2::{Digest, Sha256};

use super::assembled::{Assembled, Link, LinkKind, Part, demangled};
use crate::audit::Finding;
use crate::audit::anatomy::Anatomy;
use crate::image::{self, note_bytes, parse};
use crate::{Error, cache, note};

/// The gates that this `unikgen` knows, by the level of processor that an image is built for.
pub const GATES: [(&str, &str); 2] =
    [("x86-64-v2", include_str!("x86-64-v2.txt")), ("x86-64-v3", include_str!("x86-64-v3.txt"))];

/// What an image is made of, and nothing else: name, whether it is ring 0's, whether it is code.
const SECTIONS: [(&str, bool, bool); 15] = [
    (".gate.boot", true, true),
    (".gate.text", true, true),
    (".gate.data", true, false),
    (".gate.tss", true, false),
    (".gate.bss", true, false),
    (".gate.stacks", true, false),
    (".gate.tables", true, false),
    (".stack.emergency", false, false),
    (".stack", false, false),
    (".text", false, true),
    (".note.pvh", false, false),
    (".note.unik", false, false),
    (".rodata", false, false),
    (".data", false, false),
    (".bss", false, false),
];

/// Sections of the image that the linker script puts together from several, or calls otherwise.
const INPUTS: [(&str, &[&str]); 9] = [
    (".gate.boot", &[".gate.boot.entry", ".gate.boot.setup", ".gate.boot.seal"]),
    (".gate.text", &[".gate.text"]),
    (".gate.data", &[".gate.data"]),
    (".gate.tss", &[".gate.tss"]),
    (".gate.bss", &[".gate.bss"]),
    (".gate.stacks", &[".gate.stacks"]),
    (".gate.tables", &[".gate.tables"]),
    (".note.pvh", &[".note.pvh"]),
    // The call sites come first of all text.
    (".text", &[".text.unik_gate_calls"]),
];

/// Where ring 0 is, and where ring 3 begins: no page table of ring 3's pages is ring 0's.
const RING_0: Range<u64> = 0x10_0000..0x20_0000;
const PAGE: u64 = 4096;

/// What the gate refers to of the runtime's Rust: whether that is code, and how many bytes of it
/// ring 0 reads or writes.
const OUTSIDE: [(&str, bool, u64); 4] = [
    ("unik::platform::machine::begin", true, 1),
    ("unik::platform::machine::fault::fault_entry", true, 1),
    // The crash record: the gate writes 23 words of 8 bytes.
    ("unik::platform::machine::fault::RECORD", false, 23 * 8),
    // The flag that there was a tick.
    ("unik::platform::machine::watchdog::TICKED", false, 1),
];

struct Section<'a> {
    range: Range<u64>,
    bytes: &'a [u8],
    code: bool,
    writable: bool,
}

/// Everything in which the gate of `image` is another than the runtime's, with a summary.
/// `twin` is its twin, if it is there.
///
/// # Errors
/// When it is no image.
pub fn check(image: &[u8], twin: Option<&Anatomy<'_>>) -> Result<(String, Vec<Finding>), Error> {
    let level = image::manifest(image)?.cpu;
    let gate = GATES.iter().find(|(name, _)| *name == level).and_then(|(_, text)| Assembled::parse(text));
    let Some(gate) = gate else {
        let message = format!("this unikgen knows no gate for the processor level `{level}`");
        return Ok((String::new(), vec![Finding::new(message)]));
    };
    let mut found = Vec::new();
    let sections = sections(image, &mut found)?;
    places(&sections, &mut found);
    let mut linking = Linking { sections: &sections, places: BTreeMap::new(), outside: BTreeMap::new() };
    for (output, inputs) in INPUTS {
        let Some(section) = sections.get(output) else { continue };
        let mut at = section.range.start;
        for part in inputs.iter().filter_map(|name| gate.part(name)) {
            at = at.checked_next_multiple_of(part.align.max(1)).unwrap_or(u64::MAX);
            linking.places.insert(part.name.clone(), at);
            at = at.saturating_add(part.size);
        }
        if output != ".text" && at != section.range.end {
            let size = section.range.end - section.range.start;
            let message = format!(
                "{output} has {size} bytes, the runtime's {}",
                at.saturating_sub(section.range.start)
            );
            found.push(Finding::at(message, section.range.start));
        }
    }
    // The note that a monitor finds, wherever that stands.
    let entry = image::entry(image)?;
    if sections.get(".gate.boot").is_none_or(|boot| boot.range.start != entry) {
        found.push(Finding::at(format!("a monitor enters it at {entry:#x}, not where boot begins"), entry));
    }
    let mut compared = 0;
    for (output, inputs) in INPUTS {
        let Some(section) = sections.get(output) else { continue };
        for part in inputs.iter().filter_map(|name| gate.part(name)) {
            if part.bytes.is_empty() {
                // Descriptors, slots of writes, boot's tables: a value in there is as good as code.
                if !section.bytes.is_empty() {
                    let message = format!("{output} begins as zeros, and not with bytes of the file");
                    found.push(Finding::at(message, section.range.start));
                }
                continue;
            }
            let Some(&start) = linking.places.get(&part.name) else { continue };
            let from = usize::try_from(start.saturating_sub(section.range.start)).unwrap_or(usize::MAX);
            let actual = from.checked_add(part.bytes.len()).and_then(|to| section.bytes.get(from..to));
            compared += part.bytes.len();
            linking.compare(part, start, actual.unwrap_or_default(), &mut found);
        }
    }
    table(image, &gate, &mut linking, &mut found)?;
    if let Some(twin) = twin {
        names(&linking, twin, &mut found);
    }
    let summary = if found.is_empty() {
        format!("{compared} bytes as the runtime has them, for {level}")
    } else {
        image::record(image).map_or_else(
            |_| String::new(),
            |record| format!("built from the sources {}, not of this unikgen?", record.sources),
        )
    };
    Ok((summary, found))
}

/// What the gate of an image is, in a line: the runtime's, or one that nobody knows, by a hash.
/// Two of these are the same only where they are linked to the same places.
///
/// # Errors
/// When it is no image.
pub fn identity(image: &[u8]) -> Result<String, Error> {
    let (_, found) = check(image, None)?;
    let cpu = image::manifest(image)?.cpu;
    if found.is_empty() {
        let known = GATES.iter().find(|(name, _)| *name == cpu).map_or("", |(_, text)| text);
        return Ok(format!("the runtime's, for {cpu}: {}", cache::short_hash(known.as_bytes())));
    }
    let mut hash = Sha256::new();
    for section in sections(image, &mut Vec::new())?.values().filter(|s| RING_0.contains(&s.range.start)) {
        hash.update(section.range.start.to_le_bytes());
        hash.update(section.bytes);
    }
    let hash = cache::hex(&hash.finalize());
    Ok(format!("another than this unikgen knows: {}", hash.get(..12).unwrap_or(&hash)))
}

/// The loaded sections by name. Says which of them no image has, or are of another kind.
fn sections<'a>(
    image: &'a [u8],
    found: &mut Vec<Finding>,
) -> Result<BTreeMap<&'static str, Section<'a>>, Error> {
    let elf = parse(image)?;
    let endian = elf.endian();
    let mut sections = BTreeMap::new();
    for header in elf.elf_section_table().iter() {
        let flags = header.sh_flags(endian);
        let start = header.sh_addr(endian);
        if !flags.contains(elf::SHF_ALLOC) || header.sh_size(endian) == 0 {
            continue;
        }
        let name = elf.elf_section_table().section_name(endian, header).unwrap_or(b"?");
        let name = String::from_utf8_lossy(name);
        let Some((name, ring_0, code)) = SECTIONS.into_iter().find(|known| known.0 == name) else {
            found.push(Finding::at(format!("no image has a section {name}"), start));
            continue;
        };
        let range = start..start.saturating_add(header.sh_size(endian));
        if ring_0 != (RING_0.contains(&range.start) && range.end <= RING_0.end)
            || !ring_0 && range.start < RING_0.end
        {
            let ring = if ring_0 { "ring 0" } else { "ring 3" };
            found.push(Finding::at(format!("the section {name} lies outside of {ring}'s memory"), start));
        }
        if flags.contains(elf::SHF_EXECINSTR) != code {
            let what = if code { "isn't executable" } else { "is executable" };
            found.push(Finding::at(format!("the section {name} {what}"), start));
        }
        let bytes = match header.sh_type(endian) {
            elf::SHT_NOBITS => &[][..],
            _ => header
                .data(endian, image)
                .map_err(|_| image::bad(format!("the section {name} isn't whole")))?,
        };
        sections.insert(name, Section { range, bytes, code, writable: flags.contains(elf::SHF_WRITE) });
    }
    for (name, ring_0, _) in SECTIONS {
        // What is compared has to be there.
        let is_compared = INPUTS.iter().any(|(output, _)| *output == name);
        if (ring_0 || is_compared) && !sections.contains_key(name) {
            found.push(Finding::new(format!("it has no section {name}")));
        }
    }
    Ok(sections)
}

/// What the linker script asserts of the places of the gate's sections.
fn places(sections: &BTreeMap<&'static str, Section<'_>>, found: &mut Vec<Finding>) {
    let range = |name: &str| sections.get(name).map_or(0..0, |section| section.range.clone());
    let (boot, text) = (range(".gate.boot"), range(".gate.text"));
    let mut wrong = |what: &str, at: u64| found.push(Finding::at(what, at));
    if boot.end != text.start || !text.start.is_multiple_of(PAGE) || boot.end - boot.start >= PAGE {
        wrong("boot's page doesn't end where the gate's begins", text.start);
    }
    if range(".gate.bss").start != range(".gate.tss").end {
        wrong("the I/O bitmap doesn't follow the task state segment", range(".gate.bss").start);
    }
    // Pages are what memory is protected by: none may hold memory of two kinds.
    let kind = |section: &Section<'_>| {
        let ring_0 = RING_0.contains(&section.range.start);
        (ring_0, section.code, section.writable)
    };
    let mut all: Vec<_> = sections.iter().collect();
    all.sort_by_key(|(_, section)| section.range.start);
    for pair in all.windows(2) {
        let [(one, first), (other, second)] = pair else { continue };
        let shared = first.range.end.div_ceil(PAGE) > second.range.start / PAGE;
        if shared && kind(first) != kind(second) {
            wrong(&format!("{one} and {other} share a page"), second.range.start);
        }
    }
}

/// The gate, being linked to where an image has it.
struct Linking<'a> {
    sections: &'a BTreeMap<&'static str, Section<'a>>,
    /// Where the parts of the gate are.
    places: BTreeMap<String, u64>,
    /// What names from outside were found to stand for, and where first.
    outside: BTreeMap<String, (u64, u64)>,
}

impl Linking<'_> {
    /// Compares `part`, linked to `start`, with what is there.
    fn compare(&mut self, part: &Part, start: u64, actual: &[u8], found: &mut Vec<Finding>) {
        let mut own = part.bytes.clone();
        let Some(actual) = actual.get(..own.len()) else {
            found.push(Finding::at(format!("{} isn't whole", part.name), start));
            return;
        };
        for link in &part.links {
            let place = start.wrapping_add(link.at);
            let at = usize::try_from(link.at).unwrap_or(usize::MAX);
            let base = if link.kind == LinkKind::Near { place } else { 0 };
            let there = at..at.saturating_add(link.kind.size());
            let (Some(slot), Some(held)) = (own.get_mut(there.clone()), actual.get(there)) else { continue };
            let target = match self.target(link) {
                Some(target) => target,
                // Whatever stands there: it is looked at once all is linked.
                None => {
                    let target = value(held, link.kind).wrapping_add(base).wrapping_sub(link.plus as u64);
                    self.leads(link, target, place, found);
                    target
                }
            };
            let linked = target.wrapping_add(link.plus as u64).wrapping_sub(base);
            slot.copy_from_slice(&linked.to_le_bytes()[..slot.len()]);
        }
        let differs: Vec<usize> = (0..own.len()).filter(|&at| own[at] != actual[at]).collect();
        if let Some(&first) = differs.first() {
            let address = start.wrapping_add(first as u64);
            let link = part.links.iter().find(|link| {
                let start = link.at as usize;
                (start..start + link.kind.size()).contains(&first)
            });
            let what = match link {
                Some(link) => format!(", which doesn't lead to {}{:+#x} there", link.to, link.plus),
                None => String::new(),
            };
            found.push(Finding::at(
                format!(
                    "{} bytes of {} aren't those of the runtime's gate, first at {address:#x}{what}",
                    differs.len(),
                    part.name
                ),
                address,
            ));
        }
    }

    /// Where a link leads, if that follows from where the image's sections are.
    fn target(&self, link: &Link) -> Option<u64> {
        let end = |name: &str| self.sections.get(name).map(|section| section.range.end);
        let tss = || self.places.get(".gate.tss").copied();
        match link.to.as_str() {
            // Before the page that isn't mapped.
            "__stack_top" => end(".stack").map(|end| end.wrapping_sub(PAGE)),
            "__emergency_top" => end(".stack.emergency").map(|end| end.wrapping_sub(PAGE)),
            "__tss_low" => tss().map(|tss| tss & 0xffff),
            "__tss_mid" => tss().map(|tss| tss >> 16 & 0xff),
            "__tss_high" => tss().map(|tss| tss >> 24 & 0xff),
            name => self.places.get(name).copied(),
        }
    }

    /// Takes down what a name from outside stands for, and checks that it may.
    fn leads(&mut self, link: &Link, target: u64, place: u64, found: &mut Vec<Finding>) {
        let Link { to, .. } = link;
        let Some((_, code, size)) = OUTSIDE.into_iter().find(|(name, ..)| name == to) else {
            found.push(Finding::at(format!("the gate refers to {to}, which isn't in the image"), place));
            return;
        };
        if let Some(&(other, first)) = self.outside.get(to) {
            if other != target {
                let message =
                    format!("{to} is {other:#x} to the gate at {first:#x}, and {target:#x} at {place:#x}");
                found.push(Finding::at(message, place));
            }
            return;
        }
        self.outside.insert(to.clone(), (target, place));
        let range = target..target.saturating_add(size);
        let fits = self.sections.values().any(|section| {
            let inside = section.range.start <= range.start && range.end <= section.range.end;
            inside && section.range.start >= RING_0.end && section.code == code && section.writable != code
        });
        if !fits {
            let kind = if code { "text" } else { "data" };
            let message = format!("the gate takes {target:#x} for {to}, which is no {kind} of ring 3");
            found.push(Finding::at(message, place));
        }
    }
}

fn value(bytes: &[u8], kind: LinkKind) -> u64 {
    let value = bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
    // A distance has a sign.
    if kind == LinkKind::Near { i64::from(value as u32 as i32) as u64 } else { value }
}

/// The table of the gate's entries, which its descriptors are filled from.
fn table(
    image: &[u8],
    gate: &Assembled,
    linking: &mut Linking<'_>,
    found: &mut Vec<Finding>,
) -> Result<(), Error> {
    const HEADER: usize = 20;
    let Some(part) = gate.part(".note.unik.gate") else {
        found.push(Finding::new("the gate that this unikgen knows has no table of entries"));
        return Ok(());
    };
    let Some(bytes) = note_bytes(image, note::GATE)? else {
        found.push(Finding::new("it has no table of the gate's entries"));
        return Ok(());
    };
    // The note's header isn't the table's; nothing in it leads anywhere.
    let rows = Part {
        name: "the table of the gate's entries".into(),
        size: part.size.saturating_sub(HEADER as u64),
        align: 1,
        bytes: part.bytes.get(HEADER..).unwrap_or_default().to_vec(),
        links: part
            .links
            .iter()
            .filter_map(|link| Some(Link { at: link.at.checked_sub(HEADER as u64)?, ..link.clone() }))
            .collect(),
    };
    let longer = bytes.len() > rows.bytes.len();
    if longer {
        found.push(Finding::new("the table of the gate's entries is longer than the runtime's"));
    }
    linking.compare(&rows, 0, bytes, found);
    Ok(())
}

/// That the twin calls what the gate refers to by the right names.
fn names(linking: &Linking<'_>, twin: &Anatomy<'_>, found: &mut Vec<Finding>) {
    for (name, &(target, place)) in &linking.outside {
        let mut named = twin.functions.iter().chain(&twin.objects);
        if !named.any(|named| named.range.start == target && demangled(&named.name) == *name) {
            let message = format!("the gate takes {target:#x} for {name}, which the twin has elsewhere");
            found.push(Finding::at(message, place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_gates_can_be_read_and_linked() {
        for (level, text) in GATES {
            let gate = Assembled::parse(text).unwrap_or_else(|| panic!("{level} can't be read"));
            let inputs: Vec<&str> = INPUTS.iter().flat_map(|(_, inputs)| inputs.iter().copied()).collect();
            for name in &inputs {
                assert!(gate.part(name).is_some(), "{level} lacks {name}");
            }
            for part in &gate.parts {
                let known = inputs.contains(&part.name.as_str()) || part.name == ".note.unik.gate";
                assert!(known, "{level}: {} is compared with nothing", part.name);
                for link in &part.links {
                    let known = inputs.contains(&link.to.as_str())
                        || link.to.starts_with("__")
                        || OUTSIDE.iter().any(|(name, ..)| *name == link.to);
                    assert!(known, "{level}: {} leads to {}, of which nothing is known", part.name, link.to);
                }
            }
        }
    }

    #[test]
    fn distances_have_a_sign() {
        assert_eq!(value(&[0xfc, 0xff, 0xff, 0xff], LinkKind::Near), (-4_i64) as u64);
        assert_eq!(value(&[0xfc, 0xff, 0xff, 0xff], LinkKind::Word), 0xffff_fffc);
        assert_eq!(value(&[7], LinkKind::Byte), 7);
    }
}
