//! A block with its `when`s decided.

use unik_catalogue::{OptionSpec, Target, Term, Type, Value as Typed};

use super::convert::Misfit;
use super::{Checker, Untaken};
use crate::diagnostic::{Diagnostic, codes};
use crate::syntax::{Condition, Spanned, Statement, StatementKind, Subject, Test, Value, ValueKind};

impl Checker<'_> {
    /// The statements that count, and the blocks that don't. Each statement with the number of `when`s around it: what stands
    /// under a condition goes before what stands outside of it.
    pub(super) fn flatten<'s>(
        &mut self,
        statements: &[&'s Statement],
        level: usize,
        into: &mut Vec<(usize, &'s Statement)>,
        untaken: &mut Untaken<'s>,
    ) {
        for &statement in statements {
            match &statement.kind {
                StatementKind::When { condition, body } => {
                    let statements: Vec<&Statement> = body.iter().collect();
                    match self.holds(condition) {
                        Some(true) => self.flatten(&statements, level + 1, into, untaken),
                        held => {
                            self.mention(&statements);
                            self.incomplete |= held.is_none();
                            untaken.push(body);
                        }
                    }
                }
                StatementKind::Broken { name, .. } => {
                    self.incomplete = true;
                    into.push((level, statement));
                    self.mentioned.extend(name.clone());
                }
                StatementKind::Param { .. }
                | StatementKind::Let { .. }
                | StatementKind::Crate { .. }
                | StatementKind::Include(_)
                    if level > 0 =>
                {
                    self.error(
                        Diagnostic::error(
                            codes::MISPLACED,
                            statement.place,
                            "this can't depend on a condition",
                        )
                        .help("`when` chooses among settings, declarations and options"),
                    );
                }
                _ => into.push((level, statement)),
            }
        }
    }

    /// Whether the condition holds; `None` where that can't be told, which was said.
    pub(super) fn holds(&mut self, condition: &Condition) -> Option<bool> {
        let (ty, subject, what) = self.subject(&condition.subject)?;
        let is_setting = matches!(condition.subject.value, Subject::Setting(_));
        let compared = |checker: &mut Self, value: &Value, ty: &Type| match checker.convert(value, ty) {
            Ok(typed) => Some(typed),
            Err(Misfit::Poisoned) => None,
            Err(Misfit::Because(mut reason)) => {
                if is_setting {
                    reason.code = codes::CONDITION;
                }
                checker.error(reason.diagnostic(&what));
                None
            }
        };
        Some(match &condition.test {
            Test::Holds => {
                if ty != Type::Bool {
                    let place = condition.subject.place;
                    self.error(
                        Diagnostic::error(codes::CONDITION, place, format!("{what} isn't true or false"))
                            .label(format!("it is {ty}"))
                            .help("say what it should be: `when … == VALUE`, or `in [ONE, OTHER]`"),
                    );
                    return None;
                }
                subject? == Typed::Bool(true)
            }
            Test::Equals(value) => compared(self, value, &ty)? == subject?,
            Test::Differs(value) => compared(self, value, &ty)? != subject?,
            Test::In(value) => {
                let Typed::List(values) = compared(self, value, &Type::List(Box::new(ty)))? else {
                    return None;
                };
                values.contains(&subject?)
            }
        })
    }

    /// The type of what a condition is about, its value where it has one, and what it is called.
    fn subject(&mut self, subject: &Spanned<Subject>) -> Option<(Type, Option<Typed>, String)> {
        match &subject.value {
            Subject::Setting(key) => {
                let choices = self.choices();
                let what = format!("`{key}`");
                if let Some((_, words, _)) = choices.iter().find(|(known, ..)| known == key) {
                    let value = match key.as_str() {
                        "target" => Some(self.target.word().to_string()),
                        _ => self.chosen.get(key).cloned(),
                    };
                    return Some((Type::OneOf(words.clone()), value.map(Typed::Word), what));
                }
                let known: Vec<String> = choices.iter().map(|(key, ..)| format!("`{key}`")).collect();
                let mut diagnostic = Diagnostic::error(
                    codes::CONDITION,
                    subject.place,
                    format!("`{key}` is nothing that a condition can be about"),
                );
                diagnostic = if self.bindings.contains_key(key) {
                    diagnostic.suggest(format!("did you mean `${key}`?"), subject.place, format!("${key}"))
                } else if let Some(near) = self.near(key, choices.iter().map(|(key, ..)| key)) {
                    diagnostic.suggest(format!("did you mean `{near}`?"), subject.place, near)
                } else {
                    diagnostic.help(format!("it is about {} or a parameter, `$NAME`", known.join(", ")))
                };
                self.error(diagnostic);
                None
            }
            Subject::Name(name) => {
                let reference = Value { place: subject.place, kind: ValueKind::Reference(name.clone()) };
                let Some(ty) = self.type_of(&reference)? else {
                    self.error(
                        Diagnostic::error(
                            codes::CONDITION,
                            subject.place,
                            format!("`${name}` is no parameter"),
                        )
                        .help("a condition is about a setting such as `target`, or a parameter"),
                    );
                    return None;
                };
                let what = format!("`${name}`");
                let value = self.convert_or_say(&reference, &ty, &what)?;
                Some((ty, Some(value), what))
            }
        }
    }

    /// The settings of the appliance that are a choice of words, which a condition may be about:
    /// key, words and default. Not all targets can be written as a setting.
    fn choices(&self) -> Vec<(String, Vec<String>, Option<String>)> {
        let Some(component) = self.catalogue.appliance() else { return Vec::new() };
        let choice = |(key, spec): (&String, &OptionSpec)| {
            let [form] = spec.forms.as_slice() else { return None };
            let [Term::Placeholder { ty: Type::OneOf(words), repeats: false, .. }] =
                form.usage.terms.as_slice()
            else {
                return None;
            };
            let words = match key.as_str() {
                "target" => Target::ALL.map(|target| target.word().to_string()).to_vec(),
                _ => words.clone(),
            };
            Some((key.clone(), words, spec.default.clone()))
        };
        component.options.iter().filter_map(choice).collect()
    }

    /// Notes what a block uses that doesn't count now, so that nothing in it is called
    /// unused.
    fn mention(&mut self, statements: &[&Statement]) {
        for statement in statements {
            match &statement.kind {
                StatementKind::When { condition, body } => {
                    if let Subject::Name(name) = &condition.subject.value {
                        self.mark_read(name);
                    }
                    condition.test.value().into_iter().for_each(|value| self.mention_value(value));
                    self.mention(&body.iter().collect::<Vec<_>>());
                }
                StatementKind::Declaration(declaration) => {
                    self.mentioned.extend(declaration.wires.iter().map(|wire| wire.value.clone()));
                    self.mentioned.insert(declaration.component.value.clone());
                    self.mention(&declaration.body.iter().collect::<Vec<_>>());
                }
                StatementKind::Entry(entry) => {
                    entry.values.iter().for_each(|value| self.mention_value(value));
                    if let Some(body) = &entry.body {
                        self.mention(&body.iter().collect::<Vec<_>>());
                    }
                }
                _ => {}
            }
        }
    }

    fn mention_value(&mut self, value: &Value) {
        match &value.kind {
            ValueKind::Reference(name) => self.mark_read(name),
            ValueKind::Word(word) => {
                self.mentioned.insert(word.clone());
            }
            ValueKind::Place { instance, .. } => {
                self.mentioned.insert(instance.value.clone());
            }
            ValueKind::List(values) => values.iter().for_each(|value| self.mention_value(value)),
            _ => {}
        }
    }

    /// Finds out what the settings are that conditions may be about, which can't stand under a
    /// condition on themselves. The target first: others may depend on it.
    pub(super) fn choose(&mut self, statements: &[&Statement]) {
        let mut choices = self.choices();
        choices.sort_by_key(|(key, ..)| key != "target");
        for (key, words, default) in choices {
            let chosen =
                self.written_setting(&key, statements).filter(|word| words.contains(word)).or(default);
            if key == "target" {
                let word = chosen.unwrap_or_default();
                let own = Target::ALL.into_iter().find(|target| target.word() == word);
                self.target = self.request.target.or(own).unwrap_or(Target::Machine);
            } else if let Some(word) = chosen {
                self.chosen.insert(key, word);
            }
        }
    }

    /// The word that stands after the setting `key`, where it counts.
    fn written_setting(&mut self, key: &str, statements: &[&Statement]) -> Option<String> {
        let mut written: Option<(usize, String)> = None;
        let said = self.said.clone();
        let mut open: Vec<(&Statement, usize, bool)> =
            statements.iter().map(|statement| (*statement, 0, false)).collect();
        open.reverse();
        while let Some((statement, level, under_itself)) = open.pop() {
            match &statement.kind {
                StatementKind::When { condition, body } => {
                    let on_itself = condition.subject.value == Subject::Setting(key.into());
                    let counts = on_itself || {
                        // Whether it holds is said, with all that is wrong, when the
                        // block's turn comes.
                        let said = self.diagnostics.len();
                        let holds = self.holds(condition) == Some(true);
                        self.diagnostics.truncate(said);
                        holds
                    };
                    if counts {
                        let inner = body.iter().rev();
                        open.extend(inner.map(|inner| (inner, level + 1, under_itself || on_itself)));
                    }
                }
                StatementKind::Entry(entry) if entry.key.value == key => {
                    if under_itself {
                        self.error(Diagnostic::error(
                            codes::CONDITION,
                            entry.key.place,
                            format!("`{key}` can't depend on `{key}`"),
                        ));
                    } else if let [value] = entry.values.as_slice()
                        && let Ok(value) = self.resolve(value)
                        && let ValueKind::Word(word) = &value.kind
                        && written.as_ref().is_none_or(|(before, _)| *before <= level)
                    {
                        written = Some((level, word.clone()));
                    }
                }
                _ => {}
            }
        }
        self.said = said;
        written.map(|(_, word)| word)
    }
}
