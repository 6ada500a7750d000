//! What cargo built the image from: the packages of its dependency graph, and which of them a
//! source file is of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;

/// A package that cargo built into the image: linked, or at least offered to the linker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence, as an SPDX expression, if it says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// The component that it is, if it has a component's table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// Whether it comes from a registry or a git repository, and not from a folder.
    #[serde(default)]
    pub registry: bool,
    /// Where from exactly, as cargo writes it:
    /// `registry+https://github.com/rust-lang/crates.io-index`, `git+https://…#COMMIT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The SHA-256 of what the registry has, by the lock file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// The folder of its sources as line tables name it; empty for those that cargo unpacked
    /// from a registry, whose folder has their name and version.
    #[serde(default)]
    pub folder: String,
    /// The packages that it depends on, by name and version.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Where its sources are on this machine; not part of a report.
    #[serde(skip)]
    pub place: PathBuf,
}

impl Package {
    /// `smoltcp 0.14.0`
    #[must_use]
    pub fn id(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

/// What a source file is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceOf {
    /// A package of the build, by its index.
    Package(usize),
    /// A crate of Rust's own library: `core`, `alloc`, or one that these bring along.
    Library(String),
    /// Nothing that the build knows.
    Unknown,
}

/// Reads `cargo metadata` of the crate in a folder: what is linked, from the crate itself
/// down, without what only runs while building. `named` gives a folder the name that line
/// tables have for it. The checksums are those of the lock file that cargo built by.
///
/// # Errors
/// [`Error::Image`] when it isn't what cargo writes.
pub fn read_metadata(json: &[u8], named: &dyn Fn(&Path) -> String) -> Result<Vec<Package>, Error> {
    let metadata: Metadata = serde_json::from_slice(json)
        .map_err(|error| super::bad(format!("what cargo says of its packages can't be read: {error}")))?;
    let lock = metadata.workspace_root.as_ref().map(|root| std::fs::read_to_string(root.join("Cargo.lock")));
    let checksums = lock.and_then(Result::ok).map(|text| checksums(&text)).unwrap_or_default();
    let packages: BTreeMap<&str, &MetaPackage> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let nodes: BTreeMap<&str, &MetaNode> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let is_linked = |id: &str| {
        packages.get(id).is_some_and(|package| {
            !package.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
        })
    };
    let below = |id: &str| -> Vec<String> {
        let deps = nodes.get(id).map_or(&[][..], |node| node.deps.as_slice());
        let linked = deps.iter().filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind.is_none()));
        linked.map(|dep| dep.pkg.clone()).filter(|id| is_linked(id)).collect()
    };
    let root = metadata.resolve.root.ok_or_else(|| super::bad("cargo names no crate as the image's"))?;
    let mut open = vec![root];
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let Some(package) = packages.get(id.as_str()) else { continue };
        let needed = below(&id);
        let mut needs: Vec<String> = needed
            .iter()
            .filter_map(|id| packages.get(id.as_str()))
            .map(|package| format!("{} {}", package.name, package.version))
            .collect();
        needs.sort();
        let registry = package.source.is_some();
        let component = package.metadata.as_ref().and_then(|metadata| {
            Some(metadata.get("unik")?.get("name")?.as_str()?.to_string()).filter(|name| !name.is_empty())
        });
        found.push(Package {
            name: package.name.clone(),
            version: package.version.clone(),
            licence: package.license.clone(),
            component,
            registry,
            checksum: package
                .source
                .as_ref()
                .and_then(|source| {
                    checksums.get(&(package.name.clone(), package.version.clone(), source.clone()))
                })
                .cloned(),
            source: package.source.clone(),
            folder: match package.manifest_path.parent().map(named) {
                Some(folder) if !(registry && folder.contains(UNPACKED)) => folder,
                _ => String::new(),
            },
            needs,
            place: package.manifest_path.parent().map(Path::to_path_buf).unwrap_or_default(),
        });
        open.extend(needed);
    }
    // The first is the image's own crate; the others by name.
    found[1..].sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(found)
}

/// The checksums of a lock file, by name, version and source. Nothing where it can't be read:
/// what has none is shown without.
fn checksums(lock: &str) -> BTreeMap<(String, String, String), String> {
    let lock: Lock = toml::from_str(lock).unwrap_or_default();
    lock.package
        .into_iter()
        .filter_map(|package| Some(((package.name, package.version, package.source?), package.checksum?)))
        .collect()
}

/// A path of a line table, as seen from the crate that the image was built from: what the
/// build called `/work/unik-web-0123/unik/runtime/src/lib.rs` is `unik/runtime/src/lib.rs`.
/// The first image that needed a crate gave the folder its name.
#[must_use]
pub fn inside(path: &str) -> String {
    let inside =
        path.strip_prefix(WORK).and_then(|rest| rest.split_once('/')).map_or(path, |(_, inside)| inside);
    // What a crate of the user's own calls unik's sources.
    match inside.strip_prefix(".unik/src/") {
        Some(rest) => format!("unik/{rest}"),
        None => inside.into(),
    }
}

/// Where cargo unpacks what comes from a registry, inside of its home.
const UNPACKED: &str = "/registry/src/";

/// Where crates are built, as line tables name it: the build maps its folders to this.
const WORK: &str = "/work/";

/// Which package a source file is of, by its [`inside`] path, and the file in that package:
/// `src/wire/tcp.rs`.
#[must_use]
pub fn source_of(path: &str, packages: &[Package]) -> (SourceOf, String) {
    if let Some((_, rest)) = path.split_once("/library/").filter(|_| path.starts_with("/rustc/")) {
        // library/core/src/../../stdarch/crates/core_arch/src/x86/sse2.rs is compiled into core.
        let (name, module) = rest.split_once('/').unwrap_or((rest, ""));
        return (SourceOf::Library(name.into()), module.into());
    }
    // The longest folder: a package may lie inside another one's.
    let of_folder = packages
        .iter()
        .enumerate()
        .filter(|(_, package)| !package.folder.is_empty() && package.folder != ".")
        .filter_map(|(at, package)| Some((at, path.strip_prefix(&package.folder)?.strip_prefix('/')?)))
        .min_by_key(|(_, module)| module.len());
    if let Some((at, module)) = of_folder {
        return (SourceOf::Package(at), module.into());
    }
    // …/registry/src/INDEX/NAME-VERSION/src/lib.rs; Rust's library keeps its own elsewhere.
    let inside = path.split_once(UNPACKED).and_then(|(_, rest)| rest.split_once('/'));
    let vendored = path.split_once("/rust/deps/");
    if let Some((_, rest)) = inside.or(vendored) {
        let (folder, module) = rest.split_once('/').unwrap_or((rest, ""));
        let of = packages
            .iter()
            .position(|package| {
                package.registry
                    && folder
                        .strip_prefix(package.name.as_str())
                        .and_then(|rest| rest.strip_prefix('-'))
                        .is_some_and(|version| version == package.version)
            })
            .filter(|_| vendored.is_none());
        return match of {
            Some(at) => (SourceOf::Package(at), module.into()),
            None => {
                let (name, _) = split_version(folder);
                let known = ["compiler_builtins", "hashbrown", "memchr", "libm", "cfg-if"].contains(&name);
                let of = if known || vendored.is_some() {
                    SourceOf::Library(name.into())
                } else {
                    SourceOf::Unknown
                };
                (of, module.into())
            }
        };
    }
    // The image's own crate, which stands around all others.
    match packages.first() {
        Some(own) if own.folder == "." && !path.is_empty() && !path.starts_with(['/', '<']) => {
            let other = ["unik/", "crates-"].iter().any(|folder| path.starts_with(folder));
            (if other { SourceOf::Unknown } else { SourceOf::Package(0) }, path.into())
        }
        _ => (SourceOf::Unknown, path.into()),
    }
}

/// `smoltcp-0.14.0` → its name and version.
fn split_version(folder: &str) -> (&str, &str) {
    folder
        .match_indices('-')
        .find(|(at, _)| folder[at + 1..].starts_with(|c: char| c.is_ascii_digit()))
        .map_or((folder, ""), |(at, _)| (&folder[..at], &folder[at + 1..]))
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: Option<PathBuf>,
    packages: Vec<MetaPackage>,
    resolve: Resolve,
}

#[derive(Default, Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<LockPackage>,
}

#[derive(Deserialize)]
struct LockPackage {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

#[derive(Deserialize)]
struct MetaPackage {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    manifest_path: PathBuf,
    metadata: Option<serde_json::Value>,
    targets: Vec<MetaTarget>,
}

#[derive(Deserialize)]
struct MetaTarget {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    root: Option<String>,
    nodes: Vec<MetaNode>,
}

#[derive(Deserialize)]
struct MetaNode {
    id: String,
    deps: Vec<MetaDep>,
}

#[derive(Deserialize)]
struct MetaDep {
    pkg: String,
    dep_kinds: Vec<MetaKind>,
}

#[derive(Deserialize)]
struct MetaKind {
    kind: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_files_are_of_packages() {
        let package = |name: &str, version: &str, folder: &str| Package {
            name: name.into(),
            version: version.into(),
            folder: folder.into(),
            registry: folder.is_empty(),
            ..Package::default()
        };
        let packages = [
            package("unik-web-1", "0.0.0", "."),
            package("smoltcp", "0.14.0", ""),
            package("unik-ip", "0.1.0", "unik/device-lib/ip"),
            package("inner", "1.0.0", "unik/device-lib/ip/inner"),
            package("friend", "1.0.0", "/cargo/git/checkouts/town-1/2/friend"),
        ];
        let of = |path: &str| source_of(path, &packages);
        let registry = "/cargo/registry/src/index.crates.io-1949cf8c6b5b557f";
        assert_eq!(
            of(&format!("{registry}/smoltcp-0.14.0/src/wire/tcp.rs")),
            (SourceOf::Package(1), "src/wire/tcp.rs".into())
        );
        assert_eq!(of(&format!("{registry}/smoltcp-0.13.0/src/lib.rs")).0, SourceOf::Unknown);
        assert_eq!(of("unik/device-lib/ip/src/lib.rs"), (SourceOf::Package(2), "src/lib.rs".into()));
        assert_eq!(of("unik/device-lib/ip/inner/src/lib.rs").0, SourceOf::Package(3));
        assert_eq!(of("unik/device-lib/ip2/src/lib.rs").0, SourceOf::Unknown);
        assert_eq!(
            of("/cargo/git/checkouts/town-1/2/friend/src/lib.rs"),
            (SourceOf::Package(4), "src/lib.rs".into())
        );
        assert_eq!(of("/cargo/git/checkouts/town-1/2/other/src/lib.rs").0, SourceOf::Unknown);
        assert_eq!(of("src/main.rs"), (SourceOf::Package(0), "src/main.rs".into()));
        assert_eq!(of("/home/someone/else.rs").0, SourceOf::Unknown);
        assert_eq!(of("/rustc/5980/library/core/src/str/mod.rs").0, SourceOf::Library("core".into()));
        assert_eq!(of("").0, SourceOf::Unknown);
        assert_eq!(inside("/work/unik-web-1/unik/runtime/src/lib.rs"), "unik/runtime/src/lib.rs");
        assert_eq!(inside("/work/app/.unik/src/runtime/src/lib.rs"), "unik/runtime/src/lib.rs");
        assert_eq!(inside("/rustc/1/library/core/src/lib.rs"), "/rustc/1/library/core/src/lib.rs");
        assert_eq!(split_version("ppv-lite86-0.2.21"), ("ppv-lite86", "0.2.21"));
    }

    #[test]
    fn checksums_are_those_of_the_lock_file() {
        let lock = "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
            [[package]]\nname = \"b\"\nversion = \"2.0.0\"\nsource = \"registry+x\"\nchecksum = \"00ff\"\n\
            [[package]]\nname = \"c\"\nversion = \"2.0.0\"\nsource = \"git+x#1\"\n";
        let found = checksums(lock);
        assert_eq!(found.len(), 1);
        assert_eq!(found[&("b".into(), "2.0.0".into(), "registry+x".into())], "00ff");
        assert!(checksums("no lock file").is_empty());
    }

    #[test]
    fn metadata_gives_what_is_linked() {
        let json = br#"{"packages":[
            {"id":"a","name":"app","version":"0.0.0","license":null,"source":null,"manifest_path":"/w/app/Cargo.toml","metadata":null,"targets":[{"kind":["bin"]}]},
            {"id":"d","name":"driver","version":"1.0.0","license":"MIT","source":null,"manifest_path":"/own/driver/Cargo.toml","metadata":{"unik":{"name":"driver"}},"targets":[{"kind":["lib"]}]},
            {"id":"g","name":"git","version":"1.0.0","license":null,"source":"git+x","manifest_path":"/c/git/checkouts/g/1/Cargo.toml","metadata":null,"targets":[{"kind":["lib"]}]},
            {"id":"v","name":"vendored","version":"1.0.0","license":null,"source":"registry+x","manifest_path":"/vendor/vendored/Cargo.toml","metadata":null,"targets":[{"kind":["lib"]}]},
            {"id":"r","name":"reg","version":"1.0.0","license":null,"source":"registry+x","manifest_path":"/c/registry/src/i/reg-1.0.0/Cargo.toml","metadata":null,"targets":[{"kind":["lib"]}]},
            {"id":"m","name":"mac","version":"1.0.0","license":"MIT","source":"registry+x","manifest_path":"/r/Cargo.toml","metadata":null,"targets":[{"kind":["proc-macro"]}]},
            {"id":"b","name":"builds","version":"1.0.0","license":"MIT","source":"registry+x","manifest_path":"/r/Cargo.toml","metadata":null,"targets":[{"kind":["lib"]}]}],
            "resolve":{"root":"a","nodes":[
                {"id":"a","deps":[{"pkg":"d","dep_kinds":[{"kind":null}]},{"pkg":"b","dep_kinds":[{"kind":"build"}]},{"pkg":"g","dep_kinds":[{"kind":null}]},{"pkg":"v","dep_kinds":[{"kind":null}]},{"pkg":"r","dep_kinds":[{"kind":null}]}]},
                {"id":"d","deps":[{"pkg":"m","dep_kinds":[{"kind":null}]}]}]}}"#;
        let packages = read_metadata(json, &|folder| folder.display().to_string()).unwrap();
        let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["app", "driver", "git", "reg", "vendored"]);
        let folders: Vec<&str> = packages.iter().skip(2).map(|package| package.folder.as_str()).collect();
        assert_eq!(folders, ["/c/git/checkouts/g/1", "", "/vendor/vendored"]);
        assert_eq!(packages[1].component.as_deref(), Some("driver"));
        assert_eq!(packages[1].folder, "/own/driver");
        assert!(read_metadata(b"{}", &|_| String::new()).is_err());
    }
}
