//! Semantic tokens: what each word is, for the editor's colours.

use lsp_types::{
    SemanticToken, SemanticTokenModifier, SemanticTokenType, SemanticTokens, SemanticTokensLegend,
    SemanticTokensParams, SemanticTokensResult,
};

use crate::mentions::{Space, What};
use crate::server::Answer;
use crate::state::State;

const KEYWORD: u32 = 0;
const TYPE: u32 = 1;
const CLASS: u32 = 2;
const VARIABLE: u32 = 3;
const PARAMETER: u32 = 4;
const PROPERTY: u32 = 5;
const ENUM_MEMBER: u32 = 6;
const FUNCTION: u32 = 7;
const STRING: u32 = 8;
const NUMBER: u32 = 9;
const NAMESPACE: u32 = 10;

const DECLARATION: u32 = 1;
const READONLY: u32 = 2;

/// The types and modifiers by their numbers.
pub fn legend() -> SemanticTokensLegend {
    SemanticTokensLegend {
        token_types: vec![
            SemanticTokenType::KEYWORD,
            SemanticTokenType::TYPE,
            SemanticTokenType::CLASS,
            SemanticTokenType::VARIABLE,
            SemanticTokenType::PARAMETER,
            SemanticTokenType::PROPERTY,
            SemanticTokenType::ENUM_MEMBER,
            SemanticTokenType::FUNCTION,
            SemanticTokenType::STRING,
            SemanticTokenType::NUMBER,
            SemanticTokenType::NAMESPACE,
        ],
        token_modifiers: vec![SemanticTokenModifier::DECLARATION, SemanticTokenModifier::READONLY],
    }
}

/// All tokens of a text.
///
/// # Errors
/// Never.
pub fn full(state: &State, params: &SemanticTokensParams) -> Answer<Option<SemanticTokensResult>> {
    let Some(focus) = state.focus(&params.text_document.uri) else { return Ok(None) };
    let unit = focus.unit();
    let parsed = &*unit.parsed;
    let mut data = Vec::new();
    let (mut last_line, mut last_start, mut reached) = (0, 0, 0);
    for mention in &unit.mentions {
        // Tokens don't overlap; nor do they go over the end of a line.
        let range = state.range(parsed, mention.range.clone());
        if mention.range.start < reached || range.start.line != range.end.line {
            continue;
        }
        reached = mention.range.end;
        let (token_type, token_modifiers_bitset) = token(&mention.what);
        let (line, start) = (range.start.line, range.start.character);
        data.push(SemanticToken {
            delta_line: line - last_line,
            delta_start: if line == last_line { start - last_start } else { start },
            length: range.end.character - start,
            token_type,
            token_modifiers_bitset,
        });
        (last_line, last_start) = (line, start);
    }
    Ok(Some(SemanticTokensResult::Tokens(SemanticTokens { result_id: None, data })))
}

fn token(what: &What) -> (u32, u32) {
    match what {
        What::Keyword | What::Kind(_) => (KEYWORD, 0),
        What::Type => (TYPE, 0),
        What::Component(_) => (CLASS, 0),
        What::Name { space, declares, .. } => {
            let modifier = if *declares { DECLARATION } else { 0 };
            match space {
                Space::Value => (PARAMETER, modifier | READONLY),
                Space::Instance => (VARIABLE, modifier),
                Space::Appliance | Space::Crate => (NAMESPACE, modifier),
            }
        }
        What::Key(_) => (PROPERTY, 0),
        What::Word(..) | What::Choice => (ENUM_MEMBER, 0),
        What::Handler(_) => (FUNCTION, 0),
        What::Path(_) | What::Text => (STRING, 0),
        What::Number => (NUMBER, 0),
    }
}
