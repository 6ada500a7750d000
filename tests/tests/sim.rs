//! `unikgen sim`: whole appliances in virtual time.

use std::path::Path;

use unik_tests::{example, root, scratch, unikgen_command};

const FAULTS: &str = "loss=5%,delay=1ms..20ms,reorder=2%,duplicate=1%,corrupt=1%";

/// Exit code, standard output and standard error of `unikgen sim`.
fn sim(file: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = unikgen_command().arg("sim").arg(file).args(arguments).output().expect("unikgen runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn hashes(stdout: &str) -> Vec<&str> {
    stdout.lines().filter_map(|line| Some(line.split_once("hash ")?.1)).collect()
}

#[test]
fn every_example_with_a_network_holds_on_a_faulty_one() {
    for name in ["echo", "web", "counter", "lan"] {
        let arguments = ["--seeds", "1..8", "--faults", FAULTS];
        let (code, stdout, stderr) = sim(&example(name), &arguments);
        assert_eq!(code, Some(0), "{name}: {stdout}{stderr}");
        let first = hashes(&stdout);
        assert_eq!(first.len(), 8, "{stdout}");
        assert!((1..8).all(|at| !first[..at].contains(&first[at])), "each seed is another run: {stdout}");
        let (code, again, stderr) = sim(&example(name), &arguments);
        assert_eq!((code, &again), (Some(0), &stdout), "{name}: the same seeds, the same runs: {stderr}");
        // Without faults nothing is ever tried again.
        let (code, stdout, stderr) = sim(&example(name), &["--seeds", "1..2", "--rounds", "4"]);
        assert_eq!(code, Some(0), "{name}: {stdout}{stderr}");
        assert!(!stdout.contains("retries") && !stdout.contains("lost"), "{name}: {stdout}");
    }
}

#[test]
fn every_example_ends_in_order_when_it_is_asked_to() {
    for (name, after) in [("web", "1500ms"), ("echo", "700ms")] {
        for faults in ["", FAULTS] {
            let arguments = ["--seeds", "1..8", "--shutdown", after, "--faults", faults];
            let (code, stdout, stderr) = sim(&example(name), &arguments);
            assert_eq!(code, Some(0), "{name}: {stdout}{stderr}");
            let ended = stdout.matches(" ms after it was asked to").count();
            assert_eq!(ended, 8, "{name}: {stdout}");
            let (_, again, _) = sim(&example(name), &arguments);
            assert_eq!(again, stdout, "{name}: the same seeds, the same runs");
        }
    }
}

#[test]
fn an_appliance_without_a_network_runs_to_its_end() {
    let (code, stdout, stderr) = sim(&example("hello"), &[]);
    assert_eq!((code, stdout.as_str()), (Some(0), "seed 1: ok, 0.000 s\n"), "{stderr}");
}

#[test]
fn known_bugs_are_found_and_can_be_repeated() {
    let fickle = root().join("tests/fixtures/fickle/fickle.unik");
    let (code, stdout, stderr) = sim(&fickle, &["--seeds", "1..8", "--faults", FAULTS]);
    assert_eq!(code, Some(0), "without its bugs: {stdout}{stderr}");
    for (bug, words) in [
        ("/panic", "the appliance panicked"),
        ("/wrong", "other bytes came back than were sent"),
        ("/stall", "no progress for 300 s|tasks are left"),
        ("/hurry", "it closed the connection after"),
        ("/keep", "tasks are left that weren't there before the clients"),
        ("/circle", "tasks turn in circles"),
        ("/spin", "didn't end within 3 s of real time"),
        ("/fail", "the appliance ended before its clients had"),
    ] {
        let arguments = ["--seeds", "1..100", "--faults", FAULTS, "--timeout", "3", "--request", bug];
        let (code, stdout, stderr) = sim(&fickle, &arguments);
        assert_eq!(code, Some(5), "{bug}: {stdout}{stderr}");
        assert!(words.split('|').any(|words| stdout.contains(words)), "{bug}: {stdout}{stderr}");
        let repeat =
            stderr.lines().find_map(|line| line.strip_prefix("repeat: unikgen ")).expect("a command");
        assert!(repeat.contains(" --seed ") && repeat.contains(&format!("--faults {FAULTS}")), "{repeat}");
        let failed = stdout.lines().position(|line| line.contains("FAILED")).expect("a seed that failed");
        let failed: Vec<&str> = stdout.lines().skip(failed).collect();
        let again = unikgen_command()
            .args(repeat.split(' ').chain(["--timeout", "3"]))
            .output()
            .expect("unikgen runs");
        let again = String::from_utf8_lossy(&again.stdout).into_owned();
        assert_eq!(again.lines().collect::<Vec<_>>(), failed, "{bug}");
    }
}

#[test]
fn what_crossed_the_wire_can_be_captured() {
    let folder = scratch();
    let capture = folder.path().join("run.pcap");
    let path = capture.to_str().expect("a path in UTF-8");
    let (code, stdout, stderr) = sim(&example("echo"), &["--seed", "3", "--pcap", path, "--format", "json"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let run: serde_json::Value = serde_json::from_str(&stdout).expect("one object");
    let bytes = std::fs::read(&capture).expect("a capture");
    assert_eq!(bytes[..4], 0xa1b2_3c4d_u32.to_le_bytes(), "nanoseconds, little-endian");
    let (mut at, mut frames) = (24, 0);
    while at < bytes.len() {
        let length = u32::from_le_bytes([bytes[at + 8], bytes[at + 9], bytes[at + 10], bytes[at + 11]]);
        at += 16 + length as usize;
        frames += 1;
    }
    assert_eq!(at, bytes.len());
    let count = |name: &str| run[name].as_u64().expect("a number");
    assert_eq!(frames, count("sent") + count("received"));
}

#[test]
fn nonsense_is_refused() {
    for (arguments, words) in [
        (&["--faults", "los=5%"][..], "`los=5%`: expected loss"),
        (&["--faults", "loss=105%"], "from 0% to 100%"),
        (&["--limit", "5"], "limit=5 can't be read"),
        (&["--shutdown", "soon"], "shutdown=soon can't be read"),
        (&["--seeds", "5..1"], "the smaller one first"),
        (&["--target", "machine"], "--target is another target"),
    ] {
        let (code, stdout, stderr) = sim(&example("echo"), arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {stdout}{stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
}
