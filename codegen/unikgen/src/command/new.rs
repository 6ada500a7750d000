//! `unikgen new` and `unikgen init`: projects that build and run as they are.

use std::path::Path;

use anyhow::Context as _;

use crate::backend;
use crate::cli::{Init, New, Parameters, Template};
use crate::exit::{self, OK, Outcome};
use crate::ui::Ui;

/// Files of a template: path and text, in which `NAME` stands for the appliance's name.
type Files = &'static [(&'static str, &'static str)];

const WEB: Files = &[
    ("NAME.unik", include_str!("../../templates/web/NAME.unik")),
    ("pages/index.html", include_str!("../../templates/web/pages/index.html")),
    ("pages/style.css", include_str!("../../templates/web/pages/style.css")),
];
const HANDLER: Files = &[
    ("NAME.unik", include_str!("../../templates/handler/NAME.unik")),
    // With other endings in our own sources, where they would be a crate and a file of ours.
    ("Cargo.toml", include_str!("../../templates/handler/Cargo.toml.txt")),
    ("src/main.rs", include_str!("../../templates/handler/src/main.rs.txt")),
    IGNORED,
];
const SERVICE: Files = &[
    ("NAME.unik", include_str!("../../templates/service/NAME.unik")),
    ("README.md", include_str!("../../templates/service/README.md")),
    ("Cargo.toml", include_str!("../../templates/service/Cargo.toml.txt")),
    ("service/Cargo.toml", include_str!("../../templates/service/service/Cargo.toml.txt")),
    ("service/src/lib.rs", include_str!("../../templates/service/service/src/lib.rs.txt")),
    IGNORED,
];
const IGNORED: (&str, &str) = (".gitignore", "/target\n/.unik\n*.img\n*.report.json\n");
const ECHO: Files = &[("NAME.unik", include_str!("../../templates/echo/NAME.unik"))];
const HELLO: Files = &[("NAME.unik", include_str!("../../templates/hello/NAME.unik"))];

const fn files(template: Template) -> Files {
    match template {
        Template::Web => WEB,
        Template::Handler => HANDLER,
        Template::Service => SERVICE,
        Template::Echo => ECHO,
        Template::Hello => HELLO,
    }
}

/// Makes a project in a folder of its own.
///
/// # Errors
/// When the name won't do, or the folder is there already.
pub fn new(args: &New, ui: &Ui) -> Outcome {
    check_name(&args.name).map_err(exit::usage)?;
    let folder = Path::new(&args.name);
    if folder.exists() {
        return Err(exit::usage(format!(
            "`{}` is there already; for a project in an existing folder: cd {} && unikgen init",
            args.name, args.name
        )));
    }
    make(folder, &args.name, args.template, ui)?;
    ui.say("next", &format!("cd {} && unikgen run", args.name));
    Ok(OK)
}

/// Makes a project in an existing folder.
///
/// # Errors
/// When the name won't do, or a file is in the way.
pub fn init(args: &Init, ui: &Ui) -> Outcome {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => name_of(&args.folder)?,
    };
    check_name(&name).map_err(|why| exit::usage(format!("{why}; say which: --name NAME")))?;
    if !args.folder.is_dir() {
        return Err(exit::usage(format!(
            "there is no folder `{}`; to make one: unikgen new NAME",
            args.folder.display()
        )));
    }
    make(&args.folder, &name, args.template, ui)?;
    let has_crate = matches!(args.template, Template::Handler | Template::Service);
    if !has_crate && args.folder.join("Cargo.toml").is_file() {
        ui.hint(&format!("this crate isn't part of the appliance yet: if it is to be, {}", joining(&name)));
    }
    ui.say("next", "unikgen run");
    Ok(OK)
}

fn make(folder: &Path, name: &str, template: Template, ui: &Ui) -> anyhow::Result<()> {
    if template == Template::Service && backend::knows_component(name)? {
        return Err(exit::usage(format!(
            "`{name}` is the name of a component of unik's, so yours needs another"
        )));
    }
    let files: Vec<_> = files(template)
        .iter()
        .map(|(path, text)| (folder.join(path.replace("NAME", name)), text.replace("NAME", name)))
        .collect();
    // Ours come with what a fresh folder has; a `.gitignore` of theirs stays theirs.
    let is_optional = |path: &Path| path.file_name().is_some_and(|name| name == ".gitignore");
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists() && !is_optional(path)) {
        // A crate that is there isn't ours to change, but it takes little to join.
        let join = if template == Template::Handler {
            format!(
                "; to make a crate of yours an appliance, write {name}.unik (unikgen init makes one), \
                 {}, and: unikgen run",
                joining(name)
            )
        } else {
            String::new()
        };
        return Err(exit::usage(format!("`{}` is there already; nothing was written{join}", path.display())));
    }
    for (path, text) in &files {
        if path.exists() {
            continue;
        }
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent)
            .with_context(|| format!("can't make the folder {}", parent.display()))?;
        std::fs::write(path, text).with_context(|| format!("can't write {}", path.display()))?;
        ui.say("made", &path.display().to_string());
    }
    let file = folder.join(format!("{name}.unik"));
    match template {
        Template::Handler => {
            if let Some(user) = backend::user_crate(&file)? {
                backend::sync(&user, &file, &Parameters::default(), false, &ui.quieter())?;
            }
        }
        Template::Service => {
            backend::unpack(&file, false, &ui.quieter())?;
        }
        Template::Web | Template::Echo | Template::Hello => {}
    }
    Ok(())
}

/// What makes a crate that is there the appliance of `NAME.unik`.
fn joining(name: &str) -> String {
    format!(
        "begin its src/main.rs with #![cfg_attr(unik_machine, no_std, no_main)] and \
         unik::appliance!(\"{name}.unik\"); in the place of fn main"
    )
}

/// The name of a folder, made fit for an appliance.
fn name_of(folder: &Path) -> anyhow::Result<String> {
    let full = folder
        .canonicalize()
        .map_err(|error| exit::usage(format!("can't find the folder `{}`: {error}", folder.display())))?;
    let name = full.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    Ok(name.chars().map(|c| if c == '_' || c == ' ' || c == '.' { '-' } else { c }).collect())
}

/// A name that the language, cargo and Rust all take.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !plain || !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.ends_with('-') || name.len() > 64
    {
        return Err(format!(
            "`{name}` can't be the name of an appliance: lower-case letters, digits and `-`, a letter first, at most 64"
        ));
    }
    // What cargo refuses as a package, or what would hide a crate that the appliance needs.
    let hides = [
        "core",
        "alloc",
        "std",
        "test",
        "build",
        "deps",
        "examples",
        "incremental",
        "unik",
        "serde",
        "serde-json",
    ];
    if hides.contains(&name)
        || name.starts_with("unik-")
        || unik_catalogue::rust_name::field(name).ends_with('_')
    {
        return Err(format!("`{name}` can't be the name of an appliance: Rust or unik uses it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_all_take() {
        for good in ["site", "a1", "my-site"] {
            check_name(good).unwrap();
        }
        for bad in ["", "Site", "1a", "a b", "../x", "a-", "fn", "core", "test", "unik", "unik-http", "ä"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn templates_have_no_other_name_in_them() {
        for template in [Template::Web, Template::Handler, Template::Service, Template::Echo, Template::Hello]
        {
            assert!(files(template).iter().any(|(path, _)| *path == "NAME.unik"));
        }
    }
}
