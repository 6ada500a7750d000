//! That an image boots anywhere, keeps W^X, and is the one that was asked for.

use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _};
use object::{Object as _, ObjectSymbol as _, elf};

use super::{bad, parse, plan_hash};
use crate::audit::form;
use crate::{Error, note};

/// Checks a linked image: static, complete, bootable by PVH, no segment both writable and
/// executable, and made from the plan with hash `plan`.
///
/// # Errors
/// [`Error::Image`] that names what is wrong.
pub fn check(image: &[u8], plan: &[u8; 32]) -> Result<(), Error> {
    let elf = parse(image)?;
    let endian = elf.endian();
    if let Some(first) = unlinked(image)?.into_iter().next() {
        return Err(bad(format!("it {first}")));
    }
    for segment in elf.elf_program_headers() {
        if segment.p_type(endian) != elf::PT_LOAD {
            continue;
        }
        if segment.p_flags(endian).contains(elf::PF_W | elf::PF_X) {
            return Err(bad(format!(
                "the segment at {:#x} is writable and executable",
                segment.p_vaddr(endian)
            )));
        }
        let (start, size) = segment.file_range(endian);
        if start.checked_add(size).is_none_or(|end| end > image.len() as u64) {
            return Err(bad(format!("the segment at {:#x} isn't whole", segment.p_vaddr(endian))));
        }
    }
    if let Some(first) = form::other_formats(image).into_iter().next() {
        return Err(bad(format!("{first}: build it with another --seed")));
    }
    entry(image)?;
    let found = plan_hash(image)?;
    if found != *plan {
        return Err(bad("it was made from another plan: remove the cache with `unikgen clean`"));
    }
    Ok(())
}

/// What of an image, or of its twin, is left to link: sentences without their subject, `asks
/// for a dynamic linker (PT_INTERP)`.
///
/// # Errors
/// When it is no image.
pub(crate) fn unlinked(image: &[u8]) -> Result<Vec<String>, Error> {
    let elf = parse(image)?;
    let endian = elf.endian();
    let mut found = Vec::new();
    if elf.elf_header().e_type(endian) != elf::ET_EXEC {
        found.push("is position-independent: a monitor loads it where it is linked".into());
    }
    for segment in elf.elf_program_headers() {
        match segment.p_type(endian) {
            elf::PT_INTERP => found.push("asks for a dynamic linker (PT_INTERP)".into()),
            elf::PT_DYNAMIC => found.push("is linked dynamically (PT_DYNAMIC)".into()),
            elf::PT_TLS => found.push("has thread-local data (PT_TLS)".into()),
            _ => {}
        }
    }
    for section in elf.elf_section_table().iter() {
        let name = elf.elf_section_table().section_name(endian, section).unwrap_or(b"?");
        let name = String::from_utf8_lossy(name);
        match section.sh_type(endian) {
            elf::SHT_DYNAMIC | elf::SHT_DYNSYM => {
                found.push(format!("is linked dynamically (section {name})"));
            }
            elf::SHT_REL | elf::SHT_RELA if section.sh_size(endian) > 0 => {
                found.push(format!("has relocations left (section {name})"));
            }
            _ => {}
        }
    }
    let missing: Vec<_> = elf
        .symbols()
        .filter(|symbol| symbol.is_undefined() && symbol.name().is_ok_and(|name| !name.is_empty()))
        .filter_map(|symbol| symbol.name().ok())
        .collect();
    if !missing.is_empty() {
        found.push(format!("isn't whole: nothing defines {}", missing.join(", ")));
    }
    Ok(found)
}

/// The entry for monitors, from the PVH note (Xen's XEN_ELFNOTE_PHYS32_ENTRY).
///
/// # Errors
/// When there is none, or it isn't in executable memory.
pub(crate) fn entry(image: &[u8]) -> Result<u64, Error> {
    const PHYS32_ENTRY: u32 = 18;
    let elf = parse(image)?;
    let endian = elf.endian();
    let entry = elf
        .elf_program_headers()
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_NOTE)
        .filter_map(|segment| segment.data(endian, image).ok())
        .flat_map(|section| note::read(section, "Xen"))
        .find(|note| note.kind == PHYS32_ENTRY)
        .ok_or_else(|| bad("it has no PVH note, so no monitor finds its entry"))?;
    // Of fewer bytes monitors read on, into what is no part of the note.
    let address = entry.bytes.try_into().map(u64::from_le_bytes);
    let address = address.map_err(|_| bad("its PVH note doesn't hold an entry of 8 bytes"))?;
    let inside = elf.elf_program_headers().iter().any(|segment| {
        let start = segment.p_paddr(endian);
        segment.p_type(endian) == elf::PT_LOAD
            && segment.p_flags(endian).contains(elf::PF_X)
            && (start..start.saturating_add(segment.p_filesz(endian))).contains(&address)
    });
    if inside {
        Ok(address)
    } else {
        Err(bad(format!("its PVH entry {address:#x} is not in executable memory")))
    }
}
