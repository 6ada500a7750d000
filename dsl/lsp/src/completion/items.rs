//! Completion items, and the texts that go with them.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::ops::Range;

use lsp_types::{
    CompletionItem, CompletionItemKind, CompletionTextEdit, Documentation, InsertTextFormat, MarkupContent,
    MarkupKind, TextEdit,
};
use unik_catalogue::{Component, OptionSpec};

use crate::state::State;
use crate::view::Parsed;

/// Items that all replace the same word.
pub struct Items {
    items: Vec<CompletionItem>,
    known: HashSet<String>,
    range: lsp_types::Range,
    snippets: bool,
}

impl Items {
    /// None, yet; `word` is what they will replace.
    pub fn new(state: &State, parsed: &Parsed, word: Range<usize>) -> Self {
        Items {
            items: Vec::new(),
            known: HashSet::new(),
            range: state.range(parsed, word),
            snippets: state.client.snippets,
        }
    }

    /// Adds an item that is its own text. `rank` orders it among others.
    pub fn add(
        &mut self,
        label: &str,
        kind: CompletionItemKind,
        rank: &str,
        more: impl FnOnce(&mut CompletionItem),
    ) {
        if !self.known.insert(label.into()) {
            return;
        }
        let mut item = CompletionItem {
            label: label.into(),
            kind: Some(kind),
            sort_text: Some(format!("{rank}{:04}", self.items.len())),
            filter_text: Some(label.into()),
            text_edit: Some(CompletionTextEdit::Edit(TextEdit { range: self.range, new_text: label.into() })),
            ..CompletionItem::default()
        };
        more(&mut item);
        self.items.push(item);
    }

    /// A word with a line of explanation.
    pub fn word(&mut self, word: &str, doc: &str) {
        self.add(word, CompletionItemKind::KEYWORD, "2", |item| item.detail = Some(doc.into()));
    }

    /// A word of the language, with what follows it.
    pub fn keyword(&mut self, word: &str, doc: &str, snippet: &str) {
        self.add(word, CompletionItemKind::KEYWORD, "3", |item| item.detail = Some(doc.into()));
        self.snippet(snippet.into());
    }

    /// Gives the last item places to fill in, where the client takes them.
    pub fn snippet(&mut self, text: String) {
        let Some(item) = self.items.last_mut().filter(|_| self.snippets) else { return };
        if text.contains('$') {
            item.insert_text_format = Some(InsertTextFormat::SNIPPET);
            item.text_edit = Some(CompletionTextEdit::Edit(TextEdit { range: self.range, new_text: text }));
        }
    }

    /// All of them.
    pub fn done(self) -> Vec<CompletionItem> {
        self.items
    }
}

/// Text that a snippet takes as it stands.
pub fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('$', "\\$").replace('}', "\\}")
}

/// Documentation.
pub fn markdown(value: String) -> Documentation {
    Documentation::MarkupContent(MarkupContent { kind: MarkupKind::Markdown, value })
}

/// What an option takes if it isn't written, and can be written so.
pub fn default_of(spec: &OptionSpec) -> Option<&str> {
    spec.default.as_deref().filter(|default| !default.is_empty())
}

/// An option in full.
pub fn describe(key: &str, spec: &OptionSpec) -> String {
    let mut text = String::from("```unik\n");
    for form in &spec.forms {
        let _ = writeln!(text, "{}", format!("{key} {}", form.usage).trim_end());
    }
    text.push_str("```\n");
    let _ = writeln!(text, "{}", spec.doc);
    for form in spec.forms.iter().filter(|form| !form.doc.is_empty()) {
        let _ = writeln!(text, "- `{}`: {}", format!("{key} {}", form.usage).trim_end(), form.doc);
    }
    let mut placeholders: Vec<String> = Vec::new();
    for form in &spec.forms {
        for (name, ty, repeats, optional) in form.usage.placeholders() {
            let several = if repeats { ", one or more" } else { "" };
            let maybe = if optional { ", may be left out" } else { "" };
            let line = format!("- `<{name}>`: {ty}{several}{maybe}");
            if !placeholders.contains(&line) {
                placeholders.push(line);
            }
        }
    }
    if !placeholders.is_empty() {
        let _ = write!(text, "\n{}\n", placeholders.join("\n"));
    }
    let mut facts = Vec::new();
    match &spec.default {
        Some(default) if default.is_empty() => facts.push("on by default".to_string()),
        Some(default) => facts.push(format!("default `{default}`")),
        None if spec.required => facts.push("must be written".into()),
        None => {}
    }
    if spec.repeats {
        facts.push("may be written several times".into());
    }
    if spec.at_boot {
        facts.push("may be set at boot".into());
    }
    if spec.secret {
        facts.push("secret".into());
    }
    let parts: Vec<&str> = spec.forms.iter().flat_map(|form| &form.parts).map(String::as_str).collect();
    if !parts.is_empty() {
        facts.push(format!("brings in {}", parts.join(", ")));
    }
    if !spec.options.is_empty() {
        let keys: Vec<String> = spec.options.keys().map(|key| format!("`{key}`")).collect();
        facts.push(format!("has a block with {}", keys.join(", ")));
    }
    if !facts.is_empty() {
        let _ = write!(text, "\n*{}*\n", facts.join("; "));
    }
    text
}

/// A component in full.
pub fn about(component: &Component) -> String {
    let wires: Vec<String> = component.wires.iter().map(|wire| format!("<{}>", wire.name)).collect();
    let on = if wires.is_empty() { String::new() } else { format!(" on {}", wires.join(" ")) };
    let mut text = format!(
        "```unik\n{} NAME = {}{on}\n```\n{}\n",
        component.kind.word(),
        component.name,
        component.summary
    );
    let mut list = |title: &str, entries: Vec<String>| {
        if !entries.is_empty() {
            let _ = write!(text, "\n{title}\n{}\n", entries.join("\n"));
        }
    };
    list(
        "Wired to:",
        component
            .wires
            .iter()
            .map(|wire| format!("- `{}` ({}): {}", wire.name, wire.interfaces.join(", "), wire.doc))
            .collect(),
    );
    list(
        "Needs:",
        component.needs.iter().map(|need| format!("- {} {}", need.interface, need.reason)).collect(),
    );
    let mut provides: Vec<String> = component.provides.iter().map(|it| format!("- {it}")).collect();
    for (name, part) in &component.parts {
        if !part.provides.is_empty() {
            provides.push(format!("- {} through its part `{name}`", part.provides.join(", ")));
        }
    }
    list("Provides:", provides);
    let required = component.options.iter().filter(|(_, spec)| spec.required);
    list("Must be told:", required.map(|(key, spec)| format!("- `{key}`: {}", spec.doc)).collect());
    text
}
