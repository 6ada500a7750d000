//! SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"), as code hosts take it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use unik_catalogue::value::Place;

use super::{region, tidy};
use crate::diagnostic::{Code, Diagnostic, Edit, Explanation, Fix, Label, codes};
use crate::source::SourceMap;

/// The findings as a SARIF log with one run, of version `version` of the tool. Files below
/// `base` are named as seen from there, so that the log means the same on another machine.
/// Columns count UTF-16 code units.
#[must_use]
pub fn sarif(diagnostics: &[Diagnostic], sources: &SourceMap, base: Option<&Path>, version: &str) -> Value {
    let used: BTreeSet<Code> = diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    let rules: Vec<&Explanation> = codes::ALL.iter().filter(|entry| used.contains(&entry.code)).collect();
    let places = Places { sources, base };
    let results: Vec<Value> = diagnostics
        .iter()
        .map(|diagnostic| {
            let said: Vec<&str> =
                std::iter::once(&diagnostic.message).chain(&diagnostic.helps).map(String::as_str).collect();
            let related: Vec<Value> = diagnostic
                .secondary
                .iter()
                .enumerate()
                .map(|(id, label)| {
                    let mut location = places.location(label);
                    location["id"] = json!(id);
                    location
                })
                .collect();
            let mut result = json!({
                "ruleId": diagnostic.code.as_str(),
                "ruleIndex": rules.iter().position(|rule| rule.code == diagnostic.code),
                "level": diagnostic.severity_word(),
                "message": { "text": said.join("\n") },
                "locations": [places.location(&diagnostic.primary)],
                "relatedLocations": related,
            });
            let fixes: Vec<Value> = diagnostic.fixes.iter().filter_map(|fix| places.fix(fix)).collect();
            if !fixes.is_empty() {
                result["fixes"] = json!(fixes);
            }
            result
        })
        .collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "unikgen",
                "version": version,
                "rules": rules.iter().map(|entry| rule(entry)).collect::<Vec<_>>(),
            } },
            "columnKind": "utf16CodeUnits",
            "results": results,
        }],
    })
}

fn rule(entry: &Explanation) -> Value {
    let level = if entry.is_warning() { "warning" } else { "error" };
    json!({
        "id": entry.code.as_str(),
        "shortDescription": { "text": entry.title },
        "fullDescription": { "text": entry.text },
        "help": { "text": entry.plain(), "markdown": entry.markdown() },
        "defaultConfiguration": { "level": level },
    })
}

struct Places<'a> {
    sources: &'a SourceMap,
    base: Option<&'a Path>,
}

impl Places<'_> {
    fn location(&self, label: &Label) -> Value {
        let mut value = match self.physical(label.place) {
            Some(place) => json!({ "physicalLocation": place }),
            // A value of the command line is in no file.
            None => {
                let source = self.sources.source(label.place.source);
                let name = source.map_or("", |source| source.path.to_str().unwrap_or_default());
                json!({ "logicalLocations": [{ "fullyQualifiedName": name, "kind": "parameter" }] })
            }
        };
        if !label.text.is_empty() {
            value["message"] = json!({ "text": label.text });
        }
        value
    }

    fn physical(&self, place: Place) -> Option<Value> {
        let artifact = self.artifact(place.source)?;
        Some(json!({ "artifactLocation": artifact, "region": self.region(place) }))
    }

    fn artifact(&self, number: usize) -> Option<Value> {
        let source = self.sources.source(number).filter(|source| source.is_file)?;
        Some(json!({ "uri": uri(&tidy(&source.path, self.base)) }))
    }

    fn region(&self, place: Place) -> Value {
        let Some(source) = self.sources.source(place.source) else { return json!({}) };
        let at = region(source, place, |text| text.encode_utf16().count());
        json!({
            "startLine": at.line, "startColumn": at.column,
            "endLine": at.end_line, "endColumn": at.end_column,
        })
    }

    /// A fix; none where it isn't one of files.
    fn fix(&self, fix: &Fix) -> Option<Value> {
        let mut files: BTreeMap<usize, Vec<&Edit>> = BTreeMap::new();
        for edit in &fix.edits {
            files.entry(edit.place.source).or_default().push(edit);
        }
        let changes: Option<Vec<Value>> = files
            .into_iter()
            .map(|(number, edits)| {
                let replacements: Vec<Value> = edits
                    .iter()
                    .map(|edit| {
                        json!({
                            "deletedRegion": self.region(edit.place),
                            "insertedContent": { "text": edit.replacement },
                        })
                    })
                    .collect();
                Some(json!({ "artifactLocation": self.artifact(number)?, "replacements": replacements }))
            })
            .collect();
        changes
            .filter(|changes| !changes.is_empty())
            .map(|changes| json!({ "description": { "text": fix.message }, "artifactChanges": changes }))
    }
}

/// A path as a URI reference (RFC 3986): what isn't unreserved is escaped.
#[must_use]
pub fn uri(path: &str) -> String {
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
        // The colon of a first part would end a scheme.
        assert_eq!(uri("a:b.unik"), "a%3Ab.unik");
    }

    #[test]
    fn places_of_a_result() {
        let mut sources = SourceMap::default();
        let file = sources.add_file("/w/d/a.unik", "😀 x\n");
        let set = sources.add("--set x", "8 MB");
        let found = Diagnostic::error(codes::WRONG_TYPE, Place { source: file, start: 5, end: 6 }, "m")
            .label("here")
            .and(Place { source: set, start: 2, end: 4 }, "there")
            .suggest("of a file", Place { source: file, start: 5, end: 6 }, "y")
            .suggest("of no file", Place { source: set, start: 2, end: 4 }, "MiB")
            .help("h");
        let log = sarif(&[found], &sources, Some(Path::new("/w")), "1.2.3");
        let result = &log["runs"][0]["results"][0];
        let region = json!({ "startLine": 1, "startColumn": 4, "endLine": 1, "endColumn": 5 });
        let artifact = json!({ "uri": "d/a.unik" });
        assert_eq!(result["message"]["text"], "m\nh");
        assert_eq!(
            result["locations"][0],
            json!({
                "physicalLocation": { "artifactLocation": artifact, "region": region },
                "message": { "text": "here" },
            })
        );
        let logical = &result["relatedLocations"][0]["logicalLocations"][0]["fullyQualifiedName"];
        assert_eq!(logical, "--set x");
        let replacement = json!({ "deletedRegion": region, "insertedContent": { "text": "y" } });
        let change = json!({ "artifactLocation": artifact, "replacements": [replacement] });
        let fix = json!({ "description": { "text": "of a file" }, "artifactChanges": [change] });
        assert_eq!(result["fixes"], json!([fix]));
        assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][0]["id"], "U0304");
    }
}
