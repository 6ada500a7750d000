//! From groups to lines: what stays on one line, and what takes several.

use super::columns::Line;
use super::tree::{Comment, Entry, Group, Item, ItemKind, Piece};
use super::{INDENT, WIDTH};

/// The lines of a file.
pub fn lines<'a>(file: &Group<'a>) -> Vec<Line<'a>> {
    let mut layout = Layout { lines: Vec::new() };
    layout.items(&file.items, 0, "");
    layout.lines
}

struct Layout<'a> {
    lines: Vec<Line<'a>>,
}

impl<'a> Layout<'a> {
    /// Items on lines of their own; behind each entry stands `mark`.
    fn items(&mut self, items: &[Item<'a>], depth: usize, mark: &str) {
        for item in items {
            if item.blank {
                self.lines.push(Line::default());
            }
            match &item.kind {
                ItemKind::Comments(comments) => {
                    let text = on_their_own(comments, depth * INDENT);
                    self.lines.push(Line { depth, text, ..Line::default() });
                }
                ItemKind::Entry(entry) => {
                    let first = self.lines.len();
                    self.entry(entry, depth, mark);
                    self.lines[first].declares = declares(entry);
                }
            }
        }
    }

    fn entry(&mut self, entry: &Entry<'a>, depth: usize, mark: &str) {
        let room = (WIDTH - mark.len()).saturating_sub(depth * INDENT);
        let breaks = breaks(entry, room);
        let stays = !breaks && entry.block.as_ref().is_none_or(|block| block.flat || block.is_empty());
        let whole = Flat::within(room, |flat| {
            flat.head(entry);
            flat.block(entry);
        });
        if let Some(whole) = whole.filter(|_| stays) {
            self.end(whole, entry, depth, mark, true);
            return;
        }
        let mut text = String::new();
        if breaks {
            text = Flat::unbounded(|flat| flat.comments(&entry.lead));
            for piece in &entry.head {
                if !(text.is_empty() || piece.is_tight()) {
                    text.push(' ');
                }
                match piece {
                    Piece::List(list) if !list.is_empty() => {
                        text.push('[');
                        self.inner(&mut text, list, depth, ",");
                        text.push(']');
                    }
                    _ => text.push_str(&Flat::unbounded(|flat| flat.piece(piece))),
                }
            }
        } else {
            text.push_str(&Flat::unbounded(|flat| flat.head(entry)));
        }
        match &entry.block {
            Some(block) if block.is_empty() => text.push_str(" { }"),
            Some(block) => {
                text.push_str(" {");
                self.inner(&mut text, block, depth, "");
                text.push('}');
            }
            None => {}
        }
        self.end(text, entry, depth, mark, false);
    }

    /// Ends the line `text` behind a brace or bracket, and writes what stands up to the other.
    fn inner(&mut self, text: &mut String, group: &Group<'a>, depth: usize, mark: &str) {
        let (text, comment) = (std::mem::take(text), joined(&group.open));
        self.lines.push(Line { depth, text, comment, ..Line::default() });
        self.items(&group.items, depth + 1, mark);
    }

    /// Writes the last line of an entry; `whole` if it is the only one.
    fn end(&mut self, mut text: String, entry: &Entry<'a>, depth: usize, mark: &str, whole: bool) {
        let aligns = whole && !text.contains('\n');
        text.push_str(mark);
        self.lines.push(Line { depth, text, comment: joined(&entry.trail), aligns, declares: None });
    }
}

/// Whether the lists in the head of an entry take several lines: then all do.
fn breaks(entry: &Entry<'_>, room: usize) -> bool {
    let lists = || {
        entry.head.iter().filter_map(|piece| match piece {
            Piece::List(list) if !list.is_empty() => Some(list),
            _ => None,
        })
    };
    let brace = if entry.block.is_some() { " {".len() } else { 0 };
    lists().any(|list| !list.flat)
        || lists().next().is_some()
            && Flat::within(room.saturating_sub(brace), |flat| flat.head(entry)).is_none()
}

/// What `KIND NAME = …` declares: the kind, and where the `=` stands.
fn declares<'a>(entry: &Entry<'a>) -> Option<(&'a str, usize)> {
    match entry.head.as_slice() {
        [Piece::Word(kind), Piece::Word(name), Piece::Word("="), ..] if entry.lead.is_empty() => {
            Some((*kind, kind.chars().count() + name.chars().count() + 2))
        }
        _ => None,
    }
}

/// Text on one line, as far as there is room.
struct Flat {
    text: String,
    /// How many characters may still come.
    room: usize,
    /// Something found no room.
    over: bool,
}

impl Flat {
    fn within(room: usize, fill: impl FnOnce(&mut Flat)) -> Option<String> {
        let mut flat = Flat { text: String::new(), room, over: false };
        fill(&mut flat);
        (!flat.over).then_some(flat.text)
    }

    fn unbounded(fill: impl FnOnce(&mut Flat)) -> String {
        Flat::within(usize::MAX, fill).unwrap_or_default()
    }

    fn push(&mut self, text: &str) {
        // A character has at most four bytes: a long text isn't counted to see that it is long.
        let length = if text.len() / 4 > self.room { usize::MAX } else { text.chars().count() };
        self.over |= length > self.room;
        if !self.over {
            self.room -= length;
            self.text.push_str(text);
        }
    }

    fn comments(&mut self, comments: &[Comment<'_>]) {
        for (number, comment) in comments.iter().enumerate() {
            if number > 0 {
                self.push(" ");
            }
            self.push(&verbatim(comment));
        }
    }

    fn head(&mut self, entry: &Entry<'_>) {
        self.comments(&entry.lead);
        for (number, piece) in entry.head.iter().enumerate() {
            if (number > 0 || !entry.lead.is_empty()) && !piece.is_tight() {
                self.push(" ");
            }
            self.piece(piece);
            if self.over {
                return;
            }
        }
    }

    fn piece(&mut self, piece: &Piece<'_>) {
        match piece {
            Piece::Word(text) | Piece::Tight(text) => self.push(text),
            Piece::Comment(comment) => self.push(&verbatim(comment)),
            Piece::List(list) => {
                self.push("[");
                self.items(list, ", ");
                self.push("]");
            }
        }
    }

    fn block(&mut self, entry: &Entry<'_>) {
        let Some(block) = &entry.block else { return };
        self.push(" { ");
        self.items(block, "; ");
        self.push(if block.items.is_empty() { "}" } else { " }" });
    }

    fn items(&mut self, group: &Group<'_>, separator: &str) {
        for (number, item) in group.items.iter().enumerate() {
            if number > 0 {
                self.push(separator);
            }
            match &item.kind {
                ItemKind::Comments(comments) => self.comments(comments),
                ItemKind::Entry(entry) => {
                    self.head(entry);
                    self.block(entry);
                    for comment in &entry.trail {
                        self.push(" ");
                        self.push(&verbatim(comment));
                    }
                }
            }
            if self.over {
                return;
            }
        }
    }
}

/// Comments on lines of their own, from `column` on: what follows in a comment of several
/// lines moves with its begin.
fn on_their_own(comments: &[Comment<'_>], column: usize) -> String {
    let mut text = String::new();
    for (number, comment) in comments.iter().enumerate() {
        if number > 0 {
            text.push(' ');
            text.push_str(&verbatim(comment));
            continue;
        }
        for (number, line) in lines_of(comment).enumerate() {
            if number > 0 {
                text.push('\n');
                let blanks =
                    line.bytes().take(comment.column).take_while(|byte| b" \t".contains(byte)).count();
                let rest = &line[blanks..];
                if !rest.is_empty() {
                    text.extend(std::iter::repeat_n(' ', column));
                }
                text.push_str(rest);
            } else {
                text.push_str(line);
            }
        }
    }
    text
}

fn joined(comments: &[Comment<'_>]) -> String {
    Flat::unbounded(|flat| flat.comments(comments))
}

fn verbatim(comment: &Comment<'_>) -> String {
    lines_of(comment).collect::<Vec<_>>().join("\n")
}

fn lines_of<'a>(comment: &Comment<'a>) -> impl Iterator<Item = &'a str> {
    comment.text.split('\n').map(|line| line.trim_end_matches([' ', '\t', '\r']))
}
