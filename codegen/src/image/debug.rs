//! Debug information of a twin, with bounds: a twin may come from anywhere, and what reads DWARF
//! calls itself for each level of it.

use addr2line::{Context, gimli};
use object::{Object as _, ObjectSection as _};

use super::{Elf, bad};
use crate::Error;

pub(crate) type Slice<'a> = gimli::EndianSlice<'a, gimli::LittleEndian>;

/// How deep entries may stand in one another. The deepest of our own stand below 100.
const MOST_LEVELS: isize = 1000;
/// How many bytes the paths of source files may take when each is put together: 1 MiB are usual.
const MOST_PATHS: usize = 256 << 20;

/// What there is in `elf`, and what looks addresses up in it.
///
/// # Errors
/// When it is damaged, or out of bounds.
pub(crate) fn debug<'a>(elf: &Elf<'a>) -> Result<(gimli::Dwarf<Slice<'a>>, Context<Slice<'a>>), Error> {
    let fail = |error: gimli::Error| bad(format!("its debug information can't be read: {error}"));
    let load = |id: gimli::SectionId| -> Result<Slice<'a>, gimli::Error> {
        let data = elf.section_by_name(id.name()).and_then(|section| section.data().ok());
        Ok(Slice::new(data.unwrap_or(&[]), gimli::LittleEndian))
    };
    bounded(&gimli::Dwarf::load(load).map_err(fail)?)?;
    let context = Context::from_dwarf(gimli::Dwarf::load(load).map_err(fail)?).map_err(fail)?;
    Ok((gimli::Dwarf::load(load).map_err(fail)?, context))
}

fn bounded(dwarf: &gimli::Dwarf<Slice<'_>>) -> Result<(), Error> {
    let mut units = dwarf.units();
    let mut paths = 0usize;
    // What is damaged is told of by whoever needs it: here only what would take too much.
    while let Ok(Some(header)) = units.next() {
        let Ok(unit) = dwarf.unit(header) else { continue };
        let mut entries = unit.entries();
        while let Ok(Some(entry)) = entries.next_dfs() {
            if entry.depth() > MOST_LEVELS {
                return Err(bad(format!(
                    "its debug information is more than {MOST_LEVELS} levels deep at entry {:#x} of a unit",
                    entry.offset().0
                )));
            }
        }
        let Some(program) = &unit.line_program else { continue };
        let header = program.header();
        let folders = header.include_directories().iter().filter_map(|folder| length(dwarf, &unit, folder));
        let longest = folders.max().unwrap_or(0) + unit.comp_dir.map_or(0, |folder| folder.len());
        for file in header.file_names() {
            paths = paths.saturating_add(longest + length(dwarf, &unit, &file.path_name()).unwrap_or(0));
        }
        if paths > MOST_PATHS {
            return Err(bad(format!("the paths of its source files are longer than {MOST_PATHS} bytes")));
        }
    }
    Ok(())
}

fn length(
    dwarf: &gimli::Dwarf<Slice<'_>>,
    unit: &gimli::Unit<Slice<'_>>,
    text: &gimli::AttributeValue<Slice<'_>>,
) -> Option<usize> {
    dwarf.attr_string(unit, *text).ok().map(|text| text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gimli::write;

    /// Debug information of one unit: functions in functions, so many `levels`, and so many source
    /// `files` in a folder with a name of so many bytes.
    fn made(levels: usize, (files, name): (usize, usize)) -> Vec<(gimli::SectionId, Vec<u8>)> {
        let encoding = gimli::Encoding { format: gimli::Format::Dwarf32, version: 4, address_size: 8 };
        let mut dwarf = write::Dwarf::new();
        let folder = write::LineString::String(vec![b'a'; name]);
        let mut program = write::LineProgram::new(
            encoding,
            gimli::LineEncoding::default(),
            folder.clone(),
            None,
            write::LineString::String(b"a".to_vec()),
            None,
        );
        let folder = program.default_directory();
        for number in 0..files {
            program.add_file(write::LineString::String(number.to_string().into_bytes()), folder, None);
        }
        // One without rows isn't written.
        program.begin_sequence(Some(write::Address::Constant(0)));
        program.generate_row();
        program.end_sequence(1);
        let id = dwarf.units.add(write::Unit::new(encoding, program));
        let unit = dwarf.units.get_mut(id);
        let mut at = unit.root();
        unit.get_mut(at).set(gimli::DW_AT_comp_dir, write::AttributeValue::String(vec![b'a'; name]));
        for _ in 0..levels {
            at = unit.add(at, gimli::DW_TAG_inlined_subroutine);
        }
        let mut sections = write::Sections::new(write::EndianVec::new(gimli::LittleEndian));
        dwarf.write(&mut sections).expect("it can be written");
        let mut made = Vec::new();
        sections
            .for_each(|id, data| -> Result<(), ()> {
                made.push((id, data.slice().to_vec()));
                Ok(())
            })
            .expect("each section");
        made
    }

    fn judged(sections: &[(gimli::SectionId, Vec<u8>)]) -> Result<(), Error> {
        let load = |id: gimli::SectionId| -> Result<Slice<'_>, gimli::Error> {
            let data = sections.iter().find(|section| section.0 == id).map_or(&[][..], |section| &section.1);
            Ok(Slice::new(data, gimli::LittleEndian))
        };
        bounded(&gimli::Dwarf::load(load).expect("sections"))
    }

    #[test]
    fn what_is_too_deep_or_too_long_is_refused() {
        judged(&made(900, (100, 100))).expect("both within the bounds");
        let deep = judged(&made(1001, (1, 1))).expect_err("too deep");
        assert!(deep.to_string().contains("1000 levels"), "{deep}");
        let long = judged(&made(1, (3000, 100_000))).expect_err("too long");
        assert!(long.to_string().contains("paths"), "{long}");
    }
}
