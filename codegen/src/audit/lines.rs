//! Line tables: which source lines each stretch of code comes from, through every function
//! that was inlined there.

use std::collections::BTreeMap;
use std::ops::Range;

use addr2line::gimli;

use super::bad;
use super::packages::inside;
use crate::Error;
use crate::image::{Elf, Slice, debug};

/// How many frames there may be: an image of a few hundred KiB has some hundred thousand.
const MOST_FRAMES: usize = 1 << 24;

/// What the line tables say of an image's code.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// The source files, as seen from the crate that the image was built from.
    pub files: Vec<String>,
    /// The names of functions.
    pub functions: Vec<String>,
    /// Stretches of code, by address; they don't overlap.
    pub spans: Vec<Span>,
    /// The compiler, as it names itself.
    pub producer: Option<String>,
}

/// A stretch of code with one history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its addresses.
    pub range: Range<u64>,
    /// Where it comes from, innermost first: the line that it was, then the lines into which
    /// that was inlined.
    pub frames: Vec<Frame>,
}

/// A line of source that a stretch of code comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The file, an index of [`Lines::files`].
    pub file: usize,
    /// The line, from 1; 0 where the compiler doesn't say.
    pub line: u32,
    /// The function, an index of [`Lines::functions`].
    pub function: Option<usize>,
}

impl Lines {
    /// Reads those of `elf` for the code at `ranges`.
    ///
    /// # Errors
    /// When they are damaged.
    pub fn read(elf: &Elf<'_>, ranges: &[Range<u64>]) -> Result<Lines, Error> {
        let fail = |error: gimli::Error| bad(format!("its line tables can't be read: {error}"));
        let (dwarf, context) = debug(elf)?;
        let producer = producer(&dwarf);
        let mut lines = Lines { producer, ..Lines::default() };
        let mut count = 0;
        let (mut files, mut functions) = (Names::default(), Names::default());
        for range in ranges {
            let rows = context.find_location_range(range.start, range.end).map_err(fail)?;
            for (address, length, _) in rows {
                // Damaged tables may say anything.
                let end = address.saturating_add(length).min(range.end);
                let start = address.max(lines.spans.last().map_or(0, |span| span.range.end)).max(range.start);
                if start >= end {
                    continue;
                }
                let mut frames = Vec::new();
                let mut found = context.find_frames(start).skip_all_loads().map_err(fail)?;
                while let Some(frame) = found.next().map_err(fail)? {
                    let (file, line) = match &frame.location {
                        Some(place) => (place.file.unwrap_or(""), place.line.unwrap_or(0)),
                        None => ("", 0),
                    };
                    let function = frame.function.as_ref().and_then(|name| {
                        let name = name.raw_name().ok()?;
                        Some(functions.of(&name))
                    });
                    frames.push(Frame { file: files.of(file), line, function });
                }
                count += frames.len();
                if count > MOST_FRAMES {
                    return Err(bad("its line tables have more inlined functions than can be read"));
                }
                match lines.spans.last_mut() {
                    Some(last) if last.range.end == start && last.frames == frames => last.range.end = end,
                    _ => lines.spans.push(Span { range: start..end, frames }),
                }
            }
        }
        lines.files = files.names.iter().map(|file| inside(file)).collect();
        lines.functions = functions.names;
        Ok(lines)
    }

    /// The stretch at this address.
    #[must_use]
    pub fn at(&self, address: u64) -> Option<&Span> {
        let after = self.spans.partition_point(|span| span.range.start <= address);
        self.spans[..after].last().filter(|span| span.range.contains(&address))
    }
}

fn producer(dwarf: &gimli::Dwarf<Slice<'_>>) -> Option<String> {
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        let Ok(unit) = dwarf.unit(header) else { continue };
        let Ok(root) = unit.entries_tree(None).and_then(|mut tree| Ok(tree.root()?.entry().clone())) else {
            continue;
        };
        let Some(value) = root.attr_value(gimli::DW_AT_producer) else { continue };
        let text = dwarf.attr_string(&unit, value).ok()?.to_string_lossy().into_owned();
        if text.contains("rustc") {
            return Some(text);
        }
    }
    None
}

#[derive(Default)]
struct Names {
    names: Vec<String>,
    places: BTreeMap<String, usize>,
}

impl Names {
    fn of(&mut self, name: &str) -> usize {
        if let Some(&at) = self.places.get(name) {
            return at;
        }
        self.names.push(name.into());
        self.places.insert(name.into(), self.names.len() - 1);
        self.names.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_found_by_address() {
        let span = |start, end| Span { range: start..end, frames: Vec::new() };
        let lines = Lines { spans: vec![span(10, 20), span(30, 40)], ..Lines::default() };
        assert_eq!(lines.at(10).map(|span| span.range.start), Some(10));
        assert_eq!(lines.at(39).map(|span| span.range.start), Some(30));
        assert!([9, 20, 29, 40].iter().all(|&at| lines.at(at).is_none()));
    }
}
