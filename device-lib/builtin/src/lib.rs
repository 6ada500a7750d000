//! The built-in components, as the generator sees them.
//!
//! The generator itself names no component. What it needs of those in this repository
//! comes from here: their catalogue, their host halves, and the sources that generated
//! crates are built from.
#![forbid(unsafe_code)]

use std::io;
use std::path::{Component as Part, Path, PathBuf};

use unik_catalogue::host::HostHalf;
use unik_catalogue::{Component, ManifestError};

/// Path in the repository, and text, of every manifest with a component's table.
const MANIFESTS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/manifests.rs"));

/// The built-in components and the settings of an appliance.
///
/// The folder of each is relative: to wherever [`sources`] are unpacked.
///
/// # Errors
/// [`ManifestError`], when a component's table is wrong.
pub fn components() -> Result<Vec<Component>, ManifestError> {
    MANIFESTS.iter().map(|(path, text)| Component::from_manifest(text, Path::new(path))).collect()
}

/// The host halves of the built-in components that have one.
#[must_use]
pub fn host_halves() -> Vec<Box<dyn HostHalf>> {
    vec![Box::new(unik_embed_host::Embed), Box::new(unik_http_host::Http)]
}

/// The sources that generated crates are built from: a tar archive, deflated. The same
/// sources give the same bytes.
#[must_use]
pub fn sources() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/sources.tar.deflate"))
}

/// The files in [`sources`]: path, relative and without `..`, and bytes.
///
/// # Errors
/// When the archive is damaged.
pub fn source_files() -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let damaged = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    let packed =
        miniz_oxide::inflate::decompress_to_vec(sources()).map_err(|error| damaged(error.to_string()))?;
    let mut files = Vec::new();
    for entry in tar::Archive::new(packed.as_slice()).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if !path.components().all(|part| matches!(part, Part::Normal(_))) {
            return Err(damaged(format!("{} leaves its folder", path.display())));
        }
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut entry, &mut bytes)?;
        files.push((path, bytes));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_good() {
        let components = components().unwrap();
        assert!(components.iter().any(|c| c.name == "appliance"));
        assert!(components.iter().all(|c| c.package.folder.is_relative()));
        for component in &components {
            unik_catalogue::shape::declare(component)
                .unwrap_or_else(|error| panic!("{}: {error}", component.name));
        }
    }

    #[test]
    fn every_component_with_a_host_half_has_it_here() {
        let halves = host_halves();
        for component in components().unwrap() {
            let here = halves.iter().any(|half| half.component() == component.name);
            assert_eq!(here, component.host.is_some(), "{}", component.name);
        }
    }

    #[test]
    fn sources_hold_what_builds_need_and_no_more() {
        let files = source_files().unwrap();
        let has = |path: &str| files.iter().any(|(file, _)| file == Path::new(path));
        for path in [
            "Cargo.toml",
            "Cargo.lock",
            "runtime/src/lib.rs",
            "device-lib/http/host/Cargo.toml",
            "codegen/macros/src/lib.rs",
        ] {
            assert!(has(path), "{path}");
        }
        for path in ["codegen/unikgen/Cargo.toml", "tests/Cargo.toml", "README.md"] {
            assert!(!has(path), "{path}");
        }
        let root = files.iter().find(|(file, _)| file == Path::new("Cargo.toml")).unwrap();
        assert!(!String::from_utf8_lossy(&root.1).contains("unikgen\""));
    }
}
