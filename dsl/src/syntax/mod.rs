//! What is written: the syntax tree of a `.unik` file.
//!
//! `scan` finds entries and blocks in one linear pass, whatever the text; `entry`
//! parses each head alone with the pest grammar. So a syntax error in one entry hides
//! nothing in the next, and no input makes the parser recurse or backtrack without
//! bound.

mod atom;
mod entry;
pub(crate) mod scan;
mod words;

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use unik_catalogue::Kind;
use unik_catalogue::value::Place;

use crate::diagnostic::Diagnostic;
use crate::source::SourceMap;

/// How deep blocks, lists and comments may nest.
pub const MAX_DEPTH: usize = 64;

/// Where the entries of a text are, each with its doc comments and its block, in the order of
/// their beginnings. Those whose end is missing aren't there.
pub(crate) fn extents(text: &str) -> Vec<Range<usize>> {
    fn collect(entries: &[scan::RawEntry], found: &mut Vec<Range<usize>>) {
        for entry in entries {
            let start = entry.docs.first().map_or(entry.head.start, |docs| docs.start);
            found.extend(entry.end.map(|end| start..end));
            collect(entry.body.as_deref().unwrap_or_default(), found);
        }
    }
    let mut found = Vec::new();
    collect(&scan::scan(text, 0, &mut Vec::new()).entries, &mut found);
    found
}

/// Something with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The thing.
    pub value: T,
    /// Where it is written.
    pub place: Place,
}

/// The syntax of one source.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// Its statements.
    pub statements: Vec<Statement>,
    /// Whether braces didn't match, so that a statement may stand in the wrong block
    /// through no fault of its own.
    pub damaged: bool,
}

/// One statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its head, without the block.
    pub place: Place,
    /// The doc comments before it.
    pub docs: Vec<Place>,
    /// What it says.
    pub kind: StatementKind,
}

/// What a statement says.
#[derive(Clone, Debug)]
pub enum StatementKind {
    /// `unik 1`
    Version(u64),
    /// `param NAME: TYPE [= VALUE]`
    Param {
        /// Its name.
        name: Spanned<String>,
        /// Its type, as text.
        ty: Spanned<String>,
        /// `at boot`, where it is written.
        at_boot: Option<Place>,
        /// Its default.
        default: Option<Value>,
    },
    /// `include "FILE"`
    Include(Spanned<String>),
    /// `let NAME = VALUE`
    Let {
        /// Its name.
        name: Spanned<String>,
        /// Its value.
        value: Value,
    },
    /// `when SUBJECT == VALUE { … }`, `when $NAME { … }`
    When {
        /// The condition.
        condition: Condition,
        /// What holds under it.
        body: Vec<Statement>,
    },
    /// `crate NAME { … }`
    Crate {
        /// Its name for cargo.
        name: Spanned<String>,
        /// Where it comes from.
        body: Vec<Statement>,
    },
    /// `appliance NAME { … }`
    Appliance {
        /// Its name.
        name: Spanned<String>,
        /// What it is made of.
        body: Vec<Statement>,
    },
    /// `KIND NAME = COMPONENT on WIRES { … }`
    Declaration(Declaration),
    /// `KEY VALUES { … }`
    Entry(Entry),
    /// A statement that couldn't be read; what is wrong has been said.
    Broken {
        /// The name that it would have declared.
        name: Option<String>,
        /// The key of the entry that it would have been.
        key: Option<String>,
    },
}

/// The condition of a `when`.
#[derive(Clone, Debug)]
pub struct Condition {
    /// What it is about.
    pub subject: Spanned<Subject>,
    /// What must be so of it.
    pub test: Test,
}

/// What a condition is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `target`: a setting of the appliance, by its key.
    Setting(String),
    /// `$name`: a parameter, without the `$`.
    Name(String),
}

/// What must be so of the subject of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Nothing is compared: it is true.
    Holds,
    /// `== VALUE`
    Equals(Value),
    /// `!= VALUE`
    Differs(Value),
    /// `in [ONE, OTHER]`
    In(Value),
}

impl Test {
    /// What the subject is compared with.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        match self {
            Test::Holds => None,
            Test::Equals(value) | Test::Differs(value) | Test::In(value) => Some(value),
        }
    }
}

/// The declaration of an instance.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// Its kind.
    pub kind: Spanned<Kind>,
    /// Its name.
    pub name: Spanned<String>,
    /// Its component.
    pub component: Spanned<String>,
    /// What stands after `on`.
    pub wires: Vec<Spanned<String>>,
    /// Its options.
    pub body: Vec<Statement>,
}

/// A key with values, and perhaps a block.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: Spanned<String>,
    /// The values.
    pub values: Vec<Value>,
    /// The block.
    pub body: Option<Vec<Statement>>,
}

/// A value as it is written. Its type is the grammar's; an option may want another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub kind: ValueKind,
}

/// The kinds of values that can be told apart by how they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// `dhcp`, `true`, `api::count`
    Word(String),
    /// `"text"`, without quotes and escapes.
    String(String),
    /// `80`
    Integer(u64),
    /// `16 MiB`, `30 s`; the unit as written.
    Quantity(u64, String),
    /// `1000 per second`, `5 per 10 min`: so many, per so many of the unit.
    Rate(u64, u64, String),
    /// `10.0.0.1`, `::1`
    Ip(IpAddr),
    /// `10.0.0.2/24`
    Cidr(IpAddr, u8),
    /// `52:54:00:12:34:56`
    Mac([u8; 6]),
    /// `10.0.0.1:53`, `[::1]:53`
    Endpoint(SocketAddr),
    /// `$name`
    Reference(String),
    /// `zones / "example.org.zone"`
    Place {
        /// The instance.
        instance: Spanned<String>,
        /// The path in it.
        path: String,
    },
    /// `[80, 443]`
    List(Vec<Value>),
    /// `<=` before a value, in an entry.
    Bound(String),
    /// Looks like a value and is none; what is wrong has been said.
    Malformed,
}

/// Which statements may stand in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// A file, outside of all blocks.
    Top,
    /// The block of an appliance.
    Appliance,
    /// The block of a declaration, an option or a crate.
    Options,
}

/// Parses the source with this number. Statements that can't be read are reported and
/// come back as [`StatementKind::Broken`].
pub fn parse(
    sources: &SourceMap,
    number: usize,
    context: Context,
    diagnostics: &mut Vec<Diagnostic>,
) -> File {
    let text = sources.source(number).map_or("", |source| source.text.as_str());
    let layout = scan::scan(text, number, diagnostics);
    let mut parser = entry::Parser { text, source: number, damaged: layout.damaged, diagnostics };
    let statements = parser.statements(&layout.entries, context);
    File { statements, damaged: layout.damaged }
}

/// Parses a text that is nothing but values: that of `--set`, a default of the catalogue.
pub fn parse_values(sources: &SourceMap, number: usize, diagnostics: &mut Vec<Diagnostic>) -> Vec<Value> {
    let text = sources.source(number).map_or("", |source| source.text.as_str());
    let mut found = Vec::new();
    let layout = scan::scan(text, number, &mut found);
    if found.is_empty() && layout.entries.iter().all(|entry| entry.body.is_none()) {
        let mut parser = entry::Parser { text, source: number, damaged: false, diagnostics: &mut found };
        let values = parser.values(0..text.len());
        diagnostics.append(&mut found);
        return values;
    }
    diagnostics.append(&mut found);
    vec![Value { place: Place { source: number, start: 0, end: text.len() }, kind: ValueKind::Malformed }]
}

#[cfg(test)]
mod tests;
