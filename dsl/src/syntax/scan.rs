//! Finds entries and blocks: a lexer and a brace matcher, both linear.
//!
//! When braces don't match, a second pass goes by the indentation to tell which block
//! was left open, so that what follows it still stands where it belongs.

use std::ops::Range;

use unik_catalogue::value::Place;

use super::MAX_DEPTH;
use crate::diagnostic::{Diagnostic, Fix, codes};

/// Entries and blocks of a text.
#[derive(Debug, Default)]
pub struct Layout {
    /// The entries outside of all blocks.
    pub entries: Vec<RawEntry>,
    /// Whether braces didn't match.
    pub damaged: bool,
}

/// One entry: where its head is, and what is in its block.
#[derive(Debug)]
pub struct RawEntry {
    /// The doc comments before it.
    pub docs: Vec<Range<usize>>,
    /// The head: from its first to its last token.
    pub head: Range<usize>,
    /// The entries in its block, if it has one.
    pub body: Option<Vec<RawEntry>>,
    /// Where it ends, with its block; `None` where that had no end.
    pub end: Option<usize>,
    /// Something in the head was reported already: don't parse it.
    pub broken: bool,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string, or a run of anything else that is none of the others.
    Text,
    /// Text that was reported.
    Broken,
    /// A doc comment.
    Doc,
    /// Another comment.
    Comment,
    Open,
    Close,
    ListOpen,
    ListClose,
    Separator,
    Newline,
}

/// One token, and the bytes that it takes.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// Scans `text`; never fails, and takes time linear in its length.
pub fn scan(text: &str, source: usize, diagnostics: &mut Vec<Diagnostic>) -> Layout {
    let mut tokens = tokens(text, source, diagnostics);
    tokens.retain(|token| token.kind != Kind::Comment);
    match_lists(&mut tokens, source, diagnostics);
    let mut trial = Vec::new();
    let layout = Builder::new(text, source, false).build(&tokens, &mut trial);
    if !layout.damaged {
        diagnostics.append(&mut trial);
        return layout;
    }
    let mut layout = Builder::new(text, source, true).build(&tokens, diagnostics);
    layout.damaged = true;
    layout
}

/// All that `text` is made of but blanks.
pub fn tokens(text: &str, source: usize, diagnostics: &mut Vec<Diagnostic>) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    // The last token that is no comment.
    let mut before: Option<Kind> = None;
    // A byte order mark belongs to no entry.
    let mut at = if text.starts_with('\u{feff}') { 3 } else { 0 };
    // Comments as other languages have them; the first is told of.
    let mut foreign: Vec<Range<usize>> = Vec::new();
    let mut marked = Vec::new();
    let mut error = |start: usize, end: usize, message: &str, label: &str| {
        let place = Place { source, start, end };
        diagnostics.push(Diagnostic::error(codes::UNCLOSED, place, message).label(label));
    };
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at += 1;
        let kind = match byte {
            b' ' | b'\t' | b'\r' => continue,
            b'\n' => Kind::Newline,
            b';' if foreign_comment(&text[start..], before).is_none() => Kind::Separator,
            b'{' => Kind::Open,
            b'}' => Kind::Close,
            b'[' => Kind::ListOpen,
            b']' => Kind::ListClose,
            b'"' => {
                let mut closed = false;
                while let Some(&byte) = bytes.get(at) {
                    match byte {
                        b'\n' => break,
                        b'\\' if bytes.get(at + 1).is_some_and(|&next| next != b'\n') => at += 1,
                        b'"' => closed = true,
                        _ => {}
                    }
                    at += 1;
                    if closed {
                        break;
                    }
                }
                if !closed {
                    error(start, start + 1, "a string is not closed", "opened here, and the line ends");
                }
                marks(text, start..at, source, &mut marked);
                if closed { Kind::Text } else { Kind::Broken }
            }
            b'/' if bytes.get(at) == Some(&b'/') => {
                at = text[at..].find('\n').map_or(text.len(), |length| at + length);
                marks(text, start..at, source, &mut marked);
                let is_doc = text[start..at].starts_with("///") && !text[start..at].starts_with("////");
                if is_doc { Kind::Doc } else { Kind::Comment }
            }
            b'/' if bytes.get(at) == Some(&b'*') => {
                let (end, problem) = block_comment(bytes, start);
                at = end;
                marks(text, start..at, source, &mut marked);
                match problem {
                    None => Kind::Comment,
                    Some(message) => {
                        error(start, start + 2, message, "opened here");
                        Kind::Broken
                    }
                }
            }
            _ if let Some(mark) = foreign_comment(&text[start..], before) => {
                foreign.push(start..start + mark);
                at = text[at..].find('\n').map_or(text.len(), |length| at + length);
                continue;
            }
            _ => {
                while let Some(&byte) = bytes.get(at) {
                    let ends = b" \t\r\n;{}[]\"".contains(&byte)
                        || byte == b'/' && matches!(bytes.get(at + 1), Some(b'/' | b'*'));
                    if ends {
                        break;
                    }
                    at += 1;
                }
                Kind::Text
            }
        };
        tokens.push(Token { kind, start, end: at });
        if kind != Kind::Comment {
            before = Some(kind);
        }
    }
    diagnostics.append(&mut marked);
    if let Some(mark) = foreign.first() {
        let found = &text[mark.clone()];
        let place = |mark: &Range<usize>| Place { source, start: mark.start, end: mark.end };
        let message = format!("`{found}` doesn't begin a comment; `//` does");
        let fix = foreign.iter().fold(Fix::certain("write"), |fix, mark| fix.replace(place(mark), "//"));
        let diagnostic = Diagnostic::error(codes::SYNTAX, place(mark), message).fix(fix);
        let count = foreign.len();
        diagnostics.push(match count {
            1 => diagnostic,
            2 => diagnostic.help("and so on one more line"),
            _ => diagnostic.help(format!("and so on {} more lines", count - 1)),
        });
    }
    tokens
}

/// The length of what begins a comment in other languages, at the start of `rest`. None of it
/// begins a key or a value of this one.
fn foreign_comment(rest: &str, before: Option<Kind>) -> Option<usize> {
    let first = before.is_none_or(|kind| kind == Kind::Newline);
    if rest.starts_with('#') {
        return Some(rest.find(|c| c != '#').unwrap_or(rest.len()));
    }
    if rest.starts_with("--") {
        return Some(2);
    }
    if rest.starts_with("<!--") {
        return Some(4);
    }
    // Where a line begins with it, `;` ends no entry.
    let said = rest.trim_start_matches(';').trim_start_matches([' ', '\t']);
    (first && rest.starts_with(';') && said.starts_with(|c: char| c.is_alphabetic())).then_some(1)
}

/// Reports marks of direction in a string or comment: with them a text can be shown in another
/// order than it is read in (CVE-2021-42574). Elsewhere each entry tells of its own. One in
/// each is enough.
fn marks(text: &str, range: Range<usize>, source: usize, diagnostics: &mut Vec<Diagnostic>) {
    let is_mark = |c: &char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let Some((at, mark)) = text[range.clone()].char_indices().find(|(_, c)| is_mark(c)) else { return };
    let (start, number) = (range.start + at, u32::from(mark));
    let place = Place { source, start, end: start + mark.len_utf8() };
    let message = format!("there is a U+{number:04X} (mark of direction) here");
    let diagnostic = Diagnostic::error(codes::INVISIBLE, place, message)
        .label("it isn't seen, and what follows may be shown in another order than it is read in");
    diagnostics.push(if text[range].starts_with('"') {
        diagnostic.help(format!("where it is meant, write `\\u{{{number:X}}}`"))
    } else {
        diagnostic.help("leave it out")
    });
}

/// The end of the block comment at `start`, and what is wrong with it.
fn block_comment(bytes: &[u8], start: usize) -> (usize, Option<&'static str>) {
    let mut depth = 1;
    let mut deepest = 1;
    let mut at = start + 2;
    while depth > 0 {
        match bytes.get(at..at + 2) {
            None => return (bytes.len(), Some("a block comment is not closed")),
            Some(b"/*") => {
                depth += 1;
                deepest = deepest.max(depth);
                at += 2;
            }
            Some(b"*/") => {
                depth -= 1;
                at += 2;
            }
            Some(_) => at += 1,
        }
    }
    (at, (deepest > MAX_DEPTH).then_some("block comments nest deeper than 64"))
}

/// Reports brackets without a partner and makes text of them, so that a newline counts
/// again: a list ends with the entry at the latest. Of several in one entry only the first,
/// or the outermost, is reported.
fn match_lists(tokens: &mut [Token], source: usize, diagnostics: &mut Vec<Diagnostic>) {
    let mut open: Vec<usize> = Vec::new();
    // Those that nest too deep, and are open.
    let mut beyond = 0usize;
    let mut lonely: Vec<usize> = Vec::new();
    let mut said: Vec<(usize, &str)> = Vec::new();
    let mut quiet = false;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::ListOpen if open.len() == MAX_DEPTH => {
                if beyond == 0 && !quiet {
                    said.push((at, "lists nest deeper than 64"));
                    quiet = true;
                }
                beyond += 1;
                lonely.push(at);
            }
            Kind::ListOpen => open.push(at),
            Kind::ListClose if beyond > 0 => {
                beyond -= 1;
                lonely.push(at);
            }
            Kind::ListClose if open.pop().is_none() => {
                if !quiet {
                    said.push((at, "this `]` closes nothing"));
                    quiet = true;
                }
                lonely.push(at);
            }
            Kind::Open | Kind::Close | Kind::Separator => {
                unclosed(&mut open, quiet, &mut lonely, &mut said);
                (beyond, quiet) = (0, false);
            }
            Kind::Newline if open.is_empty() => quiet = false,
            _ => {}
        }
    }
    unclosed(&mut open, quiet, &mut lonely, &mut said);
    for at in lonely {
        tokens[at].kind = Kind::Broken;
    }
    for (at, message) in said {
        let place = Place { source, start: tokens[at].start, end: tokens[at].end };
        diagnostics.push(Diagnostic::error(codes::UNCLOSED, place, message));
    }
}

/// What is open where an entry ends.
fn unclosed(open: &mut Vec<usize>, quiet: bool, lonely: &mut Vec<usize>, said: &mut Vec<(usize, &str)>) {
    said.extend(open.first().filter(|_| !quiet).map(|&at| (at, "a list is not closed")));
    lonely.append(open);
}

struct Frame {
    /// The entries before the block that is open now.
    outer: Vec<RawEntry>,
    /// The entry whose block is open.
    entry: RawEntry,
    brace: usize,
    /// The indentation of the line with the brace, and the number of that line's token.
    indent: usize,
    line: usize,
}

struct Builder<'a> {
    text: &'a str,
    source: usize,
    by_indent: bool,
    frames: Vec<Frame>,
    entries: Vec<RawEntry>,
    head: Option<RawEntry>,
    docs: Vec<Range<usize>>,
    /// Blocks that are open beyond the limit.
    beyond: usize,
    damaged: bool,
    /// A block has just ended, and its line hasn't.
    after_block: bool,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str, source: usize, by_indent: bool) -> Self {
        Builder {
            text,
            source,
            by_indent,
            frames: Vec::new(),
            entries: Vec::new(),
            head: None,
            docs: Vec::new(),
            beyond: 0,
            damaged: false,
            after_block: false,
        }
    }

    fn place(&self, start: usize, end: usize) -> Place {
        Place { source: self.source, start, end }
    }

    fn build(mut self, tokens: &[Token], diagnostics: &mut Vec<Diagnostic>) -> Layout {
        let (mut line, mut line_start, mut indent, mut first, mut lists) = (0, 0, 0, true, 0usize);
        for token in tokens {
            if token.kind == Kind::Newline {
                (line, line_start, first) = (line + 1, token.end, true);
                self.after_block &= lists > 0;
                if lists == 0 {
                    self.flush();
                }
                continue;
            }
            if first {
                indent = token.start - line_start;
                first = false;
                if self.by_indent && self.head.is_none() && token.kind != Kind::Doc && self.beyond == 0 {
                    self.close_by_indent(indent, token, diagnostics);
                }
            }
            if self.beyond > 0 {
                match token.kind {
                    Kind::Open => self.beyond += 1,
                    Kind::Close => self.beyond -= 1,
                    _ => {}
                }
                continue;
            }
            match token.kind {
                Kind::Newline | Kind::Comment => {}
                Kind::Doc => {
                    if self.head.is_none() {
                        self.docs.push(token.start..token.end);
                    }
                }
                Kind::Separator => {
                    self.flush();
                    self.after_block = false;
                }
                Kind::Open => self.open(token, indent, line, diagnostics),
                Kind::Close => {
                    self.flush();
                    let stray = self.frames.last().is_none_or(|frame| {
                        // Out of line with the block it would close: one brace too many.
                        self.by_indent
                            && indent > frame.indent
                            && line > frame.line
                            && self.alone(token, line_start)
                    });
                    if stray {
                        self.damaged = true;
                        let place = self.place(token.start, token.end);
                        diagnostics.push(
                            Diagnostic::error(codes::STRAY_BRACE, place, "this `}` closes nothing").suggest(
                                "leave it out",
                                place,
                                "",
                            ),
                        );
                    } else {
                        self.pop(Some(token.end));
                        self.after_block = true;
                    }
                }
                Kind::Text | Kind::Broken | Kind::ListOpen | Kind::ListClose => {
                    match token.kind {
                        Kind::ListOpen => lists += 1,
                        Kind::ListClose => lists = lists.saturating_sub(1),
                        _ => {}
                    }
                    let follows = std::mem::take(&mut self.after_block) && self.head.is_none();
                    if follows && token.kind != Kind::Broken {
                        self.follows_block(token, diagnostics);
                    }
                    let docs = &mut self.docs;
                    let head = self.head.get_or_insert_with(|| RawEntry {
                        docs: std::mem::take(docs),
                        head: token.start..token.end,
                        body: None,
                        end: None,
                        broken: false,
                    });
                    head.head.end = token.end;
                    head.end = Some(token.end);
                    head.broken |= follows || token.kind == Kind::Broken;
                }
            }
        }
        self.flush();
        while let Some(frame) = self.frames.last() {
            let place = self.place(frame.brace, frame.brace + 1);
            diagnostics.push(
                Diagnostic::error(codes::UNCLOSED, place, "this block is not closed")
                    .label("no `}` for this `{`")
                    .fix(Fix::maybe("close it at the end").insert(
                        self.source,
                        self.text.len(),
                        if self.text.ends_with('\n') { "}\n" } else { "\n}\n" },
                    )),
            );
            self.damaged = true;
            self.pop(None);
        }
        Layout { entries: self.entries, damaged: self.damaged }
    }

    /// Reports an entry on the line on which the block before it ends.
    fn follows_block(&self, token: &Token, diagnostics: &mut Vec<Diagnostic>) {
        let place = self.place(token.start, token.end);
        let found = &self.text[token.start..token.end];
        let diagnostic =
            Diagnostic::error(codes::SYNTAX, place, "a new line or a `;` is missing after the block");
        diagnostics.push(match found {
            "on" => diagnostic.help("`on` stands before the block: `KIND NAME = COMPONENT on WIRES { … }`"),
            "else" => diagnostic.help("there is no `else`: `when target != process { … }` is the other case"),
            _ => {
                let before = self.text[..token.start].trim_end_matches([' ', '\t']);
                let line = before.rfind('\n').map_or(0, |at| at + 1);
                let indent = before[line..].len() - before[line..].trim_start().len();
                let fix = Fix::certain("begin a new line").replace(
                    self.place(before.len(), token.start),
                    format!("\n{}", &before[line..line + indent]),
                );
                diagnostic.fix(fix)
            }
        });
    }

    /// Ends the entry that is being read.
    fn flush(&mut self) {
        self.entries.extend(self.head.take());
    }

    fn open(&mut self, token: &Token, indent: usize, line: usize, diagnostics: &mut Vec<Diagnostic>) {
        // On a line of its own, as other languages have it: what it belongs to is plain.
        let text = self.text;
        let before = self.entries.last().filter(|_| self.head.is_none());
        if before.is_some_and(|it| {
            it.body.is_none() && text[it.head.end..token.start].bytes().all(|byte| byte.is_ascii_whitespace())
        }) {
            self.head = self.entries.pop();
            let end = self.head.as_ref().map_or(token.start, |head| head.head.end);
            let place = self.place(token.start, token.end);
            diagnostics.push(
                Diagnostic::error(codes::SYNTAX, place, "this `{` stands on a line of its own").fix(
                    Fix::certain("a new line ends an entry: put the `{` behind what it belongs to")
                        .replace(self.place(end, token.start), " "),
                ),
            );
        }
        let docs = &mut self.docs;
        let entry = self.head.take().unwrap_or_else(|| RawEntry {
            docs: std::mem::take(docs),
            head: token.start..token.start,
            body: None,
            end: None,
            broken: false,
        });
        if self.frames.len() == MAX_DEPTH {
            let place = self.place(token.start, token.end);
            diagnostics.push(Diagnostic::error(codes::TOO_DEEP, place, "blocks nest deeper than 64"));
            self.beyond = 1;
            return;
        }
        let outer = std::mem::take(&mut self.entries);
        self.frames.push(Frame { outer, entry, brace: token.start, indent, line });
    }

    /// Closes the innermost block.
    fn pop(&mut self, end: Option<usize>) {
        if let Some(mut frame) = self.frames.pop() {
            let inner = std::mem::replace(&mut self.entries, frame.outer);
            frame.entry.body = Some(inner);
            frame.entry.end = end;
            self.entries.push(frame.entry);
            self.docs.clear();
        }
    }

    /// Closes the blocks that, by the indentation of this line, should have ended.
    fn close_by_indent(&mut self, indent: usize, token: &Token, diagnostics: &mut Vec<Diagnostic>) {
        while let Some(frame) = self.frames.last() {
            let ends = if token.kind == Kind::Close { indent < frame.indent } else { indent <= frame.indent };
            if !ends {
                break;
            }
            let brace = self.place(frame.brace, frame.brace + 1);
            let here = self.place(token.start, token.end);
            diagnostics.push(
                Diagnostic::error(codes::UNCLOSED, brace, "this block is not closed")
                    .label("no `}` for this `{`")
                    .and(here, "by the indentation, it should end before this")
                    .fix(Fix::maybe("close it there").insert(
                        self.source,
                        token.start - indent,
                        format!("{}}}\n", " ".repeat(frame.indent)),
                    )),
            );
            self.damaged = true;
            self.pop(None);
        }
    }

    /// Whether nothing but space stands before `token` on its line.
    fn alone(&self, token: &Token, line_start: usize) -> bool {
        self.text[line_start..token.start].bytes().all(|byte| byte.is_ascii_whitespace())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(text: &str) -> (String, Vec<&'static str>) {
        fn show(text: &str, entries: &[RawEntry]) -> String {
            let shown: Vec<String> = entries
                .iter()
                .map(|entry| {
                    let head = &text[entry.head.clone()];
                    entry.body.as_ref().map_or(head.into(), |body| format!("{head}{{{}}}", show(text, body)))
                })
                .collect();
            shown.join("|")
        }
        let mut diagnostics = Vec::new();
        let layout = scan(text, 0, &mut diagnostics);
        (show(text, &layout.entries), diagnostics.iter().map(|d| d.code.as_str()).collect())
    }

    #[test]
    fn entries_and_blocks() {
        let (shown, codes) = heads("a 1; b [1,\n 2] // c {\nd { e \"}\"; f { } }; /* { */ g /* \n */ h\n");
        assert_eq!(shown, "a 1|b [1,\n 2]|d{e \"}\"|f{}}|g /* \n */ h");
        assert!(codes.is_empty());
    }

    #[test]
    fn an_open_block_ends_where_the_indentation_says() {
        let (shown, codes) = heads("a {\n    b {\n        c\n    d { }\n}\ne\n");
        assert_eq!(shown, "a{b{c}|d{}}|e");
        assert_eq!(codes, ["U0102"]);
    }

    #[test]
    fn a_brace_too_many_closes_nothing_that_it_should_not() {
        let (shown, codes) = heads("a {\n    b {\n    }\n    }\n    c\n}\n");
        assert_eq!(shown, "a{b{}|c}");
        assert_eq!(codes, ["U0103"]);
    }

    #[test]
    fn strings_lists_and_comments_that_do_not_close() {
        assert_eq!(heads("a \"x\nb 1").0, "a \"x|b 1");
        assert_eq!(heads("a [1, 2\nb 1\n").0, "a [1, 2|b 1");
        assert_eq!(heads("a ]\nb 1\n").1, ["U0102"]);
        assert_eq!(heads("a\n/* b").1, ["U0102"]);
    }

    #[test]
    fn a_brace_on_a_line_of_its_own() {
        assert_eq!(heads("a\n{\n  b\n  {\n c }\n}\n"), ("a{b{c}}".into(), vec!["U0101"; 2]));
        // Behind a `;` it belongs to nothing; that is for the parser to tell.
        assert_eq!(heads("a;\n{\n}\n").1, Vec::<&str>::new());
    }

    #[test]
    fn comments_of_other_languages_are_told_once() {
        for text in [
            "# a { b\nc 1\n  # d\n",
            "c 1 # a {\n",
            "-- a {\nc 1 -- b\n",
            "; a comment\nc 1\n;; another {\n",
            "<!-- a -->\nc 1\n",
            "\t## a\nc 1\n",
        ] {
            assert_eq!(heads(text), ("c 1".into(), vec!["U0101"]), "{text}");
        }
        assert_eq!(heads("a 1; b -5; c \"#\"; d x#y\n;\n{ ; e }\n;").1, Vec::<&str>::new());
    }

    #[test]
    fn marks_of_direction_are_told_of_once_in_each() {
        let text = "a \"\u{202e}\u{2066}\" // \u{202b}\nb /* \u{2069} */ 1\n";
        assert_eq!(heads(text).1, ["U0111"; 3]);
        // Of such languages as are written from the right; and bare ones are the parser's.
        assert_eq!(heads("a \"\u{200f}שלום\" \u{202e}").1, Vec::<&str>::new());
    }

    #[test]
    fn depth_is_bounded() {
        let text = "a {\n".repeat(100) + &"}\n".repeat(100);
        let (_, codes) = heads(&text);
        assert_eq!(codes, ["U0104"]);
        let text = "a {\n".repeat(5_000);
        let (shown, codes) = heads(&text);
        assert_eq!(codes.len(), 5_000);
        assert!(!shown.contains("{a"));
        for brackets in ["[".repeat(100), "[".repeat(60), "]".repeat(100), "[".repeat(100) + &"]".repeat(100)]
        {
            assert_eq!(heads(&format!("a {brackets}")).1, ["U0102"], "{brackets}");
        }
        // One for each entry.
        assert_eq!(heads("a [[;b [[[;c ]]\nd ]").1, ["U0102"; 4]);
        assert_eq!(heads(&format!("a {}{}", "/*".repeat(100), "*/".repeat(100))).1, ["U0102"]);
    }
}
