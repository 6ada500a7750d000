//! From heads to statements, with the pest grammar.

use std::ops::Range;

use pest::Parser as _;
use pest::error::{ErrorVariant, InputLocation};
use pest::iterators::Pair;
use unik_catalogue::Kind;
use unik_catalogue::value::Place;

use super::scan::RawEntry;
use super::words::{at_boot, bare, expected, form, invisible, odd, quoted, shorten, token_length, visible};
use super::{
    Condition, Context, Declaration, Entry, Spanned, Statement, StatementKind, Subject, Test, Value,
    ValueKind, atom,
};
use crate::diagnostic::{Diagnostic, Fix, codes, did_you_mean};

#[derive(pest_derive::Parser)]
#[grammar = "syntax/grammar.pest"]
pub(super) struct Grammar;

/// Turns the raw entries of one source into statements.
pub struct Parser<'a, 'd> {
    pub text: &'a str,
    pub source: usize,
    /// Braces didn't match: a statement in the wrong block is no error of its own.
    pub damaged: bool,
    pub diagnostics: &'d mut Vec<Diagnostic>,
}

/// What stands at the top of a file.
const TOP: [&str; 6] = ["unik", "param", "include", "let", "crate", "appliance"];
/// The longest name of an appliance or instance, in characters.
const MAX_NAME: usize = 64;
const DECLARATIONS: [&str; 4] = ["device", "network", "storage", "service"];

impl<'a> Parser<'a, '_> {
    pub fn statements(&mut self, entries: &[RawEntry], context: Context) -> Vec<Statement> {
        entries.iter().map(|entry| self.statement(entry, context)).collect()
    }

    fn statement(&mut self, raw: &RawEntry, context: Context) -> Statement {
        let place = self.place(raw.head.clone());
        let docs = raw.docs.iter().map(|range| self.place(range.clone())).collect();
        let kind = self.kind(raw, place, context).unwrap_or_else(|| {
            // What the block holds is looked at all the same.
            let inner = match self.first_word(&raw.head) {
                "appliance" => Context::Appliance,
                "when" => context,
                // What should have begun a line of its own.
                "unik" | "param" | "include" | "let"
                    if self.text[raw.head.clone()].split_whitespace().any(|word| word == "appliance") =>
                {
                    Context::Appliance
                }
                _ => Context::Options,
            };
            let body = self.statements(raw.body.as_deref().unwrap_or_default(), inner);
            self.broken(raw, body)
        });
        Statement { place, docs, kind }
    }

    /// What a broken statement still tells: the name that it would have declared, or
    /// what an appliance holds.
    fn broken(&self, raw: &RawEntry, body: Vec<Statement>) -> StatementKind {
        let mut words =
            self.text[raw.head.clone()].split(|c: char| c.is_whitespace() || c == ':' || c == '=');
        let keyword = words.next().unwrap_or_default();
        let name = words.find(|word| !word.is_empty()).map(String::from);
        match keyword {
            "appliance" => {
                let name = Spanned { value: name.unwrap_or_default(), place: self.place(raw.head.clone()) };
                StatementKind::Appliance { name, body }
            }
            "param" | "let" | "crate" => StatementKind::Broken { name, key: None },
            _ if DECLARATIONS.contains(&keyword) => StatementKind::Broken { name, key: None },
            _ => StatementKind::Broken { name: None, key: Some(keyword.into()) },
        }
    }

    fn kind(&mut self, raw: &RawEntry, place: Place, context: Context) -> Option<StatementKind> {
        if raw.broken {
            return None;
        }
        let head = &self.text[raw.head.clone()];
        if head.is_empty() {
            let brace = Place { end: place.end + 1, ..place };
            self.error(codes::SYNTAX, brace, "a block needs something before it");
            return None;
        }
        let word = self.first_word(&raw.head);
        let is_declaration = DECLARATIONS.contains(&word) && {
            // An option may be called `service` too; a declaration has a `=`.
            context != Context::Options
                || head.split_whitespace().nth(2).is_some_and(|third| third.starts_with('='))
        };
        if self.misplaced(word, is_declaration, context, place) {
            return None;
        }
        let bare = bare(head);
        if let Some((range, what)) = invisible(&bare) {
            let place = self.place(raw.head.start + range.start..raw.head.start + range.end);
            self.diagnostics.push(
                Diagnostic::error(codes::INVISIBLE, place, format!("there is a {what} here"))
                    .label("it isn't seen, and stands for nothing")
                    .fix(visible(place, &bare[range])),
            );
            return None;
        }
        let block = raw.body.as_deref();
        let rule = match word {
            "when" => Rule::only_condition,
            _ if is_declaration => Rule::only_declaration,
            _ if context == Context::Options => Rule::only_entry,
            "unik" => Rule::only_version,
            "param" => Rule::only_param,
            "include" => Rule::only_include,
            "let" => Rule::only_binding,
            "crate" => Rule::only_named_crate,
            "appliance" => Rule::only_appliance,
            _ => Rule::only_entry,
        };
        if rule == Rule::only_entry
            && let Some(range) = at_boot(&bare)
        {
            let place = self.place(raw.head.start + range.start..raw.head.start + range.end);
            self.diagnostics.push(
                Diagnostic::error(codes::AT_BOOT, place, "`at boot` belongs to a parameter")
                    .help("declare `param NAME: TYPE at boot = DEFAULT`, and write `$NAME` here"),
            );
            return None;
        }
        let takes_block = match rule {
            Rule::only_version | Rule::only_param | Rule::only_include | Rule::only_binding => false,
            Rule::only_condition | Rule::only_named_crate | Rule::only_appliance => {
                if block.is_none() {
                    let form = form(rule).unwrap_or_default();
                    self.diagnostics.push(
                        Diagnostic::error(codes::SYNTAX, place, format!("`{word}` needs a block")).help(form),
                    );
                    return None;
                }
                true
            }
            _ => true,
        };
        if !takes_block && block.is_some() {
            let after = head.split_whitespace().position(|next| next == "appliance").is_some_and(|at| at > 0);
            let next = after.then(|| bare.find(" appliance ")).flatten().map(|at| raw.head.start + at + 1);
            match next {
                Some(start) => {
                    let here = Place { start, end: start + "appliance".len(), ..place };
                    let message = format!("a new line or a `;` is missing after the `{word}`");
                    self.error(codes::SYNTAX, here, &message);
                }
                None => self.error(codes::SYNTAX, place, &format!("`{word}` takes no block")),
            }
            return None;
        }
        let pair = self.pest(rule, raw.head.clone())?;
        let offset = raw.head.start;
        let mut parts = parts(pair).peekable();
        // The rules are sequences: a part that the grammar demands is there.
        let keyword = parts.next()?;
        Some(match rule {
            Rule::only_version => {
                let number = parts.next()?;
                StatementKind::Version(atom::integer(number.as_str()).unwrap_or(u64::MAX))
            }
            Rule::only_param => {
                let name = self.spanned(&parts.next()?, offset);
                parts.next(); // the colon
                let ty = parts.next()?;
                let mut ty = self.spanned(&ty, offset);
                ty.value.truncate(ty.value.trim_end().len());
                ty.place.end = ty.place.start + ty.value.len();
                let mut at_boot = None;
                let mut default = None;
                for part in parts {
                    match part.as_rule() {
                        Rule::at_boot => at_boot = Some(self.place_of(&part, offset)),
                        Rule::value => default = Some(self.value(part, offset)),
                        _ => {}
                    }
                }
                StatementKind::Param { name, ty, at_boot, default }
            }
            Rule::only_include => {
                let file = parts.next()?;
                let place = self.place_of(&file, offset);
                StatementKind::Include(Spanned { value: self.unescape(file.as_str(), place)?, place })
            }
            Rule::only_binding => {
                let name = self.spanned(&parts.next()?, offset);
                let value = parts.find(|part| part.as_rule() == Rule::value)?;
                StatementKind::Let { name, value: self.value(value, offset) }
            }
            Rule::only_condition => {
                let subject = parts.next()?;
                let place = self.place_of(&subject, offset);
                let value = match subject.as_rule() {
                    Rule::reference => Subject::Name(subject.as_str().trim_start_matches('$').into()),
                    _ => Subject::Setting(subject.as_str().into()),
                };
                let test = match parts.next() {
                    None => Test::Holds,
                    Some(how) => {
                        let value = parts.next()?;
                        let value = self.value(value, offset);
                        match how.as_str() {
                            "==" => Test::Equals(value),
                            "!=" => Test::Differs(value),
                            _ => Test::In(value),
                        }
                    }
                };
                let condition = Condition { subject: Spanned { value, place }, test };
                StatementKind::When { condition, body: self.statements(block?, context) }
            }
            Rule::only_named_crate => {
                let name = self.spanned(&parts.next()?, offset);
                StatementKind::Crate { name, body: self.statements(block?, Context::Options) }
            }
            Rule::only_appliance => {
                let name = self.name(&parts.next()?, offset);
                StatementKind::Appliance { name, body: self.statements(block?, Context::Appliance) }
            }
            Rule::only_declaration => {
                let value = match keyword.as_str() {
                    "device" => Kind::Device,
                    "network" => Kind::Network,
                    "storage" => Kind::Storage,
                    _ => Kind::Service,
                };
                let kind = Spanned { value, place: self.place_of(&keyword, offset) };
                let mut names = parts.filter(|part| matches!(part.as_rule(), Rule::name | Rule::component));
                let name = self.name(&names.next()?, offset);
                let component = self.spanned(&names.next()?, offset);
                let wires = names.map(|wire| self.spanned(&wire, offset)).collect();
                let body = self.statements(block.unwrap_or_default(), Context::Options);
                StatementKind::Declaration(Declaration { kind, name, component, wires, body })
            }
            _ => {
                let key = self.spanned(&keyword, offset);
                let values: Vec<Value> = parts
                    .map(|part| match part.as_rule() {
                        Rule::bound => Value {
                            place: self.place_of(&part, offset),
                            kind: ValueKind::Bound(part.as_str().into()),
                        },
                        _ => self.value(part, offset),
                    })
                    .collect();
                let body = block.map(|block| self.statements(block, Context::Options));
                StatementKind::Entry(Entry { key, values, body })
            }
        })
    }

    /// Reports a statement that doesn't belong into its block.
    fn misplaced(&mut self, word: &str, is_declaration: bool, context: Context, place: Place) -> bool {
        // A character that begins no word stands for itself.
        let head = &self.text[place.start..place.end];
        let shown = if word.is_empty() { &head[..token_length(head)] } else { word };
        let here = Place { end: place.start + shown.len(), ..place };
        let diagnostic = match (context, word) {
            (Context::Top, "when") => {
                Diagnostic::error(codes::MISPLACED, here, "a condition can't stand outside of an appliance")
                    .help("`when` chooses among settings, declarations and options")
            }
            (_, "when") => return false,
            (Context::Top, _) if is_declaration => Diagnostic::error(
                codes::MISPLACED,
                here,
                format!("a {word} is declared inside of an appliance"),
            )
            .help("put it between the braces of `appliance NAME { … }`"),
            (Context::Top, _) if TOP.contains(&word) => return false,
            (Context::Top, _) => {
                let diagnostic = Diagnostic::error(
                    codes::MISPLACED,
                    here,
                    format!("`{}` means nothing here", shorten(shown)),
                )
                .label("not inside of an appliance");
                match did_you_mean(word, TOP) {
                    Some(near) => diagnostic.suggest(format!("did you mean `{near}`?"), here, near),
                    None => diagnostic
                        .help("here stand `unik`, `param`, `let`, `include`, `crate` and `appliance`"),
                }
            }
            (Context::Appliance, "unik" | "appliance") => {
                Diagnostic::error(codes::MISPLACED, here, format!("`{word}` stands at the top of the file"))
                    .label("inside of an appliance")
            }
            (Context::Appliance, _) => return false,
            (Context::Options, _) if is_declaration => Diagnostic::error(
                codes::MISPLACED,
                here,
                format!("a {word} can't be declared inside of another block"),
            )
            .help("put it directly between the braces of the appliance"),
            (Context::Options, "unik" | "param" | "include" | "let" | "appliance") => {
                Diagnostic::error(codes::MISPLACED, here, format!("`{word}` can't stand among options"))
                    .help("put it at the top of the file")
            }
            (Context::Options, _) => return false,
        };
        if !self.damaged || diagnostic.code != codes::MISPLACED {
            self.diagnostics.push(diagnostic);
        }
        true
    }

    /// All values in `range`, which the scanner found to be sound.
    pub fn values(&mut self, range: Range<usize>) -> Vec<Value> {
        // A key before them makes an entry.
        let text = format!("x {}", self.text[range.clone()].replace('\n', " "));
        let inner =
            Parser { text: &text, source: self.source, damaged: false, diagnostics: &mut *self.diagnostics }
                .pest_at(Rule::only_entry, 0..text.len(), range.start.wrapping_sub(2));
        let Some(pair) = inner else {
            return vec![Value { place: self.place(range), kind: ValueKind::Malformed }];
        };
        let offset = range.start.wrapping_sub(2);
        pair.into_inner()
            .filter(|part| part.as_rule() == Rule::value)
            .map(|part| self.value(part, offset))
            .collect()
    }

    fn pest(&mut self, rule: Rule, range: Range<usize>) -> Option<Pair<'a, Rule>> {
        let offset = range.start;
        self.pest_at(rule, range, offset)
    }

    fn pest_at(&mut self, rule: Rule, range: Range<usize>, offset: usize) -> Option<Pair<'a, Rule>> {
        let head = &self.text[range];
        match Grammar::parse(rule, head) {
            Ok(mut pairs) => pairs.next(),
            Err(error) => {
                let at = match error.location {
                    InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
                };
                let expected = match &error.variant {
                    ErrorVariant::ParsingError { positives, .. } => expected(positives),
                    ErrorVariant::CustomError { message } => message.clone(),
                };
                let diagnostic = self.syntax_error(rule, head, at, offset, &expected);
                self.diagnostics.push(diagnostic);
                None
            }
        }
    }

    fn syntax_error(&self, rule: Rule, head: &str, at: usize, offset: usize, expected: &str) -> Diagnostic {
        let rest = &head[at..];
        let length = token_length(rest);
        let in_list = head[..at].rfind('[') > head[..at].rfind(']');
        let expected = if in_list { "`,` or `]`" } else { expected };
        let found = if rest.is_empty() {
            "the end of the line".into()
        } else {
            format!("`{}`", shorten(&rest[..length]))
        };
        let place = Place {
            source: self.source,
            start: offset.wrapping_add(at),
            end: offset.wrapping_add(at + length.max(usize::from(rest.is_empty()))),
        };
        let mut diagnostic =
            Diagnostic::error(codes::SYNTAX, place, format!("expected {expected}, found {found}"));
        let key = head.split([' ', '\t', '=', ':']).next().unwrap_or_default();
        let bad_name =
            rest.starts_with(|c: char| c.is_ascii_uppercase() || c == '_') || rest[..length].contains('_');
        let meant = did_you_mean(key, DECLARATIONS.into_iter().chain(["param", "let"]));
        match rule {
            _ if rest.is_empty() && head.ends_with('$') => {
                diagnostic = diagnostic.help("the value of a parameter is written `$NAME`, without braces");
            }
            Rule::only_entry
                if key == "if" && head.contains("==") || head.starts_with("if ") && head.contains("!=") =>
            {
                let place = Place { start: offset, end: offset.wrapping_add(key.len()), ..place };
                diagnostic = diagnostic.suggest("did you mean `when`?", place, "when");
            }
            Rule::only_entry
                if let Some(near) = meant
                    && rest.starts_with('=') =>
            {
                let place = Place { start: offset, end: offset.wrapping_add(key.len()), ..place };
                diagnostic = diagnostic.suggest(format!("did you mean `{near}`?"), place, near);
            }
            Rule::only_entry
                if key.starts_with(char::is_alphabetic)
                    && (rest.starts_with(['=', ':']) || at == 0 && rest[..length].ends_with(':')) =>
            {
                diagnostic =
                    diagnostic.fix(self.without_equals(head, if at == 0 { key.len() } else { at }, offset));
            }
            _ if in_list && !rest.is_empty() => {
                let end = head[..at].trim_end().len();
                let fix = Fix::maybe("write a comma").insert(self.source, offset.wrapping_add(end), ",");
                diagnostic = diagnostic.fix(fix);
            }
            _ if rest.starts_with([',', ';']) && rest[1..].trim().is_empty() => {
                diagnostic = diagnostic
                    .fix(Fix::certain("an entry ends with its line: leave the `,` out").remove(place));
            }
            _ if rest.starts_with(',') => {
                diagnostic = diagnostic.help("there are spaces between values, and commas in lists only");
            }
            Rule::only_declaration
                if expected == "`=`"
                    && rest.starts_with(|c: char| c.is_ascii_lowercase())
                    && !rest.contains('=') =>
            {
                let fix = Fix::certain("write the `=`").insert(self.source, place.start, "= ");
                diagnostic = diagnostic.fix(fix);
            }
            _ if expected.starts_with("a name") && bad_name => {
                diagnostic = diagnostic
                    .help("names have lower-case letters, digits and single `-`, and begin with a letter");
            }
            _ => {}
        }
        match form(rule) {
            Some(form) => diagnostic.help(form),
            None => diagnostic,
        }
    }

    /// An entry that is written `key = value` or `key: value`, as the grammar has it. With a
    /// block or wires behind it, it was perhaps meant as a declaration.
    fn without_equals(&self, head: &str, at: usize, offset: usize) -> Fix {
        let key = head.split([' ', '\t', '=', ':']).next().unwrap_or_default();
        let message = format!("a value follows its key after a space: `{key} VALUE`");
        let fix = match head.contains(" on ") {
            true => Fix::maybe(message),
            false => Fix::certain(message),
        };
        let before = head[..at].trim_end().len();
        let rest = &head[before..];
        let gap = rest.len() - rest.trim_start_matches([' ', '\t', '=', ':']).len();
        let start = offset.wrapping_add(before);
        fix.replace(self.place(start..start.wrapping_add(gap)), if gap < rest.len() { " " } else { "" })
    }

    fn value(&mut self, pair: Pair<'_, Rule>, offset: usize) -> Value {
        let place = self.place_of(&pair, offset);
        let Some(inner) = pair.into_inner().next() else {
            return Value { place, kind: ValueKind::Malformed };
        };
        let place_inner = self.place_of(&inner, offset);
        let text = inner.as_str();
        let kind = match inner.as_rule() {
            Rule::reference => Ok(ValueKind::Reference(text.trim_start_matches('$').into())),
            Rule::string => {
                return Value {
                    place,
                    kind: self.unescape(text, place_inner).map_or(ValueKind::Malformed, ValueKind::String),
                };
            }
            Rule::list => {
                let values = parts(inner).map(|value| self.value(value, offset)).collect();
                Ok(ValueKind::List(values))
            }
            Rule::place => {
                let mut parts = parts(inner);
                match (parts.next(), parts.next()) {
                    (Some(word), Some(path)) => {
                        let instance = self.spanned(&word, offset);
                        let path_place = self.place_of(&path, offset);
                        let path = self.unescape(path.as_str(), path_place);
                        Ok(path.map_or(ValueKind::Malformed, |path| ValueKind::Place { instance, path }))
                    }
                    _ => Ok(ValueKind::Malformed),
                }
            }
            Rule::rate | Rule::quantity => {
                let is_rate = inner.as_rule() == Rule::rate;
                let mut numbers = Vec::new();
                let mut unit = String::new();
                for part in inner.into_inner() {
                    match part.as_rule() {
                        Rule::digits => numbers.push(atom::integer(part.as_str())),
                        _ => unit = part.as_str().into(),
                    }
                }
                let numbers: Result<Vec<u64>, String> = numbers.into_iter().collect();
                numbers.map(|numbers| match (is_rate, numbers.as_slice()) {
                    (true, [number]) => ValueKind::Rate(*number, 1, unit),
                    (true, [number, per, ..]) => ValueKind::Rate(*number, *per, unit),
                    (false, [number, ..]) => ValueKind::Quantity(*number, unit),
                    _ => ValueKind::Malformed,
                })
            }
            Rule::integer => atom::integer(text).map(ValueKind::Integer),
            Rule::mac => {
                let mut bytes = [0; 6];
                for (byte, hex) in bytes.iter_mut().zip(text.split(':')) {
                    // The grammar has two hexadecimal digits here.
                    *byte = u8::from_str_radix(hex, 16).unwrap_or_default();
                }
                Ok(ValueKind::Mac(bytes))
            }
            Rule::ipv6 => atom::ipv6(text),
            Rule::endpoint6 => atom::endpoint6(text),
            Rule::numeric => atom::numeric(text),
            Rule::word => Ok(ValueKind::Word(text.into())),
            _ => Err(odd(text)),
        };
        let kind = kind.unwrap_or_else(|why| {
            let written = shorten(text);
            self.diagnostics.push(match quoted(text) {
                Some(quoted) => {
                    Diagnostic::error(codes::MALFORMED, place_inner, format!("`{written}` is no value"))
                        .label(why)
                        .fix(Fix::certain("write").replace(place_inner, quoted))
                }
                None => Diagnostic::error(codes::MALFORMED, place_inner, format!("`{written}` is no value"))
                    .label(why),
            });
            ValueKind::Malformed
        });
        Value { place, kind }
    }

    fn unescape(&mut self, quoted: &str, place: Place) -> Option<String> {
        match atom::unescape(quoted) {
            Ok(text) => Some(text),
            Err((range, why)) => {
                let place = Place { start: place.start + range.start, end: place.start + range.end, ..place };
                self.diagnostics.push(
                    Diagnostic::error(codes::MALFORMED, place, why)
                        .help("escapes are `\\\"`, `\\\\`, `\\n`, `\\r`, `\\t` and `\\u{…}`"),
                );
                None
            }
        }
    }

    /// A name that is declared for other things to be named after.
    fn name(&mut self, pair: &Pair<'_, Rule>, offset: usize) -> Spanned<String> {
        let name = self.spanned(pair, offset);
        let length = name.value.len();
        if length > MAX_NAME {
            self.diagnostics.push(
                Diagnostic::error(
                    codes::LONG_NAME,
                    name.place,
                    format!("a name of {length} characters; {MAX_NAME} is the most"),
                )
                .help("a comment with `///` before it may say more"),
            );
        }
        name
    }

    fn spanned(&self, pair: &Pair<'_, Rule>, offset: usize) -> Spanned<String> {
        Spanned { value: pair.as_str().into(), place: self.place_of(pair, offset) }
    }

    fn place_of(&self, pair: &Pair<'_, Rule>, offset: usize) -> Place {
        let span = pair.as_span();
        // A rule that ends in optional parts takes the space before them along.
        let end = span.start() + pair.as_str().trim_end().len();
        Place { source: self.source, start: offset.wrapping_add(span.start()), end: offset.wrapping_add(end) }
    }

    fn place(&self, range: Range<usize>) -> Place {
        Place { source: self.source, start: range.start, end: range.end }
    }

    fn first_word(&self, head: &Range<usize>) -> &'a str {
        let head = &self.text[head.clone()];
        let end = head.find(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_')).unwrap_or(head.len());
        &head[..end]
    }

    fn error(&mut self, code: crate::Code, place: Place, message: &str) {
        self.diagnostics.push(Diagnostic::error(code, place, message));
    }
}

/// What a pair is made of, without the comments that stand between.
fn parts(pair: Pair<'_, Rule>) -> impl Iterator<Item = Pair<'_, Rule>> {
    pair.into_inner().filter(|part| !matches!(part.as_rule(), Rule::EOI | Rule::COMMENT))
}
