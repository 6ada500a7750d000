//! The file of a deployed image, whole: every byte of it is a header's, a section's, or padding.
//!
//! A monitor may look where nothing is loaded from. QEMU searches the first bytes of a file
//! for the headers of other formats before it takes it for an ELF file, and a header in a gap,
//! or in text, would let it load and enter something else.

use std::ops::Range;

use object::elf;
use object::read::elf::{FileHeader as _, SectionHeader as _};

use super::Finding;
use crate::Error;
use crate::image::{Elf, parse, strip};

/// All that isn't the form of an image as `build` deploys it.
///
/// # Errors
/// When it is no image.
pub fn check(image: &[u8]) -> Result<Vec<Finding>, Error> {
    let elf = parse(image)?;
    let mut found: Vec<Finding> = other_formats(image).into_iter().map(Finding::new).collect();
    let mut at = 0;
    for (what, range) in owned(&elf, image.len() as u64) {
        if range.start < at {
            found.push(Finding::new(format!("{what} shares bytes of the file with what stands before it")));
        }
        gap(image, at..range.start, &mut found);
        at = at.max(range.end);
    }
    if at != image.len() as u64 {
        found.push(Finding::new(format!("the file doesn't end at byte {at:#x}, with its section table")));
    }
    // A section that isn't loaded could hold anything, and so could fields that nobody reads.
    if strip(image)? != image {
        found.push(Finding::new(
            "behind what is loaded isn't just the table of its sections, as `unikgen build` writes it",
        ));
    }
    Ok(found)
}

/// Whose the bytes of the file are, in their order.
fn owned(elf: &Elf<'_>, length: u64) -> Vec<(String, Range<u64>)> {
    let (header, endian) = (elf.elf_header(), elf.endian());
    let range = |start: u64, size: u64| start..start.saturating_add(size);
    let headers = 64 + 56 * u64::from(header.e_phnum(endian));
    let sections = header.e_shoff(endian)
        ..length.min(header.e_shoff(endian).saturating_add(64 * u64::from(header.e_shnum(endian))));
    let mut owned = vec![("the ELF header".into(), 0..headers), ("the section table".into(), sections)];
    for section in elf.elf_section_table().iter() {
        let kind = section.sh_type(endian);
        if kind == elf::SHT_NULL || kind == elf::SHT_NOBITS {
            continue;
        }
        let name = elf.elf_section_table().section_name(endian, section).unwrap_or(b"?");
        let place = range(section.sh_offset(endian), section.sh_size(endian));
        owned.push((format!("the section {}", String::from_utf8_lossy(name)), place));
    }
    owned.sort_by_key(|(_, range)| (range.start, range.end));
    owned
}

/// Between what somebody has the linker leaves zeros, and traps in text; less than a page.
fn gap(image: &[u8], range: Range<u64>, found: &mut Vec<Finding>) {
    let bytes = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
    let bytes = bytes.and_then(|(start, end)| image.get(start..end)).unwrap_or_default();
    if bytes.len() >= 4096 || bytes.iter().any(|byte| !matches!(byte, 0 | 0xcc)) {
        let message = format!("{} bytes of the file, from {:#x} on, are nobody's", bytes.len(), range.start);
        found.push(Finding::new(message));
    }
}

/// Headers of other formats where a monitor looks for them, before it asks for ELF: multiboot
/// (specification 0.6.96, 3.1), multiboot 2 (3.1.1), Linux (its boot protocol, 1.1).
#[must_use]
pub fn other_formats(image: &[u8]) -> Vec<String> {
    let word = |at: usize| {
        let bytes = image.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let mut found = Vec::new();
    for (name, magic, until) in [("multiboot", 0x1bad_b002_u32, 8192), ("multiboot 2", 0xe852_50d6, 32768)] {
        for at in (0..until).step_by(4).filter(|&at| word(at) == Some(magic)) {
            found.push(format!(
                "at byte {at:#x} of the file stands a header of {name}, which monitors take first"
            ));
        }
    }
    if word(0x202) == Some(u32::from_le_bytes(*b"HdrS")) {
        found.push("at byte 0x202 of the file stands the header of a Linux kernel".into());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_other_formats_are_found_where_monitors_look() {
        let mut file = vec![0; 40_000];
        assert!(other_formats(&file).is_empty());
        file[0x1000..0x1004].copy_from_slice(&0x1bad_b002_u32.to_le_bytes());
        file[0x2001..0x2005].copy_from_slice(&0x1bad_b002_u32.to_le_bytes());
        file[0x3000..0x3004].copy_from_slice(&0x1bad_b002_u32.to_le_bytes());
        file[0x7ff8..0x7ffc].copy_from_slice(&0xe852_50d6_u32.to_le_bytes());
        file[0x202..0x206].copy_from_slice(b"HdrS");
        let found = other_formats(&file).join("; ");
        assert!(found.contains("0x1000 of the file stands a header of multiboot,"), "{found}");
        assert!(found.contains("0x7ff8 of the file stands a header of multiboot 2"), "{found}");
        assert!(found.contains("Linux"), "{found}");
        assert_eq!(other_formats(&file).len(), 3);
        assert!(other_formats(b"short").is_empty());
    }
}
