//! Cargo, driven.
//!
//! What the user has set up for their own builds doesn't reach these: flags, profiles,
//! target folders and wrappers come from here alone. What says how to reach a registry does.

use std::ffi::OsString;
use std::path::Path;
#[cfg(feature = "image")]
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{Error, children};

/// The one target triple.
pub const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// How cargo is to be run.
#[derive(Clone, Debug, Default)]
pub struct Cargo {
    /// The program; `cargo` when `None`.
    pub program: Option<OsString>,
    /// Don't use the network.
    pub offline: bool,
    /// Don't take other versions of crates than the lock file has.
    pub locked: bool,
}

/// The compiler that builds.
#[cfg(feature = "image")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rustc {
    /// As it says itself: `1.95.0 (59807616e 2026-04-14)`.
    pub version: String,
    /// The commit that it was made from, in full.
    pub commit: String,
    /// The folder that it is installed in.
    pub sysroot: PathBuf,
}

/// Variables of the environment that cargo and rustc obey, and that mean another build.
fn is_foreign(name: &str) -> bool {
    let kept =
        ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_TERM_"];
    let other = [
        "RUSTFLAGS",
        "RUSTDOCFLAGS",
        "MAKEFLAGS",
        "MFLAGS",
        "TARGET",
        "HOST",
        "OUT_DIR",
        "PROFILE",
        "OPT_LEVEL",
        "DEBUG",
        "NUM_JOBS",
    ];
    (name == "CARGO"
        || name.starts_with("CARGO_")
        || name.starts_with("__CARGO")
        || name.starts_with("RUSTC")
        || other.contains(&name))
        && !kept.iter().any(|prefix| name.starts_with(prefix))
}

impl Cargo {
    /// A command that starts in `folder`, without what other builds put in the environment.
    pub(crate) fn command(&self, folder: &Path) -> Command {
        let program = self.program.as_deref().unwrap_or("cargo".as_ref());
        self.prepared(children::command(program), folder)
    }

    fn prepared(&self, mut command: Command, folder: &Path) -> Command {
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(is_foreign) {
                command.env_remove(name);
            }
        }
        // An empty one switches off a wrapper from the configuration.
        command.env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "");
        command.current_dir(folder).stdin(Stdio::null());
        command
    }

    pub(crate) fn failed(&self, source: std::io::Error) -> Error {
        if children::is_ending() {
            return Error::Ended;
        }
        let program = self.program.as_deref().unwrap_or("cargo".as_ref());
        Error::NoCargo { program: program.to_string_lossy().into_owned(), source }
    }

    /// The compiler that cargo takes in `folder`.
    #[cfg(feature = "image")]
    pub(crate) fn rustc(&self, folder: &Path) -> Result<Rustc, Error> {
        let says = self.ask_rustc(folder, &["-vV"])?;
        let value = |key: &str| says.lines().find_map(|line| line.strip_prefix(key));
        let odd = || Error::Cargo { output: format!("rustc -vV says what can't be understood:\n{says}") };
        let sysroot = self.ask_rustc(folder, &["--print", "sysroot"])?;
        Ok(Rustc {
            version: value("rustc ").ok_or_else(odd)?.into(),
            commit: value("commit-hash: ").ok_or_else(odd)?.into(),
            sysroot: sysroot.trim_end().into(),
        })
    }

    #[cfg(feature = "image")]
    fn ask_rustc(&self, folder: &Path, arguments: &[&str]) -> Result<String, Error> {
        let mut command = self.prepared(Command::new("rustc"), folder);
        let output = command
            .args(arguments)
            .output()
            .map_err(|source| Error::NoCargo { program: "rustc".into(), source })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Error::Cargo { output: String::from_utf8_lossy(&output.stderr).into_owned() })
    }

    /// What cargo says of the packages of the crate in `folder`, as the machine's image is
    /// built from them: JSON. Nothing is fetched: a build came before.
    #[cfg(feature = "image")]
    pub(crate) fn metadata(&self, folder: &Path) -> Result<Vec<u8>, Error> {
        let mut command = self.command(folder);
        command.args(["metadata", "--format-version=1", "--quiet", "--offline", "--filter-platform", TRIPLE]);
        // What chooses the machine's dependencies.
        command.env("CARGO_ENCODED_RUSTFLAGS", "--cfg=unik_machine");
        let output = children::output(&mut command).map_err(|error| self.failed(error))?;
        if !output.status.success() {
            return Err(Error::Cargo { output: String::from_utf8_lossy(&output.stderr).trim_end().into() });
        }
        Ok(output.stdout)
    }

    /// Puts the crate in `folder` into its lock file without changing the rest of it.
    pub(crate) fn settle_lock(&self, folder: &Path) -> Result<(), Error> {
        let mut command = self.command(folder);
        command.args(["update", "--workspace", "--offline", "--quiet"]);
        let output = children::output(&mut command).map_err(|error| self.failed(error))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Cargo { output: String::from_utf8_lossy(&output.stderr).into_owned() })
    }
}

/// What is missing, if it is the C compiler or the C library, from what rustc or the linker
/// says.
pub(crate) fn lacking_linker(said: &str) -> Option<String> {
    if let Some((_, rest)) = said.split_once("error: linker `")
        && let Some((name, after)) = rest.split_once('`')
        && after.starts_with(" not found")
        // That one comes with Rust.
        && name != "rust-lld"
    {
        return Some(format!("there is no `{name}`"));
    }
    // The parts of the C library and of the compiler that every program is linked with.
    ["Scrt1.o", "crt1.o", "crti.o", "crtbeginS.o", "-lc", "-lgcc_s", "-lgcc"].iter().find_map(|part| {
        let lacks = said.lines().any(|line| {
            line.split_once("cannot find ").is_some_and(|(_, rest)| {
                rest.strip_prefix(part).is_some_and(|after| !after.starts_with(char::is_alphanumeric))
            })
        });
        lacks.then(|| format!("the linker doesn't find `{part}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_of_other_builds_is_left_out() {
        for name in [
            "RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_MANIFEST_DIR",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTC_WRAPPER",
            "CARGO",
            "CARGO_PROFILE_RELEASE_LTO",
            "MAKEFLAGS",
        ] {
            assert!(is_foreign(name), "{name}");
        }
        for name in [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "CARGO_HTTP_PROXY",
            "CARGO_REGISTRIES_MINE_TOKEN",
            "RUSTUP_HOME",
            "https_proxy",
        ] {
            assert!(!is_foreign(name), "{name}");
        }
    }

    #[test]
    fn a_lacking_linker_is_seen() {
        for (said, wanted) in [
            ("error: linker `cc` not found\n  |\n  = note: No such file", Some("there is no `cc`")),
            (
                "/usr/bin/ld: cannot find Scrt1.o: No such file or directory\ncollect2: error",
                Some("the linker doesn't find `Scrt1.o`"),
            ),
            ("/usr/bin/ld: cannot find -lc: No such file", Some("the linker doesn't find `-lc`")),
            ("/usr/bin/ld: cannot find -lcrypto: No such file", None),
            ("error: linking with `cc` failed", None),
        ] {
            assert_eq!(lacking_linker(said).as_deref(), wanted, "{said}");
        }
    }
}
