//! `examples/counter`: a crate of the user's own, by both kinds of cargo and by `unikgen`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use unik_tests::client::{curl, get};
use unik_tests::machine::{Machine, microvms};
use unik_tests::project::Project;
use unik_tests::running::{Running, free_port};
use unik_tests::{copy_folder, example, unikgen_command};

#[test]
fn counts_in_a_machine_and_in_a_process() {
    let project = Project::copy_of(&example("counter"));
    let here = project.path();
    for machine in microvms().into_iter().chain([Machine::PROCESS]) {
        let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut running = Running::start(here, machine, &["--publish", &format!("{at}:80")]);
        running.wait_until_ready(machine);
        for expected in 1..=3 {
            let (answer, fine) = curl(&[&format!("http://{at}/count")]);
            assert!(fine, "{machine}: {answer}");
            let json: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
            assert_eq!(json["count"], expected, "{machine}: {answer}");
        }
        assert!(get(at, "/other").is_ok_and(|answer| answer.starts_with("HTTP/1.1 404")), "{machine}");
    }
}

fn replace(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).expect("a file");
    assert!(text.contains(from), "{text}");
    std::fs::write(file, text.replace(from, to)).expect("it can be written");
}

#[test]
fn a_misspelled_handler_is_shown_where_the_file_names_it() {
    let project = Project::copy_of(&example("counter"));
    let here = project.path();
    let build = || {
        let output = unikgen_command()
            .args(["build", "--target", "process"])
            .current_dir(here)
            .output()
            .expect("unikgen runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let (_, error) = said.split_once("error: ").unwrap_or_else(|| panic!("no error: {said}"));
        error.to_string()
    };
    replace(&here.join("counter.unik"), "\"/count\" count", "\"/count\" cuont");
    let said = build();
    let expected = "the crate of the appliance doesn't build
error[U0602]: the crate has no handler `cuont`
  --> counter.unik:12:24
   |
12 |         route \"/count\" cuont
   |                        ^^^^^
   |
   = help: the compiler says: ";
    assert!(said.starts_with(expected), "{said}");
    let expected = "
help: did you mean `count`?
   |
12 -         route \"/count\" cuont
12 +         route \"/count\" count
   |
";
    assert!(said.ends_with(expected), "{said}");

    // Plain cargo shows the macro's argument, and the compiler's words have the line in them.
    let output = Command::new("cargo")
        .args(["check", "--quiet"])
        .env("CARGO_TARGET_DIR", Project::plain_target())
        .current_dir(here)
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no `cuont` in `line_12_of_counter_unik`"), "{said}");

    // What is wrong in the user's own code is shown as rustc shows it, as theirs.
    copy_folder(&example("counter"), here);
    replace(&here.join("src/main.rs"), "hits.0.get() + 1", "hits.0.got() + 1");
    let said = build();
    assert!(
        said.starts_with("the crate of the appliance doesn't build\nerror[E0599]: no method named `got`"),
        "{said}"
    );
    assert!(said.contains("--> src/main.rs:") && !said.contains("U0602"), "{said}");
}

#[test]
fn plain_cargo_checks_tests_and_runs_it_away_from_the_repository() {
    let project = Project::copy_of(&example("counter"));
    let here = project.path();
    let sync = unikgen_command().arg("sync").current_dir(here).output().expect("unikgen runs");
    assert!(sync.status.success(), "sync: {}", String::from_utf8_lossy(&sync.stderr));
    for arguments in [&["check", "--all-targets", "--quiet"][..], &["test", "--quiet"]] {
        let output = Command::new("cargo")
            .args(arguments)
            .env("CARGO_TARGET_DIR", Project::plain_target())
            .current_dir(here)
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let in_step =
        unikgen_command().args(["sync", "--check"]).current_dir(here).output().expect("unikgen runs");
    assert!(in_step.status.success(), "sync --check: {}", String::from_utf8_lossy(&in_step.stderr));
}
