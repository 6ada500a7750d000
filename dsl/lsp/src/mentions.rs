//! What a text mentions, word by word: keys, names, components, values, each with what it
//! stands for.

use std::ops::Range;
use std::path::PathBuf;

use unik_catalogue::value::Place;
use unik_catalogue::{Kind, Term, Type};
use unik_dsl::syntax::{
    Context, Declaration, Entry, Spanned, Statement, StatementKind, Subject, Value, ValueKind,
};

use crate::slots;
use crate::view::{APPLIANCE, CRATE, View};

/// One mention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// Its bytes.
    pub range: Range<usize>,
    /// What it is.
    pub what: What,
    /// The value's place in its entry, where it is one.
    pub slot: Option<Slot>,
}

/// What is mentioned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A word of the language.
    Keyword,
    /// `device`, `network`, `storage`, `service`
    Kind(Kind),
    /// Something declared, where it is declared or used; without a `$`.
    Name {
        /// What it is the name of.
        space: Space,
        /// The name.
        name: String,
        /// Whether it is declared here.
        declares: bool,
    },
    /// A component, by name.
    Component(String),
    /// The key of an option: the component, and the keys down to it.
    Key(Vec<String>),
    /// A word that a usage pattern has: the option, and its form.
    Word(Vec<String>, usize),
    /// The type of a parameter.
    Type,
    /// A path of the host.
    Path(PathBuf),
    /// A handler.
    Handler(String),
    /// Text in quotes.
    Text,
    /// A number, an address, a size.
    Number,
    /// `true`, or one word of several.
    Choice,
}

/// What names are names of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// A parameter or `let`.
    Value,
    /// An instance.
    Instance,
    /// The appliance.
    Appliance,
    /// A named crate.
    Crate,
}

/// Where a value stands in an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The option: the component, and the keys down to it.
    pub option: Vec<String>,
    /// The placeholder that it is bound to.
    pub name: String,
    /// The placeholder's type.
    pub ty: Type,
}

/// Something that is declared.
#[derive(Clone, Debug)]
pub struct Definition {
    /// What it is.
    pub space: Space,
    /// Its name.
    pub name: String,
    /// The text that it stands in.
    pub unit: usize,
    /// The bytes of its name.
    pub range: Range<usize>,
    /// The bytes of its head.
    pub head: Range<usize>,
    /// What the doc comments before it say.
    pub docs: String,
    /// What more there is to it.
    pub is: Is,
}

/// What a definition declares.
#[derive(Clone, Debug)]
pub enum Is {
    /// A parameter: its type as it is written, its default, whether it is set at boot.
    Param {
        /// The type.
        ty: String,
        /// The default.
        default: Option<String>,
        /// Whether it may be set at boot.
        at_boot: bool,
    },
    /// A named value.
    Let {
        /// The value as it is written.
        value: String,
    },
    /// An instance.
    Instance {
        /// Its component.
        component: String,
        /// The folders and files that its options name, of which it may be made.
        paths: Vec<PathBuf>,
    },
    /// The appliance.
    Appliance,
    /// A crate: its folder, where it has one here.
    Crate {
        /// The folder.
        folder: Option<PathBuf>,
    },
}

/// What unit `unit` of the view mentions and declares.
pub fn collect(view: &View, unit: usize) -> (Vec<Mention>, Vec<Definition>) {
    let (text, file, context) = {
        let unit = &view.units[unit];
        (&*unit.parsed.text, &unit.parsed.file, unit.context)
    };
    let mut walker = Walker { view, unit, text, mentions: Vec::new(), definitions: Vec::new() };
    let path = if context == Context::Appliance { vec![APPLIANCE.to_string()] } else { Vec::new() };
    walker.statements(&file.statements, &path);
    walker.mentions.sort_by_key(|mention| (mention.range.start, mention.range.end));
    (walker.mentions, walker.definitions)
}

struct Walker<'v> {
    view: &'v View,
    unit: usize,
    text: &'v str,
    mentions: Vec<Mention>,
    definitions: Vec<Definition>,
}

impl Walker<'_> {
    fn statements(&mut self, statements: &[Statement], path: &[String]) {
        for statement in statements {
            self.statement(statement, path);
        }
    }

    /// `path` names the options of the block; it is empty at the top.
    fn statement(&mut self, statement: &Statement, path: &[String]) {
        match &statement.kind {
            StatementKind::Version(_) => {
                self.keyword(statement);
                let start = statement.place.start + "unik".len();
                let rest = self.text.get(start..statement.place.end).unwrap_or_default();
                let at = start + (rest.len() - rest.trim_start().len());
                self.add(at..statement.place.end, What::Number);
            }
            StatementKind::Param { name, ty, at_boot, default } => {
                self.keyword(statement);
                self.add(range(ty.place), What::Type);
                if let Some(place) = at_boot {
                    self.add(range(*place), What::Keyword);
                }
                let is = Is::Param {
                    ty: ty.value.clone(),
                    default: default.as_ref().map(|value| self.at(value.place).to_string()),
                    at_boot: at_boot.is_some(),
                };
                self.define(Space::Value, name, statement, is);
                if let Some(value) = default {
                    self.value(value, None);
                }
            }
            StatementKind::Let { name, value } => {
                self.keyword(statement);
                let is = Is::Let { value: self.at(value.place).to_string() };
                self.define(Space::Value, name, statement, is);
                self.value(value, None);
            }
            StatementKind::Include(file) => {
                self.keyword(statement);
                let path = self.resolve(&file.value);
                self.add(range(file.place), What::Path(path));
            }
            StatementKind::When { condition, body } => {
                self.keyword(statement);
                let place = condition.subject.place;
                let is_setting = match &condition.subject.value {
                    Subject::Name(name) => {
                        self.reference(name, place);
                        false
                    }
                    Subject::Setting(key) => {
                        self.add(range(place), What::Key(vec![APPLIANCE.into(), key.clone()]));
                        true
                    }
                };
                match condition.test.value() {
                    Some(value) if is_setting && matches!(value.kind, ValueKind::Word(_)) => {
                        self.add(range(value.place), What::Choice);
                    }
                    Some(value) => self.value(value, None),
                    None => {}
                }
                self.statements(body, path);
            }
            StatementKind::Crate { name, body } => {
                self.keyword(statement);
                let folder = body.iter().find_map(|statement| match &statement.kind {
                    StatementKind::Entry(Entry { key, values, .. }) if key.value == "path" => {
                        match &values.first()?.kind {
                            ValueKind::String(text) => Some(self.resolve(text)),
                            _ => None,
                        }
                    }
                    _ => None,
                });
                self.define(Space::Crate, name, statement, Is::Crate { folder });
                self.statements(body, &[CRATE.to_string()]);
            }
            StatementKind::Appliance { name, body } => {
                self.keyword(statement);
                if !name.value.is_empty() && self.at(name.place) == name.value {
                    self.define(Space::Appliance, name, statement, Is::Appliance);
                }
                self.statements(body, &[APPLIANCE.to_string()]);
            }
            StatementKind::Declaration(declaration) => self.declaration(statement, declaration),
            StatementKind::Entry(entry) => self.entry(entry, path),
            StatementKind::Broken { .. } => {}
        }
    }

    fn declaration(&mut self, statement: &Statement, declaration: &Declaration) {
        let Declaration { kind, name, component, wires, body } = declaration;
        self.add(range(kind.place), What::Kind(kind.value));
        self.add(range(component.place), What::Component(component.value.clone()));
        if let Some(first) = wires.first() {
            let between = self.text.get(component.place.end..first.place.start).unwrap_or_default();
            if let Some(at) = between.rfind("on") {
                let start = component.place.end + at;
                self.add(start..start + 2, What::Keyword);
            }
        }
        for wire in wires {
            let name = wire.value.clone();
            self.add(range(wire.place), What::Name { space: Space::Instance, name, declares: false });
        }
        let mut paths = Vec::new();
        for statement in body {
            if let StatementKind::Entry(entry) = &statement.kind {
                let texts = entry.values.iter().filter_map(|value| match &value.kind {
                    ValueKind::String(text) => Some(text),
                    _ => None,
                });
                paths.extend(texts.map(|text| self.resolve(text)));
            }
        }
        let is = Is::Instance { component: component.value.clone(), paths };
        self.define(Space::Instance, name, statement, is);
        self.statements(body, std::slice::from_ref(&component.value));
    }

    fn entry(&mut self, entry: &Entry, path: &[String]) {
        let option: Vec<String> = path.iter().chain([&entry.key.value]).cloned().collect();
        self.add(range(entry.key.place), What::Key(option.clone()));
        let view = self.view;
        let best = view.spec(&option).and_then(|spec| slots::matches(spec, &entry.values).into_iter().next());
        for (at, value) in entry.values.iter().enumerate() {
            let term = best.as_ref().and_then(|(form, one)| Some((*form, *one.terms.get(at)?)));
            match term {
                Some((form, Term::Word(_))) => {
                    self.add(range(value.place), What::Word(option.clone(), form));
                }
                Some((_, Term::Placeholder { name, ty, .. })) => {
                    let slot = Slot { option: option.clone(), name: name.clone(), ty: ty.clone() };
                    self.value(value, Some(&slot));
                }
                _ => self.value(value, None),
            }
        }
        self.statements(entry.body.as_deref().unwrap_or_default(), &option);
    }

    fn value(&mut self, value: &Value, slot: Option<&Slot>) {
        let first = self.mentions.len();
        let here = range(value.place);
        match &value.kind {
            ValueKind::Reference(name) => self.reference(name, value.place),
            ValueKind::Word(word) => {
                let what = match slot.map(|slot| &slot.ty) {
                    Some(Type::Instance(_)) => {
                        What::Name { space: Space::Instance, name: word.clone(), declares: false }
                    }
                    Some(Type::Handler) => What::Handler(word.clone()),
                    _ => What::Choice,
                };
                self.add(here, what);
            }
            ValueKind::String(text) => {
                let what = match slot.map(|slot| &slot.ty) {
                    Some(Type::Path) => What::Path(self.resolve(text)),
                    _ => What::Text,
                };
                self.add(here, what);
            }
            ValueKind::Place { instance, .. } => {
                let name = instance.value.clone();
                self.add(range(instance.place), What::Name { space: Space::Instance, name, declares: false });
                let rest = self.text.get(instance.place.end..value.place.end).unwrap_or_default();
                if let Some(at) = rest.find('"') {
                    self.add(instance.place.end + at..value.place.end, What::Text);
                }
            }
            ValueKind::List(values) => {
                let element = slot.and_then(|slot| match &slot.ty {
                    Type::List(element) => Some(Slot { ty: (**element).clone(), ..slot.clone() }),
                    _ => None,
                });
                values.iter().for_each(|value| self.value(value, element.as_ref()));
                return;
            }
            ValueKind::Malformed | ValueKind::Bound(_) => {}
            _ => self.add(here, What::Number),
        }
        for mention in &mut self.mentions[first..] {
            mention.slot = slot.cloned();
        }
    }

    /// `$name`: what is mentioned is the name.
    fn reference(&mut self, name: &str, place: Place) {
        let start = place.start + usize::from(self.at(place).starts_with('$'));
        let what = What::Name { space: Space::Value, name: name.into(), declares: false };
        self.add(start..place.end, what);
    }

    fn define(&mut self, space: Space, name: &Spanned<String>, statement: &Statement, is: Is) {
        let what = What::Name { space, name: name.value.clone(), declares: true };
        self.add(range(name.place), what);
        let docs: Vec<&str> =
            statement.docs.iter().map(|place| self.at(*place).trim_start_matches('/').trim()).collect();
        self.definitions.push(Definition {
            space,
            name: name.value.clone(),
            unit: self.unit,
            range: range(name.place),
            head: range(statement.place),
            docs: docs.join("\n"),
            is,
        });
    }

    /// The first word of a statement.
    fn keyword(&mut self, statement: &Statement) {
        let start = statement.place.start;
        let head = self.text.get(start..statement.place.end).unwrap_or_default();
        let length = head.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(head.len());
        self.add(start..start + length, What::Keyword);
    }

    fn add(&mut self, range: Range<usize>, what: What) {
        // What a broken text gives points nowhere.
        if range.start < range.end && self.text.get(range.clone()).is_some() {
            self.mentions.push(Mention { range, what, slot: None });
        }
    }

    fn at(&self, place: Place) -> &str {
        self.text.get(place.start..place.end).unwrap_or_default()
    }

    /// A path as the text has it, from the text's own folder.
    fn resolve(&self, text: &str) -> PathBuf {
        let folder = self.view.units[self.unit].path.parent();
        crate::position::tidy(&folder.map_or_else(|| PathBuf::from(text), |folder| folder.join(text)))
    }
}

fn range(place: Place) -> Range<usize> {
    place.start..place.end
}
