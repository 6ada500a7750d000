//! Wrong files with the exact text that they give, and right ones with their plans.
//!
//! A case is a folder in `tests/wrong/` or `tests/right/`: the file `case.unik`, what it
//! needs beside it, the expected text in `expected.txt`, and where there are fixes that need
//! no asking, what they make of the file in `fixed.unik`. `UNIK_BLESS=1 cargo test -p unik-dsl
//! --test corpus` writes the latter two. Lines `// set NAME=VALUE`, `// target TARGET`,
//! `// deny CODE` and `// allow CODE` at the start of a case stand for the arguments of the
//! command.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use unik_catalogue::Target;
use unik_dsl::diagnostic::{Applicability, Fix, Levels, apply, codes};
use unik_dsl::{Analysis, Catalogue, Code, Request, analyse, diagnostic};

fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.join("case.unik"))
        .inspect(|path| assert!(path.is_file(), "{} isn't there: a case is a folder", path.display()))
        .collect();
    cases.sort();
    cases
}

fn run(case: &Path) -> Analysis {
    run_with(case, None)
}

/// Analyses a case, with another text where there is one.
fn run_with(case: &Path, changed: Option<String>) -> Analysis {
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
    analyse(&Request { target, set: &set, levels, ..Request::new(file, changed) }, &catalogue())
}

fn catalogue() -> Catalogue {
    thread_local! {
        static CATALOGUE: Catalogue = common::catalogue();
    }
    CATALOGUE.with(Clone::clone)
}

/// Compares with the expected text of `case`, in which paths are as seen from its folder.
fn expect(case: &Path, text: &str) -> Result<(), String> {
    let folder = case.parent().unwrap();
    let shown = folder.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    common::expect(&folder.join("expected.txt"), &text.replace(&format!("{}/", shown.display()), ""))
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

/// Round by round, as `unikgen check --fix` makes them.
#[test]
fn fixes_that_need_no_asking() {
    let mut failures = Vec::new();
    for case in cases("wrong") {
        let mut analysis = run(&case);
        let mut text = None;
        for round in 0.. {
            assert!(round < 20, "{}: fixes without end", case.display());
            let fixes: Vec<&Fix> = analysis
                .diagnostics
                .iter()
                .filter_map(|it| it.fixes.iter().find(|fix| fix.applicability == Applicability::Certain))
                .collect();
            let Some(fixed) = apply(&analysis.sources, fixes).texts.remove(&0) else { break };
            analysis = run_with(&case, Some(fixed.clone()));
            text = Some(fixed);
        }
        let file = case.with_file_name("fixed.unik");
        match text {
            Some(text) => failures.extend(common::expect(&file, &text).err()),
            None => assert!(!file.exists(), "{}: nothing is fixed", file.display()),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Each fix by itself, also those for a person to choose, mends what it was proposed for, and
/// leaves a text that can be read as far as the one before could.
#[test]
fn each_fix_mends() {
    let mut count = 0;
    for case in cases("wrong") {
        let before = run(&case);
        // Where not all is shown, it doesn't show what became of it.
        if before.diagnostics.iter().any(|it| it.code == codes::TOO_MANY) {
            continue;
        }
        let same = |analysis: &Analysis, code: Code, message: &str| {
            analysis.diagnostics.iter().filter(|it| it.code == code && it.message == message).count()
        };
        let unreadable = |analysis: &Analysis| {
            analysis.diagnostics.iter().filter(|it| it.code.as_str().starts_with("U01")).count()
        };
        for diagnostic in &before.diagnostics {
            for fix in &diagnostic.fixes {
                let what = format!("{}: {}: {}", case.display(), diagnostic.message, fix.message);
                let applied = apply(&before.sources, [fix]);
                // A fix in another file is the same kind of fix.
                let Some(text) = applied.texts.get(&0) else { continue };
                let after = run_with(&case, Some(text.clone()));
                let (code, message) = (diagnostic.code, &diagnostic.message);
                assert!(same(&after, code, message) < same(&before, code, message), "{what}:\n{text}");
                assert!(unreadable(&after) <= unreadable(&before), "{what}:\n{text}");
                count += 1;
            }
        }
    }
    assert!(count > 60, "{count} fixes");
}

/// Codes that only more than the checker gives, each with the test that holds it.
const ELSEWHERE: &[(Code, &str, &str)] = &[
    (codes::COMPONENT_FINDING, "dsl/tests/plan.rs", "findings_of_a_component"),
    (codes::NO_HALF, "codegen/tests/golden.rs", "a_component_that_cannot_be_asked"),
    (codes::HANDLER, "codegen/src/fault.rs", "a_misspelled_handler_is_shown_where_it_is_named"),
    (codes::SLOW_BOOT, "tests/tests/boot.rs", "a_boot_over_its_budget"),
    (codes::OVER_BUDGET, "tests/tests/refusals.rs", "an_image_over_its_budget"),
];

/// What a code says stands in one place; that it is said, and right, in the corpus.
#[test]
fn every_code_has_a_case() {
    let mut seen = BTreeSet::new();
    for case in cases("wrong") {
        let analysis = run(&case);
        for diagnostic in &analysis.diagnostics {
            seen.insert(diagnostic.code);
            let place = diagnostic.primary.place;
            let source = analysis.sources.source(place.source).expect("a source");
            assert!(
                source.text.get(place.start..place.end).is_some() || source.text.is_empty(),
                "{diagnostic:?}"
            );
            let warns = diagnostic.code.explanation().expect("explained").is_warning();
            assert!(diagnostic.is_error() || warns || diagnostic.code == codes::TOO_MANY, "{diagnostic:?}");
        }
        // In the order of the file, and the same each time.
        let places: Vec<_> =
            analysis.diagnostics.iter().map(|it| (it.primary.place.source, it.primary.place.start)).collect();
        let all = if analysis.diagnostics.len() > 100 { 100 } else { places.len() };
        assert!(places[..all].is_sorted(), "{}: {places:?}", case.display());
        assert_eq!(run(&case).diagnostics, analysis.diagnostics);
    }
    for (code, file, test) in ELSEWHERE {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(text.contains(&format!("fn {test}()")), "{code}: {} has no {test}", file.display());
        seen.insert(*code);
    }
    let without: Vec<Code> =
        codes::ALL.iter().map(|entry| entry.code).filter(|code| !seen.contains(code)).collect();
    assert!(without.is_empty(), "no case for {without:?}");
}

/// Every code's wrong example gives the code and no other, and its right one nothing.
#[test]
fn examples_of_codes() {
    let catalogue = catalogue();
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
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples/example.unik");
    let mut failures = Vec::new();
    for explanation in diagnostic::codes::ALL {
        assert!(!explanation.title.is_empty() && !explanation.text.is_empty());
        for (example, is_wrong) in [(explanation.wrong, true), (explanation.right, false)] {
            if example.is_empty() {
                continue;
            }
            // A first line may say how it is checked.
            let words: Vec<&str> = example.lines().next().unwrap_or_default().split(' ').collect();
            let (mut set, mut target) = (Vec::new(), None);
            match words.as_slice() {
                ["//", "unikgen", "check", "--set", pair] => {
                    let (name, value) = pair.split_once('=').unwrap();
                    set.push((name.to_string(), value.to_string()));
                }
                ["//", "unikgen", "check", "--target", "process"] => target = Some(Target::Process),
                _ => {}
            }
            let request = Request { set: &set, target, ..Request::new(&here, Some(complete(example))) };
            let analysis = analyse(&request, &catalogue);
            let codes: Vec<Code> = analysis.diagnostics.iter().map(|d| d.code).collect();
            let said = diagnostic::render_all(&analysis.diagnostics, &analysis.sources, false);
            if is_wrong {
                if codes.is_empty() || codes.iter().any(|code| *code != explanation.code) {
                    failures.push(format!("the wrong example of {}:\n{said}", explanation.code));
                }
            } else if analysis.plan.is_none() || !said.is_empty() {
                failures.push(format!("the right example of {}:\n{said}", explanation.code));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
