//! Where what this command makes is put: in place of nothing, or of what it made before, and in
//! one step.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;

use crate::exit;

/// What is put somewhere. Only a file of the same kind is replaced: any other may be what the
/// appliance is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An image, or a program.
    Program,
    /// What `unikgen build` puts beside an image.
    Report,
    /// A bill of materials.
    Bill,
    /// A page of `unikgen cost`.
    Page,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Kind::Program => "image",
            Kind::Report => "report of an image",
            Kind::Bill => "bill of materials",
            Kind::Page => "page of unikgen cost",
        }
    }

    /// Whether a file that begins with these bytes is one.
    fn begins(self, start: &[u8]) -> bool {
        let holds = |text: &[u8]| start.windows(text.len()).any(|window| window == text);
        match self {
            Kind::Program => start.starts_with(b"\x7fELF"),
            Kind::Report => start.starts_with(b"{\n  \"version\": ") && holds(b"\"build\": {"),
            Kind::Bill => start.starts_with(b"{") && holds(b"\"bomFormat\": \"CycloneDX\""),
            Kind::Page => {
                start.starts_with(b"<!doctype html>")
                    && holds(br#"<meta name="generator" content="unikgen cost">"#)
            }
        }
    }
}

/// Bytes in which a file shows its kind.
const START: u64 = 4096;

/// Refuses what nothing of this kind can take the place of, before there is one: `/dev/null`, a
/// folder, and any file of another kind.
///
/// # Errors
/// A usage error, then; or when the file can't be read.
pub fn must_be_replaceable(place: &Path, kind: Kind) -> anyhow::Result<()> {
    let refuse = |why: &str| Err(exit::usage(format!("{} {why}", place.display())));
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return refuse("can't be written: its folder isn't there");
    }
    match std::fs::metadata(place) {
        Ok(there) if there.is_dir() => refuse("is a folder: give the name of a file in it"),
        Ok(there) if !there.is_file() => refuse("is no ordinary file, which alone can be replaced"),
        Ok(there) if there.len() > 0 && !kind.begins(&start(place)?) => refuse(&format!(
            "is there already, and no {}: remove it first, or take another name",
            kind.word()
        )),
        _ => Ok(()),
    }
}

fn start(path: &Path) -> anyhow::Result<Vec<u8>> {
    let unreadable = || format!("can't look into {}", path.display());
    let file = std::fs::File::open(path).with_context(unreadable)?;
    let mut bytes = Vec::new();
    file.take(START).read_to_end(&mut bytes).with_context(unreadable)?;
    Ok(bytes)
}

/// Puts a copy of `from` there in one step: whoever runs the old one keeps it.
///
/// # Errors
/// When it can't be written.
pub fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    put(to, |fresh| std::fs::copy(from, fresh).map(drop))
}

/// Puts a text there in one step.
///
/// # Errors
/// When it can't be written.
pub fn write(to: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    put(to, |fresh| {
        std::fs::write(fresh, text)?;
        // A temporary file is for its owner alone.
        std::fs::set_permissions(fresh, std::fs::Permissions::from_mode(0o644))
    })
}

/// Puts a text in place of a file of a person's own, in one step. It keeps its mode; a link to
/// it stays one.
///
/// # Errors
/// When it isn't there, is no ordinary file, or can't be written.
pub fn rewrite(to: &Path, text: &str) -> anyhow::Result<()> {
    let fail = || format!("can't write {}", to.display());
    let to = to.canonicalize().with_context(fail)?;
    let there = std::fs::metadata(&to).with_context(fail)?;
    anyhow::ensure!(there.is_file(), "{} is no ordinary file", to.display());
    anyhow::ensure!(!there.permissions().readonly(), "{} may not be written", to.display());
    put(&to, |fresh| {
        std::fs::write(fresh, text)?;
        std::fs::set_permissions(fresh, there.permissions())
    })
}

fn put(to: &Path, fill: impl FnOnce(&Path) -> std::io::Result<()>) -> anyhow::Result<()> {
    let fail = || format!("can't write {}", to.display());
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fresh = tempfile::Builder::new().prefix(".unikgen-").tempfile_in(folder).with_context(fail)?;
    fill(fresh.path()).with_context(fail)?;
    fresh.persist(to).map_err(|error| error.error).with_context(fail)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_kind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let bill = "{\n  \"bomFormat\": \"CycloneDX\",\n";
        let report = "{\n  \"version\": 3,\n  \"build\": {\n";
        let page = "<!doctype html>\n<meta name=\"generator\" content=\"unikgen cost\">";
        for (name, text) in [
            ("site.unik", "appliance a {}"),
            ("package.json", "{ \"name\": \"a\" }"),
            ("index.html", "<!doctype html>\n<title>Mine</title>"),
            ("site.img", "\x7fELF and more"),
            ("site.cdx.json", bill),
            ("site.report.json", report),
            ("cost.html", page),
            ("empty", ""),
        ] {
            std::fs::write(at(name), text).unwrap();
        }
        let own = [
            (Kind::Program, "site.img"),
            (Kind::Report, "site.report.json"),
            (Kind::Bill, "site.cdx.json"),
            (Kind::Page, "cost.html"),
        ];
        for (kind, name) in own {
            for taken in ["site.unik", "package.json", "index.html", "none/site.img", "."]
                .into_iter()
                .chain(own.map(|(_, other)| other).into_iter().filter(|other| *other != name))
            {
                let error = must_be_replaceable(&at(taken), kind).unwrap_err();
                assert_eq!(exit::code_of(&error), exit::USAGE, "{error}");
            }
            assert!(must_be_replaceable(Path::new("/dev/null"), kind).is_err());
            for free in [name, "empty", "new"] {
                must_be_replaceable(&at(free), kind).unwrap();
            }
        }
    }

    #[test]
    fn copies_replace_and_keep_the_mode() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("from"), "new").unwrap();
        std::fs::set_permissions(at("from"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(at("to"), "old").unwrap();
        copy(&at("from"), &at("to")).unwrap();
        assert_eq!(std::fs::read_to_string(at("to")).unwrap(), "new");
        assert_eq!(std::fs::metadata(at("to")).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(copy(&at("from"), &at("none/to")).is_err());
        std::fs::set_permissions(at("to"), std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("to", at("link")).unwrap();
        rewrite(&at("link"), "newer").unwrap();
        assert_eq!(std::fs::read_to_string(at("to")).unwrap(), "newer");
        assert!(std::fs::symlink_metadata(at("link")).unwrap().is_symlink());
        assert_eq!(std::fs::metadata(at("to")).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(rewrite(&at("none"), "x").is_err() && rewrite(folder.path(), "x").is_err());
        write(&at("to"), "text").unwrap();
        assert_eq!(std::fs::read_to_string(at("to")).unwrap(), "text");
    }
}
