//! The software bill of materials: CycloneDX 1.5, of the crates that have bytes in the image.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::lay::{CONTENT, PADDING};
use super::packages::Package;
use crate::cache;
use crate::image::Report;

/// The licence of Rust's own library.
const RUST_LICENCE: &str = "MIT OR Apache-2.0";

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
    let of: BTreeMap<String, &Package> =
        report.packages.iter().map(|package| (package.id(), package)).collect();
    let components: Vec<Value> = bytes
        .iter()
        .map(|(id, [code, data])| match of.get(*id) {
            Some(package) => component(package, *code, *data),
            None => library(id, report.rust.as_deref(), *code, *data),
        })
        .collect();
    let references: BTreeMap<String, String> =
        of.iter().map(|(id, package)| (id.clone(), reference(package))).collect();
    let present = |id: &str| bytes.contains_key(id);
    let dependencies: Vec<Value> = report
        .packages
        .iter()
        .filter(|package| present(&package.id()))
        .map(|package| {
            let on: Vec<&String> =
                package.needs.iter().filter(|id| present(id)).filter_map(|id| references.get(id)).collect();
            json!({ "ref": reference(package), "dependsOn": on })
        })
        .collect();
    // A UUID of version 8 (RFC 9562, 5.8): bits of our own, here of the image's hash.
    let mut uuid: [u8; 16] = [0; 16];
    uuid.copy_from_slice(&digest[..16]);
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    let uuid = cache::hex(&uuid);
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
                "bom-ref": report.manifest.appliance,
                "name": report.manifest.appliance,
                "hashes": [{ "alg": "SHA-256", "content": cache::hex(&digest) }],
            },
        },
        "components": components,
        "dependencies": dependencies,
    })
}

fn component(package: &Package, code: u64, data: u64) -> Value {
    let mut value = json!({
        "type": "library",
        "bom-ref": reference(package),
        "name": package.name,
        "version": package.version,
        "purl": reference(package),
        "properties": sizes(code, data),
    });
    if let Some(licence) = &package.licence {
        // Old manifests write `MIT/Apache-2.0`.
        value["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    if let (Some(component), Some(properties)) = (&package.component, value["properties"].as_array_mut()) {
        properties.push(json!({ "name": "unik:component", "value": component }));
    }
    value
}

/// A crate of Rust's library, which no registry has.
fn library(name: &str, rust: Option<&str>, code: u64, data: u64) -> Value {
    let version = rust.unwrap_or("unknown");
    let purl = format!("pkg:generic/rust-{name}@{version}");
    json!({
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "licenses": [{ "expression": RUST_LICENCE }],
        "properties": sizes(code, data),
    })
}

fn sizes(code: u64, data: u64) -> Value {
    json!([
        { "name": "unik:code-bytes", "value": code.to_string() },
        { "name": "unik:data-bytes", "value": data.to_string() },
    ])
}

/// The package URL, which also names it inside the bill.
fn reference(package: &Package) -> String {
    // `+` of a version's build part is escaped (purl specification).
    format!("pkg:cargo/{}@{}", package.name, package.version.replace('+', "%2B"))
}
