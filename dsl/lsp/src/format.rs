//! The one layout, as edits.

use lsp_types::{DocumentFormattingParams, TextEdit};

use crate::server::Answer;
use crate::state::State;

/// The edits that bring a text into the one layout.
///
/// # Errors
/// Never.
pub fn format(state: &State, params: &DocumentFormattingParams) -> Answer<Option<Vec<TextEdit>>> {
    let _ = (state, params);
    Ok(None)
}
