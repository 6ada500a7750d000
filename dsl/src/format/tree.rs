//! What stands in which block or list, and which comment belongs to what.
//!
//! Blocks and lists are alike here: a row of entries, with comments before, behind and
//! between them. The text was found to be sound; whatever else comes is passed over.

use super::token::{Shape, Token};

/// A file, a block or a list.
#[derive(Debug, Default)]
pub struct Group<'a> {
    /// Comments behind its brace or bracket, on that line.
    pub open: Vec<Comment<'a>>,
    /// What is in it.
    pub items: Vec<Item<'a>>,
    /// It is written on one line, and can be.
    pub flat: bool,
}

/// An entry, or comments on lines of their own.
#[derive(Debug)]
pub struct Item<'a> {
    /// A blank line stands before it.
    pub blank: bool,
    pub kind: ItemKind<'a>,
}

#[derive(Debug)]
pub enum ItemKind<'a> {
    /// What is written on one line, and nothing else is.
    Comments(Vec<Comment<'a>>),
    Entry(Entry<'a>),
}

/// An entry of a block, or a value in a list.
#[derive(Debug, Default)]
pub struct Entry<'a> {
    /// Comments before it on its line.
    pub lead: Vec<Comment<'a>>,
    pub head: Vec<Piece<'a>>,
    pub block: Option<Group<'a>>,
    /// Comments behind it on its last line.
    pub trail: Vec<Comment<'a>>,
}

#[derive(Debug)]
pub enum Piece<'a> {
    Word(&'a str),
    /// A sign without a blank before it.
    Tight(&'a str),
    Comment(Comment<'a>),
    List(Group<'a>),
}

#[derive(Clone, Copy, Debug)]
pub struct Comment<'a> {
    pub text: &'a str,
    /// The column that it began in, if it has several lines.
    pub column: usize,
}

impl Comment<'_> {
    /// Whether something may follow it on its line, which is one.
    fn is_inline(&self) -> bool {
        self.text.starts_with("/*") && !self.text.contains('\n')
    }
}

impl Piece<'_> {
    pub fn is_tight(&self) -> bool {
        matches!(self, Piece::Tight(_))
    }
}

impl Group<'_> {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.open.is_empty()
    }
}

/// The whole file.
pub fn read<'a>(tokens: &[Token<'a>]) -> Group<'a> {
    Reader { tokens, at: 0 }.group(None)
}

/// What comments on the same line belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// The brace or bracket.
    Open,
    Entry,
    Nothing,
}

struct Reader<'t, 'a> {
    tokens: &'t [Token<'a>],
    at: usize,
}

impl<'a> Reader<'_, 'a> {
    /// What stands before `end`, or the end of the text. Nests as deep as blocks and lists do,
    /// which [`MAX_DEPTH`](crate::syntax::MAX_DEPTH) bounds.
    fn group(&mut self, end: Option<Shape>) -> Group<'a> {
        let is_list = end == Some(Shape::ListClose);
        let mut row = Row {
            group: Group { flat: end.is_some(), ..Group::default() },
            pending: Vec::new(),
            before: if end.is_some() { Before::Open } else { Before::Nothing },
            blank: false,
        };
        let mut newlines = 0;
        while let Some(&token) = self.tokens.get(self.at) {
            if Some(token.shape) == end {
                self.at += 1;
                break;
            }
            if token.shape == Shape::Newline {
                self.at += 1;
                newlines += 1;
                row.settle();
                row.before = Before::Nothing;
                row.blank |= newlines > 1;
                row.group.flat = false;
                continue;
            }
            newlines = 0;
            match token.shape {
                Shape::Separator | Shape::Comma => {
                    self.at += 1;
                    if row.before == Before::Entry {
                        row.settle();
                    }
                }
                Shape::Comment | Shape::Doc => {
                    self.at += 1;
                    // It tells of what follows, on whatever line.
                    if token.shape == Shape::Doc && !is_list && row.before != Before::Nothing {
                        row.settle();
                        row.before = Before::Nothing;
                    }
                    row.comment(token);
                }
                Shape::Word | Shape::ListOpen => {
                    let entry = self.entry(is_list);
                    row.entry(entry);
                }
                Shape::Open if !is_list => {
                    let entry = self.entry(is_list);
                    row.entry(entry);
                }
                Shape::Newline | Shape::Open | Shape::Close | Shape::ListClose => self.at += 1,
            }
        }
        if row.before == Before::Open {
            row.before = Before::Nothing;
        }
        row.settle();
        row.group
    }

    fn entry(&mut self, in_list: bool) -> Entry<'a> {
        let mut entry = Entry::default();
        while let Some(&token) = self.tokens.get(self.at) {
            match token.shape {
                Shape::Word => entry.head.push(Piece::Word(token.text)),
                Shape::Comma if !in_list => entry.head.push(Piece::Tight(token.text)),
                Shape::Comment | Shape::Doc => entry.head.push(Piece::Comment(comment(token))),
                Shape::ListOpen => {
                    self.at += 1;
                    entry.head.push(Piece::List(self.group(Some(Shape::ListClose))));
                    continue;
                }
                Shape::Open if !in_list => {
                    self.at += 1;
                    entry.block = Some(self.group(Some(Shape::Close)));
                    break;
                }
                _ => break,
            }
            self.at += 1;
        }
        if entry.block.is_none() {
            while let Some(Piece::Comment(comment)) = entry.head.last() {
                entry.trail.push(*comment);
                entry.head.pop();
            }
            entry.trail.reverse();
        }
        colon(&mut entry.head);
        entry
    }
}

/// Cuts the colon of a parameter from its neighbours. Elsewhere colons are inside of values.
fn colon(head: &mut Vec<Piece<'_>>) {
    if !matches!(head.first(), Some(Piece::Word("param"))) {
        return;
    }
    let found = head.iter().enumerate().find_map(|(at, piece)| match piece {
        Piece::Word(word) if at > 0 => word.split_once(':').map(|parts| (at, parts)),
        _ => None,
    });
    let Some((at, (name, ty))) = found else { return };
    let parts = [Piece::Word(name), Piece::Tight(":"), Piece::Word(ty)];
    head.splice(at..=at, parts.into_iter().filter(|part| !matches!(part, Piece::Word(""))));
}

fn comment<'a>(token: Token<'a>) -> Comment<'a> {
    Comment { text: token.text.trim_end_matches([' ', '\t', '\r']), column: token.column }
}

/// A group that grows.
struct Row<'a> {
    group: Group<'a>,
    /// Comments of this line that nobody has yet.
    pending: Vec<Comment<'a>>,
    before: Before,
    /// A blank line stands before what comes next.
    blank: bool,
}

impl<'a> Row<'a> {
    fn comment(&mut self, token: Token<'a>) {
        let comment = comment(token);
        self.group.flat &= comment.is_inline();
        self.pending.push(comment);
    }

    fn entry(&mut self, mut entry: Entry<'a>) {
        entry.lead = std::mem::take(&mut self.pending);
        let flat = |piece: &Piece<'_>| match piece {
            Piece::Word(_) | Piece::Tight(_) => true,
            Piece::Comment(comment) => comment.is_inline(),
            Piece::List(list) => list.flat,
        };
        self.group.flat &= entry.head.iter().all(flat)
            && entry.block.as_ref().is_none_or(|block| block.flat)
            && entry.trail.iter().all(Comment::is_inline);
        self.push(ItemKind::Entry(entry));
        self.before = Before::Entry;
    }

    /// Gives the comments to whom they belong.
    fn settle(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let mut comments = std::mem::take(&mut self.pending);
        match (self.before, self.group.items.last_mut()) {
            (Before::Open, _) => self.group.open.append(&mut comments),
            (Before::Entry, Some(Item { kind: ItemKind::Entry(entry), .. })) => {
                entry.trail.append(&mut comments);
            }
            _ => self.push(ItemKind::Comments(comments)),
        }
    }

    fn push(&mut self, kind: ItemKind<'a>) {
        let blank = std::mem::take(&mut self.blank) && !self.group.items.is_empty();
        self.group.items.push(Item { blank, kind });
    }
}
