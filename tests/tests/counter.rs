//! `examples/counter`: a crate of the user's own, by both kinds of cargo and by `unikgen`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use unik_tests::client::{curl, get};
use unik_tests::machine::{Machine, microvms};
use unik_tests::running::{Running, free_port};
use unik_tests::{cache, copy_folder, example, unikgen_command};

#[test]
fn counts_in_a_machine_and_in_a_process() {
    let here = counter();
    for machine in microvms().into_iter().chain([Machine::PROCESS]) {
        let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut running = Running::start(&here, machine, &["--publish", &format!("{at}:80")]);
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

/// A copy of the example away from the repository: what a user has. The same folder each
/// time, because cargo keeps the builds of a user's crate by its path.
fn counter() -> PathBuf {
    let folder = cache().join("counter");
    copy_folder(&example("counter"), &folder);
    folder
}

#[test]
fn plain_cargo_checks_tests_and_runs_it_away_from_the_repository() {
    let here = counter();
    let sync = unikgen_command().arg("sync").current_dir(&here).output().expect("unikgen runs");
    assert!(sync.status.success(), "sync: {}", String::from_utf8_lossy(&sync.stderr));
    for arguments in [&["check", "--all-targets", "--quiet"][..], &["test", "--quiet"]] {
        let output = Command::new("cargo")
            .args(arguments)
            .env("CARGO_TARGET_DIR", cache().join("counter-target"))
            .current_dir(&here)
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let in_step =
        unikgen_command().args(["sync", "--check"]).current_dir(&here).output().expect("unikgen runs");
    assert!(in_step.status.success(), "sync --check: {}", String::from_utf8_lossy(&in_step.stderr));
}
