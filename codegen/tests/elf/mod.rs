//! A small ELF file that is an image, to be broken by hand.

use unik_codegen::note::{MANIFEST, PLAN, REPORT};

/// The hash of its plan.
pub const HASH: [u8; 32] = [7; 32];
/// Where its code is.
pub const TEXT: usize = 0x1000;
/// Where its notes are.
pub const NOTES: usize = 0x2000;
/// Flags of a segment: readable, executable.
pub const RX: u32 = 5;
/// Flags of a segment: readable.
pub const R: u32 = 4;

/// A small image: one executable segment, one with notes, a section table with a symbol
/// and something to strip.
pub struct Image {
    /// `e_type`.
    pub kind: u16,
    /// `e_machine`.
    pub machine: u16,
    /// Type, flags, offset and address, size.
    pub segments: Vec<(u32, u32, u64, u64)>,
    /// Name, type, bytes.
    pub notes: Vec<(&'static str, u32, Vec<u8>)>,
    /// Name, type, flags, offset, size.
    pub sections: Vec<(&'static str, u32, u64, u64, u64)>,
    /// Whether there is a symbol that nothing defines.
    pub undefined: bool,
}

impl Image {
    /// One that is as it must be.
    pub fn good() -> Image {
        let manifest = br#"{"version":1,"appliance":"x","memory":1,"cpu":"x86-64-v2","devices":[],"networks":[],"listens":[]}"#;
        Image {
            kind: 2,
            machine: 62,
            segments: vec![
                (1, RX, TEXT as u64, 0x10),
                (1, R, NOTES as u64, 0x200),
                (4, R, NOTES as u64, 0x200),
            ],
            notes: vec![
                ("Xen", 18, (TEXT as u64).to_le_bytes().to_vec()),
                ("unik", MANIFEST, manifest.to_vec()),
                ("unik", PLAN, HASH.to_vec()),
                ("unik", REPORT, vec![0; 32]),
            ],
            sections: vec![
                (".text", 1, 6, TEXT as u64, 0x10),
                (".note.unik", 7, 2, NOTES as u64, 0x200),
                (".debug_line", 1, 0, 0x2300, 0x40),
            ],
            undefined: false,
        }
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0u8; 0x2400];
        out[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0");
        put(&mut out, 0x10, &self.kind.to_le_bytes());
        put(&mut out, 0x12, &self.machine.to_le_bytes());
        put(&mut out, 0x14, &1u32.to_le_bytes());
        put(&mut out, 0x18, &(TEXT as u64).to_le_bytes());
        put(&mut out, 0x20, &64u64.to_le_bytes());
        for (at, value) in [(0x34, 64u16), (0x36, 56), (0x38, self.segments.len() as u16), (0x3a, 64)] {
            put(&mut out, at, &value.to_le_bytes());
        }
        for (at, (kind, flags, offset, size)) in self.segments.iter().enumerate() {
            let at = 64 + at * 56;
            put(&mut out, at, &kind.to_le_bytes());
            put(&mut out, at + 4, &flags.to_le_bytes());
            for (field, value) in [offset, offset, offset, size, size, &0x1000].into_iter().enumerate() {
                put(&mut out, at + 8 + field * 8, &value.to_le_bytes());
            }
        }
        let mut notes = Vec::new();
        for (name, kind, bytes) in &self.notes {
            for word in [name.len() as u32 + 1, bytes.len() as u32, *kind] {
                notes.extend(word.to_le_bytes());
            }
            notes.extend(name.as_bytes());
            notes.push(0);
            notes.resize(notes.len().next_multiple_of(4), 0);
            notes.extend(bytes);
            notes.resize(notes.len().next_multiple_of(4), 0);
        }
        put(&mut out, NOTES, &notes);
        // Symbols: the empty one, and one.
        let symbols = out.len();
        let mut symbol = vec![0u8; 48];
        put(&mut symbol, 24, &1u32.to_le_bytes());
        symbol[28] = 0x12;
        put(&mut symbol, 30, &u16::from(!self.undefined).to_le_bytes());
        put(&mut symbol, 32, &(TEXT as u64).to_le_bytes());
        out.extend(symbol);
        let names = out.len();
        out.extend(b"\0malloc\0");
        let mut headers = vec![vec![0u8; 64]];
        let mut strings = b"\0".to_vec();
        let mut sections: Vec<(&str, u32, u64, u64, u64, u32, u64)> =
            self.sections.iter().map(|s| (s.0, s.1, s.2, s.3, s.4, 0, 0)).collect();
        let count = sections.len() as u32;
        sections.push((".symtab", 2, 0, symbols as u64, 48, count + 2, 24));
        sections.push((".strtab", 3, 0, names as u64, 8, 0, 0));
        for (name, kind, flags, offset, size, link, entry) in sections {
            let mut header = vec![0u8; 64];
            put(&mut header, 0, &(strings.len() as u32).to_le_bytes());
            strings.extend(name.as_bytes());
            strings.push(0);
            put(&mut header, 4, &kind.to_le_bytes());
            for (field, value) in
                [flags, if flags == 0 { 0 } else { offset }, offset, size].into_iter().enumerate()
            {
                put(&mut header, 8 + field * 8, &value.to_le_bytes());
            }
            put(&mut header, 40, &link.to_le_bytes());
            put(&mut header, 44, &u32::from(kind == 2).to_le_bytes());
            put(&mut header, 56, &entry.to_le_bytes());
            headers.push(header);
        }
        let mut header = vec![0u8; 64];
        put(&mut header, 0, &(strings.len() as u32).to_le_bytes());
        strings.extend(b".shstrtab\0");
        put(&mut header, 4, &3u32.to_le_bytes());
        put(&mut header, 24, &(out.len() as u64).to_le_bytes());
        put(&mut header, 32, &(strings.len() as u64).to_le_bytes());
        headers.push(header);
        out.extend(&strings);
        out.resize(out.len().next_multiple_of(8), 0);
        let table = out.len() as u64;
        put(&mut out, 0x28, &table.to_le_bytes());
        put(&mut out, 0x3c, &(headers.len() as u16).to_le_bytes());
        put(&mut out, 0x3e, &(headers.len() as u16 - 1).to_le_bytes());
        out.extend(headers.concat());
        out
    }
}

/// Overwrites bytes.
pub fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}
