//! An image, compared with one that was built again from the same file.

use std::fmt;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use crate::Error;
use crate::image::{self, plan_hash, report_hash};

/// The first thing in which two images differ, of those that say most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// They were made from other plans: another file, other parameters, other contents.
    Plan,
    /// A section is in one of them only, or elsewhere, or larger.
    Section {
        /// Its name.
        name: String,
        /// Its address and bytes in the first image, if it has it.
        first: Option<(u64, u64)>,
        /// And in the second.
        second: Option<(u64, u64)>,
    },
    /// A byte of a section differs.
    Byte {
        /// The section.
        section: String,
        /// The address of the byte.
        address: u64,
        /// What is there in the second image, and how far into it the byte is.
        symbol: Option<(String, u64)>,
        /// How many bytes of the section differ.
        count: usize,
    },
    /// The loaded bytes are the same, but they were written with other reports.
    Report,
    /// Bytes that are in no section: headers, padding, what was put between or behind them.
    Unloaded {
        /// The first, in the file.
        offset: usize,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |place: &Option<(u64, u64)>| match place {
            Some((address, size)) => format!("{size} bytes at {address:#x}"),
            None => "not there".into(),
        };
        match self {
            Difference::Plan => f.write_str(
                "they were made from other plans: the file, what it embeds or its parameters differ",
            ),
            Difference::Section { name, first, second } => {
                write!(f, "section {name}: {} in the image, {} when built again", place(first), place(second))
            }
            Difference::Byte { section, address, symbol, count } => {
                write!(f, "section {section}: {count} bytes differ, the first at {address:#x}")?;
                match symbol {
                    Some((name, 0)) => write!(f, ", where {name} begins"),
                    Some((name, into)) => write!(f, ", in {name} + {into:#x}"),
                    None => Ok(()),
                }
            }
            Difference::Report => {
                f.write_str("the code and data are equal, but the reports that were written with them differ")
            }
            Difference::Unloaded { offset } => {
                write!(
                    f,
                    "the sections are equal, but byte {offset:#x} of the file, in headers or between sections, \
                     differs"
                )
            }
        }
    }
}

/// Compares two images, as they are deployed; `None`, when they are equal byte by byte. `twin`
/// is the unstripped twin of the second.
///
/// # Errors
/// When one of them is no image.
pub fn compare(first: &[u8], second: &[u8], twin: &[u8]) -> Result<Option<Difference>, Error> {
    if first == second {
        return Ok(None);
    }
    if plan_hash(first)? != plan_hash(second)? {
        return Ok(Some(Difference::Plan));
    }
    let (one, two) = (image::parse(first)?, image::parse(second)?);
    for section in two.sections().chain(one.sections()) {
        let Ok(name) = section.name() else { continue };
        let of = |elf: &image::Elf| elf.section_by_name(name).map(|found| (found.address(), found.size()));
        let (in_one, in_two) = (of(&one), of(&two));
        if in_one != in_two {
            return Ok(Some(Difference::Section { name: name.into(), first: in_one, second: in_two }));
        }
    }
    let same_reports = report_hash(first)? == report_hash(second)?;
    for section in two.sections().filter(|section| section.address() != 0) {
        let Ok(name) = section.name() else { continue };
        let bytes = |elf: &image::Elf| {
            let found = elf.section_by_name(name).and_then(|found| found.data().ok().map(<[u8]>::to_vec));
            found.unwrap_or_default()
        };
        let (mut in_one, in_two) = (bytes(&one), bytes(&two));
        if !same_reports {
            // It differs whenever anything does: what that is says more.
            ignore_report(first, second, &mut in_one, &in_two)?;
        }
        let different = in_one.iter().zip(&in_two).enumerate().filter(|(_, (a, b))| a != b);
        let at: Vec<usize> = different.map(|(at, _)| at).collect();
        if let Some(&at_first) = at.first() {
            let address = section.address() + at_first as u64;
            return Ok(Some(Difference::Byte {
                section: name.into(),
                address,
                symbol: symbol_at(twin, address)?,
                count: at.len(),
            }));
        }
    }
    if !same_reports {
        return Ok(Some(Difference::Report));
    }
    let offset = first.iter().zip(second).position(|(a, b)| a != b).unwrap_or(first.len().min(second.len()));
    Ok(Some(Difference::Unloaded { offset }))
}

/// Puts the hash of the second image's report in the place of that of the first.
fn ignore_report(first: &[u8], second: &[u8], bytes: &mut [u8], others: &[u8]) -> Result<(), Error> {
    let (own, other) = (report_hash(first)?, report_hash(second)?);
    let place = bytes.windows(own.len()).position(|window| window == own);
    if let Some(at) = place
        && others.get(at..at + other.len()) == Some(&other)
    {
        bytes[at..at + other.len()].copy_from_slice(&other);
    }
    Ok(())
}

/// The function or constant at an address of the image with this twin.
fn symbol_at(twin: &[u8], address: u64) -> Result<Option<(String, u64)>, Error> {
    let elf = image::parse(twin)?;
    let found = elf
        .symbols()
        .filter(|symbol| (symbol.address()..symbol.address() + symbol.size()).contains(&address))
        .find_map(|symbol| {
            let name = rustc_demangle::demangle(symbol.name().ok()?);
            Some((format!("{name:#}"), address - symbol.address()))
        });
    Ok(found)
}
