//! What is deployed: the loaded part of the image, with the names of its sections and
//! nothing else.

use object::elf;
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _};

use super::{bad, parse};
use crate::Error;

/// The size of an entry of the section table (ELF-64, figure 3).
const ENTRY: usize = 64;

/// Removes symbols, line tables and whatever else isn't loaded. The loaded part stays byte
/// by byte what it is; the table of its sections follows it, so that tools can read it.
///
/// # Errors
/// When `image` is no whole ELF file.
pub fn strip(image: &[u8]) -> Result<Vec<u8>, Error> {
    let elf = parse(image)?;
    let endian = elf.endian();
    let header = elf.elf_header();
    let table_end =
        header.e_phoff(endian) + u64::from(header.e_phnum(endian)) * u64::from(header.e_phentsize(endian));
    let end = elf
        .elf_program_headers()
        .iter()
        .map(|segment| segment.file_range(endian))
        .map(|(start, size)| start.saturating_add(size))
        .fold(table_end.max(ENTRY as u64), u64::max);
    let mut out = image.get(..end as usize).ok_or_else(|| bad("it isn't whole"))?.to_vec();

    let mut names = vec![0u8];
    // The first entry of a section table is empty.
    let mut entries = vec![[0u8; ENTRY]];
    let mut add_name = |name: &[u8]| {
        let at = names.len() as u32;
        names.extend(name);
        names.push(0);
        at
    };
    for section in elf.elf_section_table().iter() {
        if !section.sh_flags(endian).contains(elf::SHF_ALLOC) {
            continue;
        }
        let name = elf.elf_section_table().section_name(endian, section).unwrap_or(b"");
        entries.push(entry(
            add_name(name),
            section.sh_type(endian).0,
            [
                section.sh_flags(endian).0,
                section.sh_addr(endian),
                section.sh_offset(endian),
                section.sh_size(endian),
            ],
            section.sh_addralign(endian),
        ));
    }
    let name = add_name(b".shstrtab");
    let names_at = out.len() as u64;
    entries.push(entry(name, elf::SHT_STRTAB.0, [0, 0, names_at, names.len() as u64], 1));
    out.extend(&names);
    out.resize(out.len().next_multiple_of(8), 0);

    // e_shoff; e_shentsize, e_shnum, e_shstrndx.
    let table_at = out.len() as u64;
    let count = u16::try_from(entries.len()).map_err(|_| bad("it has too many sections"))?;
    out[0x28..0x30].copy_from_slice(&table_at.to_le_bytes());
    for (at, value) in [(0x3a, ENTRY as u16), (0x3c, count), (0x3e, count - 1)] {
        out[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    for entry in entries {
        out.extend(entry);
    }
    Ok(out)
}

/// An entry of the section table. `place`: flags, address, offset, size.
fn entry(name: u32, kind: u32, place: [u64; 4], align: u64) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    bytes[0..4].copy_from_slice(&name.to_le_bytes());
    bytes[4..8].copy_from_slice(&kind.to_le_bytes());
    for (at, value) in place.into_iter().enumerate() {
        bytes[8 + at * 8..16 + at * 8].copy_from_slice(&value.to_le_bytes());
    }
    bytes[48..56].copy_from_slice(&align.to_le_bytes());
    bytes
}
