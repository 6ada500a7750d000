//! What whoever owns ring 3 could make a device do with the guest's memory, after the seal.
//!
//! There is no IOMMU. How each way of aiming a device is closed depends on the driver, so it
//! stands with the driver's code: a package that drives devices has a table of ways in its
//! `Cargo.toml`. Which transport an image drives is found out at boot, so both are told.
//!
//! ```toml
//! [[package.metadata.unik-dma]]
//! way = "where an interrupt is written"
//! mmio = "not mapped"
//! pci = "the MSI-X table isn't mapped"
//! closed = true
//! ```

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::anatomy::Anatomy;
use crate::image::Report;

/// A way to aim a device at memory that isn't for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Way {
    /// What would be aimed.
    pub way: String,
    /// How it stands on virtio-mmio.
    pub mmio: String,
    /// How it stands on virtio-pci.
    pub pci: String,
    /// Whether it is closed on both.
    pub closed: bool,
}

/// The ways of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ways {
    /// The package.
    pub package: String,
    /// All of them.
    pub ways: Vec<Way>,
}

/// The tables in the manifests among `files`, each with its path; a package whose table can't
/// be read has none.
#[must_use]
pub fn tables<'a>(files: impl IntoIterator<Item = (&'a Path, &'a [u8])>) -> Vec<Ways> {
    let manifests =
        files.into_iter().filter(|(path, _)| path.file_name().is_some_and(|name| name == "Cargo.toml"));
    manifests
        .filter_map(|(_, bytes)| {
            let manifest: toml::Table = std::str::from_utf8(bytes).ok()?.parse().ok()?;
            let package = manifest.get("package")?;
            let ways = package.get("metadata")?.get("unik-dma")?.clone().try_into().ok()?;
            Some(Ways { package: package.get("name")?.as_str()?.into(), ways })
        })
        .collect()
}

/// Those that concern an image: of the packages that have bytes in it.
#[must_use]
pub fn ways(report: &Report, tables: &[Ways]) -> Vec<Way> {
    let has = |name: &str| report.crates.iter().any(|entry| entry.name == name);
    tables.iter().filter(|of| has(&of.package)).flat_map(|of| of.ways.clone()).collect()
}

/// Whether code of the image gives memory to a device: it calls the runtime for that.
#[must_use]
pub fn gives_memory(anatomy: &Anatomy<'_>) -> bool {
    let is_of = |name: &str| format!("{:#}", rustc_demangle::demangle(name)).contains(MEMORY);
    anatomy.functions.iter().any(|function| is_of(&function.name))
        || anatomy.lines.functions.iter().any(|name| is_of(name))
}

/// The runtime's type of memory for devices.
const MEMORY: &str = "machine::device::Dma>::";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_stand_in_manifests() {
        let table = "[package]\nname = \"driver\"\n[[package.metadata.unik-dma]]\nway = \"a\"\nmmio = \"b\"\npci = \"c\"\nclosed = false\n";
        let files =
            [("x/Cargo.toml", table), ("y/Cargo.toml", "[package]\nname = \"other\"\n"), ("z/a.rs", table)];
        let found = tables(files.iter().map(|(path, text)| (Path::new(path), text.as_bytes())));
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].package.as_str(), found[0].ways.len(), found[0].ways[0].closed),
            ("driver", 1, false)
        );
    }

    /// The book tells the same ways, and so does the test that tries them.
    #[test]
    fn what_unik_carries_says_how_its_drivers_are_closed() {
        let files = unik_builtin::source_files().unwrap();
        let tables = tables(files.iter().map(|(path, bytes)| (path.as_path(), bytes.as_slice())));
        let all: Vec<&Way> = tables.iter().flat_map(|of| &of.ways).collect();
        assert!(all.len() >= 7 && all.iter().any(|way| way.closed) && all.iter().any(|way| !way.closed));
        // A mistake in a table would make it vanish.
        let said = files
            .iter()
            .filter(|(_, bytes)| String::from_utf8_lossy(bytes).contains("[[package.metadata.unik-dma]]"));
        assert_eq!(said.filter(|(path, _)| path.ends_with("Cargo.toml")).count(), tables.len());
    }
}
