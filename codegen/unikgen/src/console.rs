//! The appliance's console on this terminal: whole lines, with the line that says "ready"
//! taken out and crash records explained.

/// What the console of a guest tells us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Text to be shown as it is; a line ends with `\n`.
    Text(String),
    /// The services answer, under these addresses of the guest's own.
    Ready(Vec<String>),
}

/// What puts names to the addresses of a crash record.
pub trait Symbols {
    /// What is to be shown below this line of the console.
    fn explain(&self, line: &str) -> Vec<String>;
}

/// For images without symbols.
#[derive(Debug)]
pub struct NoSymbols;

impl Symbols for NoSymbols {
    fn explain(&self, _line: &str) -> Vec<String> {
        Vec::new()
    }
}

/// A line that is longer is shown in pieces.
const LONGEST: usize = 64 * 1024;
const READY: &[u8] = b"unik: ready";

/// Cuts what a guest writes into lines.
pub struct Console {
    pending: Vec<u8>,
    /// The beginning of the pending line was shown already.
    begun: bool,
    /// What is shown goes to a terminal: only colours of all control sequences.
    terminal: bool,
    symbols: Box<dyn Symbols>,
}

impl Console {
    /// A console that shows on a `terminal`, or on something that takes any bytes.
    pub fn new(terminal: bool, symbols: Box<dyn Symbols>) -> Console {
        Console { pending: Vec::new(), begun: false, terminal, symbols }
    }

    /// Takes what the guest wrote.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for &byte in bytes {
            self.pending.push(byte);
            if byte == b'\n' {
                self.end_line(&mut events);
            } else if self.pending.len() >= LONGEST {
                events.extend(self.flush());
            }
        }
        events
    }

    /// Shows a line that isn't finished: a prompt, or the last words of a guest.
    pub fn flush(&mut self) -> Option<Event> {
        // What may become the ready line stays until it is one or isn't.
        if self.pending.is_empty() || !self.begun && READY.starts_with(&self.pending) {
            return None;
        }
        self.begun = true;
        let begun = std::mem::take(&mut self.pending);
        let text = self.clean(&begun);
        Some(Event::Text(text))
    }

    /// The guest is gone: whatever is left.
    pub fn end(&mut self) -> Option<Event> {
        let rest = std::mem::take(&mut self.pending);
        if rest.is_empty() && !std::mem::take(&mut self.begun) {
            return None;
        }
        let mut text = self.clean(&rest);
        text.push('\n');
        Some(Event::Text(text))
    }

    fn end_line(&mut self, events: &mut Vec<Event>) {
        let line = std::mem::take(&mut self.pending);
        let begun = std::mem::take(&mut self.begun);
        let text = self.clean(&line);
        let bare = text.trim_end();
        if !begun && let Some(addresses) = ready_line(bare) {
            events.push(Event::Ready(addresses));
            return;
        }
        let below = self.symbols.explain(bare);
        events.push(Event::Text(text));
        events.extend(below.into_iter().map(|line| Event::Text(format!("{line}\n"))));
    }

    /// As text, with `\r\n` as `\n`, and without what could take over a terminal.
    fn clean(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
        if self.terminal { only_colours(&text) } else { text }
    }
}

/// The addresses of `unik: ready ADDRESS…`.
fn ready_line(line: &str) -> Option<Vec<String>> {
    let rest = line.strip_prefix("unik: ready")?;
    (rest.is_empty() || rest.starts_with(' ')).then(|| rest.split_whitespace().map(String::from).collect())
}

/// Leaves of all control characters newline, tab and the sequences that set colours: a
/// guest that was taken over must not take over the terminal too.
fn only_colours(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(sequence) = colour_sequence(rest) {
            clean.push_str(sequence);
            rest = &rest[sequence.len()..];
            continue;
        }
        clean.push(if c.is_control() && c != '\n' && c != '\t' { char::REPLACEMENT_CHARACTER } else { c });
        rest = &rest[c.len_utf8()..];
    }
    clean
}

/// `ESC [ digits and ; m` at the beginning of `text` (ECMA-48, SGR).
fn colour_sequence(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    parameters[end..].starts_with('m').then(|| &text[..2 + end + 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Symbols for Echo {
        fn explain(&self, line: &str) -> Vec<String> {
            if line.starts_with("fault:") { vec!["  in main".into()] } else { Vec::new() }
        }
    }

    fn text(text: &str) -> Event {
        Event::Text(text.into())
    }

    #[test]
    fn ready_is_swallowed_wherever_it_is_cut() {
        let whole = b"hello\r\nunik: ready 10.0.2.15 fe80::1\nmore\n";
        for cut in 0..whole.len() {
            let mut console = Console::new(true, Box::new(NoSymbols));
            let mut events = console.feed(&whole[..cut]);
            events.extend(console.feed(&whole[cut..]));
            assert_eq!(
                events,
                [text("hello\n"), Event::Ready(vec!["10.0.2.15".into(), "fe80::1".into()]), text("more\n")]
            );
        }
    }

    #[test]
    fn unfinished_lines_are_shown_unless_they_may_become_ready() {
        let mut console = Console::new(true, Box::new(NoSymbols));
        assert_eq!(console.feed(b"unik: re"), []);
        assert_eq!(console.flush(), None);
        assert_eq!(console.feed(b"ady\n"), [Event::Ready(vec![])]);
        console.feed(b"login: ");
        assert_eq!(console.flush(), Some(text("login: ")));
        assert_eq!(
            console.feed(b"unik: ready\n"),
            [text("unik: ready\n")],
            "the middle of a line isn't the line"
        );
        console.feed(b"unik: ready or not");
        assert_eq!(console.end(), Some(text("unik: ready or not\n")));
        assert_eq!(console.end(), None);
    }

    #[test]
    fn not_everything_that_begins_so_is_ready() {
        let mut console = Console::new(true, Box::new(NoSymbols));
        assert_eq!(console.feed(b"unik: readymade\n"), [text("unik: readymade\n")]);
    }

    #[test]
    fn crash_records_are_explained() {
        let mut console = Console::new(true, Box::new(Echo));
        assert_eq!(console.feed(b"fault: x\n"), [text("fault: x\n"), text("  in main\n")]);
    }

    #[test]
    fn a_terminal_gets_colours_and_nothing_worse() {
        let mut console = Console::new(true, Box::new(NoSymbols));
        assert_eq!(
            console.feed(b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07 \x1b[2J\xff\n"),
            [text("\x1b[1;31mred\x1b[0m \u{fffd}]0;title\u{fffd} \u{fffd}[2J\u{fffd}\n")]
        );
        let mut file = Console::new(false, Box::new(NoSymbols));
        assert_eq!(file.feed(b"\x1b[2J\n"), [text("\x1b[2J\n")]);
    }

    #[test]
    fn endless_lines_are_shown_in_pieces() {
        let mut console = Console::new(false, Box::new(NoSymbols));
        let events = console.feed(&vec![b'x'; LONGEST * 2 + 1]);
        assert_eq!(events.len(), 2);
    }
}
