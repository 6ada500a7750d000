//! One build by cargo, its messages read.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use serde::Deserialize;

use crate::cargo::{Cargo, TRIPLE, lacking_linker};
use crate::{Error, children};

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

impl Cargo {
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
