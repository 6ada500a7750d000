//! What could stand at the cursor: keys, values, components and names, with what they mean.

mod items;
mod values;

use lsp_types::{CompletionItemKind, CompletionParams, CompletionResponse};
use unik_catalogue::{Component, Kind, OptionSpec};
use unik_dsl::syntax::Context;

use crate::cursor::Cursor;
use crate::lexer::Token;
use crate::server::Answer;
use crate::state::{Focus, State};
use crate::view::{APPLIANCE, CRATE, View};
use items::{Items, default_of};
pub use items::{about, describe};

/// The kinds of declaration.
const KINDS: [Kind; 4] = [Kind::Device, Kind::Network, Kind::Storage, Kind::Service];

/// What could stand at a position.
///
/// # Errors
/// Never.
pub fn complete(state: &State, params: &CompletionParams) -> Answer<Option<CompletionResponse>> {
    let at = &params.text_document_position;
    let Some(focus) = state.focus(&at.text_document.uri) else { return Ok(None) };
    let parsed = &*focus.unit().parsed;
    let offset = state.offset(parsed, at.position);
    let cursor = Cursor::at(&parsed.text, &parsed.tokens, offset);
    let mut asked = Asked { state, focus: &focus, text: &parsed.text, cursor, offset };
    let items = asked.items();
    Ok(Some(CompletionResponse::Array(items)))
}

/// What a block may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Block {
    Top,
    Appliance,
    /// The options that these keys lead to; see [`View::specs`].
    Options(Vec<String>),
    /// Something of which nothing is known.
    Unknown,
}

struct Asked<'a> {
    state: &'a State,
    focus: &'a Focus,
    text: &'a str,
    cursor: Cursor,
    offset: usize,
}

impl<'a> Asked<'a> {
    fn view(&self) -> &'a View {
        &self.focus.view
    }

    fn items(&mut self) -> Vec<lsp_types::CompletionItem> {
        if self.cursor.in_comment {
            return Vec::new();
        }
        let block = self.block();
        let before: Vec<&str> = self.cursor.before.iter().map(|token| self.word(token)).collect();
        let mut items = Items::new(self.state, &self.focus.unit().parsed, self.cursor.word.clone());
        match before.split_first() {
            None if self.cursor.in_string => {}
            None => self.beginning(&block, &mut items),
            Some((first, rest)) => self.inside(&block, first, rest, &mut items),
        }
        items.done()
    }

    fn word(&self, token: &Token) -> &'a str {
        self.text.get(token.range.clone()).unwrap_or_default()
    }

    /// What the block around the cursor may hold.
    fn block(&self) -> Block {
        let mut block = match self.focus.unit().context {
            Context::Appliance => Block::Appliance,
            Context::Options => Block::Unknown,
            Context::Top => Block::Top,
        };
        for head in &self.cursor.heads {
            let words: Vec<&str> = head.iter().map(|token| self.word(token)).collect();
            block = self.within(block, &words);
        }
        block
    }

    /// What a block with this head may hold, that stands in `block`.
    fn within(&self, block: Block, head: &[&str]) -> Block {
        let Some(&first) = head.first() else { return Block::Unknown };
        let options = |path: Vec<String>| match self.view().specs(&path) {
            Some(_) => Block::Options(path),
            None => Block::Unknown,
        };
        match (block, first) {
            (Block::Top, "appliance") => Block::Appliance,
            (Block::Top | Block::Appliance, "crate") => options(vec![CRATE.into()]),
            (block, "when") => block,
            (Block::Appliance, _) if head.get(2) == Some(&"=") => {
                head.get(3).map_or(Block::Unknown, |component| options(vec![(*component).into()]))
            }
            (Block::Appliance, key) => options(vec![APPLIANCE.into(), key.into()]),
            (Block::Options(mut path), key) => {
                path.push(key.into());
                options(path)
            }
            _ => Block::Unknown,
        }
    }

    /// At the beginning of an entry.
    fn beginning(&self, block: &Block, items: &mut Items) {
        match block {
            Block::Top => {
                let has_version = self.text.contains("unik 1");
                if !has_version {
                    items.keyword("unik", "the version of the language", "unik 1");
                }
                items.keyword("appliance", "what the file describes", "appliance ${1:name} {\n\t$0\n}");
                self.anywhere(items);
            }
            Block::Appliance => {
                for kind in KINDS {
                    let word = kind.word();
                    let example = match kind {
                        Kind::Device => "nic",
                        Kind::Network => "lan",
                        Kind::Storage => "files",
                        Kind::Service | Kind::Appliance => "site",
                    };
                    let doc = format!("declares a {word}");
                    items.keyword(word, &doc, &format!("{word} ${{1:{example}}} = $0"));
                }
                self.keys(&[APPLIANCE.to_string()], items);
                items.keyword("when", "what holds under a condition", "when $1 == $2 {\n\t$0\n}");
                self.anywhere(items);
            }
            Block::Options(path) => {
                self.keys(path, items);
                items.keyword("when", "what holds under a condition", "when $1 == $2 {\n\t$0\n}");
            }
            Block::Unknown => {}
        }
    }

    /// What may stand at the top and in an appliance.
    fn anywhere(&self, items: &mut Items) {
        items.keyword("param", "a value that can be set from outside", "param ${1:name}: ${2:type} = $0");
        items.keyword("let", "a value with a name", "let ${1:name} = $0");
        items.keyword("include", "takes in another file", "include \"$1\"");
        items.keyword("crate", "names a crate of yours or of others", "crate ${1:name} {\n\tpath \"$2\"\n}");
    }

    /// The keys of a block, without those that are written and don't repeat.
    fn keys(&self, path: &[String], items: &mut Items) {
        let Some(specs) = self.view().specs(path) else { return };
        for (key, spec) in specs {
            let written = || self.cursor.siblings.iter().any(|it| self.text.get(it.clone()) == Some(key));
            if !spec.repeats && written() {
                continue;
            }
            let required = if spec.required { "0" } else { "1" };
            items.add(key, CompletionItemKind::PROPERTY, required, |item| {
                let usages: Vec<String> =
                    spec.forms.iter().map(|form| format!("{key} {}", form.usage).trim_end().into()).collect();
                item.detail = usages.first().cloned();
                item.documentation = Some(items::markdown(describe(key, spec)));
            });
            items.snippet(key_snippet(key, spec));
        }
    }

    /// Behind the first word of an entry.
    fn inside(&self, block: &Block, first: &str, rest: &[&str], items: &mut Items) {
        let declares = matches!(block, Block::Appliance | Block::Unknown);
        let kind = KINDS.into_iter().find(|kind| kind.word() == first).filter(|_| declares);
        match (block, first) {
            (Block::Options(_), "unik" | "param" | "let" | "include") => {}
            (_, "unik") => items.word("1", "the version that there is"),
            (_, "include") => self.paths("", Some("unik"), items),
            (_, "param") => self.param(rest, items),
            (_, "let") => {
                if rest.get(1) == Some(&"=") && rest.len() == 2 {
                    self.references(None, items);
                }
            }
            (_, "when") => self.condition(rest, items),
            (_, "appliance" | "crate") if *block == Block::Top => {}
            _ if let Some(kind) = kind => self.declaration(kind, rest, items),
            (Block::Appliance, _) => self.values(&[APPLIANCE.to_string(), first.into()], items),
            (Block::Options(path), _) => {
                let path: Vec<String> = path.iter().cloned().chain([first.to_string()]).collect();
                self.values(&path, items);
            }
            (Block::Top | Block::Unknown, _) => {}
        }
    }

    /// `KIND NAME = COMPONENT on WIRES`
    fn declaration(&self, kind: Kind, rest: &[&str], items: &mut Items) {
        let view = self.view();
        match rest {
            [] => {}
            [_] => items.word("=", "and the component that it is"),
            [_, "="] => {
                for component in view.catalogue.components() {
                    if component.kind == kind && component.stands_in_for.is_empty() {
                        items.add(&component.name, CompletionItemKind::CLASS, "1", |item| {
                            item.detail = Some(component.summary.clone());
                            item.documentation = Some(items::markdown(items::about(component)));
                        });
                        items.snippet(self.component_snippet(component));
                    }
                }
            }
            [_, "=", component] if view.component(component).is_some_and(|it| !it.wires.is_empty()) => {
                items.word("on", "what it is wired to");
            }
            [_, "=", component, "on", wired @ ..] => {
                let Some(wire) = view.component(component).and_then(|it| it.wires.get(wired.len())) else {
                    return;
                };
                for (name, provider) in self.instances(&wire.interfaces) {
                    if !wired.contains(&name) {
                        items.add(name, CompletionItemKind::VARIABLE, "1", |item| {
                            item.detail = Some(provider.summary.clone());
                            item.documentation = Some(items::markdown(format!("{}: {name}", wire.doc)));
                        });
                    }
                }
            }
            _ => {}
        }
    }

    /// The instances that provide all of these interfaces.
    fn instances(&self, interfaces: &[String]) -> Vec<(&'a str, &'a Component)> {
        let view = self.view();
        let all = view.defined(crate::mentions::Space::Instance);
        all.into_iter()
            .filter_map(|(name, definition)| {
                let crate::mentions::Is::Instance { component, .. } = &definition.is else { return None };
                let component = view.component(component)?;
                interfaces.iter().all(|one| component.can_provide(one)).then_some((name, component))
            })
            .collect()
    }

    /// A component with its wires, where they can only be these.
    fn component_snippet(&self, component: &Component) -> String {
        let mut text = component.name.clone();
        if component.wires.is_empty() {
            return text;
        }
        text.push_str(" on");
        for (at, wire) in component.wires.iter().enumerate() {
            let known = self.instances(&wire.interfaces);
            let stop = at + 1;
            match known.as_slice() {
                [(only, _)] => text.push_str(&format!(" ${{{stop}:{only}}}")),
                _ => text.push_str(&format!(" ${stop}")),
            }
        }
        text.push_str("$0");
        text
    }
}

/// A key, with a block where it has one and no value.
fn key_snippet(key: &str, spec: &OptionSpec) -> String {
    let bare = spec.forms.iter().all(|form| form.usage.terms.is_empty());
    match (bare, spec.options.is_empty()) {
        (true, true) => key.to_string(),
        (true, false) => format!("{key} {{\n\t$0\n}}"),
        (false, _) => match default_of(spec) {
            Some(default) => format!("{key} ${{0:{}}}", items::escape(default)),
            None => format!("{key} $0"),
        },
    }
}
