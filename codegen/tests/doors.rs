//! Two doors, one house: `unikgen build` and `unik::appliance!` give the same tokens.

mod common;

use std::fs;

use unik_catalogue::Target;
use unik_codegen::sync::{plan_sync, user_crate};
use unik_codegen::{Sources, door, expand};

const FILE: &str = "unik 1
appliance two {
    device card = nic
    network lan = net on card { ipv4 10.0.0.2/24 }
    storage pages = files { from \"page.txt\" }
    service site = web on lan { files from pages; route \"/a\" count }
}
";

fn folder(file: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    for (name, text) in [
        ("two.unik", file),
        ("page.txt", "hello\n\0"),
        (
            "Cargo.toml",
            "[package]\nname = \"two\"\nedition = \"2024\"\n\n[dependencies]\nserde = \"1\" # mine\n",
        ),
        ("src/main.rs", "unik::appliance!(\"two.unik\");\n"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// The tokens as text, to compare.
fn text(tokens: impl ToString) -> String {
    tokens.to_string().split_whitespace().collect()
}

#[test]
fn equal_tokens() {
    let folder = folder(FILE);
    let file = folder.path().join("two.unik");
    let door = door::appliance(&file, &common::catalogue(), &mut common::halves(), None);
    let macros = text(&door.items);
    let pointers = text(&door.pointers);
    assert_eq!(
        pointers,
        "#[allow(unused_imports,non_snake_case)]modline_6_of_two_unik{usecrate::*;usecrate::line_6_of_two_unik::countas_;}"
    );
    for (target, cfg) in [
        (Target::Machine, "#[cfg(unik_machine)]"),
        (Target::Process, "#[cfg(not(any(unik_machine,unik_sim)))]"),
    ] {
        let planned = common::plan(&file, target).unwrap();
        let expansion = expand(&planned.plan, &planned.baked).unwrap();
        // A generated crate has the file beside its source, a macro only the bytes.
        let module = text(&expansion.module);
        assert!(module.contains("include_bytes!(\"blobs/pages/0.bin\")"), "{module}");
        let module = module.replace("include_bytes!(\"blobs/pages/0.bin\")", "b\"hello\\n\\0\"");
        assert!(macros.contains(&format!("{cfg}{module}")), "{macros}\n\n{module}");
        assert!(macros.contains(&format!("{cfg}{}", text(&expansion.entry))), "{macros}");
    }
    for name in ["two.unik", "page.txt"] {
        assert!(
            macros.contains(&format!("include_bytes!(\"{}\")", folder.path().join(name).display())),
            "{macros}"
        );
    }
}

#[test]
fn a_comment_makes_no_other_tokens() {
    let one = folder(FILE);
    let other = folder(&format!("// A comment.\n{FILE}"));
    let hash = |folder: &tempfile::TempDir| {
        let planned = common::plan(&folder.path().join("two.unik"), Target::Machine).unwrap();
        expand(&planned.plan, &planned.baked).unwrap().hash
    };
    assert_eq!(hash(&one), hash(&other));
    fs::write(other.path().join("page.txt"), "other").unwrap();
    assert_ne!(hash(&one), hash(&other));
}

#[test]
fn errors_are_shown_once_and_leave_an_entry() {
    for (from, to, message) in [
        ("port", "prot", "prot"),
        ("\"/a\"", "\"a\"", "a route begins with `/`"),
        ("\"page.txt\"", "\"missing.txt\"", "can't read `missing.txt`"),
    ] {
        let folder =
            folder(&FILE.replace("files from pages;", "files from pages; port 80;").replace(from, to));
        let tokens = door::appliance(
            &folder.path().join("two.unik"),
            &common::catalogue(),
            &mut common::halves(),
            None,
        )
        .items
        .to_string();
        assert_eq!(tokens.matches("compile_error").count(), 1, "{tokens}");
        assert!(tokens.contains(message), "{message}\n{tokens}");
        assert!(tokens.contains("fn main ()"), "{tokens}");
        assert!(tokens.contains("two.unik"), "{tokens}");
    }
}

fn sources() -> std::io::Result<Vec<(std::path::PathBuf, Vec<u8>)>> {
    Ok(vec![("Cargo.lock".into(), b"version = 4\n".to_vec()), ("runtime/src/lib.rs".into(), b"".to_vec())])
}

#[test]
fn a_crate_is_brought_in_step() {
    let folder = folder(FILE);
    let file = folder.path().join("two.unik");
    let (machine, process) =
        (common::plan(&file, Target::Machine).unwrap(), common::plan(&file, Target::Process).unwrap());
    let user = user_crate(&file).unwrap().unwrap();
    let own = Sources::new(b"1", sources);
    let plan = || {
        plan_sync(&user, Some((&machine.plan, &machine.baked)), Some((&process.plan, &process.baked)), None)
            .unwrap()
    };
    let first = plan();
    assert!(!first.is_current(&own));
    first.apply(&own).unwrap();
    let text = fs::read_to_string(folder.path().join("Cargo.toml")).unwrap();
    let expected = r#"[package]
name = "two"
edition = "2024"

[dependencies]
serde = "1" # mine
unik = { path = ".unik/src/runtime", default-features = false, features = ["appliance"] }
unik-console = { path = ".unik/src/device-lib/console", default-features = false }
unik-files = { path = ".unik/src/device-lib/files", default-features = false }
unik-web = { path = ".unik/src/device-lib/web", default-features = false, features = ["files"] }

[target.'cfg(unik_machine)'.dependencies]
log = { version = "0.4", default-features = false, features = ["max_level_info"] }
unik-net = { path = ".unik/src/device-lib/net", default-features = false, features = ["tcp"] }
unik-nic = { path = ".unik/src/device-lib/nic", default-features = false }

[target.'cfg(not(unik_machine))'.dependencies]
unik-host-net = { path = ".unik/src/device-lib/host-net", default-features = false }

[lints.rust]
unexpected_cfgs = { level = "warn", check-cfg = ["cfg(unik_machine)", "cfg(unik_sim)"] }
"#;
    assert_eq!(text, expected, "{text}");
    assert!(folder.path().join(".unik/src/runtime/src/lib.rs").is_file());
    assert!(folder.path().join("Cargo.lock").is_file());
    let second = plan();
    assert!(second.is_current(&own), "{:?}", second.changes);
    // Another version of unik: only the sources change.
    assert!(!second.is_current(&Sources::new(b"2", sources)));
    second.apply(&Sources::new(b"2", sources)).unwrap();
    assert!(plan().is_current(&Sources::new(b"2", sources)));
}
