//! What the tests of the command share.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod client;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// `unikgen` in `folder`, without colours and with a cache of its own.
pub fn unikgen(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unikgen"));
    command.current_dir(folder).env("NO_COLOR", "1").env("UNIK_CACHE", cache()).env_remove("CLICOLOR_FORCE");
    // The width of help texts.
    command.env("COLUMNS", "100");
    command
}

/// A cache that stays from test to test and run to run.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("unik-cache")
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders up")
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs `unikgen` with these arguments in the root of the repository.
pub fn run(arguments: &[&str]) -> Said {
    run_in(root(), arguments)
}

/// Runs `unikgen` with these arguments in `folder`.
pub fn run_in(folder: &Path, arguments: &[&str]) -> Said {
    said(unikgen(folder).args(arguments).output().expect("it starts"))
}

pub fn said(output: Output) -> Said {
    Said {
        code: output.status.code().expect("it isn't ended by a signal"),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// Compares with the file `tests/golden/NAME`, or writes it when `UNIK_BLESS` is set.
pub fn golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UNIK_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, found).expect("the golden file is written");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{} differs; UNIK_BLESS=1 takes what was found", path.display());
}
