//! Crates by git and by version, without a network: the repository is a folder, and what
//! would be crates.io is a folder too, with what cargo has unpacked already.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use unik_tests::client::exchange;
use unik_tests::machine::{Machine, best};
use unik_tests::running::{Running, free_port};
use unik_tests::{copy_folder, root, scratch, unikgen_command};

/// A world of its own for cargo: a home whose crates.io is a folder, and a git repository.
struct World {
    place: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let world = World { place: scratch() };
        let repository = world.repository();
        for name in ["greeter", "herald"] {
            copy_folder(&third_party(name), &repository.join(name));
        }
        std::fs::create_dir_all(repository.join("plain/src")).expect("a folder");
        std::fs::write(repository.join("plain/src/lib.rs"), "").expect("it can be written");
        std::fs::write(repository.join("plain/Cargo.toml"), "[package]\nname = \"plain\"\n")
            .expect("as above");
        world.git(&["init", "--quiet", "--initial-branch", "main"]);
        world.commit("First");
        world.git(&["tag", "v1"]);
        world
    }

    fn at(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn repository(&self) -> PathBuf {
        self.at("repository")
    }

    fn url(&self) -> String {
        format!("file://{}", self.repository().display())
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"])
            .args(arguments)
            .current_dir(self.repository())
            .output()
            .expect("git runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().into()
    }

    /// Commits all, and gives the commit.
    fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// An appliance of these crates.
    fn town(&self, crates: &str) -> PathBuf {
        let text = std::fs::read_to_string(third_party("town.unik")).expect("the appliance");
        let (before, after) = text.split_once("crate greeter").expect("the crates");
        let (_, after) = after.split_once("\n\n").expect("the appliance");
        let file = self.at("town.unik");
        std::fs::write(&file, format!("{before}{crates}\n\n{after}")).expect("it can be written");
        std::fs::write(self.at("news.txt"), "A ship has come in.\nThe well is dry.\n").expect("as above");
        file
    }

    fn unikgen(&self) -> Command {
        let mut command = unikgen_command();
        command.env("CARGO_HOME", home()).current_dir(self.place.path());
        command
    }

    /// Exit code and standard error.
    fn said(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.unikgen().args(arguments).output().expect("unikgen runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn lock(&self) -> String {
        std::fs::read_to_string(self.at("town.unik.lock")).unwrap_or_default()
    }
}

fn third_party(name: &str) -> PathBuf {
    root().join("tests/third-party").join(name)
}

/// A home for cargo, the same for all tests: what is compiled goes by where it is.
fn home() -> &'static Path {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    HOME.get_or_init(|| {
        let home = unik_tests::cache().join("fetched-home");
        let registry = home.join("crates.io");
        if registry.exists() {
            std::fs::remove_dir_all(&registry).expect("it can be removed");
        }
        std::fs::create_dir_all(&registry).expect("a folder");
        link_registry(&registry);
        for name in ["greeter", "herald", "herald/host"] {
            publish(&third_party(name), &registry);
        }
        let config = format!(
            "[source.crates-io]\nreplace-with = \"here\"\n[source.here]\ndirectory = {:?}\n",
            registry.display().to_string()
        );
        std::fs::write(home.join("config.toml"), config).expect("it can be written");
        home
    })
}

/// Every crate of the workspace's lock file that cargo has unpacked, with the checksum that the
/// lock file has for it.
fn link_registry(registry: &Path) {
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cargo"),
        PathBuf::from,
    );
    let unpacked: Vec<PathBuf> = std::fs::read_dir(home.join("registry/src"))
        .expect("cargo has unpacked crates")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("the lock file");
    for package in lock.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let (_, after) = package.split_once(&format!("{key} = \""))?;
            Some(after.split_once('"')?.0)
        };
        let (Some(name), Some(version), Some(sum)) = (value("name"), value("version"), value("checksum"))
        else {
            continue;
        };
        let package = format!("{name}-{version}");
        let Some(folder) = unpacked.iter().map(|at| at.join(&package)).find(|at| at.is_dir()) else {
            continue;
        };
        let here = registry.join(&package);
        std::fs::create_dir(&here).expect("a folder");
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            symlink(entry.path(), here.join(entry.file_name())).expect("a link");
        }
        let sums = format!("{{\"files\":{{}},\"package\":\"{sum}\"}}");
        std::fs::write(here.join(".cargo-checksum.json"), sums).expect("it can be written");
    }
}

/// Puts the crate in `folder` where crates.io would have it, as `cargo publish` does: without
/// its workspace, its patches, and other crates in its folder.
fn publish(folder: &Path, registry: &Path) {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
    let value = |key: &str| {
        let (_, after) = manifest.split_once(&format!("{key} = \"")).expect("a key");
        after.split_once('"').expect("a value").0.to_string()
    };
    let here = registry.join(format!("{}-{}", value("name"), value("version")));
    copy_folder(&folder.join("src"), &here.join("src"));
    let mut kept = true;
    let lines = manifest.lines().filter(|line| {
        if line.starts_with('[') {
            kept = !(line.starts_with("[workspace") || line.starts_with("[patch"));
        }
        kept
    });
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    std::fs::write(here.join("Cargo.toml"), text).expect("it can be written");
    std::fs::write(here.join(".cargo-checksum.json"), "{\"files\":{}}").expect("it can be written");
}

#[test]
fn they_serve_by_git_and_by_version() {
    let world = World::new();
    let first = world.git(&["rev-parse", "v1"]);
    // One with a host half from each.
    let by_git =
        format!("crate greeter {{ version \"0.3\" }}\ncrate the-herald {{ git \"{}\" }}", world.url());
    let by_version = format!(
        "crate greeter {{ git \"{}\"; tag \"v1\" }}\ncrate the-herald {{ version \"1\" }}",
        world.url()
    );
    for (crates, machine) in [(by_git, best()), (by_version, Machine::PROCESS)] {
        let town = world.town(&crates);
        let [hello, news] = [0; 2].map(|_| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let mut command = world.unikgen();
        command.arg("run").arg(&town).args(machine.arguments()).args(["--start-timeout", "0"]);
        command.args(["--publish", &format!("{hello}:2000"), "--publish", &format!("{news}:2001")]);
        let mut running = Running::spawn(command);
        running.wait_for("ready", Duration::from_secs(400));
        let said = |at| exchange(at, b"").unwrap_or_else(|error| panic!("{machine}: {error}"));
        assert_eq!(said(hello), "HELLO\nHELLO\n", "{machine}");
        assert_eq!(said(news), "1. The well is dry.\n2. A ship has come in.\n", "{machine}");
        assert!(world.lock().contains(&format!("#{first}\"")), "{}", world.lock());
    }
}

/// What was built once is built again, whatever happens elsewhere.
#[test]
fn the_lock_file_decides() {
    let world = World::new();
    let first = world.git(&["rev-parse", "HEAD"]);
    let town = world
        .town(&format!("crate greeter {{ git \"{0}\" }}\ncrate the-herald {{ git \"{0}\" }}", world.url()));
    let town = town.display().to_string();
    let manifest = || {
        let output = world.unikgen().args(["expand", "--manifest", &town]).output().expect("unikgen runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };

    let (code, said) = world.said(&["build", "--locked", &town]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("its lock file `town.unik.lock` isn't there"), "{said}");
    assert!(
        said.contains("`unikgen check town.unik` brings it in step") && world.lock().is_empty(),
        "{said}"
    );

    let (code, said) = world.said(&["check", &town]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("fetching: greeter, the-herald"), "{said}");
    let lock = world.lock();
    assert!(lock.starts_with("# The crates that town.unik names by git or version"), "{lock}");
    assert!(manifest().contains(&format!("rev = \"{first}\"")), "{}", manifest());

    // Cargo isn't asked again.
    let (code, said) = world.said(&["check", &town]);
    assert!(code == Some(0) && !said.contains("fetching"), "{said}");

    // The branch moves on, the cache forgets, and even then.
    std::fs::write(world.repository().join("greeter/README"), "new\n").expect("it can be written");
    let second = world.commit("Second");
    for entry in std::fs::read_dir(unik_tests::cache().join("crates")).expect("records").flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        if text.contains(&world.url()) {
            std::fs::remove_file(entry.path()).expect("it can be removed");
        }
    }
    let (code, said) = world.said(&["check", &town]);
    assert!(code == Some(0) && said.contains("fetching"), "{said}");
    assert_eq!(world.lock(), lock);
    assert!(manifest().contains(&first) && !manifest().contains(&second), "{}", manifest());

    // Without it the newest are taken.
    std::fs::remove_file(world.at("town.unik.lock")).expect("it is there");
    assert!(manifest().contains(&second), "{}", manifest());

    // Another wish is another lock file.
    let town_v1 = world.town(&format!(
        "crate greeter {{ git \"{0}\"; rev \"{first}\" }}\ncrate the-herald {{ git \"{0}\" }}",
        world.url()
    ));
    let (code, said) = world.said(&["build", "--locked", &town_v1.display().to_string()]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("its lock file `town.unik.lock` is out of step with the file"), "{said}");
}

#[test]
fn what_cargo_cannot_have_is_said_with_its_reason() {
    let world = World::new();
    let url = world.url();
    let nowhere = format!("file://{}", world.at("nowhere").display());
    for (crates, parts) in [
        (
            format!("crate greeter {{ git \"{url}\"; tag \"v9\" }}\ncrate the-herald {{ version \"1\" }}"),
            &["can't fetch the crate `greeter`", ":4:7", "cargo says: ", "v9", "^^^^^^^"][..],
        ),
        (
            format!("crate greeter {{ git \"{url}\" }}\ncrate the-herald {{ git \"{nowhere}\" }}"),
            &["can't fetch the crate `the-herald`", ":5:7", "nowhere"],
        ),
        (
            "crate greeter { version \"0.3\" }\ncrate the-herald { version \"7\" }".into(),
            &["can't fetch the crate `the-herald`", "the-herald = \"^7\"", "1.0.0"],
        ),
        (
            "crate greeter { version \"0.3\" }\ncrate the-harald { version \"1\" }".into(),
            &["can't fetch the crate `the-harald`", "no matching package"],
        ),
        (
            format!("crate greeter {{ version \"0.3\" }}\ncrate plain {{ git \"{url}\" }}"),
            &["can't use the crate `plain`", "no table [package.metadata.unik]"],
        ),
    ] {
        let town = world.town(&crates);
        let (code, said) = world.said(&["check", &town.display().to_string()]);
        assert_eq!(code, Some(1), "{crates}: {said}");
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("unik-crates"), "{said}");
    }
}

/// The macro door: `sync` names them exactly, the macro finds what was fetched and runs their
/// host halves, and plain cargo builds it.
#[test]
fn they_come_into_a_crate_with_the_macro() {
    let world = World::new();
    let (code, said) = world.said(&["new", "mine", "--template", "handler"]);
    assert_eq!(code, Some(0), "{said}");
    let here = world.at("mine");
    let file = here.join("mine.unik");
    let text = std::fs::read_to_string(&file).expect("the template");
    let (head, rest) = text.rsplit_once('}').expect("an appliance");
    let text = format!(
        "{head}    service greet = greeter on lan {{ greeting \"hi\" }}\n    service news = herald on lan {{ news \"news.txt\" }}\n}}{rest}"
    );
    let crates = format!(
        "crate greeter {{ version \"0.3\" }}\ncrate the-herald {{ git \"{}\"; tag \"v1\" }}\n\nappliance mine",
        world.url()
    );
    std::fs::write(&file, text.replace("appliance mine", &crates)).expect("it can be written");
    std::fs::write(here.join("news.txt"), "one\ntwo\n").expect("it can be written");
    let (code, said) = world.said(&["sync", "mine"]);
    assert_eq!(code, Some(0), "{said}");
    let manifest = std::fs::read_to_string(here.join("Cargo.toml")).expect("the manifest");
    let commit = world.git(&["rev-parse", "v1"]);
    for part in [
        "greeter = { version = \"=0.3.0\"",
        &format!("herald = {{ git = \"{}\", rev = \"{commit}\", package = \"the-herald\"", world.url()),
    ] {
        assert!(manifest.contains(part), "{part}: {manifest}");
    }
    let (code, said) = world.said(&["sync", "--check", "mine"]);
    assert_eq!(code, Some(0), "{said}");

    let cargo = |arguments: &[&str], cache: &Path| {
        let mut command = Command::new("cargo");
        command.args(arguments).current_dir(&here).env("CARGO_HOME", home());
        command.env("CARGO_TARGET_DIR", target());
        command.env("UNIK_CACHE", cache);
        let output = command.output().expect("cargo runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // In a cache that has neither the crates nor the host half: the macro does it all.
    let empty = world.at("cache");
    let (fine, said) = cargo(&["build", "--offline"], &empty);
    assert!(fine, "{said}");
    assert!(empty.join("host").is_dir() && empty.join("crates").is_dir(), "the macro used another cache");

    // What the host half finds shows in the macro's error.
    std::fs::write(here.join("news.txt"), "long".repeat(20)).expect("it can be written");
    let (fine, said) = cargo(&["build", "--offline"], &empty);
    assert!(!fine && said.contains("a line of 80 bytes, 60 is the most"), "{said}");
    std::fs::write(here.join("news.txt"), "one\ntwo\n").expect("it can be written");

    // Out of step: the macro changes no file, and says what does.
    let lock = here.join("mine.unik.lock");
    let text = std::fs::read_to_string(&lock).expect("the lock file");
    std::fs::remove_file(&lock).expect("it is there");
    let (fine, said) = cargo(&["build", "--offline"], &empty);
    assert!(!fine && said.contains("its lock file `mine.unik.lock` isn't there"), "{said}");
    assert!(said.contains("`unikgen check mine.unik` brings it in step") && !lock.exists(), "{said}");
    std::fs::write(&lock, text).expect("it can be written");

    let news = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = Command::new(target().join("debug/mine"));
    command.arg(format!("publish={news}:2001"));
    let mut running = Running::spawn(command);
    running.wait_for("ready", Duration::from_secs(20));
    assert_eq!(exchange(news, b"").expect("the news"), "1. two\n2. one\n");
}

/// What plain cargo builds in.
fn target() -> PathBuf {
    unik_tests::cache().join("fetched-target")
}
