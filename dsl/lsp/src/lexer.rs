//! The words of a text, broken or not: what completion and folding go by, where there is no
//! syntax tree yet. Linear in the text; keeps every byte's place.

use std::ops::Range;

/// A word, or what stands between words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its bytes.
    pub range: Range<usize>,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A word, a number, an address, `$name`: what stands between blanks.
    Word,
    /// A string; an open one ends with its line.
    String {
        /// Whether it ends with a quote.
        closed: bool,
    },
    /// `=`, `==`, `!=`, `<=`, `,`, `:` at the end of a word, `/`
    Sign,
    /// `// …`
    Comment,
    /// `/// …`
    Doc,
    /// `/* … */`
    Block,
    /// `{`
    Open,
    /// `}`
    Close,
    /// `[`
    ListOpen,
    /// `]`
    ListClose,
    /// `;`
    Separator,
    /// The end of a line.
    Newline,
}

/// The tokens of `text` in order.
pub fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = if text.starts_with('\u{feff}') { 3 } else { 0 };
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at += 1;
        let next = bytes.get(at).copied();
        let kind = match byte {
            b' ' | b'\t' | b'\r' => continue,
            b'\n' => Kind::Newline,
            b';' => Kind::Separator,
            b'{' => Kind::Open,
            b'}' => Kind::Close,
            b'[' => Kind::ListOpen,
            b']' => Kind::ListClose,
            b',' => Kind::Sign,
            b'=' | b'!' | b'<' | b'>' if next == Some(b'=') => {
                at += 1;
                Kind::Sign
            }
            b'=' => Kind::Sign,
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
                if !closed && bytes.get(at - 1) == Some(&b'\r') {
                    at -= 1;
                }
                Kind::String { closed }
            }
            b'/' if next == Some(b'/') => {
                at = text[at..].find('\n').map_or(text.len(), |length| at + length);
                if bytes[at - 1] == b'\r' {
                    at -= 1;
                }
                let is_doc = text[start..at].starts_with("///") && !text[start..at].starts_with("////");
                if is_doc { Kind::Doc } else { Kind::Comment }
            }
            b'/' if next == Some(b'*') => {
                at = block_comment(bytes, start);
                Kind::Block
            }
            b'/' => Kind::Sign,
            _ => {
                while let Some(&byte) = bytes.get(at) {
                    let comment = byte == b'/' && matches!(bytes.get(at + 1), Some(b'/' | b'*'));
                    if comment || b" \t\r\n;{}[]\"=,".contains(&byte) {
                        break;
                    }
                    at += 1;
                }
                // `param name: type`
                if at - start > 1 && bytes[at - 1] == b':' && bytes[at - 2] != b':' {
                    tokens.push(Token { kind: Kind::Word, range: start..at - 1 });
                    tokens.push(Token { kind: Kind::Sign, range: at - 1..at });
                    continue;
                }
                Kind::Word
            }
        };
        tokens.push(Token { kind, range: start..at });
    }
    tokens
}

fn block_comment(bytes: &[u8], start: usize) -> usize {
    let mut depth = 1;
    let mut at = start + 2;
    while depth > 0 {
        match bytes.get(at..at + 2) {
            None => return bytes.len(),
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            Some(_) => at += 1,
        }
    }
    at
}

/// How far the line of byte `at` is indented.
pub fn indent(text: &str, at: usize) -> usize {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    text[start..at].bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// A block: the first byte of its head, and those of its braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where its head begins.
    pub head: usize,
    /// Its opening brace.
    pub open: usize,
    /// Its closing brace; the end of the text where there is none.
    pub close: usize,
}

/// The blocks of a text, each with its head; a brace that closes nothing is passed over.
pub fn blocks(text: &str, tokens: &[Token]) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut head = None;
    let mut lists = 0usize;
    for token in tokens {
        match token.kind {
            Kind::Open => {
                let head = head.take().unwrap_or(token.range.start);
                open.push(found.len());
                found.push(Block { head, open: token.range.start, close: text.len() });
                lists = 0;
            }
            Kind::Close => {
                if let Some(at) = open.pop() {
                    found[at].close = token.range.start;
                }
                head = None;
                lists = 0;
            }
            Kind::Separator => (head, lists) = (None, 0),
            Kind::Newline if lists == 0 => head = None,
            Kind::ListOpen => lists += 1,
            Kind::ListClose => lists = lists.saturating_sub(1),
            Kind::Word | Kind::Sign | Kind::String { .. } => head = head.or(Some(token.range.start)),
            Kind::Comment | Kind::Doc | Kind::Block | Kind::Newline => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_signs_and_strings() {
        let text = "param a: cidr4 = \"x\\\" y\" // c\n[80,443] zones / \"p";
        let found: Vec<(Kind, &str)> =
            tokens(text).iter().map(|token| (token.kind, &text[token.range.clone()])).collect();
        assert_eq!(
            found,
            [
                (Kind::Word, "param"),
                (Kind::Word, "a"),
                (Kind::Sign, ":"),
                (Kind::Word, "cidr4"),
                (Kind::Sign, "="),
                (Kind::String { closed: true }, "\"x\\\" y\""),
                (Kind::Comment, "// c"),
                (Kind::Newline, "\n"),
                (Kind::ListOpen, "["),
                (Kind::Word, "80"),
                (Kind::Sign, ","),
                (Kind::Word, "443"),
                (Kind::ListClose, "]"),
                (Kind::Word, "zones"),
                (Kind::Sign, "/"),
                (Kind::String { closed: false }, "\"p"),
            ]
        );
    }

    #[test]
    fn blocks_with_their_heads() {
        let text = "a b {\n c { d 1 }\n e [\n1] {";
        let found = blocks(text, &tokens(text));
        let shown: Vec<&str> = found.iter().map(|block| &text[block.head..block.close]).collect();
        assert_eq!(shown, ["a b {\n c { d 1 }\n e [\n1] {", "c { d 1 ", "e [\n1] {"]);
    }
}
