//! Changes of the text that mend what is wrong, and the way to its explanation.

use lsp_types::{
    CodeAction, CodeActionKind, CodeActionOrCommand, CodeActionParams, Command, Diagnostic,
    ExecuteCommandParams, TextEdit, Uri, WorkspaceEdit,
};
use serde_json::{Value, json};
use unik_dsl::diagnostic::{Applicability, Edit, Fix, codes};
use unik_dsl::{Analysis, Catalogue};

use crate::checker::{self, Table};
use crate::rename::edit;
use crate::server::{Answer, Failure};
use crate::state::State;

/// The command that explains a code.
pub const EXPLAIN: &str = "unikgen.explain";

/// The actions for a range: the fixes of what is wrong there, all certain fixes, and what
/// explains the codes.
///
/// # Errors
/// Never.
pub fn actions(state: &State, params: &CodeActionParams) -> Answer<Option<Vec<CodeActionOrCommand>>> {
    let uri = &params.text_document.uri;
    let Some(document) = state.documents.document(uri) else { return Ok(None) };
    let wanted = |kind: &CodeActionKind| {
        let only = params.context.only.as_deref();
        only.is_none_or(|only| {
            only.iter().any(|one| {
                kind == one || kind.as_str().strip_prefix(one.as_str()).is_some_and(|it| it.starts_with('.'))
            })
        })
    };
    let root = state.root_of(document);
    let alone = root.is_none();
    let job = state.job(root.unwrap_or_else(|| document.path.clone()));
    let analysis = match alone {
        false => checker::analysed(&job, state.catalogue(), &*state.host),
        true => apart(state, uri),
    };
    let mut table = Table::of(&analysis.sources, &job);
    let mut found = Vec::new();
    let mut explained: Vec<&str> = Vec::new();
    let mut certain: Vec<&Fix> = Vec::new();
    for diagnostic in &analysis.diagnostics {
        let Some((at, converted)) = table.diagnostic(diagnostic) else { continue };
        if at == *uri {
            let sure = diagnostic.fixes.iter().find(|fix| fix.applicability == Applicability::Certain);
            certain.extend(sure);
        }
        let here = at == *uri
            && converted.range.start <= params.range.end
            && params.range.start <= converted.range.end;
        if !here {
            continue;
        }
        if wanted(&CodeActionKind::QUICKFIX) && state.client.literals {
            for (number, fix) in diagnostic.fixes.iter().enumerate() {
                let Some(change) = change(state, &mut table, [fix]) else { continue };
                found.push(CodeActionOrCommand::CodeAction(CodeAction {
                    title: title(fix),
                    kind: Some(CodeActionKind::QUICKFIX),
                    diagnostics: Some(vec![converted.clone()]),
                    edit: Some(change),
                    is_preferred: Some(number == 0 && fix.applicability == Applicability::Certain),
                    ..CodeAction::default()
                }));
            }
        }
        let code = diagnostic.code.as_str();
        if wanted(&CodeActionKind::QUICKFIX) && !explained.contains(&code) {
            explained.push(code);
            found.push(explain(state, code, converted));
        }
    }
    if wanted(&CodeActionKind::SOURCE_FIX_ALL) && !certain.is_empty() && state.client.literals {
        let applied = unik_dsl::diagnostic::apply(&analysis.sources, certain.iter().copied());
        if let Some(change) = change(state, &mut table, applied.made) {
            found.push(CodeActionOrCommand::CodeAction(CodeAction {
                title: "mend all that is certain".into(),
                kind: Some(CodeActionKind::SOURCE_FIX_ALL),
                edit: Some(change),
                ..CodeAction::default()
            }));
        }
    }
    Ok(Some(found))
}

/// What is wrong with a text that belongs to no appliance.
fn apart(state: &State, uri: &Uri) -> Analysis {
    let mut sources = unik_dsl::SourceMap::default();
    let mut diagnostics = Vec::new();
    if let Some(document) = state.documents.document(uri) {
        sources.add(&document.path, &*document.text);
        let same = crate::position::identity(&document.path);
        if let Some(parsed) = state.alone(document, &same).1 {
            diagnostics.clone_from(&parsed.diagnostics);
        }
    }
    Analysis { sources, diagnostics, plan: None, catalogue: Catalogue::default() }
}

fn title(fix: &Fix) -> String {
    match fix.edits.as_slice() {
        [only] if fix.message.starts_with("did you mean") => format!("write `{}`", only.replacement),
        _ => fix.message.clone(),
    }
}

/// Fixes as an edit of texts.
fn change<'f>(
    state: &State,
    table: &mut Table,
    fixes: impl IntoIterator<Item = &'f Fix>,
) -> Option<WorkspaceEdit> {
    let mut edits: Vec<(Uri, Vec<TextEdit>)> = Vec::new();
    for Edit { place, replacement } in fixes.into_iter().flat_map(|fix| &fix.edits) {
        let location = table.location(*place)?;
        let edit = TextEdit { range: location.range, new_text: replacement.clone() };
        match edits.iter_mut().find(|(uri, _)| *uri == location.uri) {
            Some((_, known)) => known.push(edit),
            None => edits.push((location.uri, vec![edit])),
        }
    }
    (!edits.is_empty()).then(|| edit(state, edits.into_iter()))
}

fn explain(state: &State, code: &str, diagnostic: Diagnostic) -> CodeActionOrCommand {
    let title = format!("explain {code}");
    let command =
        Command { title: title.clone(), command: EXPLAIN.into(), arguments: Some(vec![json!(code)]) };
    if !state.client.literals {
        return CodeActionOrCommand::Command(command);
    }
    CodeActionOrCommand::CodeAction(CodeAction {
        title,
        kind: Some(CodeActionKind::QUICKFIX),
        diagnostics: Some(vec![diagnostic]),
        command: Some(command),
        ..CodeAction::default()
    })
}

/// Does a command: the explanation of a code, as Markdown.
///
/// # Errors
/// When there is no such command or code.
pub fn execute(params: &ExecuteCommandParams) -> Answer<Value> {
    if params.command != EXPLAIN {
        return Err(Failure::refused(format!("there is no command `{}`", params.command)));
    }
    let code = params.arguments.first().and_then(Value::as_str).unwrap_or_default();
    let explanation = codes::explanation(code)
        .ok_or_else(|| Failure::refused(format!("there is no diagnostic `{code}`")))?;
    let mut text = format!("# {}: {}\n\n{}\n", explanation.code, explanation.title, explanation.text);
    for (title, example) in [("Wrong", explanation.wrong), ("Right", explanation.right)] {
        if !example.is_empty() {
            text.push_str(&format!("\n{title}:\n\n```unik\n{example}\n```\n"));
        }
    }
    Ok(Value::String(text))
}
