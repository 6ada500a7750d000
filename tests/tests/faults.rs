//! Every way to die, and every check of the machine: by a guest of the runtime alone
//! (`guests/bringup`), then the way that a user meets them (`fixtures/crash`).

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use regex_lite::Regex;
use unik_tests::client::get;
use unik_tests::guest;
use unik_tests::machine::{Machine, accelerators, microvms};
use unik_tests::project::Project;
use unik_tests::running::{Running, free_port};
use unik_tests::{root, unikgen_command};

/// A line of `cases.txt`.
struct Case {
    boot_line: &'static str,
    /// For QEMU: `mem=MiB`, `rng`, `net`, `accel=…`, `kind=…`.
    arguments: Vec<(&'static str, &'static str)>,
    ending: &'static str,
    text: Regex,
}

impl Case {
    fn all() -> Vec<Case> {
        include_str!("../guests/bringup/cases.txt")
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(Case::parse)
            .collect()
    }

    fn parse(line: &'static str) -> Case {
        let mut parts = line.splitn(3, '|').map(str::trim);
        let [Some(what), Some(ending), Some(text)] = [parts.next(), parts.next(), parts.next()] else {
            panic!("cases.txt: {line}")
        };
        let (boot_line, arguments) = what.split_once('@').unwrap_or((what, ""));
        let arguments = arguments.split_whitespace().map(|word| word.split_once('=').unwrap_or((word, "")));
        Case {
            boot_line: boot_line.trim(),
            arguments: arguments.collect(),
            ending,
            text: Regex::new(text).expect("a regular expression"),
        }
    }

    fn argument(&self, name: &str) -> Option<&'static str> {
        self.arguments.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn is_for(&self, accel: &str, kind: &str) -> bool {
        self.argument("accel").is_none_or(|only| only == accel)
            && self.argument("kind").is_none_or(|only| only == kind)
    }

    /// Boots it; what went wrong, if anything did.
    fn fails(&self, accel: &str, kind: &str, show: bool) -> Option<String> {
        let output = self.command(accel, kind).output().expect("timeout and QEMU are installed");
        let said = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
        if show {
            println!("{}: {}\n{said}", self.boot_line, output.status);
        }
        if output.status.code() == Some(self.status()) && self.text.is_match(&said) {
            return None;
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        Some(format!("{} {:?}: {}\n{said}{errors}", self.boot_line, self.arguments, output.status))
    }

    /// The exit status of QEMU, by its exit device.
    fn status(&self) -> i32 {
        match self.ending {
            "done" => 33,
            "failed" => 35,
            "panic" => 235,
            "fault" => 237,
            other => panic!("cases.txt: {other}"),
        }
    }

    fn command(&self, accel: &str, kind: &str) -> Command {
        let mut command = guest::qemu(accel, kind, self.boot_line);
        command.args(["-m", self.argument("mem").unwrap_or("16")]);
        if self.argument("rng").is_some() {
            let device =
                if kind == "microvm" { "virtio-rng-device" } else { "virtio-rng-pci,disable-legacy=on" };
            command.args(["-object", "rng-random,id=r0,filename=/dev/urandom"]);
            command.args(["-device", &format!("{device},rng=r0")]);
        }
        if self.argument("net").is_some() {
            // On no network: what it is told to send is gone.
            let device = if kind == "microvm" {
                "virtio-net-device"
            } else {
                "virtio-net-pci,disable-legacy=on,romfile="
            };
            command.args(["-device", device]);
        }
        command
    }
}

/// Boots the cases that `chosen` chooses, and says which of them went wrong.
fn boot(accel: &str, kind: &str, chosen: impl Fn(&Case) -> bool) {
    if !accelerators().contains(&accel) {
        println!("{kind} on {accel}: NOT RUN, there is no {accel} here");
        return;
    }
    // For whoever looks into one of them.
    let only = std::env::var("UNIK_ONLY").ok();
    let cases: Vec<Case> = Case::all()
        .into_iter()
        .filter(|case| case.is_for(accel, kind))
        .filter(|case| only.as_ref().map_or_else(|| chosen(case), |word| case.boot_line.contains(word)))
        .collect();
    let next = AtomicUsize::new(0);
    // Most of a boot is waiting for the monitor.
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            std::iter::from_fn(|| cases.get(next.fetch_add(1, Ordering::Relaxed)))
                .filter_map(|case| case.fails(accel, kind, only.is_some()))
                .collect::<Vec<_>>()
        };
        let threads = [(); 2].map(|()| scope.spawn(work));
        threads.into_iter().flat_map(|thread| thread.join().expect("a case that panics")).collect()
    });
    let count = cases.len();
    assert!(count > 0, "no case was chosen");
    assert!(
        wrong.is_empty(),
        "{kind} on {accel}: {} of {count} went wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    println!("{kind} on {accel}: {count} cases, each with its expected end");
}

#[test]
fn each_case_ends_as_expected_on_microvm_with_kvm() {
    boot("kvm", "microvm", |_| true);
}

#[test]
fn each_case_ends_as_expected_on_microvm_with_tcg() {
    boot("tcg", "microvm", |_| true);
}

#[test]
fn each_case_ends_as_expected_on_microvm_pcie_with_kvm() {
    boot("kvm", "microvm-pcie", |_| true);
}

#[test]
fn each_case_ends_as_expected_on_microvm_pcie_with_tcg() {
    boot("tcg", "microvm-pcie", |_| true);
}

#[test]
fn each_case_ends_as_expected_on_q35_with_tcg() {
    boot("tcg", "q35", |_| true);
}

/// Its firmware takes two seconds and more where KVM is nested in software, so two boot at once.
#[test]
fn each_case_ends_as_expected_on_q35_with_kvm() {
    boot("kvm", "q35", |_| true);
}

/// It would die of its first instruction for AVX, before anything can tell.
#[test]
fn an_image_for_avx2_says_that_a_processor_lacks_it() {
    let image = guest::bringup_for_avx2();
    // Emulated: what the host has isn't asked.
    for (cpu, status, text) in
        [("max", 33, "SUCCESS"), ("max,-avx2", 35, "lacks AVX2"), ("qemu64", 35, "lacks AVX2")]
    {
        let mut command = guest::qemu_with(image, "tcg", "microvm", "mode=hello");
        let output = command.args(["-m", "16", "-cpu", cpu]).output().expect("QEMU runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(status), "{cpu}: {said}");
        assert!(said.contains(text), "{cpu}: {said}");
    }
}

/// The crate of `fixtures/crash` away from the repository.
fn crash() -> Project {
    Project::copy_of(&root().join("tests/fixtures/crash"))
}

/// The lines of `fn NAME` in the source, from its head to its closing brace.
fn lines_of(function: &str) -> std::ops::RangeInclusive<u32> {
    let source = include_str!("../fixtures/crash/src/main.rs");
    let numbered = || (1..).zip(source.lines());
    let head = format!("fn {function}(");
    let (first, _) = numbered().find(|(_, line)| line.contains(&head)).expect("the fixture has it");
    let (last, _) = numbered().find(|(at, line)| *at > first && *line == "}").expect("it ends");
    first..=last
}

/// Whether a line of the backtrace names `function` and a line of it.
fn is_named(printed: &str, function: &str) -> bool {
    printed.lines().any(|line| {
        let Some((frame, number)) = line.trim_end().rsplit_once("src/main.rs:") else { return false };
        let number = number.split_whitespace().next().and_then(|word| word.parse().ok());
        line.starts_with("  ")
            && frame.contains(&format!("crash::{function}"))
            && number.is_some_and(|number| lines_of(function).contains(&number))
    })
}

fn start(folder: &Path, machine: Machine, arguments: &[&str]) -> (Running, SocketAddr) {
    let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = unikgen_command();
    command.current_dir(folder).arg("run").args(machine.arguments()).args(["--publish", &format!("{at}:80")]);
    command.args(arguments);
    let mut running = Running::spawn(command);
    // The first builds it.
    running.wait_for("ready", machine.patience() + Duration::from_secs(120));
    assert!(get(at, "/fine").is_ok_and(|answer| answer.ends_with("fine\n")), "{}", running.printed());
    (running, at)
}

#[test]
fn a_handler_that_crashes_is_named_with_its_line() {
    let crash = crash();
    for machine in microvms() {
        for (path, code, message, function) in [
            ("/panic", 101, "nobody to pay: 0 guests", "divide_the_bill"),
            ("/index", 101, "index out of bounds: the len is 0 but the index is 7", "look_up"),
            ("/heap", 101, "memory allocation of 65536 bytes failed", "hoard"),
            ("/overflow", 102, "write stack-overflow", "dig"),
            ("/null", 102, "fault: page-fault error=4", "follow"),
            ("/execute", 102, "execute", "jump"),
            // Ten seconds later.
            ("/loop", 102, "fault: watchdog", "spin"),
        ] {
            let (mut running, at) = start(crash.path(), machine, &[]);
            let answer = get(at, path);
            assert!(
                !answer.as_ref().is_ok_and(|answer| answer.contains("200")),
                "{machine}: {path}: {answer:?}"
            );
            let status = running.wait_for_end(Duration::from_secs(40));
            let printed = running.printed();
            assert_eq!(status.code(), Some(code), "{machine}: {path}:\n{printed}");
            assert!(printed.contains(message), "{machine}: {path}: no `{message}` in\n{printed}");
            let names_task = code != 102 || printed.contains(" task=api");
            assert!(names_task, "{machine}: {path}: the record doesn't name the instance in\n{printed}");
            assert!(is_named(&printed, function), "{machine}: {path}: no frame of {function} in\n{printed}");
        }
        println!("{machine}: seven crashes, each named with its line");
    }
}

#[test]
fn a_process_that_crashes_says_how() {
    let crash = crash();
    for (path, code, message) in [
        ("/panic", 101, "nobody to pay: 0 guests"),
        // The process has no handler of its own for signals: the kernel ends it.
        ("/null", 1, "was ended by signal 11"),
    ] {
        let (mut running, at) = start(crash.path(), Machine::PROCESS, &[]);
        let answer = get(at, path);
        assert!(!answer.as_ref().is_ok_and(|answer| answer.contains("200")), "{path}: {answer:?}");
        let status = running.wait_for_end(Duration::from_secs(20));
        let printed = running.printed();
        assert_eq!(status.code(), Some(code), "{path}:\n{printed}");
        assert!(printed.contains(message), "{path}: no `{message}` in\n{printed}");
    }
}
