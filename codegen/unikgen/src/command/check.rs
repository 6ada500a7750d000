//! `unikgen check`: every error and warning, for people and for machines.

use serde_json::{Value, json};
use unik_catalogue::value::Place;
use unik_dsl::diagnostic::{Fix, Label, codes};
use unik_dsl::{Analysis, Diagnostic, SourceMap};

use super::output;
use crate::appliance::{self, fails};
use crate::cli::{Check, Format};
use crate::exit::{FAILED, OK, Outcome};
use crate::ui::Ui;

/// Checks and reports.
///
/// # Errors
/// When the file can't be found.
pub fn run(args: &Check, ui: &Ui) -> Outcome {
    let subject = appliance::locate_file(args.appliance.file.as_deref())?;
    let Some(file) = subject.unik_file() else { return Ok(OK) };
    let parameters = &args.appliance.parameters;
    let (analysis, _) = appliance::analyse_file(file, parameters, ui)?;
    let failed = fails(&analysis.diagnostics, parameters);
    match args.format {
        Format::Human => {
            appliance::print(&analysis, parameters, ui);
            if analysis.diagnostics.is_empty() {
                ui.say("checked", &format!("{} is right", file.display()));
            }
        }
        Format::Json => output(&format!("{:#}\n", as_json(&analysis)))?,
        Format::Sarif => output(&format!("{:#}\n", as_sarif(&analysis)))?,
    }
    Ok(if failed { FAILED } else { OK })
}

/// Our own format: the findings with all that they say.
fn as_json(analysis: &Analysis) -> Value {
    let sources = &analysis.sources;
    let label = |label: &Label| {
        let mut value = position(label.place, sources);
        value["text"] = json!(label.text);
        value
    };
    let fix = |fix: &Fix| {
        let edits: Vec<Value> = fix
            .edits
            .iter()
            .map(|edit| {
                let mut value = position(edit.place, sources);
                value["replacement"] = json!(edit.replacement);
                value
            })
            .collect();
        json!({ "message": fix.message, "applicability": fix.applicability.word(), "edits": edits })
    };
    let one = |diagnostic: &Diagnostic| {
        json!({
            "code": diagnostic.code.as_str(),
            "severity": level(diagnostic),
            "message": diagnostic.message,
            "at": label(&diagnostic.primary),
            "related": diagnostic.secondary.iter().map(label).collect::<Vec<_>>(),
            "help": diagnostic.helps,
            "fixes": diagnostic.fixes.iter().map(fix).collect::<Vec<_>>(),
        })
    };
    json!({
        "version": 2,
        "diagnostics": analysis.diagnostics.iter().map(one).collect::<Vec<_>>(),
    })
}

/// SARIF 2.1.0 (OASIS), as code hosts take it.
fn as_sarif(analysis: &Analysis) -> Value {
    let sources = &analysis.sources;
    let location = |label: &Label| {
        let at = position(label.place, sources);
        let mut value = json!({
            "physicalLocation": {
                "artifactLocation": { "uri": uri(at["path"].as_str().unwrap_or_default()) },
                "region": {
                    "startLine": at["line"], "startColumn": at["column"],
                    "endLine": at["end-line"], "endColumn": at["end-column"],
                },
            },
        });
        if !label.text.is_empty() {
            value["message"] = json!({ "text": label.text });
        }
        value
    };
    let used: std::collections::BTreeSet<&str> =
        analysis.diagnostics.iter().map(|d| d.code.as_str()).collect();
    let rules: Vec<Value> = codes::ALL
        .iter()
        .filter(|entry| used.contains(entry.code.as_str()))
        .map(|entry| {
            json!({
                "id": entry.code.as_str(),
                "shortDescription": { "text": entry.title },
                "fullDescription": { "text": entry.text },
            })
        })
        .collect();
    let results: Vec<Value> = analysis
        .diagnostics
        .iter()
        .map(|diagnostic| {
            let text =
                std::iter::once(&diagnostic.message).chain(&diagnostic.helps).cloned().collect::<Vec<_>>();
            let related: Vec<Value> = diagnostic.secondary.iter().map(location).collect();
            json!({
                "ruleId": diagnostic.code.as_str(),
                "level": level(diagnostic),
                "message": { "text": text.join("\n") },
                "locations": [location(&diagnostic.primary)],
                "relatedLocations": related,
            })
        })
        .collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "unikgen",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

const fn level(diagnostic: &Diagnostic) -> &'static str {
    match diagnostic.severity {
        unik_dsl::Severity::Error => "error",
        unik_dsl::Severity::Warning => "warning",
    }
}

/// Lines and columns from 1, columns in characters; the end is that of the last
/// character's right side.
fn position(place: Place, sources: &SourceMap) -> Value {
    let end = Place { start: place.end, ..place };
    let Some((path, line, column)) = sources.position(place) else {
        return json!({ "path": "", "line": 1, "column": 1, "end-line": 1, "end-column": 1 });
    };
    let (end_line, end_column) =
        sources.position(end).map_or((line, column), |(_, line, column)| (line, column));
    json!({
        "path": path.to_string_lossy(),
        "line": line,
        "column": column,
        "end-line": end_line,
        "end-column": end_column,
    })
}

/// A path as a URI reference (RFC 3986): what isn't unreserved is escaped.
pub(super) fn uri(path: &str) -> String {
    let mut uri = if path.starts_with('/') { String::from("file://") } else { String::new() };
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte))
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("a b/ü.unik"), "a%20b/%C3%BC.unik");
        assert_eq!(uri("/x/y.unik"), "file:///x/y.unik");
    }

    #[test]
    fn places_are_lines_and_columns() {
        let mut sources = SourceMap::default();
        let source = sources.add("a.unik", "one\ntwo three\n");
        let at = position(Place { source, start: 8, end: 13 }, &sources);
        assert_eq!((&at["line"], &at["column"], &at["end-column"]), (&json!(2), &json!(5), &json!(10)));
    }
}
