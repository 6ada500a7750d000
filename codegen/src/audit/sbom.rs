//! The software bill of materials: CycloneDX 1.5, of the crates that have bytes in the image.
//!
//! What each is called elsewhere, its package URL, is said only of what others can find by it:
//! a crate of a registry, or of a git repository by its commit. The crates of a folder (unik's
//! own, the generated one, those of the user) have none.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::lay::{CONTENT, PADDING};
use super::packages::Package;
use crate::cache;
use crate::image::Report;

/// The licence of Rust's own library.
const RUST_LICENCE: &str = "MIT OR Apache-2.0";
/// What the symbols that the compiler itself makes are of.
const RUSTC: &str = "__rustc";
/// The folders of Rust's library that have its version. Others are crates that it brings along.
const RUST: [&str; 6] = ["core", "alloc", "std", "stdarch", "compiler-builtins", "compiler_builtins"];

/// The bill of `image`, which is the one of `report`. The same image gives the same text.
#[must_use]
pub fn sbom(image: &[u8], report: &Report) -> Value {
    let digest = Sha256::digest(image);
    let mut bytes: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    for cost in report.cost.iter().filter(|cost| ![CONTENT, PADDING, "?"].contains(&cost.package.as_str())) {
        let [code, data] = bytes.entry(&cost.package).or_default();
        *code += cost.code;
        *data += cost.data;
    }
    bytes.retain(|_, [code, data]| *code + *data > 0);
    let packages: BTreeMap<String, &Package> =
        report.packages.iter().map(|package| (package.id(), package)).collect();
    let rust = report.rust.as_deref();
    let own = report.packages.first();
    let components: Vec<Value> = bytes
        .iter()
        .map(|(id, [code, data])| match packages.get(*id) {
            Some(package) => component(package, own == Some(*package), *code, *data),
            None => library(id, rust, *code, *data),
        })
        .collect();
    let reference =
        |id: &str| packages.get(id).map_or_else(|| library_reference(id, rust), |it| reference(it));
    let graph = Graph { packages: &packages, present: &|id| bytes.contains_key(id) };
    // The image is made of its own crate, and of what all crates need without saying so.
    let libraries = bytes.keys().filter(|id| !packages.contains_key(**id)).map(|id| (*id).to_string());
    let mut whole: BTreeSet<String> = libraries.collect();
    if let Some(own) = own {
        match bytes.contains_key(own.id().as_str()) {
            true => drop(whole.insert(own.id())),
            false => whole.extend(graph.below(&own.id())),
        }
    }
    let entry = |of: &str, on: &BTreeSet<String>| json!({ "ref": of, "dependsOn": on.iter().map(|id| reference(id)).collect::<Vec<_>>() });
    let root = format!("appliance:{}", report.manifest.appliance);
    let mut dependencies = vec![entry(&root, &whole)];
    dependencies.extend(bytes.keys().map(|id| entry(&reference(id), &graph.below(id))));
    // A UUID of version 8 (RFC 9562, 5.8): bits of our own, here of the image's hash.
    let mut uuid: [u8; 16] = [0; 16];
    uuid.copy_from_slice(&digest[..16]);
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    let uuid = cache::hex(&uuid);
    let digest = cache::hex(&digest);
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": format!("urn:uuid:{}-{}-{}-{}-{}", &uuid[..8], &uuid[8..12], &uuid[12..16], &uuid[16..20], &uuid[20..]),
        "version": 1,
        "metadata": {
            "tools": { "components": [{ "type": "application", "name": "unikgen", "version": env!("CARGO_PKG_VERSION") }] },
            "component": {
                "type": "firmware",
                "bom-ref": root,
                "name": report.manifest.appliance,
                "version": version(own, &digest),
                "hashes": [{ "alg": "SHA-256", "content": digest }],
            },
        },
        "components": components,
        "dependencies": dependencies,
    })
}

/// The appliance's version: that of the user's own crate, if it has one; else that of nothing,
/// with the image's hash to tell one build from another (Semantic Versioning 2.0, 10).
fn version(own: Option<&Package>, digest: &str) -> String {
    match own.map(|own| own.version.as_str()) {
        Some(version) if version != "0.0.0" => version.into(),
        _ => format!("0.0.0+sha256.{}", &digest[..12]),
    }
}

/// Who depends on whom, of those in the image.
struct Graph<'a> {
    packages: &'a BTreeMap<String, &'a Package>,
    present: &'a dyn Fn(&str) -> bool,
}

impl Graph<'_> {
    /// What `id` depends on; through those that have no bytes left, too.
    fn below(&self, id: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::from([id.to_string()]);
        let mut open = vec![id.to_string()];
        while let Some(at) = open.pop() {
            for needed in self.packages.get(&at).iter().flat_map(|package| &package.needs) {
                if !seen.insert(needed.clone()) {
                    continue;
                }
                if (self.present)(needed) {
                    found.insert(needed.clone());
                } else {
                    open.push(needed.clone());
                }
            }
        }
        found
    }
}

fn component(package: &Package, is_own: bool, code: u64, data: u64) -> Value {
    let mut value = json!({
        "type": "library",
        "bom-ref": reference(package),
        "name": package.name,
        "version": package.version,
        "properties": sizes(code, data),
    });
    if let Some(purl) = purl(package) {
        value["purl"] = json!(purl);
    }
    if let Some(checksum) = package.checksum.as_deref().filter(|it| is_sha256(it)) {
        value["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(licence) = &package.licence {
        // Old manifests write `MIT/Apache-2.0`.
        value["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    } else if is_own && package.version == "0.0.0" {
        value["description"] = json!("What unikgen wrote to wire the others, from the appliance's own file");
    }
    if let (Some(component), Some(properties)) = (&package.component, value["properties"].as_array_mut()) {
        properties.push(json!({ "name": "unik:component", "value": component }));
    }
    value
}

/// A crate of Rust's library, which no registry has, or that it brings along.
fn library(id: &str, rust: Option<&str>, code: u64, data: u64) -> Value {
    let reference = library_reference(id, rust);
    let mut value = json!({
        "type": "library",
        "bom-ref": reference,
        "name": if id == RUSTC { "rustc" } else { id },
        "properties": sizes(code, data),
    });
    let with = rust.map_or_else(String::new, |rust| format!(" {rust}"));
    let what = if id == RUSTC {
        format!("Symbols that the compiler of Rust{with} makes: how the library finds the allocator")
    } else if RUST.contains(&id) {
        format!("Part of the library of Rust{with}")
    } else {
        format!("A crate that the library of Rust{with} has taken in")
    };
    value["description"] = json!(what);
    if let Some(rust) = rust.filter(|_| is_of_rust(id)) {
        value["version"] = json!(rust);
        value["purl"] = json!(reference);
        value["licenses"] = json!([{ "expression": RUST_LICENCE }]);
    }
    value
}

fn is_of_rust(id: &str) -> bool {
    id == RUSTC || RUST.contains(&id)
}

fn library_reference(id: &str, rust: Option<&str>) -> String {
    match (rust, id) {
        (Some(rust), RUSTC) => format!("pkg:generic/rustc@{}", escaped(rust)),
        (Some(rust), id) if RUST.contains(&id) => format!("pkg:generic/rust-{id}@{}", escaped(rust)),
        _ => format!("rust:{id}"),
    }
}

fn sizes(code: u64, data: u64) -> Value {
    json!([
        { "name": "unik:code-bytes", "value": code.to_string() },
        { "name": "unik:data-bytes", "value": data.to_string() },
    ])
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What names it inside the bill.
fn reference(package: &Package) -> String {
    purl(package).unwrap_or_else(|| format!("path:{}@{}", package.name, package.version))
}

/// The package URL of what others can find.
fn purl(package: &Package) -> Option<String> {
    let source = package.source.as_deref()?;
    let (name, version) = (escaped(&package.name), escaped(&package.version));
    if source == CRATES_IO || source == CRATES_IO_SPARSE {
        return Some(format!("pkg:cargo/{name}@{version}"));
    }
    if let Some(git) = source.strip_prefix("git+") {
        // git+https://host/repository?branch=main#COMMIT
        let (place, commit) = git.split_once('#').unwrap_or((git, ""));
        let place = place.split('?').next().unwrap_or_default();
        let url = if commit.is_empty() { format!("git+{place}") } else { format!("git+{place}@{commit}") };
        return Some(format!("pkg:generic/{name}@{version}?vcs_url={}", escaped(&url)));
    }
    let registry = source.split_once('+').map_or(source, |(_, url)| url);
    Some(format!("pkg:cargo/{name}@{version}?repository_url={}", escaped(registry)))
}

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
const CRATES_IO_SPARSE: &str = "sparse+https://index.crates.io/";

/// Percent-encoded, but for what a package URL leaves as it is (purl specification).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, source: Option<&str>, needs: &[&str]) -> Value {
        json!({
            "name": name, "version": "1.0.0+x", "licence": "MIT/Apache-2.0", "registry": source.is_some(),
            "source": source, "checksum": source.map(|_| "ab".repeat(32)), "needs": needs,
        })
    }

    fn report(version: &str) -> Report {
        let cost = |package: &str, code: u64| json!({ "owners": ["runtime"], "package": package, "module": "x", "code": code, "data": 1, "zeroed": 0 });
        let mut own = package("unik-web-1", None, &["hollow 1.0.0+x", "unik-ip 1.0.0+x"]);
        own["version"] = json!(version);
        own["licence"] = Value::Null;
        let report = json!({
            "build": { "version": 1, "unik": "0", "sources": "0", "rustc": "0", "seed": "0x1" },
            "version": 2, "loaded": 1, "memory": 1, "sections": [], "crates": [], "nodes": [], "rust": "1.95.0",
            "manifest": { "version": 1, "appliance": "web", "memory": 1, "cpu": "", "devices": [], "networks": [], "listens": [] },
            "packages": [
                own,
                package("hollow", Some(CRATES_IO), &["deep 1.0.0+x", "unik-web-1 1.0.0+x"]),
                package("deep", Some(CRATES_IO), &[]),
                package("unik-ip", None, &["deep 1.0.0+x"]),
                package("absent", Some(CRATES_IO), &[]),
            ],
            "cost": [
                cost(&format!("unik-web-1 {version}"), 3), cost("deep 1.0.0+x", 5), cost("unik-ip 1.0.0+x", 7),
                cost("core", 1), cost(RUSTC, 1), cost("hashbrown", 1), cost(PADDING, 8), cost(CONTENT, 8),
            ],
        });
        serde_json::from_value(report).unwrap()
    }

    #[test]
    fn every_component_hangs_on_the_image() {
        let bill = sbom(b"image", &report("0.0.0"));
        let components = bill["components"].as_array().unwrap();
        let references: BTreeSet<&str> =
            components.iter().map(|component| component["bom-ref"].as_str().unwrap()).collect();
        assert_eq!(references.len(), components.len(), "each once");
        assert_eq!(
            references.iter().copied().collect::<Vec<_>>(),
            [
                "path:unik-ip@1.0.0+x",
                "path:unik-web-1@0.0.0",
                "pkg:cargo/deep@1.0.0%2Bx",
                "pkg:generic/rust-core@1.95.0",
                "pkg:generic/rustc@1.95.0",
                "rust:hashbrown",
            ]
        );
        let on: BTreeMap<&str, Vec<&str>> = bill["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| {
                let on = entry["dependsOn"].as_array().unwrap().iter().map(|on| on.as_str().unwrap());
                (entry["ref"].as_str().unwrap(), on.collect())
            })
            .collect();
        assert_eq!(on.len(), components.len() + 1);
        let mut seen = BTreeSet::new();
        let mut open = vec![bill["metadata"]["component"]["bom-ref"].as_str().unwrap()];
        while let Some(at) = open.pop() {
            for next in &on[at] {
                if seen.insert(*next) {
                    open.push(next);
                }
            }
        }
        assert_eq!(seen, references);
        // Through what has no bytes left.
        assert_eq!(on["path:unik-web-1@0.0.0"], ["pkg:cargo/deep@1.0.0%2Bx", "path:unik-ip@1.0.0+x"]);
    }

    #[test]
    fn only_what_others_can_find_has_a_package_url() {
        let bill = sbom(b"image", &report("0.0.0"));
        let of = |name: &str| {
            let components = bill["components"].as_array().unwrap();
            components.iter().find(|component| component["name"] == name).unwrap().clone()
        };
        assert!(of("unik-ip").get("purl").is_none() && of("unik-ip").get("hashes").is_none());
        let deep = of("deep");
        assert_eq!(deep["purl"], "pkg:cargo/deep@1.0.0%2Bx");
        assert_eq!(deep["hashes"][0]["content"], "ab".repeat(32));
        assert_eq!(deep["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert!(of("unik-web-1").get("licenses").is_none(), "nobody has said under which");
        assert_eq!((&of("rustc")["version"], &of("core")["version"]), (&json!("1.95.0"), &json!("1.95.0")));
        assert!(of("hashbrown").get("version").is_none(), "it has one of its own");
        let version = |report: &Report| sbom(b"image", report)["metadata"]["component"]["version"].clone();
        assert!(version(&report("0.0.0")).as_str().unwrap().starts_with("0.0.0+sha256."));
        assert_eq!(version(&report("2.1.0")), "2.1.0");
    }

    #[test]
    fn package_urls_say_where_from() {
        let of = |source: &str| {
            let source = Some(source.to_string());
            purl(&Package { name: "a".into(), version: "1.0.0".into(), source, ..Package::default() })
                .unwrap()
        };
        assert_eq!(of(CRATES_IO), "pkg:cargo/a@1.0.0");
        assert_eq!(
            of("git+https://example.org/a.git?branch=main#0123abc"),
            "pkg:generic/a@1.0.0?vcs_url=git%2Bhttps:%2F%2Fexample.org%2Fa.git%400123abc"
        );
        assert_eq!(
            of("sparse+https://crates.example.org/index/"),
            "pkg:cargo/a@1.0.0?repository_url=https:%2F%2Fcrates.example.org%2Findex%2F"
        );
        assert_eq!(purl(&Package::default()), None);
    }
}
