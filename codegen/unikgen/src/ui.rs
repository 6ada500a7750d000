//! How the command talks: colours, progress, and what goes to which stream.
//!
//! Standard output has what was asked for (a graph, generated Rust, the appliance's
//! console); all that the command says of itself goes to standard error.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{ColorChoice, Global};

/// How much is said, and in which colours.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    level: Level,
    color_out: bool,
    color_err: bool,
    live: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Quiet,
    Normal,
    Verbose,
}

/// What a stretch of text is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// A heading.
    Strong,
    /// Something that may be overlooked.
    Faint,
    /// All is well.
    Good,
    /// Look here.
    Warning,
    /// Something is wrong.
    Bad,
    /// A name.
    Name,
}

impl Tone {
    const fn sgr(self) -> &'static str {
        match self {
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "1;32",
            Tone::Warning => "1;33",
            Tone::Bad => "1;31",
            Tone::Name => "1;36",
        }
    }
}

/// Colours text, or doesn't.
#[derive(Clone, Copy, Debug)]
pub struct Paint(pub bool);

impl Paint {
    /// `text` in the colour of `tone`.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if self.0 { format!("\x1b[{}m{text}\x1b[0m", tone.sgr()) } else { text.to_string() }
    }
}

impl Ui {
    /// From the flags, the environment and the streams.
    pub fn new(global: &Global) -> Ui {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = |terminal: bool| match global.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !no_color && !dumb,
        };
        let level = match (global.quiet, global.verbose) {
            (true, _) => Level::Quiet,
            (_, true) => Level::Verbose,
            _ => Level::Normal,
        };
        let live = std::io::stderr().is_terminal() && !dumb;
        Ui {
            level,
            color_out: color(std::io::stdout().is_terminal()),
            color_err: color(std::io::stderr().is_terminal()),
            live,
        }
    }

    /// The colours of standard output.
    pub const fn out(&self) -> Paint {
        Paint(self.color_out)
    }

    /// The colours of standard error.
    pub const fn err(&self) -> Paint {
        Paint(self.color_err)
    }

    /// The same, saying only what matters when nobody asked for more.
    pub fn quieter(&self) -> Ui {
        Ui { level: if self.is_verbose() { Level::Verbose } else { Level::Quiet }, ..*self }
    }

    /// The same, without a line that redraws itself: for a time in which others write to the
    /// terminal.
    pub fn with_plain_progress(&self) -> Ui {
        Ui { live: false, ..*self }
    }

    /// Whether `--verbose` was given.
    pub fn is_verbose(&self) -> bool {
        self.level == Level::Verbose
    }

    /// One line about what is going on, unless `--quiet`.
    pub fn say(&self, word: &str, text: &str) {
        if self.level >= Level::Normal {
            line(&format!("{} {text}", self.err().paint(Tone::Good, &format!("{word}:"))));
        }
    }

    /// One line about how something could be better, unless `--quiet`.
    pub fn hint(&self, text: &str) {
        if self.level >= Level::Normal {
            line(&format!("{} {text}", self.err().paint(Tone::Name, "hint:")));
        }
    }

    /// One line for those who want to see everything.
    pub fn detail(&self, text: &str) {
        if self.is_verbose() {
            line(&self.err().paint(Tone::Faint, text));
        }
    }

    /// An error with its causes.
    pub fn error(&self, error: &anyhow::Error) {
        line(&format!("{} {error}", self.err().paint(Tone::Bad, "error:")));
        for cause in causes(error) {
            line(&format!("  because: {cause}"));
        }
    }

    /// Shows that `what` is going on until the [`Step`] is dropped or done.
    pub fn step(&self, what: &str) -> Step {
        if self.level == Level::Quiet {
            return Step { bar: None, started: Instant::now() };
        }
        if !self.live || self.is_verbose() {
            line(&format!("{what}…"));
            return Step { bar: None, started: Instant::now() };
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
            bar.set_style(style);
        }
        bar.set_message(format!("{what}…"));
        bar.enable_steady_tick(Duration::from_millis(100));
        Step { bar: Some(bar), started: Instant::now() }
    }
}

/// Something long that is going on; its line vanishes when it is dropped.
#[derive(Debug)]
pub struct Step {
    bar: Option<ProgressBar>,
    started: Instant,
}

impl Step {
    /// Says which part of it is going on.
    pub fn now(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{what}…"));
        }
    }

    /// Whether it shows on a line of its own that changes.
    pub const fn is_live(&self) -> bool {
        self.bar.is_some()
    }

    /// How long it has been going on.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Writes to standard error. That it is full or closed is nobody's fault here, and there is
/// no other place to say so: the exit code still tells how it went.
pub fn stderr(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn line(text: &str) {
    stderr(&format!("{text}\n"));
}

/// A span of time as people read it: `0.42 s`, `12 s`.
pub fn seconds(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    if seconds < 10.0 { format!("{seconds:.2} s") } else { format!("{seconds:.0} s") }
}

/// What is behind an error, each as far as what was said before doesn't end in it.
fn causes(error: &anyhow::Error) -> Vec<String> {
    let mut said = error.to_string();
    let mut causes = Vec::new();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !said.ends_with(&cause) {
            causes.push(cause.clone());
            said = cause;
        }
    }
    causes
}

/// A number of bytes as people read it: `812 B`, `39.4 KiB`.
pub fn bytes(count: u64) -> String {
    let in_units = |shift: u32| count as f64 / f64::from(1u32 << shift);
    match count {
        0..0x400 => format!("{count} B"),
        0x400..0x10_0000 => format!("{:.1} KiB", in_units(10)),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", in_units(20)),
        _ => format!("{:.1} GiB", in_units(30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(bytes(812), "812 B");
        assert_eq!(bytes(40_346), "39.4 KiB");
        assert_eq!(bytes(3 << 20), "3.0 MiB");
        assert_eq!(bytes(1 << 40), "1024.0 GiB");
        assert_eq!(seconds(Duration::from_millis(420)), "0.42 s");
        assert_eq!(seconds(Duration::from_secs(83)), "83 s");
    }

    #[test]
    fn what_was_said_is_not_said_again() {
        let plain = || std::io::Error::other("it is gone");
        assert_eq!(causes(&anyhow::Error::new(plain()).context("can't read x")), ["it is gone"]);
        assert!(causes(&anyhow::Error::new(plain()).context("x: it is gone")).is_empty());
    }

    #[test]
    fn no_escape_without_colour() {
        assert_eq!(Paint(false).paint(Tone::Bad, "x"), "x");
        assert_eq!(Paint(true).paint(Tone::Strong, "x"), "\x1b[1mx\x1b[0m");
    }
}
