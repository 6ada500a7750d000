//! An image with its line tables, taken apart: sections, functions, code decoded, and the
//! package of every source file. Every later step reads this, so that the file is read once.

use std::collections::BTreeMap;
use std::ops::Range;

use object::read::elf::SectionHeader as _;
use object::{Object as _, ObjectSymbol as _, elf};

use super::code::{self, Decoded, Reference};
use super::lines::{Lines, Span};
use super::packages::{Package, SourceOf, source_of};
use crate::Error;
use crate::image::parse;

/// An image, taken apart.
#[derive(Clone, Debug)]
pub struct Anatomy<'a> {
    /// The loaded sections, by address.
    pub sections: Vec<Section<'a>>,
    /// The functions and other named places of code, by address.
    pub functions: Vec<Named>,
    /// The named objects of data, by address.
    pub objects: Vec<Named>,
    /// What the line tables say.
    pub lines: Lines,
    /// For each file of the line tables: what it is of, and its place in there.
    pub origins: Vec<(SourceOf, String)>,
    /// The code, decoded.
    pub decoded: Decoded,
    /// The pointers in data.
    pub pointers: Vec<Reference>,
}

/// A loaded section.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub range: Range<u64>,
    /// Its bytes; `None` when it is zeros that aren't in the file.
    pub bytes: Option<&'a [u8]>,
    /// Whether it can be executed.
    pub code: bool,
}

/// A named function or object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name, mangled.
    pub name: String,
    /// Its addresses.
    pub range: Range<u64>,
}

impl<'a> Anatomy<'a> {
    /// Takes `twin` apart, which was built from `packages`.
    ///
    /// # Errors
    /// When it is no image, or its line tables are damaged.
    pub fn of(twin: &'a [u8], packages: &[Package]) -> Result<Anatomy<'a>, Error> {
        let elf = parse(twin)?;
        let endian = elf.endian();
        let mut sections = Vec::new();
        for section in elf.elf_section_table().iter() {
            let flags = section.sh_flags(endian);
            let (address, size) = (section.sh_addr(endian), section.sh_size(endian));
            if !flags.contains(elf::SHF_ALLOC) || size == 0 {
                continue;
            }
            let name = elf.elf_section_table().section_name(endian, section).unwrap_or(b"?");
            let name = String::from_utf8_lossy(name).into_owned();
            let end =
                address.checked_add(size).ok_or_else(|| super::bad(format!("section {name} has no end")))?;
            let bytes = match section.sh_type(endian) {
                elf::SHT_NOBITS => None,
                _ => Some(
                    section
                        .data(endian, twin)
                        .map_err(|_| super::bad(format!("section {name} isn't whole")))?,
                ),
            };
            sections.push(Section {
                name,
                range: address..end,
                bytes,
                code: flags.contains(elf::SHF_EXECINSTR),
            });
        }
        sections.sort_by_key(|section| (section.range.start, section.range.end));
        if sections.windows(2).any(|pair| pair[0].range.end > pair[1].range.start) {
            return Err(super::bad("its sections overlap"));
        }
        let image: Vec<Range<u64>> = sections.iter().map(|section| section.range.clone()).collect();
        let code: Vec<&Section> = sections.iter().filter(|section| section.code).collect();
        let executable = |address: u64| code.iter().any(|section| section.range.contains(&address));
        let mut functions: BTreeMap<u64, Named> = BTreeMap::new();
        let mut objects: BTreeMap<u64, Named> = BTreeMap::new();
        for symbol in elf.symbols() {
            let (address, size) = (symbol.address(), symbol.size());
            let Some(range) = address.checked_add(size).map(|end| address..end) else { continue };
            let named = Named { name: symbol.name().unwrap_or("").into(), range };
            let table = match symbol.kind() {
                _ if symbol.is_undefined() => continue,
                object::SymbolKind::Data if size > 0 => &mut objects,
                _ if executable(address) && !symbol.is_definition() => continue,
                _ if executable(address) => &mut functions,
                _ => continue,
            };
            // Of several names for one place the one with a size says more.
            match table.get(&address) {
                Some(other) if other.range.end >= named.range.end => {}
                _ => drop(table.insert(address, named)),
            }
        }
        let starts: Vec<u64> = functions.keys().copied().collect();
        let mut decoded = Decoded::default();
        let mut pointers = Vec::new();
        for section in &sections {
            let Some(bytes) = section.bytes else { continue };
            if section.code {
                decoded.add(bytes, section.range.start, &starts, &image);
            } else {
                pointers.extend(code::pointers(bytes, section.range.start, &image));
            }
        }
        decoded.constants.sort_unstable();
        decoded.constants.dedup();
        let ranges: Vec<Range<u64>> = code.iter().map(|section| section.range.clone()).collect();
        let lines = Lines::read(&elf, &ranges)?;
        let origins = lines.files.iter().map(|file| source_of(file, packages)).collect();
        Ok(Anatomy {
            functions: functions.into_values().collect(),
            objects: objects.into_values().collect(),
            sections,
            lines,
            origins,
            decoded,
            pointers,
        })
    }

    /// The function at this address.
    #[must_use]
    pub fn function(&self, address: u64) -> Option<usize> {
        let after = self.functions.partition_point(|function| function.range.start <= address);
        let at = after.checked_sub(1)?;
        // Labels of assembly have no size: they reach to the next.
        let function = &self.functions[at];
        (function.range.is_empty() || function.range.contains(&address)).then_some(at)
    }

    /// The section at this address.
    #[must_use]
    pub fn section(&self, address: u64) -> Option<&Section<'a>> {
        self.sections.iter().find(|section| section.range.contains(&address))
    }

    /// For people: the function and the line at this address.
    #[must_use]
    pub fn place(&self, address: u64) -> String {
        let name = self.function(address).map(|at| self.functions[at].name.as_str()).unwrap_or("");
        let name = format!("{:#}", rustc_demangle::demangle(name));
        let line = self.lines.at(address).and_then(|span| span.frames.first()).map(|frame| {
            format!("{}:{}", self.lines.files.get(frame.file).map_or("", String::as_str), frame.line)
        });
        match (name.as_str(), line) {
            ("", None) => format!("{address:#x}"),
            ("", Some(line)) => format!("{address:#x} ({line})"),
            (name, None) => format!("{address:#x} in {name}"),
            (name, Some(line)) => format!("{address:#x} in {name} ({line})"),
        }
    }

    /// The function that the compiler inlined innermost at this address, by its own name.
    #[must_use]
    pub fn innermost(&self, address: u64) -> Option<&str> {
        let frame = self.lines.at(address)?.frames.first()?;
        self.lines.functions.get(frame.function?).map(String::as_str)
    }

    /// What a stretch of code is of: the innermost of its crates that isn't Rust's library,
    /// with the file in there; Rust's library, where nothing else is around it.
    #[must_use]
    pub fn source_of(&self, span: &Span) -> Option<&(SourceOf, String)> {
        let mut origins = span.frames.iter().filter_map(|frame| self.origins.get(frame.file));
        let first = origins.clone().next()?;
        Some(origins.find(|origin| !matches!(origin.0, SourceOf::Library(_))).unwrap_or(first))
    }
}
