//! Where the cursor is, in a text that need not be right: in which blocks, behind which words.

use std::ops::Range;

use crate::lexer::{self, Kind, Token};

/// The surroundings of a cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The heads of the blocks around it, the outermost first.
    pub heads: Vec<Vec<Token>>,
    /// What stands before it in its own entry, without the word that it is in.
    pub before: Vec<Token>,
    /// The word or string that it is in or directly behind; empty where it is in none.
    pub word: Range<usize>,
    /// Whether that is a string; then without its quotes.
    pub in_string: bool,
    /// Whether that string has an end.
    pub closed: bool,
    /// How many lists are open.
    pub lists: usize,
    /// Whether it is in a comment.
    pub in_comment: bool,
    /// The bytes of the blocks' keys that are written before and after it in its block.
    pub siblings: Vec<Range<usize>>,
}

struct Frame {
    head: Vec<Token>,
    indent: usize,
    /// The first words of the entries.
    keys: Vec<Range<usize>>,
}

impl Cursor {
    /// The surroundings of byte `at` of `text`.
    pub fn at(text: &str, tokens: &[Token], at: usize) -> Cursor {
        let count = |kind| tokens.iter().filter(|token| token.kind == kind).count();
        let damaged = count(Kind::Open) != count(Kind::Close);
        let mut frames = vec![Frame { head: Vec::new(), indent: 0, keys: Vec::new() }];
        let mut current: Vec<Token> = Vec::new();
        let mut lists = 0usize;
        let mut cursor = Cursor { word: at..at, ..Cursor::default() };
        let mut index = 0;
        while let Some(token) = tokens.get(index).filter(|token| token.range.start < at) {
            let inside = token.range.end >= at;
            match token.kind {
                Kind::Comment | Kind::Doc if inside => cursor.in_comment = true,
                Kind::Block if token.range.end > at => cursor.in_comment = true,
                Kind::Comment | Kind::Doc | Kind::Block => {}
                Kind::Newline if lists == 0 => current.clear(),
                Kind::Newline => {}
                Kind::Separator => (current, lists) = (Vec::new(), 0),
                Kind::Open => {
                    let indent = lexer::indent(text, token.range.start);
                    frames.push(Frame { head: std::mem::take(&mut current), indent, keys: Vec::new() });
                    lists = 0;
                }
                Kind::Close => {
                    if frames.len() > 1 {
                        frames.pop();
                    }
                    (current, lists) = (Vec::new(), 0);
                }
                Kind::Word | Kind::Sign | Kind::String { .. } | Kind::ListOpen | Kind::ListClose => {
                    let indent = lexer::indent(text, token.range.start);
                    if current.is_empty() {
                        leave(&mut frames, damaged, text, token, indent);
                        if let Some(frame) = frames.last_mut() {
                            frame.keys.push(token.range.clone());
                        }
                    }
                    match token.kind {
                        Kind::ListOpen if closes(&tokens[index + 1..]) => lists += 1,
                        Kind::ListClose => lists = lists.saturating_sub(1),
                        Kind::Word if inside => cursor.word = token.range.clone(),
                        Kind::String { closed } if token.range.end > at || inside && !closed => {
                            cursor.word = token.range.start + 1..token.range.end - usize::from(closed);
                            (cursor.in_string, cursor.closed) = (true, closed);
                        }
                        _ => {}
                    }
                    if cursor.word.is_empty() && !cursor.in_string || cursor.word.end < token.range.start {
                        current.push(token.clone());
                    }
                }
            }
            index += 1;
        }
        if current.is_empty() && cursor.word.is_empty() && !cursor.in_string {
            // A new entry, at the end of a line that may be indented less than the block.
            let blank = Token { kind: Kind::Word, range: at..at };
            let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
            if text[line..at].trim().is_empty() && at > line {
                leave(&mut frames, damaged, text, &blank, at - line);
            }
        }
        let mut siblings = frames.last_mut().map(|frame| std::mem::take(&mut frame.keys)).unwrap_or_default();
        let own = current.first().map(|first| first.range.clone());
        siblings.retain(|key| Some(key) != own.as_ref() && !(key.start <= at && at <= key.end));
        siblings.extend(following(text, &tokens[index.min(tokens.len())..], current.is_empty()));
        cursor.heads = frames.into_iter().skip(1).map(|frame| frame.head).collect();
        cursor.before = current;
        cursor.lists = lists;
        cursor.siblings = siblings;
        cursor
    }
}

/// Leaves the blocks that a line isn't in, by its indentation, where braces are missing.
fn leave(frames: &mut Vec<Frame>, damaged: bool, text: &str, token: &Token, indent: usize) {
    let line = text[..token.range.start].rfind('\n').map_or(0, |newline| newline + 1);
    if !damaged || !text[line..token.range.start].trim().is_empty() {
        return;
    }
    while frames.len() > 1 && frames.last().is_some_and(|frame| indent <= frame.indent) {
        frames.pop();
    }
}

/// Whether a list that has begun ends within its entry.
fn closes(rest: &[Token]) -> bool {
    let mut depth = 1;
    for token in rest {
        match token.kind {
            Kind::ListOpen => depth += 1,
            Kind::ListClose if depth == 1 => return true,
            Kind::ListClose => depth -= 1,
            Kind::Open | Kind::Close | Kind::Separator => return false,
            _ => {}
        }
    }
    false
}

/// The keys of the entries that follow in the same block.
fn following(text: &str, rest: &[Token], at_start: bool) -> Vec<Range<usize>> {
    let mut keys = Vec::new();
    let mut depth = 0;
    // The rest of the cursor's own line is its entry's.
    let mut begins = false;
    let mut own = at_start;
    for token in rest {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close if depth == 0 => break,
            Kind::Close => depth -= 1,
            Kind::Separator | Kind::Newline => {
                (begins, own) = (depth == 0, false);
                continue;
            }
            Kind::Word if depth == 0 && begins && !own && !text[token.range.clone()].is_empty() => {
                keys.push(token.range.clone());
            }
            _ => {}
        }
        begins = false;
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let at = text.find('|').expect("a cursor");
        let text = text.replacen('|', "", 1);
        let cursor = Cursor::at(&text, &lexer::tokens(&text), at);
        let words = |tokens: &[Token]| {
            tokens.iter().map(|token| &text[token.range.clone()]).collect::<Vec<_>>().join(" ")
        };
        let heads: Vec<String> = cursor.heads.iter().map(|head| words(head)).collect();
        let siblings: Vec<&str> = cursor.siblings.iter().map(|key| &text[key.clone()]).collect();
        format!(
            "{} > {} > {}{}{}; {}",
            heads.join(" > "),
            words(&cursor.before),
            &text[cursor.word.clone()],
            if cursor.in_string { " (string)" } else { "" },
            if cursor.in_comment { " (comment)" } else { "" },
            siblings.join(" ")
        )
    }

    #[test]
    fn knows_blocks_entry_and_word() {
        assert_eq!(shown("|"), " >  > ; ");
        assert_eq!(shown("appliance a {\n    mem|\n    cpu x\n}"), "appliance a >  > mem; cpu");
        assert_eq!(
            shown("appliance a {\n service s = http on lan {\n  port 80\n  files from | \n } }"),
            "appliance a > service s = http on lan > files from > ; port"
        );
        assert_eq!(shown("a { b [1, |2] }"), "a > b [ 1 , > ; ");
        assert_eq!(shown("a \"x|y\""), " > a > xy (string); ");
        assert_eq!(shown("a \"xy\"|"), " > a \"xy\" > ; ");
        assert_eq!(shown("a \"x|"), " > a > x (string); ");
        assert_eq!(shown("a 1 // x|"), " > a 1 >  (comment); ");
        assert_eq!(shown("when $x == |"), " > when $x == > ; ");
        assert_eq!(shown("x $|"), " > x > $; ");
    }

    #[test]
    fn goes_by_the_indentation_where_braces_are_missing() {
        let text = "appliance a {\n    service s = http on lan {\n        port 80\n    device n|\n}\n";
        assert_eq!(shown(text), "appliance a > device > n; service");
        let text = "appliance a {\n    service s = http on lan {\n        port 80\n    |\n}\n";
        assert_eq!(shown(text), "appliance a >  > ; service");
        assert_eq!(shown("appliance a {\n    b [1, \n    c |\n}"), "appliance a > c > ; b");
    }
}
