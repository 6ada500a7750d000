//! What a monitor loads is what the sections show: program headers are held against section
//! headers, since all other checks look at sections.

use std::iter;
use std::ops::Range;

use object::elf;
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _};

use super::Finding;
use crate::Error;
use crate::image::parse;

/// The section in which the processor starts.
const ENTRY: &str = ".gate.boot";

struct Segment {
    file: Range<u64>,
    memory: Range<u64>,
    executable: bool,
    writable: bool,
}

/// All in which segments and sections disagree.
///
/// # Errors
/// When it is no whole image.
pub fn check(image: &[u8]) -> Result<Vec<Finding>, Error> {
    let elf = parse(image)?;
    let endian = elf.endian();
    let mut found = Vec::new();
    let mut loads: Vec<Segment> = Vec::new();
    let mut notes = Vec::new();
    for header in elf.elf_program_headers() {
        let (kind, flags, address) = (header.p_type(endian), header.p_flags(endian), header.p_vaddr(endian));
        let range = |start: u64, size: u64| start..start.saturating_add(size);
        let segment = Segment {
            file: range(header.p_offset(endian), header.p_filesz(endian)),
            memory: range(address, header.p_memsz(endian)),
            executable: flags.contains(elf::PF_X),
            writable: flags.contains(elf::PF_W),
        };
        if header.p_filesz(endian) > header.p_memsz(endian) || segment.file.end > image.len() as u64 {
            found.push(Finding::at(format!("the segment at {address:#x} isn't whole"), address));
        }
        if header.p_paddr(endian) != address {
            found.push(Finding::at(
                format!("the segment at {address:#x} is loaded to {:#x}", header.p_paddr(endian)),
                address,
            ));
        }
        match kind {
            elf::PT_LOAD if segment.memory.is_empty() => {
                found.push(Finding::at(format!("the segment at {address:#x} loads nothing"), address));
            }
            elf::PT_LOAD => loads.push(segment),
            elf::PT_NOTE => notes.push(segment),
            _ => found
                .push(Finding::at(format!("the segment at {address:#x} is of a kind of its own"), address)),
        }
    }
    loads.sort_by_key(|segment| segment.file.start);
    for pair in loads.windows(2) {
        if pair[0].file.end > pair[1].file.start {
            let at = pair[1].memory.start;
            found.push(Finding::at(format!("bytes of the file are loaded twice, also to {at:#x}"), at));
        }
    }
    loads.sort_by_key(|segment| segment.memory.start);
    for pair in loads.windows(2) {
        if pair[0].memory.end > pair[1].memory.start {
            let at = pair[1].memory.start;
            found.push(Finding::at(format!("two segments are loaded to {at:#x}"), at));
        }
    }

    let mut names = Vec::new();
    // What of memory is some section's.
    let mut places: Vec<Range<u64>> = Vec::new();
    // What of the file is some section's.
    let mut shown: Vec<Range<u64>> = Vec::new();
    for section in elf.elf_section_table().iter() {
        let flags = section.sh_flags(endian);
        let (start, size) = (section.sh_addr(endian), section.sh_size(endian));
        if !flags.contains(elf::SHF_ALLOC) || size == 0 {
            continue;
        }
        let name = elf.elf_section_table().section_name(endian, section).unwrap_or(b"?");
        let name = String::from_utf8_lossy(name).into_owned();
        let mut wrong = |what: &str| found.push(Finding::at(format!("the section {name} {what}"), start));
        let end = start.saturating_add(size);
        let has_bytes = section.sh_type(endian) != elf::SHT_NOBITS;
        let around = |segment: &&Segment| segment.memory.start <= start && end <= segment.memory.end;
        let Some(segment) = loads.iter().find(around) else {
            wrong("is in no segment");
            continue;
        };
        let offset = section.sh_offset(endian);
        let loaded_from = segment.file.start.saturating_add(start - segment.memory.start);
        if has_bytes && (offset != loaded_from || offset.saturating_add(size) > segment.file.end) {
            wrong("isn't what is loaded to its place");
        }
        if !has_bytes && loaded_from < segment.file.end {
            wrong("has no bytes, but some are loaded to its place");
        }
        if flags.contains(elf::SHF_EXECINSTR) != segment.executable {
            wrong("is not as executable as its segment");
        }
        if flags.contains(elf::SHF_WRITE) && !segment.writable {
            wrong("is writable, and its segment isn't");
        }
        if has_bytes {
            shown.push(offset..offset.saturating_add(size));
        }
        places.push(start..end);
        if name == ENTRY && elf.elf_header().e_entry(endian) != start {
            wrong("doesn't begin with the entry");
        }
        if names.contains(&name) {
            wrong("stands there twice");
        }
        names.push(name);
    }
    if !names.iter().any(|name| name == ENTRY) {
        found.push(Finding::new(format!("it has no section {ENTRY} to begin in")));
    }
    hidden(image, &loads, &mut shown, &mut found);
    nobodys(&loads, &mut places, &mut found);
    for note in &notes {
        let is_loaded = |segment: &Segment| {
            segment.file.start <= note.file.start
                && note.file.end <= segment.file.end
                && note.file.start - segment.file.start
                    == note.memory.start.wrapping_sub(segment.memory.start)
        };
        // Just the entry's section and, behind it, that of unik's own notes: the first is compared
        // with the runtime's, so no other note can be taken for the entry.
        let place = |wanted: &[u8]| {
            let mut sections = elf.elf_section_table().iter();
            let section = sections.find(|section| {
                section.sh_type(endian) == elf::SHT_NOTE
                    && section.sh_flags(endian).contains(elf::SHF_ALLOC)
                    && elf.elf_section_table().section_name(endian, section) == Ok(wanted)
            })?;
            let start = section.sh_offset(endian);
            Some(start..start.saturating_add(section.sh_size(endian)))
        };
        let are_sections = match (place(b".note.pvh"), place(b".note.unik")) {
            (Some(entry), Some(own)) => {
                !entry.is_empty() && entry.end == own.start && (entry.start..own.end) == note.file
            }
            _ => false,
        };
        if !loads.iter().any(is_loaded) || !are_sections {
            found.push(Finding::at("its notes aren't those of its sections", note.memory.start));
        }
    }
    Ok(found)
}

/// Memory of segments that is no section's: a segment begins and ends with sections, and has
/// less than a page between two.
fn nobodys(loads: &[Segment], places: &mut [Range<u64>], found: &mut Vec<Finding>) {
    places.sort_by_key(|range| range.start);
    for segment in loads {
        let mut at = segment.memory.start;
        let inside = places.iter().filter(|range| segment.memory.contains(&range.start));
        for (before, next) in inside.enumerate() {
            let least = if before == 0 { 1 } else { 4096 };
            if next.start.saturating_sub(at) >= least {
                let message = format!("the {} bytes of memory at {at:#x} are no section's", next.start - at);
                found.push(Finding::at(message, at));
            }
            if next.start < at {
                found.push(Finding::at(format!("two sections are at {:#x}", next.start), next.start));
            }
            at = at.max(next.end);
        }
        if at != segment.memory.end {
            let left = segment.memory.end.saturating_sub(at);
            found.push(Finding::at(format!("the {left} bytes of memory at {at:#x} are no section's"), at));
        }
    }
}

/// Bytes that are loaded but are no section's, and no padding.
fn hidden(image: &[u8], loads: &[Segment], shown: &mut [Range<u64>], found: &mut Vec<Finding>) {
    shown.sort_by_key(|range| range.start);
    for segment in loads {
        let mut at = segment.file.start;
        let inside =
            shown.iter().filter(|range| range.start < segment.file.end && range.end > segment.file.start);
        let ends = inside.cloned().chain(iter::once(segment.file.end..segment.file.end));
        for next in ends {
            let gap = usize::try_from(at).ok().zip(usize::try_from(next.start).ok());
            let bytes = gap.and_then(|(start, end)| image.get(start..end)).unwrap_or_default();
            // Between sections the linker leaves zeros, and traps in text.
            if bytes.iter().any(|byte| !matches!(byte, 0 | 0xcc)) {
                let address = segment.memory.start.saturating_add(at - segment.file.start);
                let message = format!("{} bytes loaded to {address:#x} are no section's", bytes.len());
                found.push(Finding::at(message, address));
            }
            at = at.max(next.end);
        }
    }
}
