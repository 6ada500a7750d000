//! The same inputs make the same image, byte by byte: in other folders, with another cache,
//! cargo home and home, after other appliances.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use unik_tests::{copy_folder, example, root, scratch, unikgen, unikgen_command};

/// Another person's machine: their home, cargo home, cache and projects. It stays for all
/// tests of this file, so that each of them finds a cache in which others were built.
fn elsewhere() -> &'static Path {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    MADE.get_or_init(|| {
        let place = scratch();
        let home = std::env::var_os("CARGO_HOME")
            .map_or_else(|| std::env::home_dir().expect("there is a home").join(".cargo"), PathBuf::from);
        let theirs = place.path().join("somebody/else/.cargo");
        std::fs::create_dir_all(&theirs).expect("a folder");
        // What was fetched, so that nothing is again; cargo writes under `registry`.
        let copied = Command::new("cp").arg("-r").arg(home.join("registry")).arg(&theirs).status();
        assert!(copied.expect("cp runs").success());
        place
    })
    .path()
}

/// `unikgen` as that person runs it.
fn their_unikgen() -> Command {
    let home = elsewhere().join("somebody/else");
    let rustup = std::env::var_os("RUSTUP_HOME")
        .map_or_else(|| std::env::home_dir().expect("there is a home").join(".rustup"), PathBuf::from);
    let mut command = Command::new(unikgen());
    command
        .env("HOME", &home)
        .env("USER", "else")
        .env("RUSTUP_HOME", rustup)
        .env("CARGO_HOME", home.join(".cargo"))
        .env("UNIK_CACHE", home.join("a cache"))
        .env("TZ", "Asia/Tokyo")
        .env("LC_ALL", "C")
        .env("NO_COLOR", "1")
        .current_dir(&home);
    command
}

/// Runs, and gives what was printed.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("unikgen runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}\n{said}");
    said
}

/// Builds `file` of `project` here, and in a copy elsewhere; both images.
fn both(project: &Path, file: &str) -> [Vec<u8>; 2] {
    let name = project.file_name().expect("a name");
    let theirs = elsewhere().join("somebody/else/projects").join(name);
    let mine = scratch();
    let out = [mine.path().join("here.img"), mine.path().join("there.img")];
    copy_folder(project, &theirs);
    let said = run(unikgen_command().arg("build").arg(project.join(file)).arg("-o").arg(&out[0]));
    run(their_unikgen()
        .arg("build")
        .arg(Path::new("projects").join(name).join(file))
        .args(["--offline", "-o"])
        .arg(&out[1]));
    let images = out.map(|path| std::fs::read(path).expect("an image"));
    assert!(said.contains("sha256"), "{said}");
    images
}

fn hold_equal(project: &Path, file: &str) {
    let [here, there] = both(project, file);
    let different = here.iter().zip(&there).position(|(a, b)| a != b);
    assert_eq!(different, None, "{file}: the first byte that differs");
    assert_eq!(here.len(), there.len(), "{file}");
}

#[test]
fn hello_and_web() {
    for name in ["hello", "web"] {
        hold_equal(&example(name), &format!("{name}.unik"));
    }
}

#[test]
fn a_crate_of_the_users_own() {
    hold_equal(&example("counter"), "counter.unik");
}

#[test]
fn crates_of_third_parties() {
    hold_equal(&root().join("tests/third-party"), "town.unik");
}
