//! `unikgen symbolize`: names for the crash records of a log.

use std::io::{BufRead as _, Write as _};

use anyhow::Context as _;

use crate::backend;
use crate::cli::Symbolize;
use crate::console::Symbols as _;
use crate::crash::Crashes;
use crate::exit::{OK, Outcome};
use crate::ui::Ui;

/// A line that is longer is no record: at most 32 addresses of 17 characters.
const LONGEST: usize = 4096;

/// Prints standard input with what explains it.
///
/// # Errors
/// When the image has no twin, or a stream can't be read or written.
pub fn run(args: &Symbolize, ui: &Ui) -> Outcome {
    let twin = backend::find_twin(&args.image, args.twin.as_deref())?;
    let crashes = Crashes::new(twin, ui.is_verbose());
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    let mut line = Vec::new();
    // Bytes, not text: a log may hold anything.
    while input.read_until(b'\n', &mut line).context("can't read standard input")? > 0 {
        output.write_all(&line)?;
        if !line.ends_with(b"\n") {
            output.write_all(b"\n")?;
        }
        if line.len() <= LONGEST {
            for below in crashes.explain(record(&String::from_utf8_lossy(&line))) {
                writeln!(output, "{below}")?;
            }
        }
        // Whoever follows a log wants to see it now.
        output.flush()?;
        line.clear();
    }
    Ok(OK)
}

/// The line without what a log puts before it: a time, a host.
fn record(line: &str) -> &str {
    let line = line.trim_end();
    let starts = ["fault: ", "stack: "].into_iter().filter_map(|word| {
        let at = line.find(word)?;
        // At a word's start.
        (at == 0 || line[..at].ends_with([' ', '\t'])).then_some(at)
    });
    starts.min().map_or(line, |at| &line[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_behind_what_a_log_adds() {
        for (line, found) in [
            ("stack: 10e771\r\n", "stack: 10e771"),
            (
                "Nov 23 14:00:00 host qemu[12]: fault: page-fault rip=1 stack-overflow\n",
                "fault: page-fault rip=1 stack-overflow",
            ),
            ("haystack: 10e771", "haystack: 10e771"),
            ("", ""),
        ] {
            assert_eq!(record(line), found);
        }
    }
}
