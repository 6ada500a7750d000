//! What `--format sarif` gives for the whole corpus, held to what the schema of SARIF 2.1.0
//! asks of the parts that it has: required properties and no unknown ones, enumerations,
//! places from 1, references between parts, URIs. The schema itself isn't bundled.

mod common;

use std::path::Path;

use serde_json::Value;
use unik_dsl::diagnostic::format;
use unik_dsl::{Request, analyse};

/// The properties of an object in the order of the schema's names: those it must have, those
/// it may have.
fn object<'v>(value: &'v Value, must: &[&str], may: &[&str]) -> &'v serde_json::Map<String, Value> {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    for key in must {
        assert!(object.contains_key(*key), "no {key}: {value}");
    }
    for key in object.keys() {
        assert!(must.contains(&key.as_str()) || may.contains(&key.as_str()), "{key} in {value}");
    }
    object
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no array: {value}"))
}

/// A `message` or `multiformatMessageString`.
fn message(value: &Value, may: &[&str]) {
    object(value, &["text"], may);
    assert!(!value["text"].as_str().expect("a text").is_empty());
}

fn region(value: &Value) {
    object(value, &["startLine", "startColumn", "endLine", "endColumn"], &[]);
    let number = |key: &str| value[key].as_u64().filter(|number| *number >= 1).expect("from 1");
    assert!((number("startLine"), number("startColumn")) <= (number("endLine"), number("endColumn")));
}

fn artifact(value: &Value) {
    object(value, &["uri"], &[]);
    let uri = value["uri"].as_str().expect("a URI");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/%:".contains(&byte);
    assert!(!uri.is_empty() && uri.bytes().all(plain), "{uri}");
    assert!(!uri.contains(':') || uri.starts_with("file:///"), "{uri}");
}

fn location(value: &Value) {
    let parts = object(value, &[], &["id", "physicalLocation", "logicalLocations", "message"]);
    assert!(parts.contains_key("physicalLocation") || parts.contains_key("logicalLocations"), "{value}");
    if let Some(place) = parts.get("physicalLocation") {
        object(place, &["artifactLocation", "region"], &[]);
        artifact(&place["artifactLocation"]);
        region(&place["region"]);
    }
    for place in parts.get("logicalLocations").map_or(&[][..], list) {
        object(place, &["fullyQualifiedName", "kind"], &[]);
    }
    if let Some(text) = parts.get("message") {
        message(text, &[]);
    }
}

fn unique(values: &[Value]) {
    for (at, value) in values.iter().enumerate() {
        assert!(!values[..at].contains(value), "twice: {value}");
    }
}

fn hold(log: &Value) -> usize {
    object(log, &["$schema", "version", "runs"], &[]);
    assert_eq!(log["version"], "2.1.0");
    let [run] = list(&log["runs"]) else { panic!("not one run: {log}") };
    object(run, &["tool", "results", "columnKind"], &[]);
    assert_eq!(run["columnKind"], "utf16CodeUnits");
    object(&run["tool"], &["driver"], &[]);
    let driver = &run["tool"]["driver"];
    object(driver, &["name", "version", "rules"], &[]);
    let rules = list(&driver["rules"]);
    unique(rules);
    for rule in rules {
        let must = ["id", "shortDescription", "fullDescription", "help", "defaultConfiguration"];
        object(rule, &must, &["helpUri"]);
        for text in ["shortDescription", "fullDescription", "help"] {
            message(&rule[text], &["markdown"]);
        }
        object(&rule["defaultConfiguration"], &["level"], &[]);
        assert!(["error", "warning"].contains(&rule["defaultConfiguration"]["level"].as_str().unwrap()));
    }
    let results = list(&run["results"]);
    for result in results {
        let must = ["ruleId", "ruleIndex", "level", "message", "locations"];
        object(result, &must, &["relatedLocations", "fixes"]);
        let rule = usize::try_from(result["ruleIndex"].as_u64().expect("an index")).unwrap();
        assert_eq!(rules[rule]["id"], result["ruleId"]);
        assert!(["error", "warning"].contains(&result["level"].as_str().unwrap()));
        message(&result["message"], &[]);
        assert_eq!(list(&result["locations"]).len(), 1);
        list(&result["locations"]).iter().for_each(location);
        let related = result.get("relatedLocations").map_or(&[][..], list);
        unique(related);
        related.iter().for_each(location);
        let fixes = result.get("fixes").map_or(&[][..], list);
        unique(fixes);
        for fix in fixes {
            object(fix, &["description", "artifactChanges"], &[]);
            message(&fix["description"], &[]);
            assert!(!list(&fix["artifactChanges"]).is_empty());
            for change in list(&fix["artifactChanges"]) {
                object(change, &["artifactLocation", "replacements"], &[]);
                artifact(&change["artifactLocation"]);
                assert!(!list(&change["replacements"]).is_empty());
                for replacement in list(&change["replacements"]) {
                    object(replacement, &["deletedRegion"], &["insertedContent"]);
                    region(&replacement["deletedRegion"]);
                    if let Some(content) = replacement.get("insertedContent") {
                        object(content, &["text"], &[]);
                        assert!(content["text"].is_string());
                    }
                }
            }
        }
    }
    results.len()
}

#[test]
fn logs_are_what_the_schema_asks_for() {
    let catalogue = common::catalogue();
    let mut count = 0;
    for case in common::files(&["dsl", "tests", "wrong", "*", "case.unik"]) {
        let analysis = analyse(&Request::new(&case, None), &catalogue);
        let base = Path::new(env!("CARGO_MANIFEST_DIR"));
        let log = format::sarif(&analysis.diagnostics, &analysis.sources, Some(base), "1.2.3");
        assert_eq!(hold(&log), analysis.diagnostics.len());
        count += analysis.diagnostics.len();
    }
    assert!(count > 200, "{count} results");
}
