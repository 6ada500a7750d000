//! An appliance as the editor sees it: its file and all that it includes, with every name and
//! where it is used.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use lsp_types::Uri;
use unik_catalogue::{Component, OptionSpec};
use unik_dsl::syntax::{self, Context, File, Statement, StatementKind};
use unik_dsl::{Catalogue, SourceMap};

use crate::lexer::{self, Block, Token};
use crate::mentions::{self, Definition, Mention, Space, What};
use crate::position::{Lines, identity, tidy, uri_of};

/// The options of a block, by key.
pub type Specs = indexmap::IndexMap<String, OptionSpec>;

/// How deep files are followed into what they include.
const MAX_INCLUDES: usize = 64;

/// A text, read.
#[derive(Debug)]
pub struct Parsed {
    /// The text.
    pub text: Arc<str>,
    /// Its lines.
    pub lines: Lines,
    /// Its tree; places in it have the source 0.
    pub file: File,
    /// Its words.
    pub tokens: Vec<Token>,
    /// Its blocks, in the order of their heads.
    pub blocks: Vec<Block>,
    /// What was wrong with it as a text of its own.
    pub diagnostics: Vec<unik_dsl::Diagnostic>,
}

impl Parsed {
    /// Reads `text` as something that stands in `context`.
    pub fn of(text: Arc<str>, context: Context) -> Parsed {
        let mut sources = SourceMap::default();
        let number = sources.add("", &*text);
        let mut diagnostics = Vec::new();
        let file = syntax::parse(&sources, number, context, &mut diagnostics);
        let tokens = lexer::tokens(&text);
        let blocks = lexer::blocks(&text, &tokens);
        Parsed { lines: Lines::of(&text), text, file, tokens, blocks, diagnostics }
    }

    /// The block of the statement with this head.
    pub fn block(&self, head: usize) -> Option<&Block> {
        let at = self.blocks.binary_search_by_key(&head, |block| block.head).ok()?;
        self.blocks.get(at)
    }

    /// Whether an appliance is described in it.
    pub fn has_appliance(&self) -> bool {
        self.file.statements.iter().any(|it| matches!(it.kind, StatementKind::Appliance { .. }))
    }
}

/// One text of an appliance.
#[derive(Debug)]
pub struct Unit {
    /// Its path, absolute.
    pub path: PathBuf,
    /// What all paths of that file have in common.
    pub same: PathBuf,
    /// What the client calls it.
    pub uri: Uri,
    /// What it says.
    pub parsed: Rc<Parsed>,
    /// Where it stands in what includes it.
    pub context: Context,
    /// What it mentions, in the order of the text.
    pub mentions: Vec<Mention>,
}

/// Where texts come from.
pub trait Texts {
    /// The text of the file, read, and what the client calls it.
    fn text(&self, path: &Path, same: &Path, context: Context) -> Option<(Rc<Parsed>, Option<Uri>)>;
}

/// An appliance, or a text that belongs to none.
#[derive(Debug)]
pub struct View {
    /// Its texts; the first is the one that includes the others.
    pub units: Vec<Unit>,
    /// All components that it can be made of.
    pub catalogue: Catalogue,
    /// All that is declared, in the order of the texts.
    pub definitions: Vec<Definition>,
    /// What may stand in `crate NAME { … }`.
    named_crate: Option<Component>,
}

impl View {
    /// The appliance in `root`, or the text there, that stands in `context`.
    pub fn of(root: &Path, context: Context, texts: &dyn Texts, catalogue: Catalogue) -> View {
        let mut view = View {
            units: Vec::new(),
            catalogue,
            definitions: Vec::new(),
            named_crate: Catalogue::named_crate(),
        };
        view.include(root, context, texts, &mut HashSet::new(), 0);
        for unit in 0..view.units.len() {
            let (found, definitions) = mentions::collect(&view, unit);
            view.definitions.extend(definitions);
            view.units[unit].mentions = found;
        }
        view
    }

    fn include(
        &mut self,
        path: &Path,
        context: Context,
        texts: &dyn Texts,
        seen: &mut HashSet<PathBuf>,
        depth: usize,
    ) {
        let same = identity(path);
        if depth > MAX_INCLUDES || !seen.insert(same.clone()) {
            return;
        }
        let Some((parsed, uri)) = texts.text(path, &same, context) else { return };
        let Some(uri) = uri.or_else(|| uri_of(path)) else { return };
        let folder = path.parent().unwrap_or(Path::new("/")).to_path_buf();
        let mut found = Vec::new();
        includes(&parsed.file.statements, context, &mut found);
        self.units.push(Unit { path: tidy(path), same, uri, parsed, context, mentions: Vec::new() });
        for (file, context) in found {
            self.include(&folder.join(file), context, texts, seen, depth + 1);
        }
    }

    /// The number of the text with this name.
    pub fn unit(&self, same: &Path) -> Option<usize> {
        self.units.iter().position(|unit| unit.same == same)
    }

    /// The options that stand in a block: that of the component `path[0]`, or of its option
    /// `path[1]`, and so on. `crate` is what a file names its crates by.
    pub fn specs(&self, path: &[String]) -> Option<&Specs> {
        let (first, rest) = path.split_first()?;
        let mut specs = &self.component(first)?.options;
        for key in rest {
            specs = &specs.get(key)?.options;
        }
        Some(specs)
    }

    /// The option that the last key of `path` names.
    pub fn spec(&self, path: &[String]) -> Option<&OptionSpec> {
        let (key, rest) = path.split_last()?;
        self.specs(rest)?.get(key)
    }

    /// A component by its name; `appliance` and `crate` name the tables of settings.
    pub fn component(&self, name: &str) -> Option<&Component> {
        match name {
            CRATE => self.named_crate.as_ref(),
            APPLIANCE => self.catalogue.appliance().map(|component| &**component),
            _ => self.catalogue.component(name).map(|component| &**component),
        }
    }

    /// The declared things of a space, by name.
    pub fn defined(&self, space: Space) -> BTreeMap<&str, &Definition> {
        let mut found = BTreeMap::new();
        for definition in self.definitions.iter().filter(|definition| definition.space == space) {
            found.entry(definition.name.as_str()).or_insert(definition);
        }
        found
    }

    /// What is declared by this name.
    pub fn definition(&self, space: Space, name: &str) -> Option<&Definition> {
        self.definitions.iter().find(|definition| definition.space == space && definition.name == name)
    }

    /// What the text mentions at byte `at`: the narrowest of what is there.
    pub fn mention(&self, unit: usize, at: usize) -> Option<&Mention> {
        let mentions = &self.units.get(unit)?.mentions;
        let here = mentions.iter().filter(|mention| mention.range.start <= at && at <= mention.range.end);
        here.min_by_key(|mention| (mention.range.end == at, mention.range.len()))
    }

    /// Where a name is declared and used: unit, bytes of the name, whether it is declared there.
    pub fn uses(&self, space: Space, name: &str) -> Vec<(usize, Range<usize>, bool)> {
        let mut found = Vec::new();
        for (number, unit) in self.units.iter().enumerate() {
            for mention in &unit.mentions {
                match &mention.what {
                    What::Name { space: other, name: called, declares }
                        if *other == space && called == name =>
                    {
                        found.push((number, mention.range.clone(), *declares));
                    }
                    _ => {}
                }
            }
        }
        found
    }
}

/// What [`View::component`] calls the settings of the appliance.
pub const APPLIANCE: &str = "appliance";
/// What [`View::component`] calls the table of named crates.
pub const CRATE: &str = "crate";

/// The files that statements include, each with what it may hold.
pub fn includes(statements: &[Statement], context: Context, found: &mut Vec<(String, Context)>) {
    for statement in statements {
        match &statement.kind {
            StatementKind::Include(file) => found.push((file.value.clone(), context)),
            StatementKind::Appliance { body, .. } => includes(body, Context::Appliance, found),
            _ => {}
        }
    }
}
