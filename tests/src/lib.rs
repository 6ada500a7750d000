//! Whole appliances: real images, real monitors, real clients.
//!
//! What the tests in `tests/` share: the built command, the machines that there are, an
//! appliance that runs and is stopped when it is dropped, and a network of one's own.
//!
//! Nothing is skipped silently: where a machine kind can't run here, the test prints which
//! and why.
#![deny(unsafe_code)]

pub mod cable;
pub mod client;
pub mod flood;
pub mod guest;
pub mod hub;
pub mod machine;
pub mod namespace;
pub mod peer;
pub mod project;
pub mod recorder;
pub mod rig;
pub mod running;
pub mod tap;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The root of the repository.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The command under test, built once in release mode.
///
/// # Panics
/// When it doesn't build.
pub fn unikgen() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let target = target_folder();
        let status = Command::new(cargo)
            .args(["build", "--release", "--locked", "--quiet", "-p", "unikgen", "--target-dir"])
            .arg(&target)
            .current_dir(root())
            .status()
            .expect("cargo runs");
        assert!(status.success(), "unikgen doesn't build");
        target.join("release/unikgen")
    })
}

/// A `unikgen` command with the tests' own cache, so that they neither use nor fill the
/// person's.
#[must_use]
pub fn unikgen_command() -> Command {
    let mut command = Command::new(unikgen());
    command.env("UNIK_CACHE", cache()).env("NO_COLOR", "1").current_dir(root());
    command
}

/// The tests' own cache of generated crates and images: one for each of the lanes in which `tests/run`
/// runs files side by side, since only one build at a time may use a cache.
#[must_use]
pub fn cache() -> PathBuf {
    match std::env::var("UNIK_TEST_LANE") {
        Ok(lane) => target_folder().join(format!("unik-cache-{lane}")),
        Err(_) => target_folder().join("unik-cache"),
    }
}

/// A folder for what a test writes.
///
/// # Panics
/// When it can't be made.
#[must_use]
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Builds an image, and gives its path.
///
/// # Panics
/// When it doesn't build; the command's output is in the message.
pub fn build(file: &Path, arguments: &[&str]) -> PathBuf {
    let name = file.file_stem().and_then(|s| s.to_str()).unwrap_or("appliance");
    let folder = cache().join("test-images");
    std::fs::create_dir_all(&folder).expect("a folder for images");
    let key = format!("{name}-{}", arguments.join("-").replace(['/', '=', ' '], "_"));
    let image = folder.join(key);
    let output = unikgen_command()
        .arg("build")
        .arg(file)
        .arg("-o")
        .arg(&image)
        .args(arguments)
        .output()
        .expect("unikgen runs");
    assert!(
        output.status.success(),
        "unikgen build {} failed:\n{}{}",
        file.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    image
}

/// The unstripped twin of an image that [`build`] built: the cache keeps it beside its own
/// copy of the image.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn twin(image: &Path) -> PathBuf {
    let bytes = std::fs::read(image).expect("the image is there");
    let works = std::fs::read_dir(cache().join("work")).expect("the cache has builds").flatten();
    works
        .map(|work| work.path())
        .find(|work| std::fs::read(work.join("image.elf")).is_ok_and(|other| other == bytes))
        .map(|work| work.join("image.twin.elf"))
        .expect("the cache keeps the image")
}

/// Copies the files of `from`, and those below it, into `to`.
///
/// # Panics
/// When one can't be read or written.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("the folder is there").flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_folder(&source, &target);
        } else {
            std::fs::copy(&source, &target).expect("a copy");
        }
    }
}

/// One of the examples.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    root().join("examples").join(name)
}

fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
