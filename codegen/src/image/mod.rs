//! The image, read back: what was really linked.
//!
//! - [`check`](fn@check): that a monitor can boot it, and that it is the one that was asked for.
//! - [`strip`](fn@strip): what is deployed; the twin keeps symbols and line tables.
//! - [`Report`]: what is in it.
//! - [`symbolise`](fn@symbolise): addresses of a crash record → functions and lines;
//!   [`Calls`]: which of them are of calls that haven't returned.

mod callers;
mod check;
mod debug;
mod report;
mod strip;
mod symbolise;

use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _, SectionHeader as _};
use object::{Endianness, Object as _, ObjectSection as _, elf};
use sha2::{Digest, Sha256};

use crate::note::{self, DeviceManifest};
use crate::record::Record;
use crate::{Error, cache};

pub use callers::Calls;
pub use check::check;
pub(crate) use check::{entry, unlinked};
pub(crate) use debug::{Slice, debug};
pub use report::{CrateSize, Made, Named, NamedKind, NodeEntry, REPORT, Report, SectionSize};
pub(crate) use report::{crates, rust_version};
pub use strip::strip;
pub use symbolise::{Frame, symbolise};

pub(crate) type Elf<'a> = ElfFile64<'a, Endianness>;

pub(crate) fn bad(message: impl Into<String>) -> Error {
    Error::Image { message: message.into() }
}

pub(crate) fn parse(image: &[u8]) -> Result<Elf<'_>, Error> {
    let elf = Elf::parse(image).map_err(|error| bad(format!("it is no 64-bit ELF file: {error}")))?;
    if elf.elf_header().e_machine(elf.endian()) != elf::EM_X86_64 {
        return Err(bad("it is not for x86-64"));
    }
    plain(&elf)?;
    Ok(elf)
}

/// Refuses headers that leave room for two readings: what a monitor boots must be what is read
/// here. Of the forms that ELF has for more segments or sections than 65,279 (`PN_XNUM`, and
/// the numbers in section 0) monitors know nothing.
fn plain(elf: &Elf<'_>) -> Result<(), Error> {
    let (header, endian) = (elf.elf_header(), elf.endian());
    let sizes = (header.e_ehsize(endian), header.e_phentsize(endian), header.e_shentsize(endian));
    if header.e_version(endian) != 1 || sizes != (64, 56, 64) {
        return Err(bad("its ELF header isn't one of a 64-bit image"));
    }
    // System V's interface, or GNU's, which the linker names where a section is to be kept.
    let ident = header.e_ident();
    if ident.data != elf::ELFDATA2LSB
        || !matches!(ident.os_abi, elf::ELFOSABI_SYSV | elf::ELFOSABI_GNU)
        || ident.abi_version != 0
        || ident.padding != [0; 7]
        || header.e_flags(endian).0 != 0
    {
        return Err(bad("its ELF header isn't one that a linker writes for x86-64"));
    }
    if header.e_phoff(endian) != 64 || !(1..MOST_HEADERS).contains(&header.e_phnum(endian)) {
        return Err(bad("its program headers don't stand behind the ELF header, or are too many"));
    }
    let (sections, names) = (header.e_shnum(endian), header.e_shstrndx(endian));
    let first = elf.elf_section_table().iter().next();
    let is_empty = first.is_some_and(|first| {
        let numbers = [
            first.sh_flags(endian).0,
            first.sh_addr(endian),
            first.sh_offset(endian),
            first.sh_size(endian),
            first.sh_addralign(endian),
            first.sh_entsize(endian),
        ];
        let words =
            [first.sh_name(endian), first.sh_type(endian).0, first.sh_link(endian), first.sh_info(endian)];
        numbers == [0; 6] && words == [0; 4]
    });
    if !(1..MOST_HEADERS).contains(&sections) || names.0 >= sections || !is_empty {
        return Err(bad("its section table isn't one that begins with an empty entry"));
    }
    Ok(())
}

/// More headers than an image or its twin has of one kind.
const MOST_HEADERS: u16 = 256;

/// The device manifest that an image carries.
///
/// # Errors
/// When it is no image, or one of an unknown version.
pub fn manifest(image: &[u8]) -> Result<DeviceManifest, Error> {
    let bytes =
        note_of(image, note::MANIFEST)?.ok_or_else(|| bad("it has no device manifest: it isn't unik's"))?.0;
    let manifest: DeviceManifest = serde_json::from_slice(bytes)
        .map_err(|error| bad(format!("its device manifest can't be read: {error}")))?;
    if manifest.version != 1 {
        return Err(bad(format!(
            "its device manifest has version {}, this unikgen knows 1",
            manifest.version
        )));
    }
    Ok(manifest)
}

/// The address after the last byte that a monitor loads or clears for the image: the least
/// memory of its machine, in bytes.
///
/// # Errors
/// When it is no image.
pub fn end(image: &[u8]) -> Result<u64, Error> {
    let elf = parse(image)?;
    let loaded =
        elf.elf_program_headers().iter().filter(|segment| segment.p_type(elf.endian()) == elf::PT_LOAD);
    Ok(loaded
        .map(|load| load.p_paddr(elf.endian()).saturating_add(load.p_memsz(elf.endian())))
        .max()
        .unwrap_or(0))
}

/// What the image says of how it was built.
///
/// # Errors
/// When it is no image, or says nothing of it.
pub fn record(image: &[u8]) -> Result<Record, Error> {
    let bytes = note_of(image, note::RECORD)?.ok_or_else(|| bad("it doesn't say how it was built"))?.0;
    let record: Record = serde_json::from_slice(bytes)
        .map_err(|error| bad(format!("what it says of how it was built can't be read: {error}")))?;
    if record.version != 1 {
        return Err(bad(format!(
            "what it says of how it was built has version {}, this unikgen knows 1",
            record.version
        )));
    }
    Ok(record)
}

/// The hash of the report that was written with the image.
///
/// # Errors
/// When it is no image.
pub fn report_hash(image: &[u8]) -> Result<[u8; 32], Error> {
    hash_note(image, note::REPORT, "report")
}

/// The hash (SHA-256) of a whole image as it is deployed, without the hash of its report, which
/// holds this one: in hexadecimal.
///
/// # Errors
/// When it is no image.
pub fn file_hash(image: &[u8]) -> Result<String, Error> {
    let mut bytes = image.to_vec();
    if let Some(place) = note_place(image, note::REPORT)?
        && let Some(hash) = bytes.get_mut(place)
    {
        hash.fill(0);
    }
    Ok(cache::hash(&bytes))
}

/// The hash of the plan that the image was made from.
///
/// # Errors
/// When it is no image.
pub fn plan_hash(image: &[u8]) -> Result<[u8; 32], Error> {
    hash_note(image, note::PLAN, "plan")
}

/// Whether `report` is the one that was written with the image.
///
/// # Errors
/// When it is no image.
pub fn is_report_of(report: &[u8], image: &[u8]) -> Result<bool, Error> {
    Ok(report_hash(image)? == <[u8; 32]>::from(Sha256::digest(report)))
}

/// Puts the hash of `report` into the image.
///
/// # Errors
/// When it has no place for it.
pub(crate) fn set_report_hash(image: &mut [u8], report: &[u8]) -> Result<(), Error> {
    let (bytes, offset) =
        note_of(image, note::REPORT)?.ok_or_else(|| bad("it has no note for its report's hash"))?;
    let hash = Sha256::digest(report);
    if bytes.len() != hash.len() {
        return Err(bad("the note for its report's hash has a wrong size"));
    }
    image[offset..offset + hash.len()].copy_from_slice(&hash);
    Ok(())
}

fn hash_note(image: &[u8], kind: u32, what: &str) -> Result<[u8; 32], Error> {
    let note = note_of(image, kind)?;
    note.and_then(|(bytes, _)| bytes.try_into().ok())
        .ok_or_else(|| bad(format!("it doesn't carry the hash of its {what}")))
}

/// The bytes of the note of this type.
pub(crate) fn note_bytes(image: &[u8], kind: u32) -> Result<Option<&[u8]>, Error> {
    Ok(note_of(image, kind)?.map(|(bytes, _)| bytes))
}

/// Where in the file the note of this type has its bytes.
pub(crate) fn note_place(image: &[u8], kind: u32) -> Result<Option<std::ops::Range<usize>>, Error> {
    Ok(note_of(image, kind)?.map(|(bytes, start)| start..start + bytes.len()))
}

/// The note of this type, and where in the file it begins.
fn note_of(image: &[u8], kind: u32) -> Result<Option<(&[u8], usize)>, Error> {
    let elf = parse(image)?;
    for segment in elf.elf_program_headers() {
        if segment.p_type(elf.endian()) != elf::PT_NOTE {
            continue;
        }
        let (start, size) = segment.file_range(elf.endian());
        let (start, size) = (start as usize, size as usize);
        let Some(section) = image.get(start..start.saturating_add(size)) else { continue };
        if let Some(found) = note::read(section, "unik").into_iter().find(|note| note.kind == kind) {
            return Ok(Some((found.bytes, start + found.offset)));
        }
    }
    Ok(None)
}

/// The table of the sections that are loaded, by address.
///
/// # Errors
/// When it is no image.
pub fn sections(image: &[u8]) -> Result<Vec<SectionSize>, Error> {
    let elf = parse(image)?;
    let mut sections: Vec<SectionSize> = loaded(&elf)
        .map(|(name, address, size, in_file)| SectionSize { name, address, size, in_file })
        .collect();
    sections.sort_by_key(|section| section.address);
    Ok(sections)
}

/// The sections that are loaded: name, address, size, whether they take room in the file.
pub(crate) fn loaded<'a>(elf: &'a Elf<'_>) -> impl Iterator<Item = (String, u64, u64, bool)> + 'a {
    elf.sections().filter_map(|section| {
        let object::SectionFlags::Elf { sh_flags, .. } = section.flags() else { return None };
        let name = section.name().unwrap_or("?").to_string();
        sh_flags.contains(elf::SHF_ALLOC).then(|| {
            (
                name,
                section.address(),
                section.size(),
                section.kind() != object::SectionKind::UninitializedData,
            )
        })
    })
}
