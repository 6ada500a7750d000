//! From a name to where it is declared, and to all its uses.

use std::path::{Path, PathBuf};

use lsp_types::{
    DocumentHighlight, DocumentHighlightKind, DocumentHighlightParams, GotoDefinitionParams,
    GotoDefinitionResponse, Location, Range, ReferenceParams, TextDocumentPositionParams,
};

use crate::mentions::{Is, Mention, Space, What};
use crate::position::{Lines, identity, uri_of};
use crate::server::Answer;
use crate::state::{Focus, State};

/// What the text mentions at a position.
pub fn mention_at(state: &State, at: &TextDocumentPositionParams) -> Option<(Focus, Mention)> {
    let focus = state.focus(&at.text_document.uri)?;
    let offset = state.offset(&focus.unit().parsed, at.position);
    let mention = focus.view.mention(focus.unit, offset)?.clone();
    Some((focus, mention))
}

/// Where what is mentioned is declared.
///
/// # Errors
/// Never.
pub fn definition(state: &State, params: &GotoDefinitionParams) -> Answer<Option<GotoDefinitionResponse>> {
    Ok(defined(state, &params.text_document_position_params).map(GotoDefinitionResponse::Scalar))
}

fn defined(state: &State, at: &TextDocumentPositionParams) -> Option<Location> {
    let (focus, mention) = mention_at(state, at)?;
    match &mention.what {
        What::Name { space: Space::Crate, name, .. } => {
            let definition = focus.view.definition(Space::Crate, name)?;
            let Is::Crate { folder } = &definition.is else { return None };
            match folder {
                Some(folder) => {
                    in_file(state, &folder.join("Cargo.toml"), &["[package.metadata.unik]", "[package]"])
                }
                None => None,
            }
        }
        What::Name { space, name, .. } => {
            let definition = focus.view.definition(*space, name)?;
            let unit = &focus.view.units[definition.unit];
            let range = state.range(&unit.parsed, definition.range.clone());
            Some(Location { uri: unit.uri.clone(), range })
        }
        What::Component(name) => {
            let manifest = manifest(&focus, name)?;
            in_file(state, &manifest, &["[package.metadata.unik]"])
        }
        What::Key(path) | What::Word(path, _) => {
            let (component, keys) = path.split_first()?;
            let manifest = manifest(&focus, component)?;
            let table = format!("[package.metadata.unik.options.{}", keys.join(".options."));
            in_file(state, &manifest, &[&format!("{table}]"), "[package.metadata.unik]"])
        }
        What::Path(path) if path.is_dir() => {
            let manifest = path.join("Cargo.toml");
            in_file(state, &manifest, &["[package.metadata.unik]", "[package]"])
        }
        What::Path(path) => in_file(state, path, &[]),
        What::Handler(name) => {
            let handlers = state.host.handlers(&focus.view.units.first()?.path);
            let handler = handlers.into_iter().find(|handler| handler.name == *name)?;
            let text = std::fs::read_to_string(&handler.file).ok()?;
            let range = handler.at..handler.at + name.rsplit("::").next().map_or(0, str::len);
            let range = Lines::of(&text).range(&text, range, state.client.encoding);
            Some(Location { uri: uri_of(&handler.file)?, range })
        }
        _ => None,
    }
}

/// The `Cargo.toml` of a component, where it is one of somebody's crates here.
fn manifest(focus: &Focus, component: &str) -> Option<PathBuf> {
    let folder = &focus.view.component(component)?.package.folder;
    // One of our own has a folder that is relative to our own sources.
    let path = folder.join("Cargo.toml");
    (folder.is_absolute() && path.is_file()).then_some(path)
}

/// The first of these texts in a file; its beginning where there is none.
fn in_file(state: &State, path: &Path, wanted: &[&str]) -> Option<Location> {
    if !path.is_file() {
        return None;
    }
    let uri = match state.documents.at(&identity(path)) {
        Some(document) => document.uri.clone(),
        None => uri_of(path)?,
    };
    let mut range = Range::default();
    if !wanted.is_empty() {
        let text = std::fs::read_to_string(path).ok()?;
        if let Some((at, found)) = wanted.iter().find_map(|wanted| Some((text.find(wanted)?, wanted))) {
            range = Lines::of(&text).range(&text, at..at + found.len(), state.client.encoding);
        }
    }
    Some(Location { uri, range })
}

/// All places of a name.
///
/// # Errors
/// Never.
pub fn references(state: &State, params: &ReferenceParams) -> Answer<Option<Vec<Location>>> {
    let Some((focus, mention)) = mention_at(state, &params.text_document_position) else { return Ok(None) };
    let with_declaration = params.context.include_declaration;
    let mut found = Vec::new();
    match &mention.what {
        What::Name { space, name, .. } => {
            for (unit, range, declares) in focus.view.uses(*space, name) {
                if with_declaration || !declares {
                    found.push((unit, range));
                }
            }
        }
        What::Component(_) | What::Key(_) | What::Path(_) | What::Handler(_) => {
            for (number, unit) in focus.view.units.iter().enumerate() {
                let same = unit.mentions.iter().filter(|other| other.what == mention.what);
                found.extend(same.map(|other| (number, other.range.clone())));
            }
        }
        _ => return Ok(None),
    }
    let locations = found.into_iter().map(|(unit, range)| {
        let unit = &focus.view.units[unit];
        Location { uri: unit.uri.clone(), range: state.range(&unit.parsed, range) }
    });
    Ok(Some(locations.collect()))
}

/// The places of a name in its own text.
///
/// # Errors
/// Never.
pub fn highlight(state: &State, params: &DocumentHighlightParams) -> Answer<Option<Vec<DocumentHighlight>>> {
    let Some((focus, mention)) = mention_at(state, &params.text_document_position_params) else {
        return Ok(None);
    };
    let here = &focus.unit().parsed;
    let mut found: Vec<DocumentHighlight> = Vec::new();
    let mut add = |range, kind| {
        found.push(DocumentHighlight { range: state.range(here, range), kind: Some(kind) });
    };
    match &mention.what {
        What::Name { space, name, .. } => {
            for (unit, range, declares) in focus.view.uses(*space, name) {
                if unit == focus.unit {
                    let kind =
                        if declares { DocumentHighlightKind::WRITE } else { DocumentHighlightKind::READ };
                    add(range, kind);
                }
            }
        }
        what => {
            for other in focus.unit().mentions.iter().filter(|other| other.what == *what) {
                let same_text = here.text.get(other.range.clone()) == here.text.get(mention.range.clone());
                if same_text {
                    add(other.range.clone(), DocumentHighlightKind::TEXT);
                }
            }
        }
    }
    Ok(Some(found))
}
