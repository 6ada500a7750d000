//! What the compiler says of slips in a user's crate: where, and in which words.
//!
//! Each folder in `tests/third-party/wrong/` is a crate with slips; `expected` beside its
//! `Cargo.toml` has each error with the text of the user's that it points at.
//! `UNIK_BLESS=1 cargo test -p unik-tests --test compile_errors` writes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use unik_tests::{cache, copy_folder, root, scratch};

#[test]
fn errors_in_user_code_point_at_user_code() {
    let cases = root().join("tests/third-party/wrong");
    let folder = scratch();
    copy_folder(&cases, folder.path());
    let unik = |path: &str| root().join(path).display().to_string();
    let workspace = format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\"*\"]\n[patch.crates-io]\nunik = {{ path = {:?} }}\nunik-http = {{ path = {:?} }}\n",
        unik("runtime"),
        unik("device-lib/http"),
    );
    std::fs::write(folder.path().join("Cargo.toml"), workspace).expect("it can be written");
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["check", "--offline", "--keep-going", "--message-format", "json"])
        .env("CARGO_TARGET_DIR", cache().join("third-party-target"))
        .current_dir(folder.path())
        .output()
        .expect("cargo runs");
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: Value = serde_json::from_str(line).expect("cargo speaks JSON");
        if message["reason"] == "compiler-message" && message["message"]["level"] == "error" {
            let name = message["target"]["name"].as_str().expect("a crate").replace('_', "-");
            *said.entry(name).or_default() += &short(&message["message"], folder.path());
        }
    }
    assert!(!said.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    for case in std::fs::read_dir(&cases).expect("the cases").flatten() {
        let name = case.file_name().to_string_lossy().into_owned();
        let said = said.remove(&name).unwrap_or_default();
        let expected = case.path().join("expected");
        if std::env::var_os("UNIK_BLESS").is_some() {
            std::fs::write(&expected, &said).expect("it can be written");
        }
        assert_eq!(said, std::fs::read_to_string(&expected).unwrap_or_default(), "{name}");
    }
    assert!(said.is_empty(), "{said:?}");
}

/// The message, and the text that it points at, without the notes that are the compiler's own.
fn short(message: &Value, folder: &Path) -> String {
    let text = message["message"].as_str().unwrap_or_default();
    // The end, of how many there were.
    if text.starts_with("aborting due to") {
        return String::new();
    }
    let mut said = format!("error: {}\n", text.replace(&format!("{}/", folder.display()), ""));
    for span in message["spans"].as_array().into_iter().flatten().filter(|span| span["is_primary"] == true) {
        let at = |key: &str| span[key].as_u64().and_then(|at| usize::try_from(at).ok()).unwrap_or_default();
        let line = span["text"][0]["text"].as_str().unwrap_or_default();
        let marked: String =
            line.chars().skip(at("column_start") - 1).take(at("column_end") - at("column_start")).collect();
        let file = span["file_name"].as_str().unwrap_or_default();
        let _ = write!(said, "  --> {file}:{}: {marked}", at("line_start"));
        match span["label"].as_str() {
            Some(label) => said += &format!(": {label}\n"),
            None => said.push('\n'),
        }
    }
    said + "\n"
}
