//! Which value of an entry stands for what: a loose match against the usage patterns, that
//! also says what may follow. The checker's own match is strict, and tells what is wrong; this
//! one serves those who are still writing.

use unik_catalogue::{OptionSpec, Term, Type};
use unik_dsl::syntax::{Value, ValueKind};

/// What became of the values of an entry.
#[derive(Debug, Default)]
pub struct Match<'s> {
    /// The term of each value, as far as they fit.
    pub terms: Vec<&'s Term>,
    /// What may follow after the last of them.
    pub expected: Vec<&'s Term>,
    /// Whether a value fits nothing.
    failed: bool,
    ended: bool,
}

/// Matches `values` against each form of an option; those come first that fit best.
pub fn matches<'s>(spec: &'s OptionSpec, values: &[Value]) -> Vec<(usize, Match<'s>)> {
    let mut found: Vec<(usize, Match)> = spec
        .forms
        .iter()
        .enumerate()
        .map(|(form, alternative)| {
            let mut one = Match::default();
            one.follow(&alternative.usage.terms, values);
            one.failed |= one.terms.len() < values.len();
            (form, one)
        })
        .collect();
    found.sort_by_key(|(_, one)| (one.failed, usize::MAX - one.terms.len()));
    found
}

/// What may follow `values` in an entry of `spec`, each with its form.
pub fn expected<'s>(spec: &'s OptionSpec, values: &[Value]) -> Vec<(usize, &'s Term)> {
    let fitting = matches(spec, values).into_iter().filter(|(_, one)| !one.failed);
    fitting.flat_map(|(form, one)| one.expected.into_iter().map(move |term| (form, term))).collect()
}

impl<'s> Match<'s> {
    fn follow(&mut self, terms: &'s [Term], values: &[Value]) {
        for (index, term) in terms.iter().enumerate() {
            let Some(value) = values.get(self.terms.len()) else {
                self.expect(term);
                if matches!(term, Term::Optional(_)) {
                    continue;
                }
                self.ended = true;
                return;
            };
            match term {
                Term::Optional(inner) => {
                    if inner.first().is_some_and(|first| begins(first, value)) {
                        self.follow(inner, values);
                        if self.ended || self.failed {
                            return;
                        }
                    }
                }
                Term::Placeholder { repeats: true, .. } if begins(term, value) => {
                    let stops = |value: &Value| {
                        terms.get(index + 1).is_some_and(|next| !is_open(next) && begins(next, value))
                    };
                    self.terms.push(term);
                    while let Some(value) = values.get(self.terms.len()).filter(|value| begins(term, value)) {
                        if stops(value) {
                            break;
                        }
                        self.terms.push(term);
                    }
                    if self.terms.len() == values.len() {
                        self.expect(term);
                    }
                }
                _ if begins(term, value) => self.terms.push(term),
                _ => {
                    self.failed = true;
                    return;
                }
            }
        }
    }

    fn expect(&mut self, term: &'s Term) {
        match term {
            Term::Optional(inner) => inner.first().into_iter().for_each(|first| self.expect(first)),
            term if self.expected.contains(&term) => {}
            term => self.expected.push(term),
        }
    }
}

/// Whether a term says nothing by itself of where it begins.
fn is_open(term: &Term) -> bool {
    match term {
        Term::Word(_) => false,
        Term::Placeholder { .. } => true,
        Term::Optional(inner) => inner.first().is_none_or(is_open),
    }
}

fn begins(term: &Term, value: &Value) -> bool {
    match term {
        Term::Word(word) => {
            matches!(&value.kind, ValueKind::Word(found) | ValueKind::Bound(found) if found == word)
        }
        Term::Placeholder { ty, .. } => could_be(value, ty),
        Term::Optional(inner) => inner.first().is_some_and(|first| begins(first, value)),
    }
}

/// Whether a value is written as one of this type is, right or nearly right.
pub fn could_be(value: &Value, ty: &Type) -> bool {
    use ValueKind as V;
    match (&value.kind, ty) {
        (V::Reference(_) | V::Malformed, _) => true,
        (V::Word(word), Type::Bool) => word == "true" || word == "false",
        (V::Word(word), Type::OneOf(words)) => words.contains(word),
        (V::Word(_), Type::Name | Type::Instance(_) | Type::Handler) => true,
        (V::String(_), Type::String | Type::Name | Type::Path) => true,
        (V::Integer(_), Type::Integer { .. } | Type::Port) => true,
        (V::Integer(_) | V::Quantity(..), Type::Size { .. } | Type::Duration { .. }) => true,
        (V::Integer(_) | V::Rate(..), Type::Rate) => true,
        (V::Ip(address) | V::Cidr(address, _), Type::Ipv4 | Type::Cidr4) => address.is_ipv4(),
        (V::Ip(address) | V::Cidr(address, _), Type::Ipv6 | Type::Cidr6) => address.is_ipv6(),
        (V::Ip(_) | V::Cidr(..), Type::Ip) => true,
        (V::Mac(_), Type::Mac) => true,
        (V::Endpoint(_) | V::Ip(_), Type::Endpoint) => true,
        (V::Place { .. }, Type::InstancePath(_)) => true,
        (V::List(_), Type::List(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use unik_catalogue::Component;
    use unik_dsl::{SourceMap, syntax};

    use super::*;

    fn shown(text: &str) -> String {
        let manifest =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../device-lib/ip/Cargo.toml");
        let ip = Component::read(&manifest).expect("it is one");
        let http = Component::read(&manifest.with_file_name("../http/Cargo.toml")).expect("it is one");
        let (key, rest) = text.split_once(' ').unwrap_or((text, ""));
        let spec = http.options.get(key).or_else(|| ip.options.get(key)).expect("an option");
        let mut sources = SourceMap::default();
        let number = sources.add("x", rest);
        let values = syntax::parse_values(&sources, number, &mut Vec::new());
        let terms = expected(spec, &values).into_iter().map(|(_, term)| match term {
            Term::Word(word) => word.clone(),
            Term::Placeholder { name, .. } => format!("<{name}>"),
            Term::Optional(_) => "[".into(),
        });
        terms.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_may_follow() {
        assert_eq!(shown("ipv4"), "<address> dhcp");
        assert_eq!(shown("ipv4 10.0.0.2/24"), "gateway");
        assert_eq!(shown("ipv4 10.0.0.2/24 gateway"), "<gateway>");
        assert_eq!(shown("ipv4 dhcp"), "");
        assert_eq!(shown("resolver 9.9.9.9"), "<server>");
        assert_eq!(shown("route \"/\" x"), "method");
        assert_eq!(shown("route \"/\" x method get"), "<method>");
        assert_eq!(shown("files from"), "<storage>");
    }
}
