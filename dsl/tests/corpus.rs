//! Wrong files with the exact text that they give, and right ones with their plans.
//!
//! A case is a file `NAME.unik` in `tests/wrong/` or `tests/right/`, with the expected
//! text in `NAME.expected`; `UNIK_BLESS=1 cargo test -p unik-dsl --test corpus` writes that.
//! Lines `// set NAME=VALUE`, `// target TARGET` and `// deny` at the start of a case
//! stand for the arguments of the command.

mod common;

use std::path::{Path, PathBuf};

use unik_catalogue::Target;
use unik_dsl::{Analysis, Request, analyse, diagnostic};

fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "unik"))
        .collect();
    cases.sort();
    cases
}

fn run(case: &Path) -> Analysis {
    let text = std::fs::read_to_string(case).unwrap_or_default();
    let mut set = Vec::new();
    let mut target = None;
    let mut deny_warnings = false;
    for line in text.lines().map_while(|line| line.strip_prefix("// ")) {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("set", pair) => {
                let (name, value) = pair.split_once('=').unwrap();
                set.push((name.to_string(), value.to_string()));
            }
            ("target", "process") => target = Some(Target::Process),
            ("target", "machine") => target = Some(Target::Machine),
            ("deny", _) => deny_warnings = true,
            _ => {}
        }
    }
    // Shown by its path from the folder of the tests, wherever that is.
    let file = case.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    analyse(
        &Request { file, text: None, target, set: &set, deny_warnings, fetch: None },
        &common::catalogue(),
    )
}

#[test]
fn wrong_files_say_what_is_wrong() {
    let cases = cases("wrong");
    assert!(cases.len() >= 45, "{} cases", cases.len());
    let mut failures = Vec::new();
    for case in cases {
        let analysis = run(&case);
        let text = diagnostic::render_all(&analysis.diagnostics, &analysis.sources, false);
        assert!(!text.is_empty(), "{}: nothing is wrong", case.display());
        assert_eq!(
            analysis.plan.is_none(),
            analysis.diagnostics.iter().any(|diagnostic| diagnostic.is_error()),
            "{}",
            case.display()
        );
        failures.extend(common::expect(&case.with_extension("expected"), &text).err());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn right_files_have_plans() {
    let mut failures = Vec::new();
    for case in cases("right") {
        let analysis = run(&case);
        let said = diagnostic::render_all(&analysis.diagnostics, &analysis.sources, false);
        assert!(said.is_empty(), "{}:\n{said}", case.display());
        let plan = analysis.plan.unwrap();
        // The plan is a graph without circles, and its order one of its topological orders.
        assert!(!petgraph::algo::is_cyclic_directed(&plan.graph));
        for (at, &node) in plan.order.iter().enumerate() {
            for other in plan.arguments(node) {
                assert!(plan.order[..at].contains(&other), "{}", plan.graph[node].id);
            }
        }
        failures.extend(
            common::expect(&case.with_extension("expected"), &common::show(&plan, &analysis.sources)).err(),
        );
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Every code's wrong example gives the code, and its right one doesn't.
#[test]
fn examples_of_codes() {
    let catalogue = common::catalogue();
    let complete = |text: &str| {
        let mut text = text.to_string();
        if !text.starts_with("unik ") {
            text = format!("unik 1\n{text}");
        }
        // A part of a file is completed with an appliance, so that it is right otherwise.
        if !text.contains("appliance ") && !text.contains("service ") {
            text += "\nappliance a { service s = say { line \"hello\" } }";
        }
        text
    };
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/example.unik");
    for explanation in diagnostic::codes::ALL {
        assert!(!explanation.title.is_empty() && !explanation.text.is_empty());
        for (example, is_wrong) in [(explanation.wrong, true), (explanation.right, false)] {
            if example.is_empty() {
                continue;
            }
            let analysis = analyse(&Request::new(&here, Some(complete(example))), &catalogue);
            let codes: Vec<_> = analysis.diagnostics.iter().map(|d| d.code).collect();
            let said = diagnostic::render_all(&analysis.diagnostics, &analysis.sources, false);
            if is_wrong {
                assert!(codes.contains(&explanation.code), "{}: {codes:?}\n{said}", explanation.code);
            } else {
                assert!(analysis.plan.is_some(), "{}: {said}", explanation.code);
            }
        }
    }
}
