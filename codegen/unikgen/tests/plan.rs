//! What the command says of a plan: check, graph, why, expand, components, explain.

mod common;

use std::path::Path;

use common::{golden, root, run, run_in};

/// A folder with one file of this text.
fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.unik"), text).expect("written");
    folder
}

const WRONG: &str = "unik 1\n\nappliance a {\n    service greeting = say { lin \"x\" }\n}\n";

#[test]
fn check_for_people_and_for_machines() {
    let folder = folder(WRONG);
    let human = run_in(folder.path(), &["check"]);
    assert_eq!(human.code, 1);
    assert!(human.out.is_empty());
    golden("check/wrong.txt", &human.err);
    let json = run_in(folder.path(), &["check", "--format", "json"]);
    assert_eq!((json.code, json.err.as_str()), (1, ""));
    golden("check/wrong.json", &json.out);
    let sarif = run_in(folder.path(), &["check", "--format", "sarif"]);
    assert_eq!((sarif.code, sarif.err.as_str()), (1, ""));
    golden("check/wrong.sarif", &sarif.out);
}

#[test]
fn check_of_what_is_right_in_every_format() {
    for (format, part) in [("json", "\"diagnostics\": []"), ("sarif", "\"results\": []")] {
        let said = run(&["check", "examples/web", "--format", format]);
        assert_eq!(said.code, 0, "{}", said.out);
        assert!(said.out.contains(part), "{}", said.out);
    }
}

#[test]
fn denied_warnings_are_errors() {
    let folder = folder(
        "unik 1\n\nparam unused: integer = 1\n\nappliance a {\n    service greeting = say { line \"x\" }\n}\n",
    );
    let allowed = run_in(folder.path(), &["check"]);
    assert_eq!(allowed.code, 0, "{}", allowed.err);
    assert!(allowed.err.contains("1 warning"), "{}", allowed.err);
    let denied = run_in(folder.path(), &["check", "--deny", "warnings"]);
    assert_eq!(denied.code, 1, "{}", denied.err);
}

#[test]
fn parameters_are_set_from_outside() {
    let folder = folder(
        "unik 1\n\nparam text: string = \"x\"\n\nappliance a {\n    service greeting = say { line $text }\n}\n",
    );
    let expanded = run_in(folder.path(), &["expand", "--set", "text=from outside"]);
    assert_eq!(expanded.code, 0, "{}", expanded.err);
    assert!(expanded.out.contains("\"from outside\""), "{}", expanded.out);
    assert_eq!(run_in(folder.path(), &["check", "--set", "txt=1"]).code, 1);
}

#[test]
fn drawings_of_the_web_example() {
    for (format, name) in
        [("tree", "tree.txt"), ("dot", "plan.dot"), ("mermaid", "plan.mmd"), ("svg", "plan.svg")]
    {
        let said = run(&["graph", "examples/web", "--format", format]);
        assert_eq!(said.code, 0, "{}", said.err);
        golden(&format!("graph/{name}"), &said.out);
    }
    let plain = run(&["graph", "examples/web", "--no-parts"]).out;
    assert!(!plain.contains("lan/tcp"), "{plain}");
}

#[test]
fn the_process_has_another_plan() {
    let said = run(&["graph", "examples/web", "--target", "process"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("host-ip") && !said.out.contains("virtio-net"), "{}", said.out);
}

#[test]
fn why_and_why_not() {
    for (thing, code) in [
        ("tcp", 0),
        ("http", 0),
        ("pages", 0),
        ("unik-virtio-net", 0),
        ("Frames", 0),
        ("dhcp", 1),
        ("echo", 1),
        ("host-ip", 1),
        ("Blocks", 2),
    ] {
        let said = run(&["why", thing, "examples/web"]);
        assert_eq!(said.code, code, "{thing}: {}{}", said.out, said.err);
        golden(&format!("why/{thing}.txt"), &format!("{}{}", said.out, said.err));
    }
}

#[test]
fn expanded_rust_names_the_lines_of_the_file() {
    let said = run(&["expand", "examples/hello"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("hello.unik:7"), "{}", said.out);
    assert!(said.out.contains("unik_say::start"), "{}", said.out);
    let manifest = run(&["expand", "--manifest", "examples/hello"]);
    assert!(manifest.out.contains("unik-say") && !manifest.out.contains("unik-http"), "{}", manifest.out);
}

#[test]
fn components_are_listed_and_described() {
    let list = run(&["components"]).out;
    for part in ["Devices\n", "Services\n", "  say ", "  http "] {
        assert!(list.contains(part), "{list}");
    }
    golden("components/say.txt", &run(&["components", "say"]).out);
    let described = run(&["components", "http"]);
    assert!(described.out.contains("service NAME = http on NET { options }"), "{}", described.out);
}

#[test]
fn codes_are_explained() {
    let all = run(&["explain"]);
    assert!(all.out.lines().count() > 20);
    let one = run(&["explain", "u0301"]);
    assert_eq!(one.code, 0);
    assert!(one.out.starts_with("U0301: "), "{}", one.out);
}

#[test]
fn every_example_is_right_on_both_targets() {
    for example in ["hello", "web", "echo", "lan", "counter"] {
        for target in ["machine", "process"] {
            let said = run(&["check", &format!("examples/{example}"), "--target", target]);
            assert_eq!(said.code, 0, "{example} for {target}: {}", said.err);
        }
    }
}

#[test]
fn templates_are_right() {
    for template in ["web", "handler", "service", "echo", "hello"] {
        let folder = tempfile::tempdir().expect("a folder");
        let made = run_in(folder.path(), &["new", "thing", "--template", template]);
        assert_eq!(made.code, 0, "{template}: {}", made.err);
        let said = run_in(&folder.path().join("thing"), &["check", "--deny", "warnings"]);
        assert_eq!(said.code, 0, "{template}: {}", said.err);
        assert!(!contains_word(&folder.path().join("thing"), "NAME"), "{template}");
        let again = run_in(folder.path(), &["new", "thing", "--template", template]);
        assert_eq!(again.code, 2);
        let inside = run_in(&folder.path().join("thing"), &["init", "--template", template]);
        assert_eq!(inside.code, 2, "{template}: {}", inside.err);
        assert!(inside.err.contains("nothing was written"), "{}", inside.err);
    }
}

#[test]
fn init_takes_the_name_of_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let inside = folder.path().join("My_Site");
    std::fs::create_dir(&inside).expect("a folder");
    let said = run_in(&inside, &["init"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(inside.join("my-site.unik").is_file());
    assert!(inside.join("pages/index.html").is_file());
}

#[test]
fn a_crate_is_kept_in_step() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(run_in(folder.path(), &["new", "thing", "--template", "handler"]).code, 0);
    let thing = folder.path().join("thing");
    let manifest = || std::fs::read_to_string(thing.join("Cargo.toml")).expect("a manifest");
    assert!(manifest().contains("unik-http"), "{}", manifest());
    assert_eq!(run_in(&thing, &["sync", "--check"]).code, 0);
    let text = std::fs::read_to_string(thing.join("thing.unik")).expect("a file");
    let dhcp = text.replace("ipv4 10.0.2.15/24 gateway 10.0.2.2", "ipv4 dhcp");
    assert_ne!(text, dhcp);
    std::fs::write(thing.join("thing.unik"), dhcp).expect("written");
    let before = manifest();
    let would = run_in(&thing, &["sync", "--check"]);
    assert_eq!(would.code, 1, "{}", would.err);
    assert_eq!(manifest(), before);
    assert_eq!(run_in(&thing, &["sync"]).code, 0);
    assert_ne!(manifest(), before);
    assert_eq!(run_in(&thing, &["sync", "--check"]).code, 0);
}

/// Whether a file in `folder` still has `word` in it; the unpacked sources don't count.
fn contains_word(folder: &Path, word: &str) -> bool {
    std::fs::read_dir(folder).expect("a folder").flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return path.file_name().is_some_and(|name| name != ".unik") && contains_word(&path, word);
        }
        std::fs::read_to_string(&path).is_ok_and(|text| text.contains(word))
    })
}

#[test]
fn check_is_quick() {
    let start = std::time::Instant::now();
    assert_eq!(run(&["check", "examples/web"]).code, 0);
    println!("unikgen check examples/web: {:?} ({})", start.elapsed(), root().display());
}
