//! Parameters and `let`s, and what a `$name` stands for.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};

use unik_catalogue::Type;
use unik_catalogue::usage::parse_type;
use unik_catalogue::value::Place;

use super::Checker;
use crate::diagnostic::{Diagnostic, codes, did_you_mean};
use crate::syntax::{self, MAX_DEPTH, Spanned, Statement, StatementKind, Value, ValueKind};

/// A parameter or a `let`.
pub struct Binding {
    /// Where its name is declared.
    pub place: Place,
    /// Its value; `None` where it has none that makes sense, which was said.
    pub value: Option<Value>,
    /// The type, for a parameter.
    pub ty: Option<Type>,
    /// Whether anything asked for it.
    pub read: Cell<bool>,
    is_param: bool,
}

/// A value can't be had; what is wrong has been said.
#[derive(Debug)]
pub struct Poisoned;

impl Checker<'_> {
    /// Takes in the parameters and `let`s, and the values of `--set`.
    pub(super) fn bind<'s>(&mut self, statements: impl Iterator<Item = &'s Statement>) {
        let mut given = self.given();
        let mut params = Vec::new();
        for statement in statements {
            match &statement.kind {
                StatementKind::Param { name, ty, at_boot, default } => {
                    if let Some(place) = at_boot {
                        self.error(
                            Diagnostic::error(
                                codes::NOT_SUPPORTED,
                                *place,
                                "parameters at boot are not supported yet",
                            )
                            .help("leave `at boot` out, and give the value with `--set` at build time"),
                        );
                    }
                    let ty = self.param_type(ty);
                    let given = given.remove(&name.value);
                    let value = match given.or_else(|| default.clone().map(Given::Value)) {
                        Some(Given::Value(value)) => Some(value),
                        Some(Given::Text(value)) => self.set_value(value, ty.as_ref()),
                        None => {
                            self.error(
                                Diagnostic::error(
                                    codes::NO_VALUE,
                                    name.place,
                                    format!("the parameter `{}` has no value", name.value),
                                )
                                .help(format!(
                                    "give it one with `--set {}=VALUE`, or a default with `= VALUE`",
                                    name.value
                                )),
                            );
                            None
                        }
                    };
                    params.push(name.value.clone());
                    let value = value.filter(|_| ty.is_some());
                    self.declare(
                        name,
                        Binding { place: name.place, value, ty, read: Cell::new(false), is_param: true },
                    );
                }
                StatementKind::Let { name, value } => {
                    let value = Some(value.clone());
                    self.declare(
                        name,
                        Binding {
                            place: name.place,
                            value,
                            ty: None,
                            read: Cell::new(false),
                            is_param: false,
                        },
                    );
                }
                // Whatever it would have declared exists, as far as others are concerned.
                StatementKind::Broken { name: Some(name), .. } => {
                    let binding = Binding {
                        place: statement.place,
                        value: None,
                        ty: None,
                        read: Cell::new(true),
                        is_param: false,
                    };
                    self.bindings.entry(name.clone()).or_insert(binding);
                }
                _ => {}
            }
        }
        for (name, value) in given {
            let (Given::Value(value) | Given::Text(value)) = value;
            let known =
                self.bindings.iter().filter(|(_, binding)| binding.is_param).map(|(name, _)| name.as_str());
            let near = did_you_mean(&name, known).map(String::from);
            let mut diagnostic =
                Diagnostic::error(codes::SET, value.place, format!("there is no parameter `{name}`"));
            if let Some(near) = near {
                diagnostic = diagnostic.help(format!("did you mean `--set {near}=…`?"));
            }
            self.error(diagnostic);
        }
        self.cycles();
        for name in params {
            self.check_param(&name);
        }
    }

    /// The values of `--set`, as sources of their own.
    fn given(&mut self) -> BTreeMap<String, Given> {
        let mut given = BTreeMap::new();
        for (name, text) in self.request.set {
            let source = self.sources.add(format!("--set {name}"), text.as_str());
            let place = Place { source, start: 0, end: text.len() };
            let value = Value { place, kind: ValueKind::String(text.clone()) };
            if given.insert(name.clone(), Given::Text(value)).is_some() {
                self.error(Diagnostic::error(
                    codes::SET,
                    place,
                    format!("`{name}` is set twice on the command line"),
                ));
            }
        }
        given
    }

    /// A value of `--set`: text is taken as it is, everything else as a file has it.
    fn set_value(&mut self, raw: Value, ty: Option<&Type>) -> Option<Value> {
        let text = self.sources.text(raw.place);
        let is_text = matches!(ty?, Type::String | Type::Name | Type::Path) && !text.starts_with('"');
        if is_text {
            return Some(raw);
        }
        let said = self.diagnostics.len();
        let mut values = syntax::parse_values(&self.sources, raw.place.source, &mut self.diagnostics);
        if self.diagnostics.len() > said {
            return None;
        }
        if values.len() != 1 {
            self.error(Diagnostic::error(codes::SET, raw.place, "a parameter takes one value"));
            return None;
        }
        values.pop()
    }

    fn param_type(&mut self, ty: &Spanned<String>) -> Option<Type> {
        let message = match parse_type(&ty.value) {
            Ok(ty) if names_something(&ty) => {
                "a parameter can't name a part of the file or of a crate".into()
            }
            Ok(ty) => return Some(ty),
            Err(message) => message,
        };
        let known = [
            "bool", "integer", "string", "name", "size", "duration", "rate", "ipv4", "ipv6", "ip", "cidr4",
            "cidr6", "mac", "port", "endpoint", "path",
        ];
        let mut diagnostic = Diagnostic::error(codes::PARAM_TYPE, ty.place, message);
        diagnostic = match did_you_mean(&ty.value, known) {
            Some(near) => diagnostic.suggest(format!("did you mean `{near}`?"), ty.place, near),
            None => {
                diagnostic.help(format!("types are {}, `one|of|these` and `list TYPE`", known.join(", ")))
            }
        };
        self.error(diagnostic);
        None
    }

    fn declare(&mut self, name: &Spanned<String>, binding: Binding) {
        match self.bindings.get(&name.value) {
            Some(first) => {
                let place = first.place;
                self.error(
                    Diagnostic::error(
                        codes::DUPLICATE,
                        name.place,
                        format!("`{}` is declared twice", name.value),
                    )
                    .and(place, "the first time"),
                );
            }
            None => {
                self.bindings.insert(name.value.clone(), binding);
            }
        }
    }

    /// Values that stand for themselves, or go round too many corners.
    fn cycles(&mut self) {
        let mut names: Vec<(Place, String)> =
            self.bindings.iter().map(|(name, binding)| (binding.place, name.clone())).collect();
        names.sort();
        let mut done = HashSet::new();
        for (_, name) in names {
            let mut stack = Vec::new();
            if let Err(bad) = self.follow(&name, &mut stack, &mut done) {
                let (code, message) = match bad {
                    Round::Cycle => (codes::LET_CYCLE, format!("the value of `{name}` stands for itself")),
                    Round::Deep => {
                        (codes::TOO_DEEP, format!("values stand for each other more than {MAX_DEPTH} deep"))
                    }
                };
                let place =
                    self.bindings.get(&name).map_or(Place { source: 0, start: 0, end: 0 }, |b| b.place);
                let mut diagnostic = Diagnostic::error(code, place, message);
                for name in stack.iter().skip(1).take(4) {
                    if let Some(binding) = self.bindings.get(name) {
                        diagnostic = diagnostic.and(binding.place, "by way of this");
                    }
                }
                self.error(diagnostic);
                for name in stack {
                    if let Some(binding) = self.bindings.get_mut(&name) {
                        binding.value = None;
                    }
                }
            }
        }
    }

    /// Follows the references in the value of `name`. Leaves the way in `stack` when it
    /// ends badly.
    fn follow(&self, name: &str, stack: &mut Vec<String>, done: &mut HashSet<String>) -> Result<(), Round> {
        if done.contains(name) {
            return Ok(());
        }
        if stack.iter().any(|open| open == name) {
            return Err(Round::Cycle);
        }
        if stack.len() >= MAX_DEPTH {
            return Err(Round::Deep);
        }
        stack.push(name.into());
        if let Some(value) = self.bindings.get(name).and_then(|binding| binding.value.as_ref()) {
            let mut open = vec![value];
            while let Some(value) = open.pop() {
                match &value.kind {
                    ValueKind::Reference(other) => self.follow(other, stack, done)?,
                    ValueKind::List(values) => open.extend(values),
                    _ => {}
                }
            }
        }
        stack.pop();
        done.insert(name.into());
        Ok(())
    }

    /// A parameter's value has the parameter's type.
    fn check_param(&mut self, name: &str) {
        let Some(Binding { value: Some(value), ty: Some(ty), .. }) = self.bindings.get(name) else { return };
        let (value, ty) = (value.clone(), ty.clone());
        if self.convert_or_say(&value, &ty, &format!("the parameter `{name}`")).is_none()
            && let Some(binding) = self.bindings.get_mut(name)
        {
            binding.value = None;
        }
    }

    pub(super) fn mark_read(&self, name: &str) {
        if let Some(binding) = self.bindings.get(name) {
            binding.read.set(true);
        }
    }

    /// What `value` stands for: itself, or the value behind its name.
    pub(super) fn resolve(&mut self, value: &Value) -> Result<Value, Poisoned> {
        let mut value = value;
        for _ in 0..=2 * MAX_DEPTH {
            let ValueKind::Reference(name) = &value.kind else {
                return if value.kind == ValueKind::Malformed { Err(Poisoned) } else { Ok(value.clone()) };
            };
            let Some(binding) = self.bindings.get(name) else {
                let place = value.place;
                // The same mistake is said once a place, however often it is looked at.
                if self.said.insert(place) {
                    let mut diagnostic =
                        Diagnostic::error(codes::UNKNOWN_NAME, place, format!("nothing is called `${name}`"));
                    diagnostic = match self.near(name, self.bindings.keys().map(String::as_str)) {
                        Some(near) => {
                            diagnostic.suggest(format!("did you mean `${near}`?"), place, format!("${near}"))
                        }
                        None => diagnostic
                            .help(format!("declare it with `param {name}: TYPE` or `let {name} = VALUE`")),
                    };
                    self.error(diagnostic);
                }
                return Err(Poisoned);
            };
            binding.read.set(true);
            value = binding.value.as_ref().ok_or(Poisoned)?;
        }
        Err(Poisoned)
    }

    /// The type of a parameter; `Some(None)` for something that is no parameter, `None`
    /// where there is nothing of the kind, which was said.
    pub(super) fn type_of(&mut self, reference: &Value) -> Option<Option<Type>> {
        self.resolve(reference).ok()?;
        let ValueKind::Reference(name) = &reference.kind else { return Some(None) };
        self.bindings.get(name).map(|binding| binding.ty.clone())
    }

    /// Parameters and `let`s that nothing reads.
    pub(super) fn unread(&mut self) {
        let mut unread: Vec<(Place, String)> = self
            .bindings
            .iter()
            .filter(|(_, binding)| !binding.read.get())
            .map(|(name, binding)| {
                let what = if binding.is_param { "parameter" } else { "value" };
                (binding.place, format!("the {what} `{name}` is never read"))
            })
            .collect();
        unread.sort();
        // Where something is wrong, it may only seem so.
        if !self.incomplete && !self.diagnostics.iter().any(Diagnostic::is_error) {
            for (place, message) in unread {
                self.error(Diagnostic::warning(codes::UNREAD, place, message));
            }
        }
    }
}

enum Given {
    /// Of the file.
    Value(Value),
    /// Of the command line, still text.
    Text(Value),
}

enum Round {
    Cycle,
    Deep,
}

fn names_something(ty: &Type) -> bool {
    match ty {
        Type::Instance(_) | Type::InstancePath(_) | Type::Handler => true,
        Type::List(element) => names_something(element),
        _ => false,
    }
}
