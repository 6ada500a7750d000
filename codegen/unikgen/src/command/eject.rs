//! `unikgen eject`: a `.unik` file, with all that it is made of, as a crate to keep.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::new::check_name;
use crate::appliance::{self, Checked, Subject};
use crate::backend;
use crate::cli::{Eject, Parameters};
use crate::exit::{self, OK, Outcome};
use crate::ui::Ui;

const MANIFEST: &str = "\
[package]
name = \"NAME\"
version = \"0.1.0\"
edition = \"2024\"
publish = false

# A project of its own, wherever its folder is.
[workspace]

# Those of the appliance are kept in step with FILE by `unikgen sync`.
[dependencies]
";
const MAIN: &str = "\
//! The appliance that FILE describes. Handlers and services of your own go here; what the
//! macro stands for is shown by `unikgen expand`.
//!
//! `unikgen run` builds and boots it. For plain cargo it is an ordinary program.
#![cfg_attr(unik_machine, no_std, no_main)]

unik::appliance!(\"FILE\");
";
const IGNORED: &str = "/target\n/.unik\n*.img\n*.report.json\n*.twin.elf\n";

/// Makes the crate.
///
/// # Errors
/// When the file has errors, what it is made of lies outside its folder, or the new folder
/// is there already.
pub fn run(args: &Eject, ui: &Ui) -> Outcome {
    let file = match appliance::locate_file(Some(&args.file))? {
        Subject::File(file) => file,
        Subject::Crate { user, .. } => {
            return Err(exit::usage(format!(
                "`{}` belongs to a crate already: {}",
                args.file.display(),
                user.folder.display()
            )));
        }
        Subject::Image(_) => return Ok(OK),
    };
    if args.folder.exists() {
        return Err(exit::usage(format!("`{}` is there already", args.folder.display())));
    }
    let checked = appliance::check(&file, &Parameters::default(), ui)?;
    let name = &checked.plan.appliance;
    check_name(name).map_err(exit::usage)?;
    let file = file.canonicalize().with_context(|| format!("can't find {}", file.display()))?;
    let named = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut copies = copies(&checked, file.parent().unwrap_or(Path::new("/")))?;
    let fill = |text: &str| text.replace("NAME", name).replace("FILE", &named).into_bytes();
    for (path, text) in [("Cargo.toml", MANIFEST), ("src/main.rs", MAIN), (".gitignore", IGNORED)] {
        if copies.insert(path.into(), fill(text)).is_some() {
            return Err(exit::usage(format!(
                "the appliance is made of a `{path}`, where the crate has its own"
            )));
        }
    }
    for (path, bytes) in &copies {
        let path = args.folder.join(path);
        let fail = || format!("can't write {}", path.display());
        std::fs::create_dir_all(path.parent().unwrap_or(&args.folder)).with_context(fail)?;
        std::fs::write(&path, bytes).with_context(fail)?;
    }
    let file = args.folder.join(named);
    let user = backend::user_crate(&file)?.context("the crate that was made isn't seen as one")?;
    backend::sync(&user, &file, &Parameters::default(), false, &ui.quieter())?;
    ui.say("made", &format!("{}, a crate with {} files", args.folder.display(), copies.len()));
    ui.say("next", &format!("cd {} && unikgen run", args.folder.display()));
    Ok(OK)
}

/// The files that the appliance is made of: where in `base` they are, and their bytes. Read
/// before anything is written: the new folder may lie among them.
fn copies(checked: &Checked, base: &Path) -> anyhow::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut outside = Vec::new();
    let mut copies = BTreeMap::new();
    for path in checked.made_of() {
        // What was looked for and isn't there needn't be there in the crate.
        let Ok(full) = path.canonicalize() else { continue };
        let Ok(inside) = full.strip_prefix(base) else {
            outside.push(path.display().to_string());
            continue;
        };
        if full.join("Cargo.toml").is_file() {
            read_folder(&full, inside, &mut copies)?;
        } else if full.is_file() {
            copies.insert(inside.into(), read(&full)?);
        }
    }
    outside.sort();
    outside.dedup();
    if outside.is_empty() {
        return Ok(copies);
    }
    Err(exit::usage(format!(
        "a crate keeps all that it is made of, and this lies outside of {}: {}; move it there first",
        base.display(),
        outside.join(", ")
    )))
}

/// The files of a crate, but for what cargo makes and what is hidden.
fn read_folder(folder: &Path, inside: &Path, copies: &mut BTreeMap<PathBuf, Vec<u8>>) -> anyhow::Result<()> {
    let fail = || format!("can't list {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(fail)? {
        let entry = entry.with_context(fail)?;
        let (name, path) = (entry.file_name(), entry.path());
        if name == "target" || name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if entry.file_type().with_context(fail)?.is_dir() {
            read_folder(&path, &inside.join(name), copies)?;
        } else if path.is_file() {
            copies.insert(inside.join(name), read(&path)?);
        }
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("can't read {}", path.display()))
}
