//! The host halves of third parties: each compiled once per version into a helper, which is
//! asked by [`unik_catalogue::helper`].

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use unik_catalogue::Component;
use unik_catalogue::helper::{Answer, Question};
use unik_catalogue::host::{Baked, Finding, HostHalf, Input};
use unik_dsl::Catalogue;
use unik_dsl::diagnostic::{Diagnostic, codes};
use unik_dsl::plan::{CrateSource, Plan};

use crate::cache::{self, Cache, Sources};
use crate::cargo::lacking_linker;
use crate::host::{HostHalves, place_of};
use crate::{Cargo, Error, Fetcher, children, expand};

/// What it takes to build helpers, and to fetch crates.
pub struct Workshop<'a> {
    /// Where they are kept.
    pub cache: &'a Cache,
    /// unik's own sources.
    pub own: &'a Sources,
    /// How to run cargo.
    pub cargo: &'a Cargo,
}

impl<'a> Workshop<'a> {
    /// What brings crates by git and version, with the same tools.
    #[must_use]
    pub fn fetcher(&self, catalogue: &'a Catalogue, fetching: &'a dyn Fn(&str)) -> Fetcher<'a> {
        Fetcher { cache: self.cache, own: self.own, cargo: self.cargo, catalogue, fetching }
    }

    /// Adds to `halves` a helper for each component of the plan that needs one, and tells
    /// `building` the component's name where it must be built first.
    ///
    /// Gives a diagnostic for each that doesn't build.
    ///
    /// # Errors
    /// When cargo can't be run or the cache can't be written.
    pub fn fit_out(
        &self,
        plan: &Plan,
        halves: &mut HostHalves,
        building: &mut dyn FnMut(&str),
    ) -> Result<Vec<Diagnostic>, Error> {
        let mut diagnostics = Vec::new();
        let mut tried: Vec<&str> = Vec::new();
        for (_, node) in plan.instances() {
            let component = &node.component;
            let Some(path) = &component.host else { continue };
            // One of unik's own has a folder that is relative to unik's own sources.
            let own = component.package.folder.is_relative();
            if own || halves.of(&component.name).is_some() || tried.contains(&component.name.as_str()) {
                continue;
            }
            tried.push(&component.name);
            let version = plan.crates.iter().find_map(|named| match &named.source {
                CrateSource::Registry { version } if named.name == component.package.name => {
                    Some(version.as_str())
                }
                _ => None,
            });
            let refused = match self.helper(component, path, version, building) {
                Ok(program) => {
                    halves.add(Box::new(Helper { component: component.name.clone(), program, limit: LIMIT }));
                    continue;
                }
                Err(Error::Cargo { output }) => output,
                Err(Error::Manifest { path, message }) => format!("{}: {message}", path.display()),
                Err(error) => return Err(error),
            };
            let message = format!("the host half of `{}` doesn't build", component.name);
            diagnostics
                .push(Diagnostic::error(codes::BAD_CRATE, place_of(plan, node), message).help(refused));
        }
        Ok(diagnostics)
    }

    /// The helper for `component`, built if it isn't there. `version` is that of a crate that
    /// comes from a registry.
    fn helper(
        &self,
        component: &Component,
        path: &str,
        version: Option<&str>,
        building: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, Error> {
        let mut hash = Sha256::new();
        for text in [self.own.hash.as_str(), path, &component.package.folder.to_string_lossy()] {
            hash.update(text);
            hash.update([0]);
        }
        cache::hash_folder(&component.package.folder, &mut hash)?;
        let key = cache::hex(&hash.finalize()[..6]);
        let folder = self.cache.helper(&key);
        let program = folder.join("helper");
        if program.is_file() {
            return Ok(program);
        }
        // Not the cache's own lock: whoever builds a crate with the macro holds that, and waits
        // for the macro.
        let _lock = self.cache.helper_lock()?;
        if program.is_file() {
            // Another process was faster.
            return Ok(program);
        }
        building(&component.name);
        let package = format!("unik-host-{key}");
        self.write_crate(component, path, version, &package, &folder)?;
        // As for a generated crate: what a patch gives needs no registry.
        let _ = self.cargo.settle_lock(&folder);
        let target = self.cache.helper("target");
        let mut command = self.cargo.command(&folder);
        command.args(["build", "--quiet", "--target-dir"]).arg(&target);
        if self.cargo.offline {
            command.arg("--offline");
        }
        command.env("CARGO_TERM_COLOR", "never");
        let output = children::output(&mut command).map_err(|error| self.cargo.failed(error))?;
        if !output.status.success() {
            if children::is_ending() {
                return Err(Error::Ended);
            }
            if let Some(message) = lacking_linker(&String::from_utf8_lossy(&output.stderr)) {
                return Err(Error::NoLinker { message });
            }
            return Err(Error::Cargo { output: String::from_utf8_lossy(&output.stderr).trim_end().into() });
        }
        let made = target.join("debug").join(&package);
        // Under its name only when it is whole.
        let fresh = folder.join("helper.new");
        fs::copy(&made, &fresh).map_err(|source| Error::Io { path: made, source })?;
        fs::rename(&fresh, &program).map_err(|source| Error::Io { path: program.clone(), source })?;
        Ok(program)
    }

    fn write_crate(
        &self,
        component: &Component,
        path: &str,
        version: Option<&str>,
        package: &str,
        folder: &Path,
    ) -> Result<(), Error> {
        let host = component.package.folder.join("host");
        let manifest = host.join("Cargo.toml");
        let wrong = |message: String| Error::Manifest { path: manifest.clone(), message };
        let toml = |text: &str| toml::Value::String(text.into()).to_string();
        let name = expand::crate_of(path);
        let ty: syn::Path = syn::parse_str(path.trim_start_matches("::"))
            .map_err(|_| wrong(format!("`host = \"{path}\"` of the component is no Rust path of a type")))?;
        let half = match version {
            // Cargo packs no crate inside another: it is published beside it.
            Some(version) if !manifest.exists() => {
                format!(
                    "version = {}, package = {}",
                    toml(&format!("={version}")),
                    toml(&name.replace('_', "-"))
                )
            }
            _ => {
                let text = fs::read_to_string(&manifest)
                    .map_err(|error| wrong(format!("the crate of the host half can't be read: {error}")))?;
                let table: toml::Table =
                    text.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
                let package = table
                    .get("package")
                    .and_then(|package| package.get("name"))
                    .and_then(toml::Value::as_str)
                    .ok_or_else(|| wrong("the package has no name".into()))?;
                format!("path = {}, package = {}", toml(&host.to_string_lossy()), toml(package))
            }
        };
        let own = self.cache.sources(self.own)?;
        let catalogue = toml(&own.join("dsl/catalogue").to_string_lossy());
        let text = manifest_of_helper(&component.name, package, &catalogue, name, &half);
        let main = quote::quote! {
            fn main() -> ::std::process::ExitCode {
                ::unik_catalogue::helper::serve(&<::#ty as ::core::default::Default>::default())
            }
        };
        let lock = fs::read(own.join("Cargo.lock"))
            .map_err(|source| Error::Io { path: own.join("Cargo.lock"), source })?;
        cache::write(&folder.join("Cargo.lock"), &lock)?;
        cache::write(&folder.join("main.rs"), main.to_string().as_bytes())?;
        cache::write(&folder.join("Cargo.toml"), text.as_bytes())
    }
}

/// The manifest of the crate that a host half runs in. No template, so that the macro door, which whoever
/// brings a service waits for, is compiled without an engine for them.
fn manifest_of_helper(component: &str, package: &str, catalogue: &str, name: &str, half: &str) -> String {
    format!(
        r#"# Generated: what the host half of the component `{component}` runs in.
[package]
name = "{package}"
version = "0.0.0"
edition = "2024"
publish = false

[[bin]]
name = "{package}"
path = "main.rs"

# Not part of any workspace around it.
[workspace]

[dependencies]
unik-catalogue = {{ path = {catalogue} }}
{name} = {{ {half} }}

# What the host half finds under this name.
[patch.crates-io]
unik-catalogue = {{ path = {catalogue} }}

# It runs for a moment, and somebody waits for it.
[profile.dev]
debug = false
incremental = false
"#
    )
}

/// A host half in a process of its own.
struct Helper {
    component: String,
    program: PathBuf,
    /// How long it may take to check.
    limit: Duration,
}

/// How long a host half may take to check an instance.
const LIMIT: Duration = Duration::from_secs(60);
/// How many times that it may take to bake: some compress files by the hundred.
const BAKE: u32 = 10;

impl HostHalf for Helper {
    fn component(&self) -> &str {
        &self.component
    }

    fn check(&self, input: &Input) -> Vec<Finding> {
        match self.ask(&Question::Check(input.clone()), input) {
            Ok(answer) => answer.findings,
            Err(finding) => vec![finding],
        }
    }

    fn bake(&self, input: &Input) -> Result<Baked, Vec<Finding>> {
        let answer = self.ask(&Question::Bake(input.clone()), input).map_err(|finding| vec![finding])?;
        answer.baked.ok_or(answer.findings)
    }
}

impl Helper {
    fn ask(&self, question: &Question, input: &Input) -> Result<Answer, Finding> {
        let fail = |message: String| {
            Finding::error(None, format!("the host half of `{}` {message}", self.component))
        };
        let text = serde_json::to_vec(question).map_err(|error| fail(format!("can't be asked: {error}")))?;
        let limit = match question {
            Question::Check(_) => self.limit,
            Question::Bake(_) => self.limit * BAKE,
        };
        let output = children::answer(&mut children::command(self.program.as_os_str()), text, limit)
            .map_err(|error| fail(format!("can't be started: {error}")))?
            .ok_or_else(|| {
                fail(format!("gives no answer within {} s, and was ended", limit.as_secs()))
                    .help("it hangs, or has too much to do")
            })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(fail(format!("ended with {}", output.status)).help(said.trim_end()));
        }
        let last = output.stdout.trim_ascii_end().rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
        let answer: Answer =
            serde_json::from_slice(last).map_err(|error| fail(format!("gives no answer: {error}")))?;
        input.depends_on(answer.dependencies.iter().cloned());
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn hash_of(folder: &Path) -> Vec<u8> {
        let mut hash = Sha256::new();
        cache::hash_folder(folder, &mut hash).unwrap();
        hash.finalize().to_vec()
    }

    #[test]
    fn sources_count_and_what_cargo_makes_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| cache::write(&folder.path().join(name), text.as_bytes()).unwrap();
        write("host/src/lib.rs", "a");
        let first = hash_of(folder.path());
        write("host/target/debug/x", "x");
        write(".git/HEAD", "x");
        assert_eq!(hash_of(folder.path()), first);
        write("host/src/lib.rs", "b");
        assert_ne!(hash_of(folder.path()), first);
    }

    #[test]
    fn a_helper_that_goes_wrong_is_a_finding() {
        let input = Input::new("x", BTreeMap::new(), BTreeMap::new(), "machine");
        for (program, part) in [
            ("/nowhere/at/all", "can't be started"),
            ("/bin/false", "ended with"),
            ("/bin/true", "gives no answer"),
        ] {
            let helper = Helper { component: "thing".into(), program: program.into(), limit: LIMIT };
            let findings = helper.check(&input);
            assert!(findings[0].message.contains(part), "{findings:?}");
            assert!(findings[0].message.contains("`thing`"), "{findings:?}");
            assert!(helper.bake(&input).is_err());
        }
        let yes = Helper { component: "thing".into(), program: "/usr/bin/yes".into(), limit: Duration::ZERO };
        let findings = yes.check(&input);
        assert!(findings[0].message.contains("`thing` gives no answer within 0 s"), "{findings:?}");
    }
}
