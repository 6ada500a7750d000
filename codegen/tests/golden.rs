//! Generated crates, compared with what they were: a folder of `golden/` for each case.
//!
//! `UNIK_BLESS=1 cargo test -p unik-codegen --test golden` writes what is generated now.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use unik_catalogue::Target;
use unik_codegen::build::crate_files;
use unik_codegen::expand;
use unik_codegen::layout::{Layout, Seed};
use unik_codegen::manifest::{self, Places};
use unik_codegen::record::Record;
use unik_codegen::{HostHalves, prepare};
use unik_dsl::diagnostic::{self, codes};
use unik_dsl::{Request, analyse};

#[test]
fn generated_crates() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<PathBuf> = fs::read_dir(&golden).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 4, "the cases are gone");
    for case in cases {
        for target in [Target::Machine, Target::Process] {
            let planned = common::plan(&case.join("in.unik"), target)
                .unwrap_or_else(|text| panic!("{}\n{text}", case.display()));
            let expansion = expand(&planned.plan, &planned.baked).unwrap();
            let own = PathBuf::from("unik-VERSION");
            let places = Places { apart: vec![own.clone()], own, ..Places::default() };
            let files = crate_files(
                &planned.plan,
                &planned.sources,
                &planned.baked,
                &expansion,
                &manifest::package_name(&planned.plan, &expansion, None),
                &places,
            )
            .unwrap();
            for (path, bytes) in files {
                compare(&case.join(target.word()).join(path), &String::from_utf8_lossy(&bytes));
            }
        }
    }
}

/// What the guests of the tests, which cargo alone builds, are linked with.
#[test]
fn a_component_that_cannot_be_asked() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/files/in.unik");
    let mut analysis = analyse(&Request::new(&file, None), &common::catalogue());
    let plan = analysis.plan.expect("a plan");
    let (_, found) = prepare(&plan, &HostHalves::default(), &mut analysis.sources);
    let codes: Vec<_> = found.iter().map(|diagnostic| diagnostic.code).collect();
    assert!(!codes.is_empty() && codes.iter().all(|code| *code == codes::NO_HALF), "{found:?}");
    let said = diagnostic::render_all(&found, &analysis.sources, false);
    assert!(said.contains("can't be asked here") && said.contains("set UNIK_CACHE"), "{said}");
}

#[test]
fn the_linker_script() {
    let record = Record {
        version: 1,
        unik: "0.0.0".into(),
        sources: "000000000000".into(),
        rustc: "unknown".into(),
        seed: Seed(7),
        set: BTreeMap::new(),
    };
    let script = Layout::new(record.seed, 16 << 20).linker_script(64 << 10, &record);
    compare(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/image.ld"), &script);
}

fn compare(path: &Path, now: &str) {
    // Hashes change with the version of unik; what they are of is what is compared.
    let now = without_hashes(now);
    if std::env::var_os("UNIK_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &now).unwrap();
        return;
    }
    let before = fs::read_to_string(path).unwrap_or_default();
    if before != now {
        let different = before.lines().zip(now.lines()).position(|(a, b)| a != b);
        let line = different.unwrap_or_else(|| before.lines().count().min(now.lines().count()));
        panic!("{} differs in line {}; it is now\n{now}\nUNIK_BLESS=1 takes it", path.display(), line + 1);
    }
}

/// Replaces the hash in the package's name, and the note that holds it.
fn without_hashes(text: &str) -> String {
    let mut note = 0;
    let lines = text.lines().map(|line| {
        let trimmed = line.trim_start();
        if let Some(kind) = trimmed.strip_prefix("kind: ") {
            note = kind.trim_end_matches(',').parse().unwrap_or(0);
        }
        if note == 2 && trimmed.starts_with("bytes: *b") {
            return format!("{}bytes: *b\"HASH\",", &line[..line.len() - trimmed.len()]);
        }
        let hash = line.char_indices().filter(|(_, c)| *c == '-').map(|(at, _)| at + 1).find(|&at| {
            line.get(at..at + 13)
                .is_some_and(|word| word.ends_with('"') && word[..12].chars().all(|c| c.is_ascii_hexdigit()))
        });
        hash.map_or_else(|| line.into(), |at| format!("{}HASH{}", &line[..at], &line[at + 12..]))
    });
    lines.map(|line| line + "\n").collect()
}
