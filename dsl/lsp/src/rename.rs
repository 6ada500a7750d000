//! New names for parameters, `let`s, instances and the appliance.

use std::collections::HashMap;

use lsp_types::{
    DocumentChanges, OneOf, OptionalVersionedTextDocumentIdentifier, PrepareRenameResponse, RenameParams,
    TextDocumentEdit, TextDocumentPositionParams, TextEdit, Uri, WorkspaceEdit,
};

use crate::mentions::{Space, What};
use crate::navigate::mention_at;
use crate::server::{Answer, Failure};
use crate::state::State;

/// The longest name, in characters, as the language has it.
const MAX_NAME: usize = 64;

/// What would be renamed.
///
/// # Errors
/// Never.
pub fn prepare(state: &State, params: &TextDocumentPositionParams) -> Answer<Option<PrepareRenameResponse>> {
    let Some((focus, mention)) = mention_at(state, params) else { return Ok(None) };
    let What::Name { space, name, .. } = &mention.what else { return Ok(None) };
    if *space == Space::Crate || focus.view.definition(*space, name).is_none() {
        return Ok(None);
    }
    let range = state.range(&focus.unit().parsed, mention.range.clone());
    Ok(Some(PrepareRenameResponse::RangeWithPlaceholder { range, placeholder: name.clone() }))
}

/// Renames in all texts of the appliance.
///
/// # Errors
/// When there is nothing to rename, or the new name is none or is taken.
pub fn rename(state: &State, params: &RenameParams) -> Answer<Option<WorkspaceEdit>> {
    let nothing = || Failure::refused("there is no name here that could be changed");
    let (focus, mention) = mention_at(state, &params.text_document_position).ok_or_else(nothing)?;
    let What::Name { space, name, .. } = &mention.what else { return Err(nothing()) };
    let view = &focus.view;
    if *space == Space::Crate {
        return Err(Failure::refused("a crate is called as its own Cargo.toml has it"));
    }
    if view.definition(*space, name).is_none() {
        return Err(Failure::refused(format!("nothing declares `{name}`")));
    }
    let new = params.new_name.trim().trim_start_matches('$');
    check(new)?;
    if new != name && view.definition(*space, new).is_some() {
        return Err(Failure::refused(format!("`{new}` is declared already")));
    }
    let mut edits: HashMap<usize, Vec<TextEdit>> = HashMap::new();
    for (unit, range, _) in view.uses(*space, name) {
        let range = state.range(&view.units[unit].parsed, range);
        edits.entry(unit).or_default().push(TextEdit { range, new_text: new.into() });
    }
    Ok(Some(edit(state, edits.into_iter().map(|(unit, edits)| (view.units[unit].uri.clone(), edits)))))
}

/// A name as the grammar has it.
fn check(name: &str) -> Answer<()> {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.split('-').all(part) {
        return Err(Failure::refused(format!(
            "`{name}` is no name: names have lower-case letters, digits and single `-`, and begin with a letter"
        )));
    }
    if name.len() > MAX_NAME {
        return Err(Failure::refused(format!("a name has at most {MAX_NAME} characters")));
    }
    Ok(())
}

/// Edits of several texts, in the form that the client takes.
pub fn edit(state: &State, edits: impl Iterator<Item = (Uri, Vec<TextEdit>)>) -> WorkspaceEdit {
    if !state.client.document_changes {
        #[allow(clippy::mutable_key_type, reason = "the protocol's type; what may change in it is no key")]
        let changes = edits.collect();
        return WorkspaceEdit { changes: Some(changes), ..WorkspaceEdit::default() };
    }
    let edits = edits.map(|(uri, edits)| {
        let version = state.documents.document(&uri).map(|document| document.version);
        TextDocumentEdit {
            text_document: OptionalVersionedTextDocumentIdentifier { uri, version },
            edits: edits.into_iter().map(OneOf::Left).collect(),
        }
    });
    let edits = DocumentChanges::Edits(edits.collect());
    WorkspaceEdit { document_changes: Some(edits), ..WorkspaceEdit::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "a-b", "a1-2", "host"] {
            assert!(check(good).is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        for bad in ["", "A", "1a", "a--b", "a-", "a_b", "ä", "a b", &long] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
