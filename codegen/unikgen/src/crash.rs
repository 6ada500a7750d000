//! Crash records on the console, with names put to their addresses.
//!
//! The machine prints, on lines of their own, `fault: NAME error=… rip=… …` and
//! `stack: ADDRESS…`, numbers in hexadecimal (the runtime's `platform/machine/fault.rs`).
//! Below the line `stack:`, or `fault:`, stand the functions.

use std::cell::{Cell, OnceCell};
use std::path::PathBuf;

use unik_codegen::image::{Calls, Frame, symbolise};

use crate::console::Symbols;

/// Puts names to the addresses in crash records.
#[derive(Debug)]
pub struct Crashes {
    twin: PathBuf,
    all: bool,
    failed: Cell<bool>,
    /// Read when it is first needed: nearly no appliance crashes.
    calls: OnceCell<Option<Calls>>,
    /// Where the last fault happened, until its stack is told.
    fault: Cell<Option<u64>>,
}

impl Crashes {
    /// By this twin of the image; `all` shows every word of the stack, also those that are
    /// left over from calls that have returned.
    pub fn new(twin: PathBuf, all: bool) -> Crashes {
        Crashes { twin, all, failed: Cell::new(false), calls: OnceCell::new(), fault: Cell::new(None) }
    }
}

impl Symbols for Crashes {
    fn explain(&self, line: &str) -> Vec<String> {
        let Some(mut record) = Record::parse(line) else { return Vec::new() };
        let mut is_full = false;
        if record.is_stack {
            is_full = record.addresses.len() >= MOST;
            let place = self.fault.take();
            if let Some(calls) = self.calls().filter(|_| !self.all) {
                record.addresses = calls.chain(place, &record.addresses);
            }
        } else {
            self.fault.set(record.addresses.first().copied());
        }
        if record.addresses.is_empty() || self.failed.get() {
            return Vec::new();
        }
        // The first address is taken as the place where it happened, others as return
        // addresses; a stack has only those.
        let mut addresses = if record.is_stack { vec![0] } else { Vec::new() };
        addresses.extend(&record.addresses);
        match symbolise(&self.twin, &addresses) {
            Ok(frames) => {
                let skip = if record.is_stack {
                    frames.iter().take_while(|frame| frame.address == 0).count()
                } else {
                    0
                };
                let mut lines = lines(&frames[skip..], record.is_stack, self.all);
                if is_full {
                    lines.push(format!(
                        "{:>12}  more callers, perhaps: a record has at most {MOST} addresses",
                        "…"
                    ));
                }
                lines
            }
            Err(error) => {
                self.failed.set(true);
                vec![format!("  (no names: {error})")]
            }
        }
    }
}

impl Crashes {
    fn calls(&self) -> Option<&Calls> {
        // What can't be read is told once, with the names.
        let read = || Calls::of(&std::fs::read(&self.twin).ok()?).ok();
        self.calls.get_or_init(read).as_ref()
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

/// Addresses in a record (`MAX_CALLERS` of the runtime's `platform/machine/fault.rs`).
const MOST: usize = 32;

/// Lines of a stack that are shown unless all are asked for.
const SHOWN: usize = 40;

fn lines(frames: &[Frame], is_stack: bool, all: bool) -> Vec<String> {
    let mut lines: Vec<(String, usize)> = Vec::new();
    for frame in frames {
        // A word of the stack that is no return address after all says nothing.
        if is_stack && frame.function.is_none() && frame.place.is_none() {
            continue;
        }
        let name = frame.function.as_deref().map_or_else(|| "?".into(), short_name);
        let place = frame
            .place
            .as_ref()
            .map_or_else(String::new, |(file, line)| format!("  {}:{line}", short_path(file)));
        let address = if frame.inlined { "inlined".into() } else { format!("{:x}", frame.address) };
        let line = format!("{address:>12}  {name}{place}");
        match lines.last_mut() {
            // Recursion.
            Some((last, count)) if *last == line => *count += 1,
            _ => lines.push((line, 1)),
        }
    }
    let left_out = if all { 0 } else { lines.len().saturating_sub(SHOWN) };
    lines.truncate(lines.len() - left_out);
    let mut shown: Vec<String> = lines
        .into_iter()
        .map(|(line, count)| if count > 1 { format!("{line}  ({count} times)") } else { line })
        .collect();
    if left_out > 0 {
        shown.push(format!("{:>12}  {left_out} more: --verbose", "…"));
    }
    shown
}

/// `core::fmt::write::h0123456789abcdef` → `core::fmt::write`; `f<A, B<C>>` → `f`; but
/// `<A as B>::f` stays.
fn short_name(name: &str) -> String {
    let name = match name.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        _ => name,
    };
    let mut short = String::new();
    let mut depth = 0usize;
    for (at, c) in name.char_indices() {
        match c {
            '<' if depth > 0 || at > 0 => depth += 1,
            // The arrow of a function type closes nothing.
            '>' if depth > 0 && !name[..at].ends_with('-') => depth -= 1,
            _ if depth == 0 => short.push(c),
            _ => {}
        }
    }
    short
}

/// Where people look for it: below the current folder, or in a crate, whose folder's name
/// says which.
fn short_path(path: &str) -> String {
    if let Some((_, inside)) = path.split_once("/registry/src/").and_then(|(_, rest)| rest.split_once('/')) {
        return inside.into();
    }
    if let Some((_, inside)) = path.strip_prefix("/rustc/").and_then(|rest| rest.split_once('/')) {
        return format!("rust/{inside}");
    }
    if let Some((_, inside)) = path.split_once("/.unik/src/") {
        return format!("unik/{inside}");
    }
    if let Some(inside) = path.strip_prefix("/unik/") {
        return format!("unik/{inside}");
    }
    let here = std::env::current_dir().unwrap_or_default();
    std::path::Path::new(path)
        .strip_prefix(here)
        .map_or_else(|_| path.into(), |inside| inside.display().to_string())
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
        let deep = || frame(Some("deep"), false);
        let frames =
            [frame(Some("a::b<C<D>>::h0123456789abcdef"), true), frame(Some("main"), false), deep(), deep()];
        assert_eq!(
            lines(&frames, true, false),
            [
                "     inlined  a::b  src/main.rs:7",
                "      10e771  main  src/main.rs:7",
                "      10e771  deep  src/main.rs:7  (2 times)"
            ]
        );
        let nothing = Frame { address: 1, function: None, place: None, inlined: false };
        assert!(lines(std::slice::from_ref(&nothing), true, false).is_empty());
        assert_eq!(lines(&[nothing], false, false).len(), 1);
        let many: Vec<Frame> = (0..100).map(|at| frame(Some(&format!("f{at}")), false)).collect();
        assert!(lines(&many, true, false)[SHOWN].contains("60 more"));
        assert_eq!(lines(&many, true, true).len(), 100);
    }

    #[test]
    fn names_and_paths_for_people() {
        for (long, short) in [
            ("poll<A, fn(B) -> C<D>>", "poll"),
            ("<core::fmt::X as core::fmt::Write>::write", "<core::fmt::X as core::fmt::Write>::write"),
            ("a<B>::c", "a::c"),
            ("{async_fn#0}", "{async_fn#0}"),
        ] {
            assert_eq!(short_name(long), short);
        }
        for (long, short) in [
            ("/cargo/registry/src/index.crates.io-19/rlsf-0.2.3/src/tlsf.rs", "rlsf-0.2.3/src/tlsf.rs"),
            ("/rustc/5980/library/core/src/x.rs", "rust/library/core/src/x.rs"),
            ("/home/me/x/.unik/src/runtime/src/y.rs", "unik/runtime/src/y.rs"),
            ("/unik/runtime/src/y.rs", "unik/runtime/src/y.rs"),
            ("/elsewhere/z.rs", "/elsewhere/z.rs"),
        ] {
            assert_eq!(short_path(long), short);
        }
    }

    #[test]
    fn a_missing_twin_is_said_once() {
        let crashes = Crashes::new("/nowhere/twin.elf".into(), false);
        assert_eq!(crashes.explain("stack: 10e771").len(), 1);
        assert!(crashes.explain("stack: 10e771").is_empty());
    }
}
