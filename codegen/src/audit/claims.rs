//! That the report says of the image what the image says of itself, as far as it does: in its
//! notes, its section table, and its bytes.
//!
//! What a report says besides (which package a crate is of, why a node is in the plan, the
//! reasons of `unsafe` code) nothing in an image can confirm: there the hash counts, and
//! building it again.

use std::collections::BTreeMap;

use object::elf;
use object::read::elf::{ProgramHeader as _, SectionHeader as _};
use serde::Serialize;
use serde_json::Value;

use super::Finding;
use crate::image::{self, Report, parse};
use crate::{Error, cache, note};

/// The notes of every image: name, type, what it holds.
const NOTES: [(&str, u32, &str); 6] = [
    ("Xen", 18, "entry"),
    ("unik", note::MANIFEST, "device manifest"),
    ("unik", note::PLAN, "plan's hash"),
    ("unik", note::REPORT, "report's hash"),
    ("unik", note::RECORD, "record of how it was built"),
    ("unik", note::GATE, "table of the gate's entries"),
];

/// That the image has each of its notes once, and no other: a monitor must not find another
/// entry, or another manifest, than this audit does.
///
/// # Errors
/// When it is no image.
pub fn notes(image: &[u8]) -> Result<Vec<Finding>, Error> {
    let elf = parse(image)?;
    let endian = elf.endian();
    let mut counts: BTreeMap<(String, u32), u32> = BTreeMap::new();
    let mut found = Vec::new();
    let headers = elf.elf_program_headers().iter();
    let segments: Vec<_> = headers.filter(|segment| segment.p_type(endian) == elf::PT_NOTE).collect();
    // Monitors look for the entry in each: in one that lacks it QEMU reads on behind its end, and
    // others take the last segment's word that there is none.
    if segments.len() > 1 {
        found.push(Finding::new(format!("it has {} segments of notes, images have one", segments.len())));
    }
    for segment in segments {
        let address = segment.p_vaddr(endian);
        let bytes = segment.data(endian, image).map_err(|()| super::bad("its notes aren't whole"))?;
        // Monitors go by it: with another they may find other notes than this.
        if segment.p_align(endian) != 4 {
            found.push(Finding::at("its notes aren't aligned to 4 bytes", address));
        }
        let (notes, whole) = note::all(bytes);
        if !whole {
            found.push(Finding::at("its notes end in one that isn't whole", address));
        }
        for (name, note) in notes {
            *counts.entry((String::from_utf8_lossy(name).into_owned(), note.kind)).or_default() += 1;
        }
    }
    for (name, kind, what) in NOTES {
        match counts.remove(&(name.to_string(), kind)).unwrap_or(0) {
            1 => {}
            0 => found.push(Finding::new(format!("it has no note with its {what} (`{name}`, type {kind})"))),
            more => found.push(Finding::new(format!("it has {more} notes with its {what}"))),
        }
    }
    for (name, kind) in counts.keys() {
        let message = format!("it has a note `{}` of type {kind}, which no image has", name.escape_debug());
        found.push(Finding::new(message));
    }
    Ok(found)
}

/// All in which `report` says something else of `image` than the image does.
///
/// # Errors
/// When it is no image, or a note of it can't be read.
pub fn check(image: &[u8], report: &Report) -> Result<(String, Vec<Finding>), Error> {
    let mut found = notes(image)?;
    let manifest = image::manifest(image)?;
    compare("", &manifest, &report.manifest, &mut found);
    compare("build ", &image::record(image)?, &report.build, &mut found);
    let sections = image::sections(image)?;
    if sections != report.sections {
        found.push(Finding::new("the report's table of sections is another than the image's"));
    }
    let total = |all: bool| {
        let counted = sections.iter().filter(|section| all || section.in_file);
        counted.fold(0_u64, |sum, section| sum.saturating_add(section.size))
    };
    for (what, own, said) in
        [("bytes loaded", total(false), report.loaded), ("bytes of memory", total(true), report.memory)]
    {
        if own != said {
            found.push(Finding::new(format!("the report says {said} {what}, the image has {own}")));
        }
    }
    if image::crates(&report.cost, &report.packages) != report.crates {
        found.push(Finding::new("the report's bytes by crate aren't the sums of its own rows"));
    }
    for content in &report.content {
        let bytes = bytes_at(image, content.address, content.size)?;
        if bytes.is_none_or(|bytes| cache::hash(bytes) != content.sha256) {
            let message = format!("the content `{}` isn't what the report says", content.name.escape_debug());
            found.push(Finding::at(message, content.address));
        }
    }
    // The manifest comes from the plan, and so do the nodes.
    let node = |id: &str, component: Option<&str>| {
        let is = |of: &str| component.is_none_or(|component| component == of);
        report.nodes.iter().any(|node| node.id == id && is(&node.component))
    };
    let devices = manifest.devices.iter().map(|device| (&device.name, Some(device.component.as_str())));
    let networks = manifest.networks.iter().map(|network| (&network.name, None));
    let services = manifest.listens.iter().map(|port| (&port.service, Some(port.component.as_str())));
    for (name, component) in devices.chain(networks).chain(services) {
        if !node(name, component) {
            let of = component.map_or(String::new(), |component| format!(" = {component}"));
            found.push(Finding::new(format!("the image names `{name}{of}`, which the report's plan lacks")));
        }
    }
    let Value::Object(fields) = serde_json::to_value(&manifest).unwrap_or_default() else {
        return Ok((String::new(), found));
    };
    Ok((format!("{} fields of its manifest, {} sections", fields.len(), sections.len()), found))
}

/// The bytes that a section of the file loads to an address; `None`, where none holds them all.
fn bytes_at(image: &[u8], address: u64, size: u64) -> Result<Option<&[u8]>, Error> {
    let elf = parse(image)?;
    let endian = elf.endian();
    Ok(elf.elf_section_table().iter().find_map(|section| {
        let into = address.checked_sub(section.sh_addr(endian))?;
        let (start, end) = (usize::try_from(into).ok()?, usize::try_from(into.checked_add(size)?).ok()?);
        let is_loaded = section.sh_flags(endian).contains(elf::SHF_ALLOC);
        section.data(endian, image).ok().filter(|_| is_loaded)?.get(start..end)
    }))
}

/// Compares field by field.
fn compare<T: Serialize>(of: &str, image: &T, report: &T, found: &mut Vec<Finding>) {
    let fields = |value: &T| match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (own, said) = (fields(image), fields(report));
    let names: std::collections::BTreeSet<&String> = own.keys().chain(said.keys()).collect();
    for name in names.into_iter().filter(|name| own.get(*name) != said.get(*name)) {
        let text = |value: Option<&Value>| value.map_or("nothing".into(), short);
        found.push(Finding::new(format!(
            "the report says {} of {of}`{name}`, the image {}",
            text(said.get(name)),
            text(own.get(name))
        )));
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_one_section() {
        // A header, and a table with an empty entry and a section at 0x1000, its bytes the header's.
        let mut file = vec![0; 64 + 2 * 64];
        file[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0");
        for (at, value) in [(0x14, 1), (0x20, 64), (0x28, 64), (0x34, 64), (0x36, 56), (0x38, 1), (0x3a, 64)]
        {
            file[at] = value;
        }
        (file[0x3c], file[0x3e]) = (2, 1);
        for (at, value) in [(4, 3), (8, 2), (17, 0x10), (32, 8)] {
            file[128 + at] = value;
        }
        assert_eq!(bytes_at(&file, 0x1001, 3).unwrap(), Some(&b"ELF"[..]));
        for (address, size) in [(0xfff, 2), (0x1001, 8), (0x1000, u64::MAX), (u64::MAX, 1)] {
            assert_eq!(bytes_at(&file, address, size).unwrap(), None);
        }
    }

    #[test]
    fn what_differs_is_named() {
        let table = |port: u16| BTreeMap::from([("listens", vec![port]), ("memory", vec![1])]);
        let mut found = Vec::new();
        compare("", &table(80), &table(80), &mut found);
        assert_eq!(found, []);
        compare("", &table(80), &table(8080), &mut found);
        assert_eq!(found, [Finding::new("the report says [8080] of `listens`, the image [80]")]);
    }
}
