//! A block with its `when`s decided.

use unik_catalogue::{Component, Target};

use super::Checker;
use crate::diagnostic::{Diagnostic, codes, did_you_mean};
use crate::syntax::{Condition, Statement, StatementKind, Value, ValueKind};

impl Checker<'_> {
    /// The statements that count, each with the number of `when`s around it: what stands
    /// under a condition goes before what stands outside of it.
    pub(super) fn flatten<'s>(
        &mut self,
        statements: &[&'s Statement],
        level: usize,
        into: &mut Vec<(usize, &'s Statement)>,
    ) {
        for &statement in statements {
            match &statement.kind {
                StatementKind::When { condition, body } => {
                    let body: Vec<&Statement> = body.iter().collect();
                    match self.holds(condition) {
                        Some(true) => self.flatten(&body, level + 1, into),
                        Some(false) => self.mention(&body),
                        None => self.incomplete = true,
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
    fn holds(&mut self, condition: &Condition) -> Option<bool> {
        let Condition { subject, negated, value } = condition;
        let equal = match &subject.value {
            None => {
                let words = Target::ALL.map(Target::word);
                let ValueKind::Word(word) = &self.resolve(value).ok()?.kind else {
                    self.error(Diagnostic::error(
                        codes::CONDITION,
                        value.place,
                        "the target is `machine`, `process` or `sim`",
                    ));
                    return None;
                };
                if !words.contains(&word.as_str()) {
                    let mut diagnostic = Diagnostic::error(
                        codes::CONDITION,
                        value.place,
                        format!("there is no target `{word}`"),
                    );
                    diagnostic = match did_you_mean(word, words) {
                        Some(near) => {
                            diagnostic.suggest(format!("did you mean `{near}`?"), value.place, near)
                        }
                        None => diagnostic.help("the target is `machine`, `process` or `sim`"),
                    };
                    self.error(diagnostic);
                    return None;
                }
                word == self.target.word()
            }
            Some(name) => {
                let reference = Value { place: subject.place, kind: ValueKind::Reference(name.clone()) };
                let Some(ty) = self.type_of(&reference)? else {
                    self.error(
                        Diagnostic::error(
                            codes::CONDITION,
                            subject.place,
                            format!("`${name}` is no parameter"),
                        )
                        .help("a condition is about the target or a parameter"),
                    );
                    return None;
                };
                let what = format!("`${name}`");
                let left = self.convert_or_say(&reference, &ty, &what)?;
                let right = self.convert_or_say(value, &ty, &what)?;
                left == right
            }
        };
        Some(equal != *negated)
    }

    /// Notes what a block uses that doesn't count now, so that nothing in it is called
    /// unused.
    fn mention(&mut self, statements: &[&Statement]) {
        for statement in statements {
            match &statement.kind {
                StatementKind::When { condition, body } => {
                    if let Some(name) = &condition.subject.value {
                        self.mark_read(name);
                    }
                    self.mention_value(&condition.value);
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

    /// The target: what was asked for, else the setting `target`, else its default. It
    /// can't stand under a condition on itself.
    pub(super) fn find_target(&mut self, statements: &[&Statement], settings: Option<&Component>) -> Target {
        let mut written = None;
        let said = self.said.clone();
        let mut open: Vec<(&Statement, bool)> =
            statements.iter().map(|statement| (*statement, false)).collect();
        open.reverse();
        while let Some((statement, under_target)) = open.pop() {
            match &statement.kind {
                StatementKind::When { condition, body } => {
                    let on_target = condition.subject.value.is_none();
                    let counts = on_target || {
                        // Whether it holds is said, with all that is wrong, when the
                        // block's turn comes.
                        let said = self.diagnostics.len();
                        let holds = self.holds(condition) == Some(true);
                        self.diagnostics.truncate(said);
                        holds
                    };
                    if counts {
                        open.extend(body.iter().rev().map(|inner| (inner, under_target || on_target)));
                    }
                }
                StatementKind::Entry(entry) if entry.key.value == "target" => {
                    if under_target {
                        self.error(Diagnostic::error(
                            codes::CONDITION,
                            entry.key.place,
                            "the target can't depend on the target",
                        ));
                    } else if let [value] = entry.values.as_slice()
                        && let Ok(value) = self.resolve(value)
                        && let ValueKind::Word(word) = &value.kind
                    {
                        written = Some(word.clone());
                    }
                }
                _ => {}
            }
        }
        self.said = said;
        let default = settings.and_then(|component| component.options.get("target")?.default.clone());
        let word = written.or(default).unwrap_or_default();
        self.request.target.unwrap_or(if word == Target::Process.word() {
            Target::Process
        } else {
            Target::Machine
        })
    }
}
