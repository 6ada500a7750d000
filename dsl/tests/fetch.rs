//! Crates by git and version: what comes of what a caller brings, or can't.

mod common;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use unik_dsl::fetch::{Fetch, FetchError, Fetched, FetchedSet, LockFile, Origin, Reference, Wanted};
use unik_dsl::plan::CrateSource;
use unik_dsl::{Analysis, Request, analyse, diagnostic};

/// Brings the crates in `tests/crates/`, and remembers what it was asked for.
#[derive(Debug, Default)]
struct Folder {
    asked: RefCell<Vec<Wanted>>,
}

impl Fetch for Folder {
    fn fetch(&self, file: &Path, wanted: &[Wanted]) -> Result<FetchedSet, FetchError> {
        self.asked.borrow_mut().extend(wanted.iter().cloned());
        if let Some(at) = wanted.iter().position(|wanted| wanted.name == "nowhere") {
            return Err(FetchError {
                of: Some(at),
                reason: "cargo says: no such repository".into(),
                helps: vec!["the whole story".into()],
            });
        }
        let crates = wanted
            .iter()
            .map(|wanted| Fetched {
                folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crates").join(&wanted.name),
                source: CrateSource::Registry { version: "1.0.0".into() },
            })
            .collect();
        let lock = LockFile { path: file.with_extension("unik.lock"), text: "version = 4\n".into() };
        Ok(FetchedSet { crates, lock })
    }
}

fn analysed(crates: &str, fetch: &Folder) -> (Analysis, String) {
    let text = format!(
        "unik 1\n{crates}\nappliance own {{\n    device nic = virtio-net\n    network lan = ip on nic {{ ipv4 dhcp }}\n    service it = mine on lan\n}}\n"
    );
    let request = Request { fetch: Some(fetch), ..Request::new(Path::new("own.unik"), Some(text)) };
    let analysis = analyse(&request, &common::catalogue());
    let said = diagnostic::render_all(&analysis.diagnostics, &analysis.sources, false);
    (analysis, said)
}

#[test]
fn what_the_file_asks_for_is_brought() {
    for (written, origin) in [
        ("version \"1\"", Origin::Registry("1".into())),
        ("git \"g\"", Origin::Git { url: "g".into(), reference: Reference::Head }),
        (
            "git \"g\"; branch \"b\"",
            Origin::Git { url: "g".into(), reference: Reference::Branch("b".into()) },
        ),
        ("git \"g\"; tag \"t\"", Origin::Git { url: "g".into(), reference: Reference::Tag("t".into()) }),
        ("git \"g\"; rev \"r\"", Origin::Git { url: "g".into(), reference: Reference::Revision("r".into()) }),
    ] {
        let fetch = Folder::default();
        let (analysis, said) = analysed(&format!("crate mine {{ {written} }}"), &fetch);
        let plan = analysis.plan.unwrap_or_else(|| panic!("{written}: {said}"));
        assert_eq!(fetch.asked.into_inner(), [Wanted { name: "mine".into(), origin }]);
        // The plan holds what exactly was brought, not what was asked for.
        assert_eq!(plan.crates[0].source, CrateSource::Registry { version: "1.0.0".into() });
        assert!(plan.sources.contains(&PathBuf::from("own.unik.lock")), "{:?}", plan.sources);
        assert_eq!(plan.lock.map(|lock| lock.text).as_deref(), Some("version = 4\n"));
    }
}

#[test]
fn what_cannot_be_had_is_said_at_its_crate() {
    let fetch = Folder::default();
    let (_, said) = analysed("crate mine { version \"1\" }\ncrate nowhere { git \"g\" }", &fetch);
    let expected = "error[U0213]: can't fetch the crate `nowhere`
 --> own.unik:3:7
  |
3 | crate nowhere { git \"g\" }
  |       ^^^^^^^ cargo says: no such repository
  |
  = help: the whole story
";
    assert_eq!(said.trim_end(), expected.trim_end(), "{said}");
}

#[test]
fn a_crate_from_elsewhere_is_a_component() {
    let fetch = Folder::default();
    let (_, said) = analysed("crate mine { version \"1\" }\ncrate base { version \"2\" }", &fetch);
    assert!(said.contains("error[U0211]: can't use the crate `base`"), "{said}");
    assert!(said.contains("can't read"), "{said}");
    let (_, said) = analysed("crate mine { version \"1\" }\ncrate plain { version \"2\" }", &fetch);
    assert!(
        said.contains("^^^^^ its `Cargo.toml` has no table [package.metadata.unik], so it is no component"),
        "{said}"
    );
}

/// Nobody is asked for what is wrong in itself.
#[test]
fn nothing_is_fetched_for_a_wrong_requirement() {
    let fetch = Folder::default();
    let (_, said) = analysed("crate mine { version \"one\" }", &fetch);
    assert!(said.contains("\"one\" is no version requirement"), "{said}");
    assert!(fetch.asked.into_inner().is_empty());
}
