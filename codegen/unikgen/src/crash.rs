//! Crash records on the console, with names put to their addresses.
//!
//! The machine prints, on lines of their own, `fault: NAME error=… rip=… …` and
//! `stack: ADDRESS…`, numbers in hexadecimal (the runtime's `platform/machine/fault.rs`).
//! Below the line `stack:`, or `fault:`, stand the functions.

use std::cell::Cell;
use std::path::PathBuf;

use unik_codegen::image::{Frame, symbolise};

use crate::console::Symbols;

/// Puts names to the addresses in crash records.
#[derive(Debug)]
pub struct Crashes {
    twin: PathBuf,
    failed: Cell<bool>,
}

impl Crashes {
    /// By this twin of the image.
    pub fn new(twin: PathBuf) -> Crashes {
        Crashes { twin, failed: Cell::new(false) }
    }
}

impl Symbols for Crashes {
    fn explain(&self, line: &str) -> Vec<String> {
        let Some(record) = Record::parse(line) else { return Vec::new() };
        if record.addresses.is_empty() || self.failed.get() {
            return Vec::new();
        }
        match symbolise(&self.twin, &record.addresses) {
            Ok(frames) => lines(&frames, record.is_stack),
            Err(error) => {
                self.failed.set(true);
                vec![format!("  (no names: {error})")]
            }
        }
    }
}

/// A line of a crash record that has addresses of code.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    /// Where it happened, then return addresses; for a stack line the first is no place
    /// where something happened, but a return address as well.
    addresses: Vec<u64>,
    is_stack: bool,
}

impl Record {
    fn parse(line: &str) -> Option<Record> {
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        if let Some(rest) = line.strip_prefix("stack: ") {
            let addresses: Option<Vec<u64>> = rest.split_whitespace().map(number).collect();
            return Some(Record { addresses: addresses?, is_stack: true });
        }
        let rest = line.strip_prefix("fault: ")?;
        let rip = rest.split_whitespace().find_map(|word| number(word.strip_prefix("rip=")?))?;
        Some(Record { addresses: vec![rip], is_stack: false })
    }
}

fn lines(frames: &[Frame], is_stack: bool) -> Vec<String> {
    frames
        .iter()
        .filter_map(|frame| {
            // A word of the stack that is no return address after all says nothing.
            if is_stack && frame.function.is_none() && frame.place.is_none() {
                return None;
            }
            let name = frame.function.as_deref().map_or("?", without_hash);
            let place =
                frame.place.as_ref().map_or_else(String::new, |(file, line)| format!("  {file}:{line}"));
            let address =
                if frame.inlined { "       inlined".into() } else { format!("{:>14x}", frame.address) };
            Some(format!("{address}  {name}{place}"))
        })
        .collect()
}

/// `core::fmt::write::h0123456789abcdef` → `core::fmt::write`
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_the_machine() {
        let fault =
            Record::parse("fault: page-fault error=6 rip=10f3a2 rsp=18e000 cr2=18dff8 write stack-overflow");
        assert_eq!(fault, Some(Record { addresses: vec![0x10_f3a2], is_stack: false }));
        let stack = Record::parse("stack: 10e771 10a014");
        assert_eq!(stack, Some(Record { addresses: vec![0x10_e771, 0x10_a014], is_stack: true }));
        for other in ["hello", "stack: of books", "fault: mine", "registers: rax=0", ""] {
            assert_eq!(Record::parse(other), None, "{other}");
        }
    }

    #[test]
    fn frames_as_lines() {
        let frame = |function: Option<&str>, inlined| Frame {
            address: 0x10_e771,
            function: function.map(String::from),
            place: Some(("src/main.rs".into(), 7)),
            inlined,
        };
        assert_eq!(
            lines(&[frame(Some("a::b::h0123456789abcdef"), true), frame(Some("main"), false)], true),
            ["       inlined  a::b  src/main.rs:7", "        10e771  main  src/main.rs:7"]
        );
        let nothing = Frame { address: 1, function: None, place: None, inlined: false };
        assert!(lines(std::slice::from_ref(&nothing), true).is_empty());
        assert_eq!(lines(&[nothing], false).len(), 1);
    }

    #[test]
    fn a_missing_twin_is_said_once() {
        let crashes = Crashes::new("/nowhere/twin.elf".into());
        assert_eq!(crashes.explain("stack: 10e771").len(), 1);
        assert!(crashes.explain("stack: 10e771").is_empty());
    }
}
