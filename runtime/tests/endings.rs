//! How an appliance ends in a process: what it prints, and its exit code.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The example. `cargo test` builds it too, but not when it is told to build one test only.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("target/debug");
    let example = folder.join("examples/endings");
    assert!(example.exists(), "build it first: cargo build --example endings");
    example
}

fn end(how: &str) -> (Option<i32>, String) {
    let output = Command::new(example()).arg(how).output().expect("the example");
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

const READY: &str = "unik: ready\n";

#[test]
fn done() {
    assert_eq!(end("done"), (Some(0), format!("{READY}INFO endings: ends: done\\u{{1b}}[2J\n")));
}

#[test]
fn a_failed_start() {
    assert_eq!(end("refuse"), (Some(1), "error: service: no such device\n".into()));
}

#[test]
fn a_failed_service() {
    let (code, console) = end("fail");
    assert_eq!(code, Some(1));
    assert!(console.ends_with("\nerror: service: the disk is gone\n"), "{console}");
}

#[test]
fn a_panic() {
    let (code, console) = end("panic");
    assert_eq!(code, Some(101));
    let panic = console.split_once("panic in service: ").expect("a message").1;
    assert!(panic.contains("endings.rs:") && panic.ends_with("on purpose\n"), "{panic}");
}

#[test]
fn a_console_that_nobody_reads() {
    let mut process =
        Command::new(example()).arg("done").stdout(Stdio::piped()).spawn().expect("the example");
    drop(process.stdout.take());
    assert_eq!(process.wait().expect("its status").code(), Some(0));
}

#[test]
fn the_second_signal_ends_a_task_that_never_gives_way() {
    let mut process =
        Command::new(example()).arg("loop").stdout(Stdio::piped()).spawn().expect("the example");
    let mut lines = BufReader::new(process.stdout.take().expect("its console")).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.contains("ends: loop"))));
    interrupt(&process);
    std::thread::sleep(Duration::from_millis(300));
    assert!(process.try_wait().expect("its status").is_none(), "the task gave way");
    interrupt(&process);
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if let Some(status) = process.try_wait().expect("its status") {
            assert_eq!(status.code(), Some(130));
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = process.kill();
    panic!("it doesn't end");
}

fn interrupt(process: &Child) {
    let status = Command::new("sh").args(["-c", &format!("kill -INT {}", process.id())]).status();
    assert!(status.expect("a shell").success());
}
