//! Parameters and `let`s, and what a `$name` stands for.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};

use unik_catalogue::Type;
use unik_catalogue::usage::parse_type;
use unik_catalogue::value::Place;

use super::Checker;
use crate::diagnostic::{Diagnostic, codes, did_you_mean};
use crate::plan::BootParameter;
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
    /// Whether its value may be given when the appliance starts.
    pub at_boot: bool,
    /// Whether its value is never shown.
    pub secret: bool,
    /// The doc comments before its declaration.
    pub docs: Vec<Place>,
    /// Whether something is wrong with it, so that it stands for nothing.
    pub wrong: bool,
    is_param: bool,
}

impl Binding {
    fn plain(place: Place, value: Option<Value>) -> Binding {
        Binding {
            place,
            value,
            ty: None,
            read: Cell::new(false),
            at_boot: false,
            secret: false,
            docs: Vec::new(),
            wrong: false,
            is_param: false,
        }
    }
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
                    let place = *at_boot;
                    let (ty, secret) = self.param_type(ty, place);
                    let binding = Binding {
                        ty,
                        at_boot: place.is_some(),
                        secret,
                        docs: statement.docs.clone(),
                        is_param: true,
                        ..Binding::plain(name.place, None)
                    };
                    params.push(name.value.clone());
                    let binding =
                        self.param_value(name, binding, given.remove(&name.value), default.as_ref());
                    self.declare(name, binding);
                }
                StatementKind::Let { name, value } => {
                    self.declare(name, Binding::plain(name.place, Some(value.clone())));
                }
                // Whatever it would have declared exists, as far as others are concerned.
                StatementKind::Broken { name: Some(name), .. } => {
                    let binding = Binding {
                        read: Cell::new(true),
                        wrong: true,
                        ..Binding::plain(statement.place, None)
                    };
                    self.bindings.entry(name.clone()).or_insert(binding);
                }
                _ => {}
            }
        }
        for (name, value) in given {
            let place = value.place();
            let known =
                self.bindings.iter().filter(|(_, binding)| binding.is_param).map(|(name, _)| name.as_str());
            let near = did_you_mean(&name, known).map(String::from);
            let mut diagnostic =
                Diagnostic::error(codes::SET, place, format!("there is no parameter `{name}`"));
            if let Some(near) = near {
                diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
            }
            self.error(diagnostic);
        }
        self.cycles();
        for name in params {
            self.check_param(&name);
        }
    }

    /// The parameter with its value: the one that was given, else its default.
    fn param_value(
        &mut self,
        name: &Spanned<String>,
        mut binding: Binding,
        given: Option<Given>,
        default: Option<&Value>,
    ) -> Binding {
        let shown = &name.value;
        let is_given = given.is_some();
        if binding.secret {
            if let Some(default) = default {
                self.sources.mask(default.place);
                self.error(
                    Diagnostic::error(
                        codes::SECRET,
                        default.place,
                        format!("the secret `{shown}` is written as text"),
                    )
                    .help(format!(
                        "leave it out of the file, and give it with {}",
                        ways(shown, binding.at_boot)
                    )),
                );
                binding.wrong = true;
            }
            match given {
                Some(Given::Text(value)) => {
                    self.sources.mask(value.place);
                    self.error(
                        Diagnostic::error(
                            codes::SET,
                            value.place,
                            format!("`{shown}` is secret, and command lines aren't"),
                        )
                        .help(format!("give it with {}", ways(shown, binding.at_boot))),
                    );
                    binding.wrong = true;
                }
                Some(Given::Secret(place, _)) if binding.at_boot => {
                    self.error(
                        Diagnostic::error(
                            codes::SET,
                            place,
                            format!("the secret `{shown}` is given at boot, not at build"),
                        )
                        .help("leave `at boot` out of its declaration to have it in the image"),
                    );
                    binding.wrong = true;
                }
                Some(Given::Secret(place, text)) => {
                    if text.is_empty() {
                        let message = format!("the secret `{shown}` is empty");
                        self.error(Diagnostic::error(codes::SET, place, message));
                    }
                    self.secrets.insert(shown.clone(), text);
                }
                None => {}
            }
            return binding;
        }
        binding.value = match given {
            Some(Given::Secret(place, _)) => {
                self.error(Diagnostic::error(codes::SET, place, format!("`{shown}` is no secret")).help(
                    format!("declare it as `param {shown}: secret string`, or use `--set {shown}=VALUE`"),
                ));
                binding.wrong = true;
                None
            }
            Some(Given::Text(value)) => self.set_value(value, binding.ty.as_ref()),
            None => default.cloned(),
        };
        if binding.value.is_none() && !is_given && !binding.at_boot {
            self.error(
                Diagnostic::error(
                    codes::NO_VALUE,
                    name.place,
                    format!("the parameter `{shown}` has no value"),
                )
                .help(format!("give it one with `--set {shown}=VALUE`, or a default with `= VALUE`")),
            );
        }
        binding.value = binding.value.filter(|_| binding.ty.is_some());
        binding.wrong |= binding.value.is_none() && (is_given || !binding.at_boot || binding.ty.is_none());
        binding
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
        for (name, text) in self.request.secrets {
            // Its text is no source: what is wrong with it must not show it.
            let source = self.sources.add(format!("--set-file {name}"), "(secret)");
            let place = Place { source, start: 0, end: 8 };
            if given.insert(name.clone(), Given::Secret(place, text.clone())).is_some() {
                let message = format!("`{name}` is set twice on the command line");
                self.error(Diagnostic::error(codes::SET, place, message));
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

    /// The type of a parameter, and whether it is secret.
    fn param_type(&mut self, ty: &Spanned<String>, at_boot: Option<Place>) -> (Option<Type>, bool) {
        let (text, secret) = match ty.value.strip_prefix("secret") {
            Some("") => ("string", true),
            Some(rest) if rest.starts_with(char::is_whitespace) => (rest.trim_start(), true),
            _ => (ty.value.as_str(), false),
        };
        let message = match parse_type(text) {
            Ok(parsed) if secret && parsed != Type::String => {
                self.error(Diagnostic::error(codes::PARAM_TYPE, ty.place, "a secret is a string").suggest(
                    "write",
                    ty.place,
                    "secret string",
                ));
                return (None, true);
            }
            Ok(ty) if names_something(&ty) => {
                "a parameter can't name a part of the file or of a crate".into()
            }
            Ok(parsed) if at_boot.is_some() && !parsed.is_bootable() => {
                let why = match parsed {
                    Type::Path => "the files of this machine are not there at boot",
                    _ => "on a boot line its values couldn't be told apart",
                };
                self.error(
                    Diagnostic::error(
                        codes::PARAM_TYPE,
                        ty.place,
                        format!("a parameter at boot can't be a `{text}`"),
                    )
                    .label(why),
                );
                return (None, secret);
            }
            Ok(parsed) => return (Some(parsed), secret),
            Err(message) => message,
        };
        let known = [
            "bool", "integer", "string", "name", "size", "duration", "rate", "ipv4", "ipv6", "ip", "cidr4",
            "cidr6", "mac", "port", "endpoint", "path",
        ];
        let mut diagnostic = Diagnostic::error(codes::PARAM_TYPE, ty.place, message);
        diagnostic = match did_you_mean(&ty.value, known) {
            Some(near) => diagnostic.suggest(format!("did you mean `{near}`?"), ty.place, near),
            None => diagnostic.help(format!(
                "types are {}, `one|of|these`, `list TYPE` and `secret string`",
                known.join(", ")
            )),
        };
        self.error(diagnostic);
        (None, secret)
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
        let Some(Binding { value: Some(value), ty: Some(ty), secret: false, .. }) = self.bindings.get(name)
        else {
            return;
        };
        let (value, ty) = (value.clone(), ty.clone());
        if self.convert_or_say(&value, &ty, &format!("the parameter `{name}`")).is_none()
            && let Some(binding) = self.bindings.get_mut(name)
        {
            binding.value = None;
            binding.wrong = true;
        }
    }

    /// The parameter behind a value that isn't simply there at build time: one `at boot`, or a
    /// secret.
    pub(super) fn late(&self, value: &Value) -> Option<&str> {
        let mut value = value;
        for _ in 0..=2 * MAX_DEPTH {
            let ValueKind::Reference(name) = &value.kind else { return None };
            let (name, binding) = self.bindings.get_key_value(name)?;
            if binding.at_boot || binding.secret {
                return Some(name);
            }
            value = binding.value.as_ref()?;
        }
        None
    }

    /// The parameters `at boot` in the order of the text, each with the type that fits all its uses.
    pub(super) fn boot_parameters(&mut self, instances: &[super::Instance]) -> Vec<BootParameter> {
        let mut uses: BTreeMap<String, Vec<Type>> = BTreeMap::new();
        for entry in instances.iter().flat_map(|instance| instance.options.values().flatten()) {
            entry.each_value(&mut |value| {
                value.each_boot(&mut |boot| {
                    uses.entry(boot.parameter.clone()).or_default().push(boot.ty.clone());
                });
            });
        }
        let mut found: Vec<(Place, String)> = self
            .bindings
            .iter()
            .filter(|(_, binding)| binding.at_boot && !binding.wrong)
            .map(|(name, binding)| (binding.place, name.clone()))
            .collect();
        found.sort();
        let mut parameters = Vec::new();
        for (place, name) in found {
            let Some(binding) = self.bindings.get(&name) else { continue };
            let Some(declared) = binding.ty.clone() else { continue };
            let (secret, default) = (binding.secret, binding.value.clone());
            let doc = self.sources.doc(&binding.docs);
            let uses = uses.get(&name).map_or(&[][..], Vec::as_slice);
            let narrowed = uses.iter().try_fold(declared.clone(), |ty, wanted| ty.narrowed(wanted));
            let Some(ty) = narrowed else {
                let wanted: Vec<String> = uses.iter().map(|ty| format!("`{}`", ty.text())).collect();
                self.error(
                    Diagnostic::error(
                        codes::AT_BOOT,
                        place,
                        format!("no value of `{name}` fits all that use it"),
                    )
                    .label(format!(
                        "this is `{}`, and they take {}",
                        declared.text(),
                        wanted.join(" and ")
                    )),
                );
                continue;
            };
            // Said where the parameter is checked, if it doesn't fit.
            let default = default.and_then(|value| self.convert(&value, &declared).ok());
            parameters.push(BootParameter { name, ty, default, secret, place, doc, used: !uses.is_empty() });
        }
        parameters
    }

    pub(super) fn mark_read(&self, name: &str) {
        if let Some(binding) = self.bindings.get(name) {
            binding.read.set(true);
        }
    }

    /// Marks as read all names that `value` stands for by way of each other.
    pub(super) fn mark_chain(&self, value: &Value) {
        let mut value = Some(value);
        for _ in 0..=2 * MAX_DEPTH {
            let Some(ValueKind::Reference(name)) = value.map(|value| &value.kind) else { return };
            self.mark_read(name);
            value = self.bindings.get(name).and_then(|binding| binding.value.as_ref());
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
    /// Of the command line, still text.
    Text(Value),
    /// A secret, with the place that stands for it.
    Secret(Place, String),
}

impl Given {
    fn place(&self) -> Place {
        match self {
            Given::Text(value) => value.place,
            Given::Secret(place, _) => *place,
        }
    }
}

/// How a secret is given.
fn ways(name: &str, at_boot: bool) -> String {
    if at_boot {
        format!("`--boot-file {name}=FILE` of `unikgen run`, or on the boot line")
    } else {
        format!("`--set-file {name}=FILE` or `--set-env {name}=VARIABLE`")
    }
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
