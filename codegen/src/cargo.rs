//! Cargo, driven.
//!
//! What the user has set up for their own builds doesn't reach these: flags, profiles,
//! target folders and wrappers come from here alone. What says how to reach a registry does.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use serde::Deserialize;

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

/// One build of one binary.
#[derive(Clone, Debug)]
pub(crate) struct Build<'a> {
    /// The folder of the crate.
    pub folder: &'a Path,
    /// The binary.
    pub binary: &'a str,
    /// The target folder.
    pub target: &'a Path,
    /// The profile, or `--config` arguments that make it.
    pub config: Vec<String>,
    /// Flags for every crate.
    pub flags: Vec<String>,
    /// Flags for the last crate: others needn't be rebuilt when these change.
    pub last: Vec<String>,
}

/// What cargo made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// The binary.
    pub executable: PathBuf,
    /// Whether it was there already.
    pub fresh: bool,
    /// Warnings of the compiler on the crate itself.
    pub warnings: Vec<String>,
}

/// The compiler that builds.
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
        self.command_of(self.program.clone().unwrap_or_else(|| "cargo".into()), folder)
    }

    fn command_of(&self, program: OsString, folder: &Path) -> Command {
        let mut command = Command::new(program);
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

    fn ask_rustc(&self, folder: &Path, arguments: &[&str]) -> Result<String, Error> {
        let mut command = self.command_of("rustc".into(), folder);
        let output = command
            .args(arguments)
            .output()
            .map_err(|source| Error::NoCargo { program: "rustc".into(), source })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Error::Cargo { output: String::from_utf8_lossy(&output.stderr).into_owned() })
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

    /// Builds. `step` is told the name of each crate when it is done.
    pub(crate) fn build(&self, build: &Build, step: &mut dyn FnMut(&str, bool)) -> Result<Made, Error> {
        let mut command = self.command(build.folder);
        command.args(["rustc", "--bin", build.binary, "--target", TRIPLE, "--message-format", "json"]);
        command.arg("--target-dir").arg(build.target);
        for config in &build.config {
            command.arg("--config").arg(config);
        }
        command.args(["--profile", "image"]);
        if self.offline {
            command.arg("--offline");
        }
        if self.locked {
            command.arg("--locked");
        }
        command.arg("--").args(&build.last);
        command.env("CARGO_ENCODED_RUSTFLAGS", build.flags.join("\x1f"));
        command.env("CARGO_TERM_COLOR", "never");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = children::spawn(&mut command).map_err(|error| self.failed(error))?;
        let mut said = running.child.stderr.take();
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(said) = &mut said {
                // What was read until an error is still worth showing.
                let _ = said.read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut read = Messages::default();
        if let Some(stdout) = running.child.stdout.take() {
            for line in BufReader::new(stdout).lines() {
                let line = line.map_err(|error| self.failed(error))?;
                read.take(&line, build, step);
            }
        }
        let status = running.wait().map_err(|error| self.failed(error))?;
        let stderr = stderr.join().unwrap_or_default();
        if !status.success() {
            // What it says of its end by our own hand is no news.
            let error = if children::is_ending() { Error::Ended } else { read.into_error(&stderr, status) };
            return Err(error);
        }
        let executable =
            read.executable.ok_or_else(|| Error::Cargo { output: "cargo made no binary".into() })?;
        Ok(Made { executable, fresh: read.fresh, warnings: read.warnings })
    }
}

/// What was read from cargo's messages so far.
#[derive(Default)]
struct Messages {
    executable: Option<PathBuf>,
    fresh: bool,
    errors: Vec<String>,
    warnings: Vec<String>,
    leaks_std: Option<String>,
}

impl Messages {
    fn take(&mut self, line: &str, build: &Build, step: &mut dyn FnMut(&str, bool)) {
        // A build script may print what is no message.
        let Ok(message) = serde_json::from_str::<Message>(line) else { return };
        match (message.reason.as_str(), message.target, message.message) {
            ("compiler-artifact", Some(target), _) => {
                step(&target.name, message.fresh);
                if target.name == build.binary && message.executable.is_some() {
                    self.executable = message.executable;
                    self.fresh = message.fresh;
                }
            }
            ("compiler-message", target, Some(diagnostic)) => {
                let rendered = diagnostic.rendered.unwrap_or(diagnostic.message);
                if diagnostic.level == "error" {
                    if diagnostic.code.is_some_and(|code| code.code == "E0152") {
                        let name = target.map_or(String::new(), |target| target.name);
                        self.leaks_std.get_or_insert_with(|| who_leaks(&rendered).unwrap_or(name));
                    }
                    self.errors.push(rendered);
                } else if diagnostic.level == "warning"
                    && message.manifest_path.is_some_and(|path| path == build.folder.join("Cargo.toml"))
                {
                    self.warnings.push(rendered);
                }
            }
            _ => {}
        }
    }

    fn into_error(self, stderr: &str, status: ExitStatus) -> Error {
        if let Some(package) = self.leaks_std {
            return Error::NeedsStd { package };
        }
        // Of a build script cargo says in which crate, of a link rustc says why.
        if let Some(message) = lacking_linker(&self.errors.concat()).or_else(|| lacking_linker(stderr)) {
            return Error::NoLinker { message };
        }
        let output = if self.errors.is_empty() {
            let progress = [
                "Compiling ",
                "Blocking ",
                "Downloading ",
                "Downloaded ",
                "Updating ",
                "Locking ",
                "Adding ",
            ];
            let lines = stderr
                .lines()
                .filter(|line| !progress.iter().any(|word| line.trim_start().starts_with(word)));
            lines.collect::<Vec<_>>().join("\n")
        } else {
            self.errors.concat()
        };
        // Out of memory, or ended by somebody: it had no time for a word.
        let output = if output.trim().is_empty() { format!("cargo ended with {status}") } else { output };
        Error::Cargo { output: output.trim_end().into() }
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

/// The crate that brings the standard library in, from rustc's words on E0152: "the lang
/// item is first defined in crate `std` (which `leaky` depends on)".
fn who_leaks(rendered: &str) -> Option<String> {
    let (_, after) = rendered.split_once("in crate `std` (which `")?;
    after.split_once('`').map(|(name, _)| name.to_string())
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    target: Option<CargoTarget>,
    #[serde(default)]
    fresh: bool,
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    message: Option<Diagnostic>,
}

#[derive(Deserialize)]
struct CargoTarget {
    name: String,
}

#[derive(Deserialize)]
struct Diagnostic {
    message: String,
    level: String,
    code: Option<Code>,
    rendered: Option<String>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
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

    #[test]
    fn rustc_names_the_crate_that_leaks_std() {
        let rendered = "error[E0152]: found duplicate lang item `panic_impl`\n  = note: the lang item is first defined in crate `std` (which `leaky` depends on)\n";
        assert_eq!(who_leaks(rendered).as_deref(), Some("leaky"));
        let line = serde_json::json!({
            "reason": "compiler-message", "target": { "name": "x" },
            "message": { "message": "m", "level": "error", "code": { "code": "E0152" }, "rendered": rendered }
        });
        let build = Build {
            folder: Path::new("/"),
            binary: "x",
            target: Path::new("/"),
            config: Vec::new(),
            flags: Vec::new(),
            last: Vec::new(),
        };
        let mut messages = Messages::default();
        messages.take("no json", &build, &mut |_, _| {});
        messages.take(&line.to_string(), &build, &mut |_, _| {});
        let error = messages.into_error("", ExitStatus::default()).to_string();
        assert!(error.contains("`leaky` needs the Rust standard library"), "{error}");
    }
}
