//! Log records on the console.
//!
//! Components use the macros of the `log` crate ([`unik::log`](crate::log)). A record is
//! one line, `LEVEL target: message`. Control characters in it are written as escapes,
//! so that nothing that came off the network can fake a line or drive the terminal.

use core::fmt::{self, Write};

use log::{LevelFilter, Log, Metadata, Record};

use crate::platform;

/// Sends records of `level` and above to the console. Called by the generated code,
/// before the wiring; records before this call are lost. A second call changes the level.
pub fn start(level: LevelFilter) {
    // Refused only when a logger was set before: by an earlier call, or, in a process,
    // by a program that wants the records elsewhere.
    let _ = log::set_logger(&ConsoleLog);
    log::set_max_level(level);
}

/// Writes text to the console in as few writes as its length allows: one up to 512 bytes.
///
/// For what is no log record. It doesn't allocate.
pub fn print(text: fmt::Arguments<'_>) {
    let mut out = Buffered::new();
    // Buffered never fails; an error is one that a Display of the arguments made up.
    let _ = out.write_fmt(text);
}

struct ConsoleLog;

impl Log for ConsoleLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut out = Buffered::new();
        let _ = write!(Escaped(&mut out), "{} {}: {}", record.level(), record.target(), record.args());
        let _ = out.write_str("\n");
    }

    fn flush(&self) {}
}

/// Collects text for the console; writes it when full and when dropped.
struct Buffered {
    bytes: [u8; 512],
    length: usize,
}

impl Buffered {
    const fn new() -> Self {
        Buffered { bytes: [0; 512], length: 0 }
    }

    fn flush(&mut self) {
        if self.length > 0 {
            platform::console_write(&self.bytes[..self.length]);
            self.length = 0;
        }
    }
}

impl Write for Buffered {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let taken = rest.len().min(self.bytes.len() - self.length);
            self.bytes[self.length..self.length + taken].copy_from_slice(&rest[..taken]);
            self.length += taken;
            rest = &rest[taken..];
            if self.length == self.bytes.len() {
                self.flush();
            }
        }
        Ok(())
    }
}

impl Drop for Buffered {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Writes control characters as escapes: `\n`, `\u{1b}`.
struct Escaped<'a, W>(&'a mut W);

impl<W: Write> Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (place, character) in text.char_indices().filter(|(_, character)| character.is_control()) {
            self.0.write_str(text.get(plain..place).unwrap_or_default())?;
            for escape in character.escape_default() {
                self.0.write_char(escape)?;
            }
            plain = place + character.len_utf8();
        }
        self.0.write_str(text.get(plain..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn control_characters_become_escapes() {
        let mut out = String::new();
        Escaped(&mut out).write_str("GET /\r\nERROR x: \u{1b}[2J ä\u{85}ö").expect("a String takes all");
        assert_eq!(out, "GET /\\r\\nERROR x: \\u{1b}[2J ä\\u{85}ö");
    }
}
