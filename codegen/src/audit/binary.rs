//! What an image must be, whatever is in it: segments, nothing left to link, the bytes that
//! were built, and a twin that is equal to it.

use object::elf;
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _};
use sha2::{Digest, Sha256};

use super::Finding;
use crate::image::{self, parse};
use crate::{Error, cache, note};

/// The hash of all that is loaded of an image, or of its twin, and of where it is loaded to;
/// without the hash of the report, which holds this one.
///
/// # Errors
/// When it is no whole image.
pub fn contents_hash(file: &[u8]) -> Result<String, Error> {
    let elf = parse(file)?;
    let endian = elf.endian();
    let report = image::note_place(file, note::REPORT)?;
    let mut hash = Sha256::new();
    hash.update(elf.elf_header().e_entry(endian).to_le_bytes());
    for segment in elf.elf_program_headers() {
        let (start, size) = segment.file_range(endian);
        let numbers = [
            u64::from(segment.p_type(endian).0),
            u64::from(segment.p_flags(endian).0),
            segment.p_vaddr(endian),
            segment.p_paddr(endian),
            size,
            segment.p_memsz(endian),
        ];
        numbers.iter().for_each(|number| hash.update(number.to_le_bytes()));
        let end = start.checked_add(size).and_then(|end| usize::try_from(end).ok());
        let bytes = end.and_then(|end| file.get(start as usize..end)).ok_or_else(|| {
            super::bad(format!("the segment at {:#x} isn't whole", segment.p_vaddr(endian)))
        })?;
        let mut bytes = bytes.to_vec();
        if let Some(place) = &report {
            for at in place.clone() {
                if let Some(byte) = at.checked_sub(start as usize).and_then(|at| bytes.get_mut(at)) {
                    *byte = 0;
                }
            }
        }
        hash.update(&bytes);
    }
    Ok(cache::hex(&hash.finalize()))
}

/// Segments: each is read-only, or executable, or writable and not executable; all that says
/// otherwise.
pub fn segments(file: &[u8]) -> Result<(Vec<String>, Vec<Finding>), Error> {
    let elf = parse(file)?;
    let endian = elf.endian();
    let mut table = Vec::new();
    let mut found = Vec::new();
    for segment in elf.elf_program_headers() {
        let flags = segment.p_flags(endian);
        let (kind, address) = (segment.p_type(endian), segment.p_vaddr(endian));
        let writable_code = flags.contains(elf::PF_W | elf::PF_X);
        if kind == elf::PT_GNU_STACK && flags.contains(elf::PF_X) {
            found.push(Finding::new("it asks for an executable stack"));
        }
        if kind != elf::PT_LOAD {
            continue;
        }
        if writable_code {
            found.push(Finding::at(
                format!("the segment at {address:#x} is writable and executable"),
                address,
            ));
        }
        let letter = |flag, letter| if flags.contains(flag) { letter } else { '-' };
        table.push(format!(
            "{}{}{} {address:#x} {} bytes",
            letter(elf::PF_R, 'R'),
            letter(elf::PF_W, 'W'),
            letter(elf::PF_X, 'X'),
            segment.p_memsz(endian)
        ));
    }
    if table.is_empty() {
        found.push(Finding::new("it has no segment to load"));
    }
    // Sections too: they tell tools what the segments tell the monitor.
    for section in elf.elf_section_table().iter() {
        let flags = section.sh_flags(endian);
        if flags.contains(elf::SHF_WRITE) && flags.contains(elf::SHF_EXECINSTR) {
            let name = elf.elf_section_table().section_name(endian, section).unwrap_or(b"?");
            let message = format!("the section {} is writable and executable", String::from_utf8_lossy(name));
            found.push(Finding::at(message, section.sh_addr(endian)));
        }
    }
    Ok((table, found))
}

/// Nothing is left to link, in the image or in its twin; and a monitor finds its entry.
pub fn linking(file: &[u8], twin: Option<&[u8]>) -> Result<Vec<Finding>, Error> {
    let mut found = Vec::new();
    for (what, bytes) in [("the image", Some(file)), ("its twin", twin)] {
        let Some(bytes) = bytes else { continue };
        found.extend(image::unlinked(bytes)?.iter().map(|wrong| Finding::new(format!("{what} {wrong}"))));
        if let Err(Error::Image { message }) = image::entry(bytes) {
            found.push(Finding::new(format!("of {what}: {message}")));
        }
    }
    Ok(found)
}

/// Whether the twin is the image, section by section: places, flags, bytes.
pub fn twin(file: &[u8], twin: &[u8]) -> Result<(usize, Vec<Finding>), Error> {
    let (a, b) = (sections(file)?, sections(twin)?);
    let mut found = Vec::new();
    for section in &a {
        match b.iter().find(|other| other.name == section.name) {
            None => found.push(Finding::at(
                format!("the image has the section {}, its twin doesn't", section.name),
                section.place[1],
            )),
            Some(other) if other.place != section.place => found.push(Finding::at(
                format!("the section {} stands elsewhere, or is another kind, in the twin", section.name),
                section.place[1],
            )),
            Some(other) => {
                let differs = section.bytes.iter().zip(other.bytes).position(|(a, b)| a != b);
                if let Some(at) = differs {
                    let address = section.place[1].saturating_add(at as u64);
                    let count = section.bytes.iter().zip(other.bytes).filter(|(a, b)| a != b).count();
                    found.push(Finding::at(
                        format!(
                            "{count} bytes of the section {} differ from its twin's, first at {address:#x}",
                            section.name
                        ),
                        address,
                    ));
                }
            }
        }
    }
    for section in b.iter().filter(|section| !a.iter().any(|other| other.name == section.name)) {
        found.push(Finding::at(
            format!("its twin has the section {}, the image doesn't", section.name),
            section.place[1],
        ));
    }
    Ok((a.len(), found))
}

struct Loaded<'a> {
    name: String,
    /// Type, address, size, flags, alignment.
    place: [u64; 5],
    bytes: &'a [u8],
}

fn sections(file: &[u8]) -> Result<Vec<Loaded<'_>>, Error> {
    let elf = parse(file)?;
    let endian = elf.endian();
    let mut found = Vec::new();
    for section in elf.elf_section_table().iter() {
        let flags = section.sh_flags(endian);
        if !flags.contains(elf::SHF_ALLOC) {
            continue;
        }
        let name = elf.elf_section_table().section_name(endian, section).unwrap_or(b"?");
        let name = String::from_utf8_lossy(name).into_owned();
        let bytes =
            section.data(endian, file).map_err(|_| super::bad(format!("the section {name} isn't whole")))?;
        found.push(Loaded {
            place: [
                u64::from(section.sh_type(endian).0),
                section.sh_addr(endian),
                section.sh_size(endian),
                flags.0,
                section.sh_addralign(endian),
            ],
            bytes: if section.sh_type(endian) == elf::SHT_NOBITS { &[] } else { bytes },
            name,
        });
    }
    Ok(found)
}
