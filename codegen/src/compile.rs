//! One build by cargo, its messages read.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use serde::Deserialize;

use crate::cargo::{Cargo, TRIPLE, lacking_linker};
use crate::fault::Fault;
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
    pub(crate) fn build(&self, build: &Build, step: &mut dyn FnMut(&str, bool)) -> Result<Made, Stopped> {
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
            let ended = children::is_ending();
            return Err(if ended { Error::Ended.into() } else { read.into_error(&stderr, status) });
        }
        let executable =
            read.executable.ok_or_else(|| Error::Cargo { output: "there is no binary".into() })?;
        Ok(Made { executable, fresh: read.fresh, warnings: read.warnings })
    }
}

/// Why there is no binary.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// Errors of the compiler.
    Faults(Vec<Fault>),
    /// Anything else.
    Other(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Stopped {
        Stopped::Other(error)
    }
}

/// What was read from cargo's messages so far.
#[derive(Default)]
struct Messages {
    executable: Option<PathBuf>,
    fresh: bool,
    errors: Vec<Fault>,
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
                let rendered = diagnostic.rendered.clone().unwrap_or_else(|| diagnostic.message.clone());
                if diagnostic.level == "error" {
                    let name = target.map_or(String::new(), |target| target.name);
                    if diagnostic.code.as_ref().is_some_and(|code| code.code == "E0152") {
                        self.leaks_std
                            .get_or_insert_with(|| who_leaks(&rendered).unwrap_or_else(|| name.clone()));
                    }
                    let manifest = message.manifest_path.unwrap_or_default();
                    self.errors.push(diagnostic.into_fault(name, manifest, rendered));
                } else if diagnostic.level == "warning"
                    && message.manifest_path.is_some_and(|path| path == build.folder.join("Cargo.toml"))
                {
                    self.warnings.push(rendered);
                }
            }
            _ => {}
        }
    }

    fn into_error(self, stderr: &str, status: ExitStatus) -> Stopped {
        if let Some(package) = self.leaks_std {
            return Error::NeedsStd { package }.into();
        }
        // Of a build script cargo says in which crate, of a link rustc says why.
        let linker = self.errors.iter().find_map(|fault| lacking_linker(&fault.rendered));
        if let Some(message) = linker.or_else(|| lacking_linker(stderr)) {
            return Error::NoLinker { message }.into();
        }
        if !self.errors.is_empty() {
            return Stopped::Faults(self.errors);
        }
        let output = {
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
        };
        // Out of memory, or ended by somebody: it had no time for a word.
        let output = if output.trim().is_empty() { format!("cargo ended with {status}") } else { output };
        Error::Cargo { output: output.trim_end().into() }.into()
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
    #[serde(default)]
    spans: Vec<Span>,
    #[serde(default)]
    children: Vec<Child>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
struct Span {
    #[serde(default)]
    is_primary: bool,
    label: Option<String>,
    suggested_replacement: Option<String>,
    expansion: Option<Box<MacroUse>>,
}

#[derive(Deserialize)]
struct MacroUse {
    macro_decl_name: String,
    span: Span,
}

#[derive(Deserialize)]
struct Child {
    #[serde(default)]
    spans: Vec<Span>,
}

impl Span {
    /// Whether it is in what `unik::appliance!` wrote.
    fn is_in_macro(&self) -> bool {
        self.expansion.as_deref().is_some_and(|used| {
            used.macro_decl_name.trim_end_matches('!').rsplit("::").next() == Some("appliance")
                || used.span.is_in_macro()
        })
    }
}

impl Diagnostic {
    fn into_fault(self, name: String, manifest: PathBuf, rendered: String) -> Fault {
        let mut primary = self.spans.iter().filter(|span| span.is_primary).peekable();
        let in_macro = primary.peek().is_some() && primary.all(Span::is_in_macro);
        let instead = self.children.iter().flat_map(|child| &child.spans);
        Fault {
            name,
            manifest,
            code: self.code.map(|code| code.code),
            message: self.message,
            labels: self.spans.iter().filter_map(|span| span.label.clone()).collect(),
            in_macro,
            instead: instead.filter_map(|span| span.suggested_replacement.clone()).next(),
            rendered,
        }
    }
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
        let Stopped::Other(error) = messages.into_error("", ExitStatus::default()) else {
            panic!("no error")
        };
        let error = error.to_string();
        assert!(error.contains("`leaky` needs the Rust standard library"), "{error}");
    }

    #[test]
    fn what_the_macro_wrote_is_told_from_what_the_user_did() {
        let span = |expansion: serde_json::Value| serde_json::json!({ "is_primary": true, "label": "here", "expansion": expansion });
        let by_macro =
            serde_json::json!({ "macro_decl_name": "unik::appliance!", "span": { "is_primary": false } });
        let by_other = serde_json::json!({ "macro_decl_name": "println!", "span": { "is_primary": false } });
        for (spans, in_macro) in [
            (vec![span(by_macro.clone())], true),
            (vec![span(serde_json::Value::Null)], false),
            (vec![span(by_other)], false),
            (vec![span(by_macro), span(serde_json::Value::Null)], false),
            (vec![], false),
        ] {
            let json = serde_json::json!({
                "message": "m", "level": "error", "spans": spans,
                "children": [{ "spans": [{ "suggested_replacement": "count" }] }],
            });
            let read: Diagnostic = serde_json::from_value(json).unwrap();
            let fault = read.into_fault("mine".into(), "Cargo.toml".into(), String::new());
            assert_eq!(fault.in_macro, in_macro);
            assert_eq!(fault.instead.as_deref(), Some("count"));
        }
    }
}
