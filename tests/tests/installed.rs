//! The command away from this repository: a new project, built and run.

use std::net::SocketAddr;
use std::path::Path;

use unik_tests::client::get;
use unik_tests::machine::{Machine, best};
use unik_tests::running::{Running, free_port};
use unik_tests::{cache, scratch, unikgen_command};

fn new(folder: &Path, name: &str, template: &str) {
    let output = unikgen_command()
        .args(["new", name, "--template", template])
        .current_dir(folder)
        .output()
        .expect("unikgen runs");
    assert!(output.status.success(), "new: {}", String::from_utf8_lossy(&output.stderr));
}

fn serve(folder: &Path, machine: Machine, path: &str) -> String {
    let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = unikgen_command();
    command.current_dir(folder).arg("run").args(machine.arguments()).args(["--publish", &format!("{at}:80")]);
    let mut running = Running::spawn(command);
    running.wait_until_ready(machine);
    get(at, path).unwrap_or_else(|error| panic!("{machine}: {error}\n{}", running.printed()))
}

#[test]
fn new_then_run_serves() {
    let folder = scratch();
    new(folder.path(), "site", "web");
    for machine in [best(), Machine::PROCESS] {
        let answer = serve(&folder.path().join("site"), machine, "/");
        assert!(answer.starts_with("HTTP/1.1 200"), "{machine}: {answer}");
    }
}

#[test]
fn a_new_service_crate_builds_runs_and_answers() {
    // The same folder each time: cargo keeps the builds of a user's crate by its path.
    let folder = cache().join("installed");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    new(&folder, "mine", "service");
    for machine in [best(), Machine::PROCESS] {
        let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = unikgen_command();
        command
            .current_dir(folder.join("mine"))
            .arg("run")
            .args(machine.arguments())
            .args(["--publish", &format!("{at}:80")]);
        let mut running = Running::spawn(command);
        running.wait_until_ready(machine);
        assert!(get(at, "/").is_ok_and(|answer| answer.starts_with("HTTP/1.1 ")), "{}", running.printed());
    }
}

#[test]
fn two_appliances_of_one_name_do_not_mix() {
    let folder = scratch();
    for number in ["one", "two"] {
        let here = folder.path().join(number);
        std::fs::create_dir_all(&here).expect("a folder");
        new(&here, "site", "web");
        let site = here.join("site");
        let page = find(&site, "index.html").expect("the template has a page");
        std::fs::write(page, format!("this is site {number}\n")).expect("it can be written");
    }
    for number in ["one", "two", "one"] {
        let answer = serve(&folder.path().join(number).join("site"), best(), "/");
        assert!(answer.contains(&format!("this is site {number}")), "{number}: {answer}");
    }
}

fn find(folder: &Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { find(&path, name) } else { path.ends_with(name).then_some(path) }
    })
}
