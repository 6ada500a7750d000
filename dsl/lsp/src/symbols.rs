//! The outline of a text, and what can be folded in it.

use lsp_types::{
    DocumentSymbol, DocumentSymbolParams, DocumentSymbolResponse, FoldingRange, FoldingRangeKind,
    FoldingRangeParams, Location, SymbolInformation, SymbolKind,
};
use unik_catalogue::Kind;
use unik_dsl::syntax::{Spanned, Statement, StatementKind};

use crate::lexer;
use crate::server::Answer;
use crate::state::State;
use crate::view::{Parsed, Unit};

/// The outline.
///
/// # Errors
/// Never.
pub fn symbols(state: &State, params: &DocumentSymbolParams) -> Answer<Option<DocumentSymbolResponse>> {
    let Some(focus) = state.focus(&params.text_document.uri) else { return Ok(None) };
    let unit = focus.unit();
    let nested = all(state, unit, &unit.parsed.file.statements);
    if state.client.hierarchical {
        return Ok(Some(DocumentSymbolResponse::Nested(nested)));
    }
    let mut flat = Vec::new();
    flatten(nested, None, unit, &mut flat);
    Ok(Some(DocumentSymbolResponse::Flat(flat)))
}

fn all(state: &State, unit: &Unit, statements: &[Statement]) -> Vec<DocumentSymbol> {
    statements.iter().filter_map(|statement| symbol(state, unit, statement)).collect()
}

fn symbol(state: &State, unit: &Unit, statement: &Statement) -> Option<DocumentSymbol> {
    let parsed = &*unit.parsed;
    let head = statement.place.start..statement.place.end;
    let shown =
        |place: unik_catalogue::value::Place| parsed.text.get(place.start..place.end).unwrap_or_default();
    let named = |name: &Spanned<String>| (name.value.clone(), name.place.start..name.place.end);
    let nothing: &[Statement] = &[];
    let ((name, selection), detail, kind, body) = match &statement.kind {
        StatementKind::Appliance { name, body } => (named(name), String::new(), SymbolKind::MODULE, &**body),
        StatementKind::Declaration(declaration) => {
            let wires: Vec<&str> = declaration.wires.iter().map(|wire| wire.value.as_str()).collect();
            let on = if wires.is_empty() { String::new() } else { format!(" on {}", wires.join(" ")) };
            let detail = format!("{}{on}", declaration.component.value);
            let kind = match declaration.kind.value {
                Kind::Service => SymbolKind::CLASS,
                Kind::Network => SymbolKind::INTERFACE,
                Kind::Storage => SymbolKind::PACKAGE,
                Kind::Device | Kind::Appliance => SymbolKind::OBJECT,
            };
            (named(&declaration.name), detail, kind, &*declaration.body)
        }
        StatementKind::Param { name, ty, .. } => {
            (named(name), ty.value.clone(), SymbolKind::VARIABLE, nothing)
        }
        StatementKind::Let { name, value } => {
            (named(name), shown(value.place).into(), SymbolKind::CONSTANT, nothing)
        }
        StatementKind::Crate { name, body } => (named(name), "crate".into(), SymbolKind::PACKAGE, &**body),
        StatementKind::Include(file) => {
            let place = file.place;
            let name = format!("include {}", shown(place));
            ((name, place.start..place.end), String::new(), SymbolKind::FILE, nothing)
        }
        StatementKind::When { body, .. } => {
            ((shown(statement.place).into(), head.clone()), String::new(), SymbolKind::NAMESPACE, &**body)
        }
        StatementKind::Entry(entry) => {
            let rest = parsed.text.get(entry.key.place.end..head.end).unwrap_or_default().trim();
            let detail = rest.lines().next().unwrap_or_default().to_string();
            (named(&entry.key), detail, SymbolKind::PROPERTY, entry.body.as_deref().unwrap_or_default())
        }
        _ => return None,
    };
    // The protocol has no symbol without a name.
    if name.trim().is_empty() {
        return None;
    }
    let docs = statement.docs.first().map_or(head.start, |first| first.start);
    let end = parsed.block(head.start).map_or(head.end, |block| (block.close + 1).min(parsed.text.len()));
    let children = all(state, unit, body);
    let detail = match detail.char_indices().nth(80) {
        Some((cut, _)) => format!("{}…", &detail[..cut]),
        None => detail,
    };
    #[allow(deprecated, reason = "the protocol's struct has it still")]
    Some(DocumentSymbol {
        name,
        detail: (!detail.is_empty()).then_some(detail),
        kind,
        tags: None,
        deprecated: None,
        range: state.range(parsed, docs.min(head.start)..end.max(head.end)),
        selection_range: state.range(parsed, selection),
        children: (!children.is_empty()).then_some(children),
    })
}

fn flatten(
    nested: Vec<DocumentSymbol>,
    inside: Option<&str>,
    unit: &Unit,
    flat: &mut Vec<SymbolInformation>,
) {
    for symbol in nested {
        #[allow(deprecated, reason = "the protocol's struct has it still")]
        flat.push(SymbolInformation {
            name: symbol.name.clone(),
            kind: symbol.kind,
            tags: None,
            deprecated: None,
            location: Location { uri: unit.uri.clone(), range: symbol.range },
            container_name: inside.map(String::from),
        });
        flatten(symbol.children.unwrap_or_default(), Some(&symbol.name), unit, flat);
    }
}

/// What can be folded: blocks, and comments of several lines.
///
/// # Errors
/// Never.
pub fn folding(state: &State, params: &FoldingRangeParams) -> Answer<Option<Vec<FoldingRange>>> {
    let Some(focus) = state.focus(&params.text_document.uri) else { return Ok(None) };
    Ok(Some(folds(&focus.unit().parsed)))
}

fn folds(parsed: &Parsed) -> Vec<FoldingRange> {
    let mut found = Vec::new();
    let mut fold = |first: usize, last: usize, kind: Option<FoldingRangeKind>| {
        if last > first {
            found.push(FoldingRange {
                start_line: u32::try_from(first).unwrap_or(u32::MAX),
                end_line: u32::try_from(last).unwrap_or(u32::MAX),
                kind,
                ..FoldingRange::default()
            });
        }
    };
    for block in &parsed.blocks {
        // The line of the closing brace stays to be seen.
        let last = parsed.lines.line(block.close);
        fold(parsed.lines.line(block.open), last.saturating_sub(1), None);
    }
    let mut comment: Option<(usize, usize)> = None;
    for token in &parsed.tokens {
        let lines = (parsed.lines.line(token.range.start), parsed.lines.line(token.range.end));
        match token.kind {
            lexer::Kind::Comment | lexer::Kind::Doc | lexer::Kind::Block => {
                comment = match comment {
                    Some((first, last)) if lines.0 <= last + 1 => Some((first, lines.1)),
                    earlier => {
                        earlier.into_iter().for_each(|(first, last)| {
                            fold(first, last, Some(FoldingRangeKind::Comment));
                        });
                        Some(lines)
                    }
                };
            }
            lexer::Kind::Newline => {}
            _ => {
                if let Some((first, last)) = comment.take() {
                    fold(first, last, Some(FoldingRangeKind::Comment));
                }
            }
        }
    }
    if let Some((first, last)) = comment {
        fold(first, last, Some(FoldingRangeKind::Comment));
    }
    found
}

#[cfg(test)]
mod tests {
    use unik_dsl::syntax::Context;

    use super::*;

    #[test]
    fn folds_blocks_and_comments() {
        let text = "// a\n// b\n\nx {\n  y {\n    z 1\n  }\n  /* c\n d */\n}\nopen {\n x";
        let parsed = Parsed::of(text.into(), Context::Top);
        let found: Vec<(u32, u32)> = folds(&parsed).iter().map(|it| (it.start_line, it.end_line)).collect();
        assert_eq!(found, [(3, 8), (4, 5), (0, 1), (7, 8)]);
    }
}
