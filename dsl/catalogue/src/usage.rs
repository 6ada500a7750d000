//! The pattern language of an option: what may stand after its key.
//!
//! ```text
//! usage   = term*
//! term    = word | "<="                         a literal word; of what has an upper bound
//!         | "<" name ":" type ">" ["..."]       a placeholder; with dots: one or more
//!         | "[" term+ "]"                       may be left out
//! type    = "bool" | "string" | "name" | "rate" | "ipv4" | "ipv6" | "ip" | "cidr4"
//!         | "cidr6" | "mac" | "port" | "endpoint" | "path" | "handler"
//!         | "integer" [range] | "size" [range] | "duration" [range]
//!         | "instance" Interface | "instance-path" Interface
//!         | word ("|" word)+                    one of these words
//!         | "list" type
//! range   = number "..=" [number]               numbers of a size may end in KiB, MiB, GiB,
//!                                               those of a duration end in ms, s, min or h
//! ```
//!
//! `ipv4 10.0.0.2/24 gateway 10.0.0.1` fits `<address: cidr4> [gateway <gateway: ipv4>]`.
//! The pattern is the documentation too: `unikgen components` prints it as it stands.

use std::fmt;

use crate::value::Type;

/// A parsed usage pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Its terms in order.
    pub terms: Vec<Term>,
    /// The text that it was parsed from.
    pub text: String,
}

impl Usage {
    /// Values that fit the pattern, as they are written; what is optional is left out.
    #[must_use]
    pub fn example(&self) -> String {
        let terms = self.terms.iter().filter_map(|term| match term {
            Term::Word(word) => Some(word.clone()),
            Term::Placeholder { ty, .. } => Some(ty.example()),
            Term::Optional(_) => None,
        });
        terms.collect::<Vec<_>>().join(" ")
    }
}

/// One term of a usage pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// A literal word.
    Word(String),
    /// A value.
    Placeholder {
        /// Its name, by which [`Entry`](crate::Entry) keeps it.
        name: String,
        /// Its type.
        ty: Type,
        /// One or more of them.
        repeats: bool,
    },
    /// May be left out.
    Optional(Vec<Term>),
}

/// What is wrong with a usage pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("in the usage `{usage}`: {message}")]
pub struct UsageError {
    /// The pattern.
    pub usage: String,
    /// What is wrong.
    pub message: String,
    /// The byte of the pattern at which the term begins that is wrong.
    pub at: usize,
}

impl Usage {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`UsageError`] that says what is wrong.
    pub fn parse(text: &str) -> Result<Usage, UsageError> {
        let mut rest = text.trim();
        let terms =
            parse_terms(&mut rest, 0)
                .and_then(|terms| {
                    if rest.is_empty() { Ok(terms) } else { Err(format!("`{rest}` is not expected here")) }
                })
                .map_err(|message| UsageError {
                    usage: text.into(),
                    message,
                    at: text.trim_end().len() - rest.len(),
                })?;
        Ok(Usage { terms, text: text.trim().into() })
    }

    /// All placeholders, those of optional groups too: name, type, whether it repeats,
    /// whether it may be missing.
    pub fn placeholders(&self) -> Vec<(&str, &Type, bool, bool)> {
        fn collect<'a>(terms: &'a [Term], optional: bool, into: &mut Vec<(&'a str, &'a Type, bool, bool)>) {
            for term in terms {
                match term {
                    Term::Word(_) => {}
                    Term::Placeholder { name, ty, repeats } => into.push((name, ty, *repeats, optional)),
                    Term::Optional(terms) => collect(terms, true, into),
                }
            }
        }
        let mut found = Vec::new();
        collect(&self.terms, false, &mut found);
        found
    }

    /// The words of optional groups that hold nothing else (`[readonly]`): flags.
    pub fn flags(&self) -> Vec<&str> {
        self.terms
            .iter()
            .filter_map(|term| match term {
                Term::Optional(inner) => match inner.as_slice() {
                    [Term::Word(word)] => Some(word.as_str()),
                    _ => None,
                },
                _ => None,
            })
            .collect()
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How deep optional groups and lists may nest: a pattern comes from a file of somebody
/// else's, too.
const MAX_DEPTH: usize = 8;

/// Parses terms inside of `depth` brackets.
fn parse_terms(rest: &mut &str, depth: usize) -> Result<Vec<Term>, String> {
    if depth > MAX_DEPTH {
        return Err(format!("brackets nest deeper than {MAX_DEPTH}"));
    }
    let inside = depth > 0;
    let mut terms = Vec::new();
    loop {
        *rest = rest.trim_start();
        match rest.chars().next() {
            None if inside => return Err("a `[` is not closed".into()),
            None => return Ok(terms),
            Some(']') if inside => {
                *rest = &rest[1..];
                return if terms.is_empty() { Err("empty brackets".into()) } else { Ok(terms) };
            }
            Some(']') => return Err("`]` is not expected here".into()),
            Some('[') => {
                *rest = &rest[1..];
                terms.push(Term::Optional(parse_terms(rest, depth + 1)?));
            }
            Some('<') if rest.starts_with("<= ") => {
                terms.push(Term::Word("<=".into()));
                *rest = &rest[2..];
            }
            Some('<') => {
                let end = rest.find('>').ok_or("a `<` is not closed")?;
                let (name, ty) = rest[1..end].split_once(':').ok_or("a placeholder is `<name: type>`")?;
                let (name, ty) = (name.trim(), parse_type(ty.trim())?);
                check_word(name)?;
                *rest = &rest[end + 1..];
                let repeats = rest.starts_with("...");
                if repeats {
                    *rest = &rest[3..];
                }
                terms.push(Term::Placeholder { name: name.into(), ty, repeats });
            }
            Some(_) => {
                let end = rest.find(|c: char| c.is_whitespace() || "<[]>".contains(c)).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                check_word(word)?;
                terms.push(Term::Word(word.into()));
                *rest = after;
            }
        }
    }
}

fn check_word(word: &str) -> Result<(), String> {
    let good = word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if good { Ok(()) } else { Err(format!("`{word}` is not a word of lower-case letters, digits and `-`")) }
}

/// Parses a type as it stands in a placeholder: `cidr4`, `integer 1..=9`, `low|high`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_type(text: &str) -> Result<Type, String> {
    parse_nested(text, 0)
}

fn parse_nested(text: &str, depth: usize) -> Result<Type, String> {
    if depth > MAX_DEPTH {
        return Err(format!("lists nest deeper than {MAX_DEPTH}"));
    }
    let (head, argument) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let argument = argument.trim();
    let plain = |ty: Type| {
        if argument.is_empty() { Ok(ty) } else { Err(format!("the type `{head}` takes no `{argument}`")) }
    };
    match head {
        "bool" => plain(Type::Bool),
        "string" => plain(Type::String),
        "name" => plain(Type::Name),
        "rate" => plain(Type::Rate),
        "ipv4" => plain(Type::Ipv4),
        "ipv6" => plain(Type::Ipv6),
        "ip" => plain(Type::Ip),
        "cidr4" => plain(Type::Cidr4),
        "cidr6" => plain(Type::Cidr6),
        "mac" => plain(Type::Mac),
        "port" => plain(Type::Port),
        "endpoint" => plain(Type::Endpoint),
        "path" => plain(Type::Path),
        "handler" => plain(Type::Handler),
        "integer" => parse_range(argument, &[("", 1)]).map(|(min, max)| Type::Integer { min, max }),
        "size" => parse_range(argument, &[("", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)])
            .map(|(min, max)| Type::Size { min, max }),
        "duration" => parse_range(
            argument,
            &[("ms", 1_000_000), ("s", 1_000_000_000), ("min", 60_000_000_000), ("h", 3_600_000_000_000)],
        )
        .map(|(min, max)| Type::Duration { min, max }),
        "instance" if !argument.is_empty() => Ok(Type::Instance(argument.into())),
        "instance-path" if !argument.is_empty() => Ok(Type::InstancePath(argument.into())),
        "instance" | "instance-path" => Err(format!("`{head}` needs the name of an interface")),
        "list" => parse_nested(argument, depth + 1).map(|element| Type::List(Box::new(element))),
        _ if text.contains('|') => {
            let words: Vec<String> = text.split('|').map(|word| word.trim().to_string()).collect();
            words.iter().try_for_each(|word| check_word(word))?;
            Ok(Type::OneOf(words))
        }
        _ => Err(format!("there is no type `{text}`")),
    }
}

/// A range whose numbers end in one of `units`, each with what it counts.
fn parse_range(text: &str, units: &[(&str, u64)]) -> Result<(u64, u64), String> {
    if text.is_empty() {
        return Ok((0, u64::MAX));
    }
    let (low, high) =
        text.split_once("..=").ok_or_else(|| format!("`{text}` is not a range such as `1..=9`"))?;
    let number = |text: &str| {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let factor = units.iter().find(|(unit, _)| *unit == text[digits..].trim()).map(|(_, factor)| *factor);
        let value = factor.and_then(|factor| text[..digits].parse::<u64>().ok()?.checked_mul(factor));
        value.ok_or_else(|| {
            let units: Vec<&str> =
                units.iter().map(|(unit, _)| *unit).filter(|unit| !unit.is_empty()).collect();
            let units = if units.is_empty() {
                String::new()
            } else {
                format!("; its unit is one of {}", units.join(", "))
            };
            format!("`{text}` is not a number{units}")
        })
    };
    let max = if high.trim().is_empty() { u64::MAX } else { number(high.trim())? };
    let min = number(low.trim())?;
    if min <= max { Ok((min, max)) } else { Err(format!("the range `{text}` is empty")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_with_gateway() {
        let usage = Usage::parse("<address: cidr4> [gateway <gateway: ipv4>]").unwrap();
        assert_eq!(
            usage.placeholders(),
            [("address", &Type::Cidr4, false, false), ("gateway", &Type::Ipv4, false, true)]
        );
    }

    #[test]
    fn an_upper_bound() {
        let usage = Usage::parse("<= <size: size>").unwrap();
        assert_eq!(usage.terms[0], Term::Word("<=".into()));
        assert_eq!(usage.placeholders().len(), 1);
    }

    #[test]
    fn repeats_flags_ranges_and_choices() {
        let usage =
            Usage::parse("<server: ip>... [fast] <n: integer 16..=256> <s: size 4KiB..=> <l: low|high> <d: duration 1ms..=2h>")
                .unwrap();
        assert_eq!(usage.flags(), ["fast"]);
        let types: Vec<_> = usage.placeholders().into_iter().map(|p| p.1.clone()).collect();
        assert_eq!(types[1], Type::Integer { min: 16, max: 256 });
        assert_eq!(types[2], Type::Size { min: 4096, max: u64::MAX });
        assert_eq!(types[3], Type::OneOf(vec!["low".into(), "high".into()]));
        assert_eq!(types[4], Type::Duration { min: 1_000_000, max: 7_200_000_000_000 });
        assert!(usage.placeholders()[0].2);
    }

    #[test]
    fn wrong_patterns_say_why() {
        for (usage, part) in [
            ("<a>", "<name: type>"),
            ("<a: nonsense>", "no type `nonsense`"),
            ("[x", "not closed"),
            ("<a: port", "not closed"),
            ("x ]", "not expected"),
            ("<a: integer 9..=1>", "is empty"),
            ("<a: integer 1KiB..=>", "is not a number"),
            ("<a: duration 1..=>", "is not a number"),
            ("<a: instance>", "needs the name"),
            ("Word", "is not a word"),
            ("<=", "not closed"),
            ("[[[[[[[[[[[[[[", "nest deeper"),
            ("<a: list list list list list list list list list list port>", "nest deeper"),
        ] {
            let error = Usage::parse(usage).unwrap_err().to_string();
            assert!(error.contains(part), "{usage}: {error}");
        }
    }
}
