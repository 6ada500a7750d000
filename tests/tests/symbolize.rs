//! Crash records of an image that is somewhere else, with names from its twin.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use unik_tests::client::get;
use unik_tests::machine::best;
use unik_tests::project::Project;
use unik_tests::running::{Running, free_port};
use unik_tests::{build, cache, example, root, scratch, unikgen_command};

fn symbolize(image: &Path, twin: Option<&Path>, cache: &Path, log: &str) -> Output {
    let mut command = unikgen_command();
    command.arg("symbolize").arg(image).env("UNIK_CACHE", cache);
    command.args(twin.iter().flat_map(|twin| ["--twin".as_ref(), twin.as_os_str()]));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("unikgen runs");
    // One that refuses doesn't read.
    let _ = child.stdin.take().expect("piped").write_all(log.as_bytes());
    child.wait_with_output().expect("it ends")
}

#[test]
fn a_log_is_explained_by_the_twin_and_by_no_other() {
    let project = Project::copy_of(&root().join("tests/fixtures/crash"));
    let place = scratch();
    let at = |name: &str| place.path().join(name);
    let mut command = unikgen_command();
    command.arg("build").arg(project.path()).arg("--twin").arg("-o").arg(at("crash.img"));
    let output = command.output().expect("unikgen runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(at("crash.twin.elf").is_file());

    for (path, culprit) in [("/panic", "crash::divide_the_bill"), ("/null", "crash::follow")] {
        let port = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut running = Running::start(&at("crash.img"), best(), &["--publish", &format!("{port}:80")]);
        running.wait_until_ready(best());
        // There is no answer: it ends.
        let _ = get(port, path);
        running.wait_for_end(Duration::from_secs(60));
        let printed = running.printed();
        let words = ["panicked at ", "fault: ", "registers: ", "stack: "];
        let log: String = printed
            .lines()
            .filter(|line| words.iter().any(|word| line.starts_with(word)))
            .map(|line| format!("Nov 23 14:00:00 host site[7]: {line}\n"))
            .collect();
        assert!(log.contains("stack: "), "{printed}");

        let empty = at("empty-cache");
        let output = symbolize(&at("crash.img"), None, &empty, &log);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // A line of its own for the culprit, and below it the way to it from the executor; what
        // is further out may be beyond the 32 words of the record.
        let names: Vec<&str> = said.lines().filter(|line| line.starts_with("  ")).collect();
        let culprit = names.iter().position(|line| line.contains(culprit)).expect("it is named");
        let below = &names[culprit..];
        assert!(names[culprit].contains("src/main.rs:"), "{said}");
        let last =
            below.iter().rposition(|line| line.contains("unik::executor::")).expect("its caller is named");
        // What ran before in the same places of the stack isn't on that way.
        for stale in ["smoltcp::", "::emit", "Tlsf", "core::fmt"] {
            let line = below[..last].iter().find(|line| line.contains(stale));
            assert_eq!(line, None, "{said}");
        }
    }

    let log = "stack: 100000\n";
    let other = build(&example("hello"), &["--twin"]);
    let output = symbolize(&at("crash.img"), Some(&other.with_extension("twin.elf")), &cache(), log);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("is the twin of another image"), "{said}");
    std::fs::rename(at("crash.twin.elf"), at("kept")).expect("moved");
    let output = symbolize(&at("crash.img"), None, &at("other-cache"), log);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("unikgen build --twin"), "{said}");
    assert!(symbolize(&at("crash.img"), Some(&at("kept")), &at("other-cache"), log).status.success());
    let output = symbolize(Path::new("/etc/passwd"), None, &cache(), log);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}
