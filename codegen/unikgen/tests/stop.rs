//! Builds that are told to end: by real signals to the command alone, with a cargo that is a
//! shell script and has started a compiler.

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::root;

const PATIENCE: Duration = Duration::from_secs(20);

/// Cargo, and a compiler that it waits for.
const CARGO: &str = "#!/bin/sh\nsleep 600 &\necho $$ $! > pids.new && mv pids.new \"$PIDS\"\nwait\n";

struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Mostly it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A build by `arguments` that has come to the compiler; and the numbers of both.
fn building(folder: &Path, arguments: &[&str]) -> (Guard, Vec<String>) {
    let (cargo, pids) = (folder.join("cargo"), folder.join("pids"));
    std::fs::write(&cargo, CARGO).expect("a script");
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).expect("made executable");
    let mut command = common::unikgen(folder);
    command.args(arguments).arg(root().join("examples/hello")).args(["--target", "process"]);
    command.env("CARGO", &cargo).env("PIDS", &pids).env("UNIK_CACHE", folder.join("cache"));
    let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let child = Guard(child);
    let end = Instant::now() + PATIENCE;
    while !pids.exists() {
        assert!(Instant::now() < end, "cargo isn't started");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pids = std::fs::read_to_string(pids).expect("they are there");
    (child, pids.split_whitespace().map(String::from).collect())
}

fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn signal(child: &Guard, which: &str) {
    let id = child.0.id().to_string();
    assert!(Command::new("kill").args([which, &id]).status().expect("kill runs").success());
}

fn end_of(child: &mut Guard) -> (Option<i32>, String) {
    let mut said = String::new();
    let stderr = child.0.stderr.as_mut().expect("piped");
    std::io::Read::read_to_string(stderr, &mut said).expect("UTF-8");
    (child.0.wait().expect("it ends").code(), said)
}

#[test]
fn nothing_of_a_build_outlives_a_command_that_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut child, pids) = building(folder.path(), &["build", "--offline"]);
    assert!(pids.len() == 2 && pids.iter().all(|pid| is_alive(pid)), "{pids:?}");
    let began = Instant::now();
    signal(&child, "-KILL");
    child.0.wait().expect("it ends");
    while pids.iter().any(|pid| is_alive(pid)) {
        assert!(began.elapsed() < PATIENCE, "left behind");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_signal_ends_a_build_with_its_compilers() {
    for arguments in [["build", "--offline"], ["run", "--offline"]] {
        for (which, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
            let folder = tempfile::tempdir().expect("a folder");
            let (mut child, pids) = building(folder.path(), &arguments);
            assert!(pids.len() == 2 && pids.iter().all(|pid| is_alive(pid)), "{pids:?}");
            let began = Instant::now();
            signal(&child, which);
            let (ended, said) = end_of(&mut child);
            assert_eq!(ended, Some(code), "{arguments:?} {which}: {said}");
            assert!(said.contains("stopped: ") && !said.contains("error"), "{arguments:?} {which}: {said}");
            assert!(began.elapsed() < Duration::from_secs(4), "{arguments:?} {which}: {:?}", began.elapsed());
            while pids.iter().any(|pid| is_alive(pid)) {
                assert!(began.elapsed() < PATIENCE, "{arguments:?} {which}: left behind");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

#[test]
fn a_build_that_waits_for_another_ends_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, _) = building(folder.path(), &["build"]);
    let mut command = common::unikgen(folder.path());
    command.arg("build").arg(root().join("examples/hello")).env("UNIK_CACHE", folder.path().join("cache"));
    let mut second = Guard(command.stderr(Stdio::piped()).spawn().expect("it starts"));
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    signal(&second, "-TERM");
    let (ended, said) = end_of(&mut second);
    assert_eq!(ended, Some(143), "{said}");
    assert!(said.contains("waiting: another build holds the cache"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    signal(&first, "-TERM");
}

#[test]
fn under_nohup_a_closed_terminal_ends_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!(
        "trap '' HUP; exec {} build {} --target process",
        env!("CARGO_BIN_EXE_unikgen"),
        root().join("examples/hello").display()
    );
    let (cargo, pids) = (folder.path().join("cargo"), folder.path().join("pids"));
    std::fs::write(&cargo, CARGO).expect("a script");
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).expect("made executable");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(folder.path()).stderr(Stdio::piped());
    command.env("CARGO", &cargo).env("PIDS", &pids).env("UNIK_CACHE", folder.path().join("cache"));
    let mut child = Guard(command.spawn().expect("it starts"));
    let end = Instant::now() + PATIENCE;
    while !pids.exists() {
        assert!(Instant::now() < end, "cargo isn't started");
        std::thread::sleep(Duration::from_millis(10));
    }
    signal(&child, "-HUP");
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.0.try_wait().expect("it can be asked").is_none(), "it goes on");
    signal(&child, "-TERM");
    assert_eq!(end_of(&mut child).0, Some(143));
}
