//! An entry against the usage patterns of its option.
//!
//! Matching is greedy and never goes back: a pattern is a handful of words and
//! placeholders, and what it means should be plain to a reader too.

use std::collections::{BTreeMap, BTreeSet};

use unik_catalogue::value::Place;
use unik_catalogue::{Bound, OptionSpec, Term, Type};

use super::Checker;
use super::convert::{Misfit, Reason};
use crate::diagnostic::{Diagnostic, codes};
use crate::syntax::{Spanned, Value, ValueKind};

/// What an entry was matched to.
#[derive(Debug, Default)]
pub struct Matched {
    pub form: usize,
    pub values: BTreeMap<String, Bound>,
    pub words: BTreeSet<String>,
    /// Whether it stands in the file, and isn't a default.
    pub is_written: bool,
    /// Where the values of each placeholder stand.
    pub places: BTreeMap<String, Vec<Place>>,
}

/// Why a form doesn't fit.
struct Mismatch {
    /// How many values fitted before.
    at: usize,
    kind: MismatchKind,
}

enum MismatchKind {
    Poisoned,
    Value(Box<Reason>),
    /// Something else is wanted, or something at all.
    Wanted(Vec<String>),
}

impl Mismatch {
    /// The better the match, the more it tells what was meant.
    fn rank(&self) -> (usize, bool) {
        let close = match &self.kind {
            MismatchKind::Poisoned => true,
            MismatchKind::Value(reason) => reason.close,
            MismatchKind::Wanted(_) => false,
        };
        (self.at, close)
    }
}

impl Checker<'_> {
    /// Matches `values` against the forms of the option `key`; what is wrong is reported.
    pub(super) fn match_option(
        &mut self,
        key: &Spanned<String>,
        spec: &OptionSpec,
        values: &[Value],
        place: Place,
    ) -> Option<Matched> {
        let mut worst: Vec<Mismatch> = Vec::new();
        for (form, alternative) in spec.forms.iter().enumerate() {
            let mut matched = Matched { form, ..Matched::default() };
            match self.match_form(&alternative.usage.terms, values, &mut matched) {
                Ok(()) => return Some(matched),
                Err(mismatch) => worst.push(mismatch),
            }
        }
        let best = worst.iter().map(Mismatch::rank).max()?;
        worst.retain(|mismatch| mismatch.rank() == best);
        let diagnostic = self.mismatch(key, values, place, worst)?;
        let usages: Vec<String> = spec
            .forms
            .iter()
            .map(|form| format!("`{}`", format!("{} {}", key.value, form.usage).trim_end()))
            .collect();
        self.error(diagnostic.help(format!("it is written {}", usages.join(" or "))));
        None
    }

    fn mismatch(
        &mut self,
        key: &Spanned<String>,
        values: &[Value],
        place: Place,
        mut mismatches: Vec<Mismatch>,
    ) -> Option<Diagnostic> {
        let what = format!("`{}`", key.value);
        if mismatches.len() == 1 {
            let mismatch = mismatches.pop()?;
            return match mismatch.kind {
                MismatchKind::Poisoned => None,
                MismatchKind::Value(reason) => Some(reason.diagnostic(&what)),
                MismatchKind::Wanted(wanted) => {
                    Some(self.unexpected(&what, values, place, mismatch.at, &wanted))
                }
            };
        }
        let mut wanted = Vec::new();
        let mut at = 0;
        for mismatch in mismatches {
            at = mismatch.at;
            match mismatch.kind {
                MismatchKind::Poisoned => return None,
                MismatchKind::Value(reason) => wanted.push(reason.wanted),
                MismatchKind::Wanted(words) => wanted.extend(words),
            }
        }
        Some(self.unexpected(&what, values, place, at, &wanted))
    }

    /// The value at `at`, or the end, where one of `wanted` should be.
    fn unexpected(
        &mut self,
        what: &str,
        values: &[Value],
        place: Place,
        at: usize,
        wanted: &[String],
    ) -> Diagnostic {
        let mut words: Vec<&str> = Vec::new();
        for word in wanted {
            if !words.contains(&word.as_str()) {
                words.push(word);
            }
        }
        let list = match words.as_slice() {
            [] => "nothing more".to_string(),
            [one] => (*one).to_string(),
            [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
        };
        let Some(value) = values.get(at) else {
            let end = Place { start: place.end, end: place.end, ..place };
            return Diagnostic::error(codes::INCOMPLETE, end, format!("{what} needs {list}"))
                .label(format!("expected {list}"));
        };
        let found = self.describe(value);
        let message = match words.is_empty() {
            true => format!("{what} takes nothing more, but {found} follows"),
            false => format!("{what} takes {list} here, not {found}"),
        };
        let diagnostic =
            Diagnostic::error(codes::WRONG_TYPE, value.place, message).label(format!("expected {list}"));
        if let ValueKind::Bound(_) = &value.kind
            && words == ["`<=`"]
        {
            return diagnostic.suggest("a bound is the most that may be", value.place, "<=");
        }
        if let ValueKind::Word(word) = &value.kind
            && let Some(near) = self.near(word, words.iter().map(|word| word.trim_matches('`')))
        {
            return diagnostic.suggest(format!("did you mean `{near}`?"), value.place, near);
        }
        diagnostic
    }

    fn match_form(
        &mut self,
        terms: &[Term],
        values: &[Value],
        matched: &mut Matched,
    ) -> Result<(), Mismatch> {
        let mut at = 0;
        let mut skipped = Vec::new();
        self.match_terms(terms, values, &mut at, &mut skipped, matched)?;
        if at < values.len() {
            return Err(Mismatch { at, kind: MismatchKind::Wanted(skipped) });
        }
        Ok(())
    }

    /// Matches `terms` from value `at` on. `skipped` holds what optional groups would
    /// have begun with, where the last ones were left out.
    fn match_terms(
        &mut self,
        terms: &[Term],
        values: &[Value],
        at: &mut usize,
        skipped: &mut Vec<String>,
        matched: &mut Matched,
    ) -> Result<(), Mismatch> {
        for (index, term) in terms.iter().enumerate() {
            match term {
                Term::Word(word) => {
                    if !self.is_word(values.get(*at), word) {
                        skipped.push(format!("`{word}`"));
                        return Err(Mismatch {
                            at: *at,
                            kind: MismatchKind::Wanted(std::mem::take(skipped)),
                        });
                    }
                    *at += 1;
                }
                Term::Placeholder { name, ty, repeats: false } => {
                    let typed = self.placeholder(ty, values, *at)?;
                    matched.places.entry(name.clone()).or_default().push(values[*at].place);
                    matched.values.insert(name.clone(), Bound::One(typed));
                    *at += 1;
                }
                Term::Placeholder { name, ty, repeats: true } => {
                    let stop = first_word(&terms[index + 1..]);
                    let last = index + 1 == terms.len();
                    let mut found = Vec::new();
                    self.one_or_list(name, ty, values, *at, &mut found, matched)?;
                    *at += 1;
                    while *at < values.len() && !stop.is_some_and(|word| self.is_word(values.get(*at), word))
                    {
                        match self.one_or_list(name, ty, values, *at, &mut found, matched) {
                            Ok(()) => {}
                            Err(mismatch) if last || matches!(mismatch.kind, MismatchKind::Poisoned) => {
                                return Err(mismatch);
                            }
                            Err(_) => break,
                        }
                        *at += 1;
                    }
                    matched.values.insert(name.clone(), Bound::Many(found));
                }
                Term::Optional(inner) => {
                    let begins = match inner.first() {
                        Some(Term::Word(word)) => {
                            let here = self.is_word(values.get(*at), word);
                            if !here {
                                skipped.push(format!("`{word}`"));
                            }
                            here
                        }
                        Some(Term::Placeholder { ty, .. }) => {
                            let here = values.get(*at).map(|value| self.convert(value, ty));
                            if here.is_some() {
                                skipped.push(ty.to_string());
                            }
                            matches!(here, Some(Ok(_) | Err(Misfit::Poisoned)))
                        }
                        Some(Term::Optional(_)) | None => false,
                    };
                    if begins {
                        self.match_terms(inner, values, at, &mut Vec::new(), matched)?;
                        if !inner.iter().any(|term| matches!(term, Term::Placeholder { .. })) {
                            matched.words.extend(inner.iter().filter_map(|term| match term {
                                Term::Word(word) => Some(word.clone()),
                                _ => None,
                            }));
                        }
                    }
                    continue;
                }
            }
            skipped.clear();
        }
        Ok(())
    }

    /// A value of several, or a list of such in its place.
    fn one_or_list(
        &mut self,
        name: &str,
        ty: &Type,
        values: &[Value],
        at: usize,
        found: &mut Vec<unik_catalogue::Value>,
        matched: &mut Matched,
    ) -> Result<(), Mismatch> {
        let places = matched.places.entry(name.into()).or_default();
        if let Some(list) = values.get(at)
            && !matches!(ty, Type::List(_))
            && self.late(list).is_none()
            && let Ok(Value { kind: ValueKind::List(items), .. }) = self.resolve(list)
            && !items.is_empty()
        {
            for item in 0..items.len() {
                let typed = self.placeholder(ty, &items, item).map_err(|it| Mismatch { at, ..it })?;
                found.push(typed);
                places.push(items[item].place);
            }
            return Ok(());
        }
        found.push(self.placeholder(ty, values, at)?);
        places.push(values[at].place);
        Ok(())
    }

    fn placeholder(
        &mut self,
        ty: &Type,
        values: &[Value],
        at: usize,
    ) -> Result<unik_catalogue::Value, Mismatch> {
        let Some(value) = values.get(at) else {
            return Err(Mismatch { at, kind: MismatchKind::Wanted(vec![ty.to_string()]) });
        };
        self.convert(value, ty).map_err(|misfit| Mismatch {
            at,
            kind: match misfit {
                Misfit::Poisoned => MismatchKind::Poisoned,
                Misfit::Because(reason) => {
                    MismatchKind::Value(self.with_unit(ty, value, values.get(at + 1), reason))
                }
            },
        })
    }

    /// A number without its unit, where a word follows that could have been meant as one:
    /// `5 m`. Apart from its number only a known unit is read as one.
    fn with_unit(&self, ty: &Type, number: &Value, next: Option<&Value>, reason: Box<Reason>) -> Box<Reason> {
        let (ValueKind::Integer(count), Some(Value { kind: ValueKind::Word(word), place })) =
            (&number.kind, next)
        else {
            return reason;
        };
        // A value that comes by a name is written elsewhere.
        if reason.code != codes::UNIT || !word.chars().all(char::is_alphabetic) {
            return reason;
        }
        Box::new(reason.unknown_unit(*count, word, ty, Place { end: place.end, ..number.place }))
    }

    fn is_word(&self, value: Option<&Value>, word: &str) -> bool {
        matches!(value, Some(Value { kind: ValueKind::Word(found) | ValueKind::Bound(found), .. }) if found == word)
    }
}

/// The literal word that the terms begin with, if they do.
fn first_word(terms: &[Term]) -> Option<&str> {
    match terms.first()? {
        Term::Word(word) => Some(word),
        Term::Optional(inner) => first_word(inner),
        Term::Placeholder { .. } => None,
    }
}
