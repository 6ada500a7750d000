//! A whole block against the options of a component.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use unik_catalogue::schema::Constraint;
use unik_catalogue::usage::Term;
use unik_catalogue::value::{Entry as TypedEntry, Place};
use unik_catalogue::{Component, OptionSpec, Options};

use super::matching::Matched;
use super::{Checker, Listening, Takes, Untaken};
use crate::diagnostic::{Diagnostic, Fix, codes};
use crate::source::SourceMap;
use crate::syntax::{self, Entry, Spanned, Statement, StatementKind};

/// The options of one block.
#[derive(Debug, Default)]
pub struct Checked {
    pub options: Options,
    pub listens: Vec<Listening>,
}

/// What is the same for all options of one instance, nested ones too.
pub struct Of<'c> {
    component: &'c Component,
    /// The declaration: where defaults and missing options are shown.
    place: Place,
    /// Keys of the options around a nested block.
    path: String,
}

/// What was written, by key: level, entry.
type Written<'s> = BTreeMap<&'s str, Vec<(usize, &'s Entry, Place)>>;

impl Checker<'_> {
    /// Checks the entries of a declaration's block against the options of `component`.
    /// `place` is the declaration.
    pub(super) fn options(
        &mut self,
        component: &Component,
        body: &[(usize, &Statement)],
        untaken: Untaken,
        place: Place,
    ) -> Checked {
        let mut checked = Checked::default();
        let of = Of::whole(component, place);
        let written = self.written(&of, &component.options, body);
        self.component_constraints(component, &written, place);
        checked.options = self.block(&of, &component.options, &written, &mut checked.listens);
        self.void(component, &written, &checked.options);
        self.across(component, &checked.options, place);
        self.untaken_options(&of, &component.options, untaken);
        checked
    }

    /// Checks entries each by itself, as far as that goes.
    pub(super) fn each_option(
        &mut self,
        of: &Of,
        specs: &IndexMap<String, OptionSpec>,
        body: &[(usize, &Statement)],
    ) {
        for (key, entries) in self.written(of, specs, body) {
            if let Some(spec) = specs.get(key) {
                self.entries(of, key, spec, &entries, &mut Vec::new());
            }
        }
    }

    /// Warns of options that are told to nobody as things are.
    fn void(&mut self, component: &Component, written: &Written, options: &Options) {
        for constraint in &component.constraints {
            let Constraint::Void { option, without, form } = constraint else { continue };
            let Some(place) = options.get(option).and_then(|entries| entries.first()?.place) else {
                continue;
            };
            let entries = options.get(without).map_or(&[][..], Vec::as_slice);
            // What was meant by one that couldn't be read isn't known.
            if entries.is_empty()
                && (written.contains_key(without.as_str()) || component.options[without].required)
            {
                continue;
            }
            let forms = &component.options[without].forms;
            let counts =
                |entry: &TypedEntry| form.as_ref().is_none_or(|form| forms[entry.form].name == *form);
            if entries.iter().any(counts) {
                continue;
            }
            let usage = form.as_ref().and_then(|form| forms.iter().find(|it| it.name == *form));
            let usage = usage.map_or_else(|| without.clone(), |form| format!("{without} {}", form.usage));
            let place = written
                .get(option.as_str())
                .and_then(|entries| entries.iter().find(|(_, _, whole)| *whole == place))
                .map_or(place, |(_, entry, _)| entry.key.place);
            let mut diagnostic = Diagnostic::warning(
                codes::VOID,
                place,
                format!("`{option}` means nothing without `{usage}`"),
            )
            .label("void");
            if let Some(other) = entries.iter().find_map(|entry| entry.place) {
                diagnostic = diagnostic.and(other, "as this is");
            }
            self.error(diagnostic);
        }
    }

    /// The entries by key; what is no option is reported.
    fn written<'s>(
        &mut self,
        of: &Of,
        specs: &'s IndexMap<String, OptionSpec>,
        body: &[(usize, &'s Statement)],
    ) -> Written<'s> {
        let mut written = Written::new();
        for (level, statement) in body {
            match &statement.kind {
                StatementKind::Entry(entry) => {
                    if specs.contains_key(&entry.key.value) {
                        written.entry(&entry.key.value).or_default().push((*level, entry, statement.place));
                    } else {
                        // What was meant isn't missing, too.
                        if let Some(meant) = self.unknown_option(of, specs, entry) {
                            written.entry(meant).or_default();
                        }
                    }
                }
                // That it is there is known; what it says isn't.
                StatementKind::Broken { key: Some(key), .. } if specs.contains_key(key) => {
                    written.entry(key).or_default();
                }
                _ => {}
            }
        }
        written
    }

    /// Gives the option that was probably meant.
    fn unknown_option<'s>(
        &mut self,
        of: &Of,
        specs: &'s IndexMap<String, OptionSpec>,
        entry: &Entry,
    ) -> Option<&'s str> {
        let key = &entry.key;
        let owner = if of.component.name == "appliance" {
            "an appliance".to_string()
        } else {
            format!("`{}`", of.component.name)
        };
        let within = if of.path.is_empty() { owner } else { format!("`{}` of {owner}", of.path) };
        let mut diagnostic = Diagnostic::error(
            codes::UNKNOWN_OPTION,
            key.place,
            format!("{within} has no option `{}`", key.value),
        );
        let known: Vec<String> = specs.keys().map(|key| format!("`{key}`")).collect();
        let near = self.near(&key.value, specs.keys());
        let inner = specs.iter().find_map(|(name, spec)| {
            let form = spec.forms.iter().find(|form| has_word(&form.usage.terms, &key.value))?;
            Some((name, form))
        });
        let component = self.catalogue.component(&key.value).filter(|_| of.component.name == "appliance");
        let meant = near.as_ref().and_then(|near| specs.get_key_value(near)).map(|(name, _)| name);
        diagnostic = match near {
            None if let Some((name, form)) = inner => {
                diagnostic.help(format!("it is part of `{name}`: `{name} {}`", form.usage))
            }
            None if let Some(component) = component => diagnostic.help(format!(
                "it is a component: `{} NAME = {} … {{ … }}`",
                component.kind.word(),
                component.name
            )),
            Some(near) => diagnostic.suggest(format!("did you mean `{near}`?"), key.place, near),
            None if known.is_empty() => diagnostic.help("it has no options"),
            None if known.len() == 1 => diagnostic.help(format!("its only option is {}", known[0])),
            None => diagnostic.help(format!("its options are {}", known.join(", "))),
        };
        self.error(diagnostic);
        // What it uses is not unused for that.
        for value in &entry.values {
            let _ = self.resolve(value);
        }
        meant.or(inner.map(|(name, _)| name)).map(String::as_str)
    }

    fn block(
        &mut self,
        of: &Of,
        specs: &IndexMap<String, OptionSpec>,
        written: &Written,
        listens: &mut Vec<Listening>,
    ) -> Options {
        let mut options = Options::new();
        for (key, spec) in specs {
            let entries = match written.get(key.as_str()) {
                Some(entries) => self.entries(of, key, spec, entries, listens),
                None => self.default(of, key, spec, listens).into_iter().collect(),
            };
            if !entries.is_empty() {
                options.insert(key.clone(), entries);
            }
        }
        options
    }

    /// The entries that were written with one key.
    fn entries(
        &mut self,
        of: &Of,
        key: &str,
        spec: &OptionSpec,
        entries: &[(usize, &Entry, Place)],
        listens: &mut Vec<Listening>,
    ) -> Vec<TypedEntry> {
        let top = entries.iter().map(|(level, ..)| *level).max().unwrap_or(0);
        let mut first: BTreeMap<usize, Place> = BTreeMap::new();
        let mut typed = Vec::new();
        for (level, entry, place) in entries {
            if !spec.repeats {
                if let Some(first) = first.get(level) {
                    self.error(
                        Diagnostic::error(
                            codes::REPEATED,
                            entry.key.place,
                            format!("`{key}` is written twice"),
                        )
                        .and(*first, "the first time"),
                    );
                    continue;
                }
                first.insert(*level, entry.key.place);
            }
            // What a `when` replaces is checked all the same.
            let mut heard = Vec::new();
            let one = self.entry(of, spec, entry, *place, &mut heard);
            if spec.repeats || *level == top {
                listens.append(&mut heard);
                typed.extend(one);
            }
        }
        typed
    }

    fn entry(
        &mut self,
        of: &Of,
        spec: &OptionSpec,
        entry: &Entry,
        place: Place,
        listens: &mut Vec<Listening>,
    ) -> Option<TypedEntry> {
        let before = std::mem::replace(&mut self.takes, Takes { boot: spec.at_boot, secret: spec.secret });
        let mut matched = self.match_option(&entry.key, spec, &entry.values, place);
        self.takes = before;
        if let Some(matched) = &mut matched {
            matched.is_written = true;
            let constraints = &spec.forms[matched.form].constraints;
            self.form_constraints(of.component, &of.key(&entry.key.value), constraints, matched, listens);
        }
        let nested = match &entry.body {
            Some(_) if spec.options.is_empty() => {
                self.error(
                    Diagnostic::error(
                        codes::NO_BLOCK,
                        entry.key.place,
                        format!("`{}` takes no block", entry.key.value),
                    )
                    .help("leave the braces out"),
                );
                Options::new()
            }
            body => {
                let statements: Vec<&Statement> = body.iter().flatten().collect();
                let (mut flat, mut untaken) = (Vec::new(), Untaken::new());
                self.flatten(&statements, 0, &mut flat, &mut untaken);
                let of = Of { path: of.key(&entry.key.value), place, component: of.component };
                let written = self.written(&of, &spec.options, &flat);
                self.untaken_options(&of, &spec.options, untaken);
                self.block(&of, &spec.options, &written, listens)
            }
        };
        matched.map(|matched| typed(matched, nested, Some(place)))
    }

    /// What an option is when it isn't written.
    fn default(
        &mut self,
        of: &Of,
        key: &str,
        spec: &OptionSpec,
        listens: &mut Vec<Listening>,
    ) -> Option<TypedEntry> {
        let Some(default) = &spec.default else {
            if spec.required {
                let usages: Vec<String> = spec
                    .forms
                    .iter()
                    .map(|form| format!("`{}`", format!("{key} {}", form.usage).trim_end()))
                    .collect();
                let owner = if of.path.is_empty() { of.component.name.clone() } else { of.path.clone() };
                self.error(
                    Diagnostic::error(
                        codes::MISSING_OPTION,
                        of.place,
                        format!("`{owner}` needs the option `{key}`"),
                    )
                    .help(format!("{}: {}", usages.join(" or "), spec.doc))
                    .fix(self.written_in(of, key, spec)),
                );
            }
            return None;
        };
        // The catalogue's own text: what is wrong with it is the component's fault, and
        // said in a few words at the declaration.
        let mut scratch = SourceMap::default();
        scratch.add("default", default.as_str());
        let mut found = Vec::new();
        let values = syntax::parse_values(&scratch, 0, &mut found);
        let said = self.diagnostics.len();
        let key_place = Spanned { value: key.to_string(), place: of.place };
        std::mem::swap(&mut self.sources, &mut scratch);
        let matched =
            if found.is_empty() { self.match_option(&key_place, spec, &values, of.place) } else { None };
        std::mem::swap(&mut self.sources, &mut scratch);
        self.diagnostics.truncate(said);
        let Some(mut matched) = matched else {
            self.error(
                Diagnostic::error(
                    codes::CATALOGUE,
                    of.place,
                    format!(
                        "the default `{default}` of the option `{key}` of `{}` isn't one",
                        of.component.name
                    ),
                )
                .help("this is a mistake in the component, not in your file"),
            );
            return None;
        };
        // The places were those of the default's text.
        matched.places.values_mut().flatten().for_each(|place| *place = of.place);
        let constraints = &spec.forms[matched.form].constraints;
        self.form_constraints(of.component, &of.key(key), constraints, &matched, listens);
        let of = Of { path: of.key(key), place: of.place, component: of.component };
        let nested = self.block(&of, &spec.options, &Written::new(), listens);
        Some(typed(matched, nested, None))
    }

    /// A fix that writes an option that has to be there, with a value to be changed.
    fn written_in(&self, of: &Of, key: &str, spec: &OptionSpec) -> Fix {
        let value = spec.forms.first().map(|form| form.usage.example()).unwrap_or_default();
        let entry = format!("{key} {value}");
        let entry = entry.trim_end();
        let rest = self.sources.source(of.place.source).and_then(|source| source.text.get(of.place.end..));
        let rest = rest.unwrap_or_default();
        let gap = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let source = of.place.source;
        let fix = Fix::maybe("write it, with a value of yours");
        match rest[gap..].strip_prefix('{') {
            None => fix.insert(source, of.place.end, format!(" {{ {entry} }}")),
            Some(block) => {
                // On a line of its own, where the entries that are there have theirs.
                let blank = block.len() - block.trim_start_matches([' ', '\t']).len();
                let line = block[blank..].strip_prefix('\n').or_else(|| block[blank..].strip_prefix("\r\n"));
                let text = match line {
                    Some(line) if !line.trim_start().starts_with('}') => {
                        let indent = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
                        format!("\n{indent}{entry}")
                    }
                    _ if block.trim_start().starts_with('}') => format!(" {entry} "),
                    _ => format!(" {entry};"),
                };
                fix.insert(source, of.place.end + gap + 1, text)
            }
        }
    }

    /// Constraints between options.
    fn component_constraints(&mut self, component: &Component, written: &Written, place: Place) {
        let at = |key: &str| {
            written.get(key).map(|entries| entries.first().map_or(place, |(_, entry, _)| entry.key.place))
        };
        let list =
            |keys: &[String]| keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" or ");
        for constraint in &component.constraints {
            let diagnostic = match constraint {
                Constraint::Excludes(keys) => {
                    let mut found = keys.iter().filter_map(|key| at(key).map(|place| (key, place)));
                    let (Some(one), Some(other)) = (found.next(), found.next()) else { continue };
                    let (first, second) = if one.1 < other.1 { (one, other) } else { (other, one) };
                    Diagnostic::error(
                        codes::EXCLUDES,
                        second.1,
                        format!("`{}` and `{}` exclude each other", first.0, second.0),
                    )
                    .and(first.1, "the other")
                    .help("leave one of them out")
                }
                Constraint::AnyOf(keys) => {
                    if keys.iter().any(|key| at(key).is_some()) {
                        continue;
                    }
                    Diagnostic::error(
                        codes::ANY_OF,
                        place,
                        format!("`{}` needs {}", component.name, list(keys)),
                    )
                    .label("none of them is given")
                }
                Constraint::Requires { option, needs } => {
                    let Some(here) = at(option).filter(|_| at(needs).is_none()) else { continue };
                    Diagnostic::error(codes::REQUIRES, here, format!("`{option}` needs `{needs}` beside it"))
                }
                _ => continue,
            };
            self.error(diagnostic);
        }
    }
}

impl<'c> Of<'c> {
    /// The options of a component, those that are in no nested block.
    pub fn whole(component: &'c Component, place: Place) -> Of<'c> {
        Of { component, place, path: String::new() }
    }

    /// The full name of a key: `zone.ttl` in a nested block.
    fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.into() } else { format!("{}.{key}", self.path) }
    }
}

/// Whether a usage has this word, be it in an optional group.
fn has_word(terms: &[Term], wanted: &str) -> bool {
    terms.iter().any(|term| match term {
        Term::Word(word) => word == wanted,
        Term::Placeholder { .. } => false,
        Term::Optional(terms) => has_word(terms, wanted),
    })
}

fn typed(matched: Matched, nested: Options, place: Option<Place>) -> TypedEntry {
    TypedEntry { form: matched.form, values: matched.values, words: matched.words, nested, place }
}
