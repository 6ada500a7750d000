//! Our own format: the findings with all that they say.

use serde_json::{Value, json};
use unik_catalogue::value::Place;

use super::region;
use crate::diagnostic::{Diagnostic, Edit, Fix, Label};
use crate::source::SourceMap;

/// The version of the format. It grows when something changes its meaning or goes; what is
/// only added leaves it as it is.
pub const JSON_VERSION: u64 = 2;

/// The findings as one JSON object, with the members `version` and `diagnostics`. The book
/// says what each member is.
#[must_use]
pub fn json(diagnostics: &[Diagnostic], sources: &SourceMap) -> Value {
    let label = |label: &Label| {
        let mut value = position(label.place, sources);
        value["text"] = json!(label.text);
        value
    };
    let edit = |edit: &Edit| {
        let mut value = position(edit.place, sources);
        value["replacement"] = json!(edit.replacement);
        value
    };
    let fix = |fix: &Fix| {
        json!({
            "message": fix.message,
            "applicability": fix.applicability.word(),
            "edits": fix.edits.iter().map(edit).collect::<Vec<_>>(),
        })
    };
    let one = |diagnostic: &Diagnostic| {
        json!({
            "code": diagnostic.code.as_str(),
            "severity": diagnostic.severity_word(),
            "message": diagnostic.message,
            "at": label(&diagnostic.primary),
            "related": diagnostic.secondary.iter().map(label).collect::<Vec<_>>(),
            "help": diagnostic.helps,
            "fixes": diagnostic.fixes.iter().map(fix).collect::<Vec<_>>(),
        })
    };
    json!({
        "version": JSON_VERSION,
        "diagnostics": diagnostics.iter().map(one).collect::<Vec<_>>(),
    })
}

/// Lines and columns from 1, columns in characters; the end is behind the last character.
/// `start` and `end` are the same in bytes, from 0.
fn position(place: Place, sources: &SourceMap) -> Value {
    let Some(source) = sources.source(place.source) else {
        return json!({
            "path": "", "line": 1, "column": 1, "end-line": 1, "end-column": 1, "start": 0, "end": 0,
        });
    };
    let at = region(source, place, |text| text.chars().count());
    let bytes = source.clamp(place);
    json!({
        "path": source.path.to_string_lossy(),
        "line": at.line,
        "column": at.column,
        "end-line": at.end_line,
        "end-column": at.end_column,
        "start": bytes.start,
        "end": bytes.end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::codes;

    #[test]
    fn all_that_is_said() {
        let mut sources = SourceMap::default();
        let source = sources.add_file("a.unik", "one\nµ three\n");
        let place = Place { source, start: 7, end: 12 };
        let found = Diagnostic::warning(codes::UNUSED, place, "message")
            .label("here")
            .and(Place { start: 0, end: 3, ..place }, "there")
            .help("the way out")
            .fix(Fix::maybe("leave it out").remove(place));
        let at = json!({
            "path": "a.unik", "line": 2, "column": 3, "end-line": 2, "end-column": 8, "start": 7, "end": 12,
        });
        let with = |mut value: Value, key: &str, text: &str| {
            value[key] = json!(text);
            value
        };
        let there = json!({
            "path": "a.unik", "line": 1, "column": 1, "end-line": 1, "end-column": 4, "start": 0, "end": 3,
            "text": "there",
        });
        let wanted = json!({
            "version": 2,
            "diagnostics": [{
                "code": "U0511",
                "severity": "warning",
                "message": "message",
                "at": with(at.clone(), "text", "here"),
                "related": [there],
                "help": ["the way out"],
                "fixes": [{
                    "message": "leave it out",
                    "applicability": "maybe",
                    "edits": [with(at, "replacement", "")],
                }],
            }],
        });
        assert_eq!(json(&[found], &sources), wanted);
        assert_eq!(json(&[], &sources), json!({ "version": 2, "diagnostics": [] }));
    }
}
