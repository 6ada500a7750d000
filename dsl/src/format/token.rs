//! The tokens of the scanner, cut as small as the layout needs them.

use crate::syntax::scan::{self, Kind};

/// What a token is to the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A word, value or sign that has blanks around it.
    Word,
    Comma,
    /// A comment to the end of the line, or a block comment.
    Comment,
    /// A doc comment.
    Doc,
    Open,
    Close,
    ListOpen,
    ListClose,
    Separator,
    Newline,
}

/// One token.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    pub shape: Shape,
    pub text: &'a str,
    /// For a comment of several lines, the column that it begins in, from 0.
    pub column: usize,
}

/// The tokens of a text in which the scanner finds nothing wrong.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let scanned = scan::tokens(text, 0, &mut Vec::new());
    let mut tokens = Vec::with_capacity(scanned.len());
    let mut line_start = 0;
    let mut rest = scanned.as_slice();
    while let Some((token, after)) = rest.split_first() {
        let mut column = 0;
        let here = &text[token.start..token.end];
        if let Some(last_line) = here.rfind('\n') {
            if token.kind == Kind::Comment {
                column = text[line_start..token.start].chars().count();
            }
            line_start = token.start + last_line + 1;
        }
        if let Some(end) = endpoint(text, rest) {
            tokens.push(Token { shape: Shape::Word, text: &text[token.start..end], column });
            cut(&text[end..rest[3].end], &mut tokens);
            rest = &rest[4..];
            continue;
        }
        rest = after;
        let shape = match token.kind {
            Kind::Text if !here.starts_with('"') => {
                cut(here, &mut tokens);
                continue;
            }
            Kind::Text | Kind::Broken => Shape::Word,
            Kind::Doc => Shape::Doc,
            Kind::Comment => Shape::Comment,
            Kind::Open => Shape::Open,
            Kind::Close => Shape::Close,
            Kind::ListOpen => Shape::ListOpen,
            Kind::ListClose => Shape::ListClose,
            Kind::Separator => Shape::Separator,
            Kind::Newline => Shape::Newline,
        };
        tokens.push(Token { shape, text: here, column });
    }
    tokens
}

/// The end of the endpoint, such as `[::1]:53`, that `tokens` begin with: no list, though it
/// has brackets.
fn endpoint(text: &str, tokens: &[scan::Token]) -> Option<usize> {
    let [open, address, close, port, ..] = tokens else { return None };
    let kinds = [open.kind, address.kind, close.kind, port.kind];
    let port_text = text[port.start..port.end].strip_prefix(':')?;
    let whole = kinds == [Kind::ListOpen, Kind::Text, Kind::ListClose, Kind::Text]
        && open.end == address.start
        && address.end == close.start
        && close.end == port.start
        && !text[address.start..].starts_with('"');
    let digits = port_text.find(|c: char| !c.is_ascii_digit()).unwrap_or(port_text.len());
    whole.then_some(port.start + 1 + digits)
}

/// Cuts a run of characters at commas, at `=` and its like, and before the `/` of a path in
/// an instance.
fn cut<'a>(run: &'a str, tokens: &mut Vec<Token<'a>>) {
    let mut push = |shape: Shape, text: &'a str| {
        if !text.is_empty() {
            tokens.push(Token { shape, text, column: 0 });
        }
    };
    let mut word = run;
    let mut at = 0;
    while let Some(&byte) = word.as_bytes().get(at) {
        // That of a range stays with its numbers.
        if word[at..].starts_with("..=") {
            at += 3;
            continue;
        }
        let length = match byte {
            b',' => 1,
            b'=' => 1 + usize::from(word[at + 1..].starts_with('=')),
            b'!' | b'<' | b'>' if word[at + 1..].starts_with('=') => 2,
            _ => {
                at += word[at..].chars().next().map_or(1, char::len_utf8);
                continue;
            }
        };
        push(Shape::Word, &word[..at]);
        push(if byte == b',' { Shape::Comma } else { Shape::Word }, &word[at..at + length]);
        word = &word[at + length..];
        at = 0;
    }
    let slash = word.len() - usize::from(word.ends_with('/'));
    push(Shape::Word, &word[..slash]);
    push(Shape::Word, &word[slash..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<&str> {
        tokens(text).iter().map(|token| token.text).collect()
    }

    #[test]
    fn runs_are_cut_where_blanks_go() {
        assert_eq!(shown("let a=b"), ["let", "a", "=", "b"]);
        assert_eq!(shown("[a,b,]"), ["[", "a", ",", "b", ",", "]"]);
        assert_eq!(shown("when $a!=3"), ["when", "$a", "!=", "3"]);
        assert_eq!(shown("image<=4KiB"), ["image", "<=", "4KiB"]);
        assert_eq!(shown("integer 1..=9=3"), ["integer", "1..=9", "=", "3"]);
        assert_eq!(shown("zones/\"a/b=c,d\""), ["zones", "/", "\"a/b=c,d\""]);
        assert_eq!(shown("[[::1]:53,[::2]]"), ["[", "[::1]:53", ",", "[", "::2", "]", "]"]);
        assert_eq!(shown("10.0.0.2/24 µ"), ["10.0.0.2/24", "µ"]);
    }

    #[test]
    fn comments_of_several_lines_know_their_column() {
        let tokens = tokens("a /* é */ /* x\n  */ /* y\n */ b");
        let columns: Vec<usize> = tokens.iter().map(|token| token.column).collect();
        assert_eq!(columns, [0, 0, 10, 5, 0]);
    }
}
