//! Places as the protocol has them: lines and characters, counted as client and server agreed,
//! against bytes; and URIs against paths.

use std::ops::Range as Bytes;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr as _;

use lsp_types::{Position, PositionEncodingKind, Range, Uri};

/// What a position's `character` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Bytes.
    Utf8,
    /// Code units of UTF-16: what clients have that don't say.
    #[default]
    Utf16,
}

impl Encoding {
    /// The best of those that a client offers.
    pub fn choose(offered: &[PositionEncodingKind]) -> Encoding {
        if offered.contains(&PositionEncodingKind::UTF8) { Encoding::Utf8 } else { Encoding::Utf16 }
    }

    /// As the protocol calls it.
    pub fn kind(self) -> PositionEncodingKind {
        match self {
            Encoding::Utf8 => PositionEncodingKind::UTF8,
            Encoding::Utf16 => PositionEncodingKind::UTF16,
        }
    }

    fn width(self, c: char) -> usize {
        match self {
            Encoding::Utf8 => c.len_utf8(),
            Encoding::Utf16 => c.len_utf16(),
        }
    }

    /// How much of this encoding `text` is.
    pub fn length(self, text: &str) -> u32 {
        let units = match self {
            Encoding::Utf8 => text.len(),
            Encoding::Utf16 => text.chars().map(char::len_utf16).sum(),
        };
        u32::try_from(units).unwrap_or(u32::MAX)
    }
}

/// Where the lines of a text are. They end in LF, CR LF or CR, as the protocol has it.
#[derive(Clone, Debug)]
pub struct Lines {
    /// The bytes of each line, without what ends it.
    lines: Vec<Bytes<usize>>,
}

impl Lines {
    /// The lines of `text`: at least one, the last of which nothing ends.
    pub fn of(text: &str) -> Lines {
        let bytes = text.as_bytes();
        let mut lines = Vec::new();
        let (mut start, mut at) = (0, 0);
        while let Some(&byte) = bytes.get(at) {
            let ending = match byte {
                b'\r' if bytes.get(at + 1) == Some(&b'\n') => 2,
                b'\r' | b'\n' => 1,
                _ => 0,
            };
            if ending > 0 {
                lines.push(start..at);
                start = at + ending;
            }
            at += ending.max(1);
        }
        lines.push(start..bytes.len());
        Lines { lines }
    }

    /// The number of the line that byte `at` is in, what ends it included.
    pub fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|line| line.start <= at).saturating_sub(1)
    }

    /// The bytes of a line, without what ends it.
    pub fn bytes(&self, line: usize) -> Bytes<usize> {
        self.lines.get(line).cloned().unwrap_or_else(|| {
            let end = self.lines.last().map_or(0, |last| last.end);
            end..end
        })
    }

    /// The byte at a position; one beyond the line or the text is its end.
    pub fn offset(&self, text: &str, position: Position, encoding: Encoding) -> usize {
        let Some(line) = self.lines.get(position.line as usize) else { return text.len() };
        let mut left = position.character as usize;
        let mut at = line.start;
        for c in text[line.clone()].chars() {
            // The middle of a character is its beginning.
            if left < encoding.width(c) {
                break;
            }
            left -= encoding.width(c);
            at += c.len_utf8();
        }
        at
    }

    /// The position of byte `at`; within what ends a line it is the line's end.
    pub fn position(&self, text: &str, at: usize, encoding: Encoding) -> Position {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let number = self.line(at);
        let line = self.bytes(number);
        let character = encoding.length(&text[line.start..at.clamp(line.start, line.end)]);
        Position { line: u32::try_from(number).unwrap_or(u32::MAX), character }
    }

    /// The range of some bytes.
    pub fn range(&self, text: &str, bytes: Bytes<usize>, encoding: Encoding) -> Range {
        Range {
            start: self.position(text, bytes.start, encoding),
            end: self.position(text, bytes.end.max(bytes.start), encoding),
        }
    }
}

/// The path that a `file:` URI names (RFC 8089).
pub fn path_of(uri: &Uri) -> Option<PathBuf> {
    let rest = uri.as_str().strip_prefix("file://")?;
    let rest = rest.strip_prefix("localhost").unwrap_or(rest);
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let path = rest.starts_with('/').then(|| decode(rest))??;
    Some(tidy(Path::new(&path)))
}

/// The text that percent signs stand for; `None` where it isn't UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit()? * 16 + digit()?);
    }
    String::from_utf8(bytes).ok()
}

/// The URI of an absolute path.
pub fn uri_of(path: &Path) -> Option<Uri> {
    let mut text = String::from("file://");
    for byte in tidy(path).as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(*byte));
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    Uri::from_str(&text).ok()
}

/// The same path without `.` and `..`.
pub fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(tidied.components().next_back(), Some(Component::Normal(_))) => {
                tidied.pop();
            }
            Component::ParentDir if tidied.has_root() => {}
            part => tidied.push(part),
        }
    }
    tidied
}

/// What all paths of one file have in common.
pub fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| tidy(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_in_both_encodings_with_every_ending() {
        let text = "aµ𝕏b\r\nzwei\rdrei\n";
        let lines = Lines::of(text);
        assert_eq!(lines.lines.len(), 4);
        for (encoding, end) in [(Encoding::Utf8, 8), (Encoding::Utf16, 5)] {
            let b = text.find('b').unwrap();
            let position = lines.position(text, b, encoding);
            assert_eq!(position, Position { line: 0, character: end - 1 }, "{encoding:?}");
            assert_eq!(lines.offset(text, position, encoding), b);
            // Within CR LF, and beyond the line.
            assert_eq!(lines.position(text, b + 2, encoding), Position { line: 0, character: end });
            assert_eq!(lines.offset(text, Position { line: 0, character: 99 }, encoding), b + 1);
        }
        assert_eq!(lines.offset(text, Position { line: 0, character: 3 }, Encoding::Utf16), 3);
        assert_eq!(lines.offset(text, Position { line: 9, character: 0 }, Encoding::Utf16), text.len());
        assert_eq!(lines.position(text, text.len(), Encoding::Utf16), Position { line: 3, character: 0 });
    }

    #[test]
    fn uris_and_paths() {
        let path = Path::new("/a b/ü/x.unik");
        let uri = uri_of(path).unwrap();
        assert_eq!(uri.as_str(), "file:///a%20b/%C3%BC/x.unik");
        assert_eq!(path_of(&uri).unwrap(), path);
        assert_eq!(path_of(&Uri::from_str("file:///c%3A/x/../y").unwrap()).unwrap(), Path::new("/c:/y"));
        assert_eq!(path_of(&Uri::from_str("untitled:Untitled-1").unwrap()), None);
        assert_eq!(uri_of(Path::new("/a/./b/../c")).unwrap().as_str(), "file:///a/c");
    }
}
