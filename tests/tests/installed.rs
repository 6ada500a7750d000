//! The command as `cargo install` puts it, away from this repository: new projects, built
//! and run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use unik_tests::client::{curl, get};
use unik_tests::machine::{Machine, best};
use unik_tests::project::Project;
use unik_tests::running::{Running, free_port};
use unik_tests::{cache, example, root, scratch, unikgen};

/// The folder of programs that `cargo install` made, with nothing in it but the command.
fn installed() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        // What has to be compiled is compiled by now.
        let target = unikgen().ancestors().nth(2).expect("a target folder");
        let place = cache().join("installed-root");
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["install", "--locked", "--force", "--quiet", "--path", "codegen/unikgen", "--root"])
            .arg(&place)
            .arg("--target-dir")
            .arg(target)
            .current_dir(root())
            .status()
            .expect("cargo runs");
        assert!(status.success(), "cargo install fails");
        place.join("bin")
    })
}

/// `sh` in `folder` as a person has it who has installed the command and has no clone, with
/// a home in which nothing is yet. What of theirs this one has is cargo's: crates that were
/// downloaded, and Rust itself.
fn person(folder: &Path, home: &Path, script: &str) -> Command {
    let path = std::env::var("PATH").expect("a path");
    let own = std::env::home_dir().expect("a home");
    let of =
        |name: &str, folder: &str| std::env::var_os(name).map_or_else(|| own.join(folder), PathBuf::from);
    let mut command = Command::new("sh");
    command.args(["-ec", script]).current_dir(folder).env("HOME", home).env("NO_COLOR", "1");
    command.env("CARGO_HOME", of("CARGO_HOME", ".cargo")).env("RUSTUP_HOME", of("RUSTUP_HOME", ".rustup"));
    command.env("PATH", format!("{}:{path}", installed().display()));
    // What cargo tells its tests, and what the tests tell the command.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let is_cargos = name.starts_with("CARGO") && name != "CARGO_HOME";
        if is_cargos || ["UNIK_CACHE", "XDG_CACHE_HOME"].contains(&name.as_ref()) {
            command.env_remove(name.as_ref());
        }
    }
    command
}

/// The same with the cache of the tests, where building takes seconds.
fn command(folder: &Path, script: &str) -> Command {
    let mut command = person(folder, folder, script);
    command.env("UNIK_CACHE", cache());
    command
}

fn done(mut command: Command) -> String {
    let output = command.output().expect("sh runs");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}");
    said
}

/// The lines of the README, from an empty home and an empty cache.
#[test]
fn installed_it_makes_builds_and_serves_a_site_from_nothing() {
    let (folder, home) = (scratch(), scratch());
    let script = "command -v unikgen; unikgen new site && cd site && exec unikgen run";
    let mut running = Running::spawn(person(folder.path(), home.path(), script));
    let ready = running.wait_for("ready: http://", Duration::from_secs(600));
    let url = ready.split_whitespace().find(|word| word.starts_with("http://")).expect("an address");
    let (page, fine) = curl(&[url]);
    assert!(fine && page.contains("<h1>"), "{page}\n{}", running.printed());
    assert!(running.printed().contains(&installed().display().to_string()), "{}", running.printed());
    assert_eq!(running.interrupt().code(), Some(130), "{}", running.printed());
    assert!(home.path().join(".cache/unik").is_dir(), "its cache is that of the person");
}

#[test]
fn every_template_builds_and_runs() {
    let folder = scratch();
    let said =
        done(command(folder.path(), "unikgen new a-hello --template hello && cd a-hello && unikgen run"));
    assert!(said.contains("Hello from a-hello"), "{said}");
    done(command(folder.path(), "unikgen new an-echo --template echo && cd an-echo && unikgen build"));
    assert!(folder.path().join("an-echo/an-echo.img").is_file());
}

/// `unikgen init` brings an appliance into a folder with a crate in it, of which it changes
/// nothing; and in a few lines the crate becomes the appliance.
#[test]
fn an_existing_crate_gets_an_appliance() {
    let project = Project::new();
    let folder = project.path();
    std::fs::create_dir_all(folder.join("src")).expect("a folder");
    let manifest = "[package]\nname = \"thing\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n";
    std::fs::write(folder.join("Cargo.toml"), manifest).expect("it can be written");
    std::fs::write(folder.join("src/main.rs"), "fn main() {}\n").expect("it can be written");
    let refused = command(folder, "unikgen init --name thing --template handler").output().expect("sh runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("Cargo.toml` is there already; nothing was written"), "{said}");
    assert!(said.contains("unik::appliance!(\"thing.unik\")"), "{said}");
    done(command(folder, "unikgen init --name thing && unikgen check"));
    assert_eq!(std::fs::read_to_string(folder.join("Cargo.toml")).expect("there"), manifest);
    assert!(serve(folder, best(), "/").starts_with("HTTP/1.1 200"));

    let main = "#![cfg_attr(unik_machine, no_std, no_main)]\n\nunik::appliance!(\"thing.unik\");\n";
    std::fs::write(folder.join("src/main.rs"), main).expect("it can be written");
    assert!(serve(folder, best(), "/").starts_with("HTTP/1.1 200"));
    assert!(std::fs::read_to_string(folder.join("Cargo.toml")).expect("there").contains("unik-http"));
}

/// A `.unik` file becomes a crate that both doors build, and plain cargo too.
#[test]
fn an_ejected_crate_builds_by_unikgen_and_by_plain_cargo() {
    let project = Project::new();
    let folder = project.path();
    let web = example("web");
    done(command(&root().join("examples"), &format!("unikgen eject {} {}", web.display(), folder.display())));
    assert!(serve(folder, best(), "/").contains("It works."));
    let target = Project::plain_target();
    done(command(folder, &format!("cargo check --quiet --all-targets --target-dir {}", target.display())));
}

fn new(folder: &Path, name: &str, template: &str) {
    done(command(folder, &format!("unikgen new {name} --template {template}")));
}

fn serve(folder: &Path, machine: Machine, path: &str) -> String {
    let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let arguments = machine.arguments().join(" ");
    let mut running =
        Running::spawn(command(folder, &format!("exec unikgen run {arguments} --publish {at}:80")));
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
fn a_new_crate_with_handlers_builds_runs_and_answers() {
    let project = Project::new();
    new(project.above(), Project::NAME, "handler");
    for machine in [best(), Machine::PROCESS] {
        let answer = serve(project.path(), machine, "/");
        assert!(answer.starts_with("HTTP/1.1 "), "{machine}: {answer}");
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
