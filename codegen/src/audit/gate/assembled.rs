//! The gate as it was assembled from the runtime's source, before a linker gave it a place.
//!
//! What this `unikgen` holds gates against is such a text for each level of processor,
//! beside this file. A test of `tests/tests/gate.rs` assembles the runtime and compares.
//!
//! ```text
//! section .gate.text 868 1            name, bytes, alignment
//! bytes 48cf6a02…                     what has bytes in the file; 32 a line
//! link 0x7 word .text.unik_gate_calls+0x4
//! ```
//!
//! A `link` is a place that the linker fills in: `byte`, `half`, `word` and `long` hold an
//! address in 1, 2, 4 or 8 bytes, `near` its distance from the place, in 4.

use std::fmt::Write as _;

use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _};
use object::{RelocationFlags, RelocationTarget, SectionKind, SymbolIndex, elf};

use crate::Error;
use crate::audit::bad;

/// The sections of a gate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assembled {
    /// In the order of their names.
    pub parts: Vec<Part>,
}

/// One section of the assembler's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its bytes in memory.
    pub size: u64,
    /// What its address is a multiple of.
    pub align: u64,
    /// Its bytes in the file; none, if it begins as zeros. Links are zeros here.
    pub bytes: Vec<u8>,
    /// What the linker fills in.
    pub links: Vec<Link>,
}

/// A place that the linker fills in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where in the section.
    pub at: u64,
    /// How.
    pub kind: LinkKind,
    /// The section that it leads to, or a name from outside of the gate.
    pub to: String,
    /// What is added to that.
    pub plus: i64,
}

/// How an address stands in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// In one byte.
    Byte,
    /// In two.
    Half,
    /// In four.
    Word,
    /// In eight.
    Long,
    /// As the distance from the place, in four.
    Near,
}

impl LinkKind {
    const ALL: [(LinkKind, &str, usize); 5] = [
        (LinkKind::Byte, "byte", 1),
        (LinkKind::Half, "half", 2),
        (LinkKind::Word, "word", 4),
        (LinkKind::Long, "long", 8),
        (LinkKind::Near, "near", 4),
    ];

    fn row(self) -> (LinkKind, &'static str, usize) {
        // All kinds are in the table.
        LinkKind::ALL.into_iter().find(|row| row.0 == self).unwrap_or(LinkKind::ALL[0])
    }

    /// The bytes that it takes.
    #[must_use]
    pub fn size(self) -> usize {
        self.row().2
    }
}

/// The sections of the runtime's objects that are of the gate.
fn is_of_gate(name: &str) -> bool {
    name.starts_with(".gate.") || [".text.unik_gate_calls", ".note.unik.gate", ".note.pvh"].contains(&name)
}

impl Assembled {
    /// The part of this name.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// The gate in an object that the compiler made of the runtime.
    ///
    /// # Errors
    /// When it is no object, or holds a relocation that this doesn't know.
    pub fn of_object(object: &[u8]) -> Result<Assembled, Error> {
        let file = ElfFile64::<Endianness>::parse(object)
            .map_err(|error| bad(format!("it is no object file: {error}")))?;
        let broken = |error: object::Error| bad(error.to_string());
        let mut parts = Vec::new();
        for section in file.sections() {
            let name = section.name().map_err(broken)?;
            if !is_of_gate(name) {
                continue;
            }
            let zeroed = section.kind() == SectionKind::UninitializedData;
            let mut part = Part {
                name: name.into(),
                size: section.size(),
                align: section.align(),
                bytes: if zeroed { Vec::new() } else { section.data().map_err(broken)?.to_vec() },
                links: Vec::new(),
            };
            for (at, relocation) in section.relocations() {
                let RelocationFlags::Elf { r_type } = relocation.flags() else { continue };
                let kind = match r_type {
                    elf::R_X86_64_8 => LinkKind::Byte,
                    elf::R_X86_64_16 => LinkKind::Half,
                    elf::R_X86_64_32 | elf::R_X86_64_32S => LinkKind::Word,
                    elf::R_X86_64_64 => LinkKind::Long,
                    elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => LinkKind::Near,
                    other => return Err(bad(format!("{name}+{at:#x} has the relocation {other:?}"))),
                };
                let RelocationTarget::Symbol(index) = relocation.target() else {
                    return Err(bad(format!("{name}+{at:#x} leads to no symbol")));
                };
                let (to, offset) = target(&file, index, relocation.addend())?;
                part.links.push(Link { at, kind, to, plus: relocation.addend().wrapping_add(offset) });
            }
            part.links.sort_by_key(|link| link.at);
            parts.push(part);
        }
        parts.sort_by(|a: &Part, b| a.name.cmp(&b.name));
        Ok(Assembled { parts })
    }

    /// Reads what its `Display` wrote; `None`, when it isn't that.
    #[must_use]
    pub fn parse(text: &str) -> Option<Assembled> {
        let mut parts: Vec<Part> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["section", name, size, align] => parts.push(Part {
                    name: (*name).into(),
                    size: size.parse().ok()?,
                    align: align.parse().ok()?,
                    ..Part::default()
                }),
                ["bytes", hex] => {
                    let digits = hex.as_bytes().chunks(2);
                    let bytes = digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
                    parts.last_mut()?.bytes.extend(bytes.collect::<Option<Vec<u8>>>()?);
                }
                ["link", at, kind, place] => {
                    let kind = LinkKind::ALL.into_iter().find(|row| row.1 == *kind)?.0;
                    let (sign, cut) = match (place.rsplit_once('+'), place.rsplit_once('-')) {
                        (Some(cut), None) => (1, cut),
                        (None, Some(cut)) => (-1, cut),
                        _ => return None,
                    };
                    let number = |text: &str| i64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
                    let at = u64::try_from(number(at)?).ok()?;
                    let link = Link { at, kind, to: cut.0.into(), plus: sign * number(cut.1)? };
                    parts.last_mut()?.links.push(link);
                }
                _ => return None,
            }
        }
        let is_whole = |part: &Part| {
            let size = part.bytes.len() as u64;
            (size == part.size || size == 0)
                && part
                    .links
                    .iter()
                    .all(|link| link.at.checked_add(link.kind.size() as u64).is_some_and(|end| end <= size))
        };
        parts.iter().all(is_whole).then_some(Assembled { parts })
    }
}

impl std::fmt::Display for Assembled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in &self.parts {
            writeln!(f, "section {} {} {}", part.name, part.size, part.align)?;
            for line in part.bytes.chunks(32) {
                let mut hex = String::new();
                for byte in line {
                    write!(hex, "{byte:02x}")?;
                }
                writeln!(f, "bytes {hex}")?;
            }
            for Link { at, kind, to, plus } in &part.links {
                let sign = if *plus < 0 { '-' } else { '+' };
                writeln!(f, "link {at:#x} {} {to}{sign}{:#x}", kind.row().1, plus.unsigned_abs())?;
            }
        }
        Ok(())
    }
}

/// Where a relocation leads: a section of the gate and how far into it, or a name from outside.
fn target(file: &ElfFile64<'_, Endianness>, index: SymbolIndex, addend: i64) -> Result<(String, i64), Error> {
    let broken = |error: object::Error| bad(error.to_string());
    let symbol = file.symbol_by_index(index).map_err(broken)?;
    let Some(section) = symbol.section_index() else {
        return Ok((demangled(symbol.name().map_err(broken)?), 0));
    };
    let name = file.section_by_index(section).and_then(|section| section.name()).map_err(broken)?;
    let offset = i64::try_from(symbol.address()).map_err(|_| bad("a symbol lies too far out"))?;
    if is_of_gate(name) {
        return Ok((name.into(), offset));
    }
    // Of Rust. The relocation may be of the section, with the symbol somewhere in it; an address
    // that is relative is so from behind the place, at least 4 bytes on.
    let around = offset.wrapping_add(addend).wrapping_add(4);
    let named = file
        .symbols()
        .filter(|other| other.section_index() == Some(section) && other.size() > 0)
        .filter_map(|other| Some((i64::try_from(other.address()).ok()?, other)))
        .filter(|(start, other)| (*start..*start + other.size() as i64).contains(&around))
        .min_by_key(|(start, _)| around - start);
    let (start, named) = named.ok_or_else(|| bad(format!("nothing is named in {name}")))?;
    Ok((demangled(named.name().map_err(broken)?), offset - start))
}

/// A name as the line tables of any build have it, without what differs between builds.
pub(super) fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_written() {
        let part = |name: &str, bytes: &[u8], links: Vec<Link>| Part {
            name: name.into(),
            size: bytes.len() as u64,
            align: 1,
            bytes: bytes.into(),
            links,
        };
        let link = |at, kind, to: &str, plus| Link { at, kind, to: to.into(), plus };
        let whole = Assembled {
            parts: vec![
                Part { name: ".gate.bss".into(), size: 4096, align: 16, ..Part::default() },
                part(".gate.data", &[0; 40], vec![link(0, LinkKind::Long, ".gate.text", 0x63)]),
                part(
                    ".gate.text",
                    &[0x6a; 9],
                    vec![link(0, LinkKind::Near, "unik::fault::RECORD", -4), link(8, LinkKind::Byte, "x", 0)],
                ),
            ],
        };
        let text = whole.to_string();
        assert_eq!(Assembled::parse(&text), Some(whole));
        assert_eq!(Assembled::parse(&format!("# why\n{text}")).map(|read| read.parts.len()), Some(3));
        for wrong in ["nonsense", "bytes 00", "section a 2 1\nbytes 0", "section a 2 1\nbytes 00zz"] {
            assert_eq!(Assembled::parse(wrong), None, "{wrong}");
        }
        for wrong in ["section a 2 1\nbytes 0000\nlink 0x0 word b+0x0", "section a 3 1\nbytes 0000"] {
            assert_eq!(Assembled::parse(wrong), None, "{wrong}");
        }
    }
}
