//! Packs the sources that a generated crate is built from, so that an installed `unikgen`
//! needs no clone of the repository; and lists the manifests of the components.
//!
//! The same sources give the same bytes: names sorted, no times, no owners.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// What is packed, relative to the root of the workspace.
const FOLDERS: [&str; 4] = ["codegen", "device-lib", "dsl", "runtime"];
/// Folders in them that no build of an appliance needs, wherever they stand.
const LEFT_OUT: [&str; 6] = ["tests", "target", "fuzz", "benches", "examples", "unikgen"];

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let root = here.ancestors().nth(2).ok_or("device-lib/builtin has no workspace around it")?;

    let files = list(root)?;
    let mut archive = tar::Builder::new(Vec::new());
    add(&mut archive, "Cargo.toml", root_manifest(&fs::read_to_string(root.join("Cargo.toml"))?).as_bytes())?;
    add(&mut archive, "Cargo.lock", &fs::read(root.join("Cargo.lock"))?)?;
    let mut manifests = String::from("&[");
    for path in &files {
        let bytes = fs::read(root.join(path))?;
        let name = path.to_str().ok_or("a file name that is not UTF-8")?;
        if path.ends_with("Cargo.toml") && String::from_utf8_lossy(&bytes).contains("[package.metadata.unik]")
        {
            writeln!(manifests, "({name:?}, include_str!({:?})),", root.join(path).display().to_string())?;
        }
        add(&mut archive, name, &bytes)?;
    }
    manifests.push(']');
    let packed = miniz_oxide::deflate::compress_to_vec(&archive.into_inner()?, 8);
    fs::write(out.join("sources.tar.deflate"), packed)?;
    fs::write(out.join("manifests.rs"), manifests)?;
    for name in ["Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(name).display());
    }
    Ok(())
}

/// The files to pack, sorted.
fn list(root: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        let walk =
            walkdir::WalkDir::new(root.join(folder)).sort_by_file_name().into_iter().filter_entry(|entry| {
                let name = entry.file_name().to_string_lossy();
                !(name.starts_with('.') || entry.file_type().is_dir() && LEFT_OUT.contains(&&*name))
            });
        for entry in walk {
            let entry = entry?;
            // Folders too: a new file changes what is packed.
            println!("cargo::rerun-if-changed={}", entry.path().display());
            if entry.file_type().is_file() {
                files.push(entry.path().strip_prefix(root)?.to_owned());
            }
        }
    }
    Ok(files)
}

/// The workspace's manifest with the members that are packed.
fn root_manifest(text: &str) -> String {
    text.lines()
        .filter(|line| {
            !(["\"codegen/unikgen\",", "\"tests\","].contains(&line.trim())
                || line.starts_with("default-members"))
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

fn add(archive: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    archive.append_data(&mut header, name, bytes)
}
