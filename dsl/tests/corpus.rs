//! Wrong files with the exact text that they give, and right ones with their plans.
//!
//! A case is a folder in `tests/wrong/` or `tests/right/`: the file `case.unik`, what it
//! needs beside it, and the expected text in `expected.txt`, which
//! `UNIK_BLESS=1 cargo test -p unik-dsl --test corpus` writes. Lines `// set NAME=VALUE`,
//! `// target TARGET`, `// deny CODE` and `// allow CODE` at the start of a case stand for the arguments of the
//! command. (A lone file `NAME.unik` with its `NAME.expected` is a case, too.)

mod common;

use std::path::{Path, PathBuf};

use unik_catalogue::Target;
use unik_dsl::diagnostic::{Levels, codes};
use unik_dsl::{Analysis, Request, analyse, diagnostic};

fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { path.join("case.unik") } else { path })
        .inspect(|path| assert!(path.is_file(), "{} isn't there", path.display()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "unik"))
        .collect();
    cases.sort();
    cases
}

fn run(case: &Path) -> Analysis {
    let text = std::fs::read_to_string(case).unwrap_or_default();
    let mut set = Vec::new();
    let mut target = None;
    let mut levels = Levels::default();
    for line in text.lines().map_while(|line| line.strip_prefix("// ")) {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("set", pair) => {
                let (name, value) = pair.split_once('=').unwrap();
                set.push((name.to_string(), value.to_string()));
            }
            ("target", "process") => target = Some(Target::Process),
            ("target", "machine") => target = Some(Target::Machine),
            ("deny", "warnings") => levels.deny_all = true,
            ("deny", code) => levels.deny.push(codes::explanation(code).unwrap().code),
            ("allow", code) => levels.allow.push(codes::explanation(code).unwrap().code),
            _ => {}
        }
    }
    let file = case.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    analyse(&Request { target, set: &set, levels, ..Request::new(file, None) }, &common::catalogue())
}

/// Compares with the expected text of `case`, in which paths are as seen from its folder.
fn expect(case: &Path, text: &str) -> Result<(), String> {
    let folder = case.parent().unwrap();
    let shown = folder.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let expected = match case.ends_with("case.unik") {
        true => folder.join("expected.txt"),
        false => case.with_extension("expected"),
    };
    common::expect(&expected, &text.replace(&format!("{}/", shown.display()), ""))
}

#[test]
fn wrong_files_say_what_is_wrong() {
    let cases = cases("wrong");
    assert!(cases.len() >= 150, "{} cases", cases.len());
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
        failures.extend(expect(&case, &text).err());
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
        failures.extend(expect(&case, &common::show(&plan, &analysis.sources)).err());
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
