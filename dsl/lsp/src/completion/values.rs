//! The values of an entry, of a parameter, of a condition.

use std::path::{Path, PathBuf};

use lsp_types::CompletionItemKind;
use unik_catalogue::usage::parse_type;
use unik_catalogue::{OptionSpec, Term, Type};
use unik_dsl::SourceMap;
use unik_dsl::syntax::{self, Value};

use super::Asked;
use super::items::{self, Items, default_of, escape};
use crate::lexer::Kind;
use crate::mentions::{Is, Space};
use crate::slots;
use crate::view::APPLIANCE;

/// The types that a parameter can have.
const TYPES: [(&str, &str); 16] = [
    ("bool", "true or false"),
    ("integer", "a whole number; `integer 1..=9` is one from 1 to 9"),
    ("string", "text in quotes"),
    ("name", "a word"),
    ("size", "a number of bytes, such as `16 MiB`"),
    ("duration", "a span of time, such as `30 s`"),
    ("rate", "so many in a span of time, such as `1000 per second`"),
    ("ipv4", "an IPv4 address"),
    ("ipv6", "an IPv6 address"),
    ("ip", "an address of either family"),
    ("cidr4", "an IPv4 address with its network, such as `10.0.0.2/24`"),
    ("cidr6", "an IPv6 address with its network, such as `fd00::2/64`"),
    ("mac", "an Ethernet address"),
    ("port", "a port from 1 to 65535"),
    ("endpoint", "an address with a port, such as `10.0.0.1:53`"),
    ("path", "a file or folder of this machine"),
];

const SIZES: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
const TIMES: [&str; 7] = ["ns", "us", "ms", "s", "min", "h", "d"];
const PER: [&str; 4] = ["per second", "per minute", "per hour", "per day"];

impl Asked<'_> {
    /// `param NAME: TYPE at boot = VALUE`
    pub(super) fn param(&self, rest: &[&str], items: &mut Items) {
        let Some(colon) = rest.iter().position(|word| *word == ":") else { return };
        if let Some(equals) = rest.iter().position(|word| *word == "=") {
            let ty = rest[colon + 1..equals].join(" ");
            let ty = ty.strip_suffix(" at boot").unwrap_or(&ty).trim();
            if let (Ok(ty), true) = (parse_type(ty), rest.len() == equals + 1) {
                self.of_type(&ty, None, items);
                self.references(Some(&ty), items);
            }
            return;
        }
        match &rest[colon + 1..] {
            [] => {
                for (name, doc) in TYPES {
                    items.add(name, CompletionItemKind::TYPE_PARAMETER, "1", |item| {
                        item.detail = Some(doc.into());
                    });
                }
            }
            [.., "at"] => items.word("boot", "may be set on the boot command line"),
            _ => {
                items.word("at boot", "may be set on the boot command line");
                items.word("=", "and its default");
            }
        }
    }

    /// `when SUBJECT == VALUE`
    pub(super) fn condition(&self, rest: &[&str], items: &mut Items) {
        let Some((subject, test)) = rest.split_first() else {
            for (key, spec) in self.view().specs(&[APPLIANCE.to_string()]).into_iter().flatten() {
                if choice(spec).is_some() {
                    items.add(key, CompletionItemKind::PROPERTY, "1", |item| {
                        item.detail = Some(spec.doc.clone());
                    });
                }
            }
            self.references(None, items);
            return;
        };
        match test {
            [] => {
                items.word("==", "is");
                items.word("!=", "is not");
                items.word("in", "is one of several: `in [ONE, OTHER]`");
            }
            ["in"] | ["==" | "!="] | ["in", "[", ..]
                if self.cursor.lists > 0 || test.first() != Some(&"in") =>
            {
                let view = self.view();
                let ty = match subject.strip_prefix('$') {
                    Some(name) => {
                        match view.definition(Space::Value, name).map(|definition| &definition.is) {
                            Some(Is::Param { ty, .. }) => parse_type(ty).ok(),
                            _ => None,
                        }
                    }
                    None => view.spec(&[APPLIANCE.into(), (*subject).into()]).and_then(choice).cloned(),
                };
                if let Some(ty) = ty {
                    self.of_type(&ty, None, items);
                }
            }
            _ => {}
        }
    }

    /// The next value of an option.
    pub(super) fn values(&self, option: &[String], items: &mut Items) {
        let Some(spec) = self.view().spec(option) else { return };
        let before = self.before();
        let expected = slots::expected(spec, &before);
        let in_list = self.cursor.lists > 0;
        if before.is_empty()
            && !in_list
            && !self.cursor.in_string
            && let Some(default) = default_of(spec)
        {
            items.add(default, CompletionItemKind::VALUE, "0", |item| item.detail = Some("default".into()));
            items.snippet(escape(default));
        }
        let mut types: Vec<&Type> = Vec::new();
        for (form, term) in expected {
            match term {
                Term::Word(word) if !self.cursor.in_string && !in_list => {
                    let form = &spec.forms[form];
                    items.add(word, CompletionItemKind::ENUM_MEMBER, "1", |item| {
                        item.detail = Some(form.usage.to_string());
                        if !form.doc.is_empty() {
                            item.documentation = Some(items::markdown(form.doc.clone()));
                        }
                    });
                }
                Term::Placeholder { name, ty, .. } => {
                    let ty = match ty {
                        Type::List(element) if in_list => element,
                        ty => ty,
                    };
                    if !types.contains(&ty) {
                        types.push(ty);
                        self.of_type(ty, Some(name), items);
                    }
                }
                _ => {}
            }
        }
        self.units(spec, &before, items);
        if !self.cursor.in_string {
            for ty in types {
                self.references(Some(ty), items);
            }
        }
    }

    /// The values before the cursor, without those of a list that is open.
    fn before(&self) -> Vec<Value> {
        let tokens = self.cursor.before.get(1..).unwrap_or_default();
        let open = match self.cursor.lists {
            0 => None,
            _ => tokens.iter().position(|token| token.kind == Kind::ListOpen),
        };
        let tokens = &tokens[..open.unwrap_or(tokens.len())];
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return Vec::new() };
        let text = self.text.get(first.range.start..last.range.end).unwrap_or_default();
        // A place `zones / "…"` whose string the cursor is in.
        let text = text.trim_end().trim_end_matches('/');
        let mut sources = SourceMap::default();
        let number = sources.add("", text);
        syntax::parse_values(&sources, number, &mut Vec::new())
    }

    /// The values of a type.
    fn of_type(&self, ty: &Type, name: Option<&str>, items: &mut Items) {
        if self.cursor.in_string {
            match ty {
                Type::Path => self.paths("", None, items),
                Type::InstancePath(_) => self.inside_instance(items),
                _ => {}
            }
            return;
        }
        let detail = |item: &mut lsp_types::CompletionItem| {
            item.detail = Some(name.map_or_else(|| ty.to_string(), |name| format!("{name}: {ty}")));
        };
        match ty {
            Type::Bool => {
                for word in ["true", "false"] {
                    items.add(word, CompletionItemKind::VALUE, "1", detail);
                }
            }
            Type::OneOf(words) => {
                for word in words {
                    items.add(word, CompletionItemKind::ENUM_MEMBER, "1", detail);
                }
            }
            Type::Instance(interface) => {
                for (instance, component) in self.instances(std::slice::from_ref(interface)) {
                    items.add(instance, CompletionItemKind::VARIABLE, "1", |item| {
                        item.detail = Some(component.summary.clone());
                    });
                }
            }
            Type::InstancePath(interface) => {
                for (instance, component) in self.instances(std::slice::from_ref(interface)) {
                    items.add(instance, CompletionItemKind::VARIABLE, "1", |item| {
                        item.detail = Some(component.summary.clone());
                    });
                    items.snippet(format!("{instance} / \"$1\""));
                }
            }
            Type::Handler => {
                if let Some(root) = self.view().units.first() {
                    for handler in self.state.host.handlers(&root.path) {
                        items.add(&handler.name, CompletionItemKind::FUNCTION, "1", |item| {
                            item.detail = Some(handler.file.display().to_string());
                        });
                    }
                }
            }
            Type::Path => self.paths("\"", None, items),
            _ => {}
        }
    }

    /// The units of a number that stands directly before the cursor.
    fn units(&self, spec: &OptionSpec, before: &[Value], items: &mut Items) {
        let Some((last, earlier)) = before.split_last() else { return };
        if self.cursor.in_string || !matches!(last.kind, syntax::ValueKind::Integer(_)) {
            return;
        }
        for (_, term) in slots::expected(spec, earlier) {
            let Term::Placeholder { ty, .. } = term else { continue };
            let units: &[&str] = match ty {
                Type::Size { .. } => &SIZES,
                Type::Duration { .. } => &TIMES,
                Type::Rate => &PER,
                _ => continue,
            };
            for unit in units {
                items.add(unit, CompletionItemKind::UNIT, "0", |item| item.detail = Some(ty.to_string()));
            }
        }
    }

    /// `$name`s: those of the wanted type first.
    pub(super) fn references(&self, wanted: Option<&Type>, items: &mut Items) {
        let own = self.cursor.before.get(1).map(|token| self.word(token));
        let declares =
            matches!(self.cursor.before.first().map(|token| self.word(token)), Some("let" | "param"));
        for (name, definition) in self.view().defined(Space::Value) {
            if declares && own == Some(name) {
                continue;
            }
            let (detail, rank) = match &definition.is {
                Is::Param { ty, default, .. } => {
                    let fits = match (parse_type(ty), wanted) {
                        (Ok(ty), Some(wanted)) => {
                            std::mem::discriminant(&ty) == std::mem::discriminant(wanted)
                        }
                        _ => true,
                    };
                    let default = default.as_ref().map_or_else(String::new, |it| format!(" = {it}"));
                    (format!("{ty}{default}"), if fits { "1" } else { "5" })
                }
                Is::Let { value } => (value.clone(), "1"),
                _ => continue,
            };
            items.add(&format!("${name}"), CompletionItemKind::VARIABLE, rank, |item| {
                item.detail = Some(detail);
                if !definition.docs.is_empty() {
                    item.documentation = Some(items::markdown(definition.docs.clone()));
                }
            });
        }
    }

    /// The files and folders that the text before the cursor leads to. `quote` stands around
    /// them where the cursor isn't in a string yet.
    pub(super) fn paths(&self, quote: &str, extension: Option<&str>, items: &mut Items) {
        let folder = self.focus.unit().path.parent().unwrap_or(Path::new("/")).to_path_buf();
        let quote = if self.cursor.in_string || !quote.is_empty() { quote } else { "\"" };
        if !self.cursor.in_string && !self.cursor.word.is_empty() {
            return;
        }
        self.list(&folder, quote, extension, items);
    }

    /// The files in a storage, as far as it is made of a folder here.
    fn inside_instance(&self, items: &mut Items) {
        let place = self.cursor.before.len().checked_sub(2).and_then(|at| self.cursor.before.get(at));
        let Some(name) = place.map(|token| self.word(token)) else { return };
        let Some(definition) = self.view().definition(Space::Instance, name) else { return };
        let Is::Instance { paths, .. } = &definition.is else { return };
        for folder in paths.iter().filter(|path| path.is_dir()) {
            self.list(folder, "", None, items);
        }
    }

    /// The entries of the folder that the text before the cursor leads to from `base`.
    fn list(&self, base: &Path, quote: &str, extension: Option<&str>, items: &mut Items) {
        const MOST: usize = 500;
        let typed = match self.cursor.in_string {
            true => self.text.get(self.cursor.word.start..self.offset).unwrap_or_default(),
            false => "",
        };
        let (inside, _) = typed.rsplit_once('/').map_or(("", typed), |(folder, name)| (folder, name));
        let folder = match (inside, typed.starts_with('/')) {
            ("", true) => PathBuf::from("/"),
            (inside, _) => base.join(inside),
        };
        let prefix = match typed.rfind('/') {
            Some(at) => &typed[..=at],
            None => "",
        };
        let Ok(entries) = std::fs::read_dir(&folder) else { return };
        let mut found: Vec<(bool, String)> = entries
            .flatten()
            .take(MOST)
            .filter_map(|entry| {
                let is_folder = entry.path().is_dir();
                Some((!is_folder, entry.file_name().into_string().ok()?))
            })
            .filter(|(_, name)| !name.starts_with('.') && !name.contains(['"', '\\', '\n']))
            .collect();
        found.sort();
        for (is_file, name) in found {
            let fits = extension.is_none_or(|wanted| {
                !is_file || Path::new(&name).extension().is_some_and(|extension| extension == wanted)
            });
            if !fits {
                continue;
            }
            let slash = if is_file { "" } else { "/" };
            let kind = if is_file { CompletionItemKind::FILE } else { CompletionItemKind::FOLDER };
            items.add(&format!("{quote}{prefix}{name}{slash}{quote}"), kind, "1", |_| {});
        }
    }
}

/// The words of a setting that is one of several: what a condition can be about.
fn choice(spec: &OptionSpec) -> Option<&Type> {
    let [form] = spec.forms.as_slice() else { return None };
    match form.usage.terms.as_slice() {
        [Term::Placeholder { ty: ty @ Type::OneOf(_), repeats: false, .. }] => Some(ty),
        _ => None,
    }
}
