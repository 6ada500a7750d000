//! `unikgen fmt`: the one layout.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use unik_dsl::SourceMap;
use unik_dsl::format::format;

use super::output;
use crate::cli::Fmt;
use crate::exit::{self, FAILED, OK, Outcome};
use crate::ui::{Paint, Tone, Ui};
use crate::{appliance, place};

/// How many lines of a difference are shown.
const SHOWN: usize = 40;

/// Lays out files, or standard input.
///
/// # Errors
/// When a file can't be found, read or written.
pub fn run(args: &Fmt, ui: &Ui) -> Outcome {
    if args.stdin || args.paths.iter().any(|path| path.as_os_str() == "-") {
        if args.paths.len() > 1 {
            return Err(exit::usage("`-` is standard input, and stands alone"));
        }
        return standard_input(args, ui);
    }
    let mut failed = Vec::new();
    let mut changed = 0;
    let files = files(&args.paths)?;
    for file in &files {
        // What is wrong with one file is no reason to leave out the next.
        match one(file, args.check, ui) {
            Ok(Some(true)) => changed += 1,
            Ok(Some(false)) => {}
            Ok(None) => failed.push(file),
            Err(error) => {
                ui.error(&error);
                failed.push(file);
            }
        }
    }
    let count = |count: usize| if count == 1 { "1 file".to_string() } else { format!("{count} files") };
    let verb = if args.check { "to lay out" } else { "laid out" };
    ui.say(verb, &format!("{} of {}", changed, count(files.len())));
    if let Some(first) = failed.first() {
        let more = if failed.len() > 1 { format!(" and {}", count(failed.len() - 1)) } else { String::new() };
        ui.say("left alone", &format!("{}{more}, with errors", first.display()));
    }
    Ok(if !failed.is_empty() || args.check && changed > 0 { FAILED } else { OK })
}

/// Whether the layout of `file` changes; `None` if it has errors, which are shown.
fn one(file: &Path, check: bool, ui: &Ui) -> anyhow::Result<Option<bool>> {
    let text = unik_dsl::read(file).map_err(|why| anyhow::anyhow!("can't read {}: {why}", file.display()))?;
    let Some(laid_out) = laid_out(file, &text, ui) else { return Ok(None) };
    if laid_out == text {
        return Ok(Some(false));
    }
    if check {
        output(&format!("{}\n{}", file.display(), difference(&text, &laid_out, ui.out())))?;
    } else {
        place::rewrite(file, &laid_out)?;
    }
    Ok(Some(true))
}

fn standard_input(args: &Fmt, ui: &Ui) -> Outcome {
    let text = unik_dsl::read_from(std::io::stdin().lock())
        .map_err(|why| anyhow::anyhow!("can't read standard input: {why}"))?;
    let Some(laid_out) = laid_out(&args.stdin_name, &text, ui) else { return Ok(FAILED) };
    if !args.check {
        output(&laid_out)?;
        return Ok(OK);
    }
    if laid_out == text {
        return Ok(OK);
    }
    output(&format!("{}\n{}", args.stdin_name.display(), difference(&text, &laid_out, ui.out())))?;
    Ok(FAILED)
}

/// `text` in its layout, or what is wrong with it, on standard error.
fn laid_out(name: &Path, text: &str, ui: &Ui) -> Option<String> {
    match format(text) {
        Ok(laid_out) => Some(laid_out),
        Err(diagnostics) => {
            let mut sources = SourceMap::default();
            sources.add(name, text);
            appliance::print_found(&diagnostics, &sources, ui);
            None
        }
    }
}

/// The `.unik` files that are meant.
fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let here = [PathBuf::from(".")];
    let paths = if paths.is_empty() { &here } else { paths };
    let mut files = Vec::new();
    for path in paths {
        let kind = std::fs::metadata(path)
            .map_err(|error| exit::usage(format!("can't find `{}`: {error}", path.display())))?;
        if !kind.is_dir() {
            let named = path.extension().is_some_and(|extension| extension == "unik");
            if !named {
                return Err(exit::usage(format!(
                    "`{}` is no .unik file (its name must end in .unik)",
                    path.display()
                )));
            }
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        below(path, &mut files)?;
        if files.len() == before {
            let place = if path.as_os_str() == "." {
                "the current folder".into()
            } else {
                format!("`{}`", path.display())
            };
            return Err(exit::usage(format!("there is no .unik file in or below {place}")));
        }
    }
    // A file may have been named twice.
    let mut seen = std::collections::HashSet::new();
    files.retain(|file| seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
    Ok(files)
}

/// Adds the `.unik` files in and below `folder`, in order. Links to folders aren't followed.
fn below(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let fail = || format!("can't list `{}`", folder.display());
    let mut entries =
        std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>).with_context(fail)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        // `./site.unik` in every message would be noise.
        let path = path.strip_prefix(".").unwrap_or(&path).to_path_buf();
        if entry.file_type().with_context(fail)?.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                below(&path, files)?;
            }
        } else if name.ends_with(".unik") && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// The lines that differ, the first [`SHOWN`] of them. Takes time linear in the texts: where
/// they part, it looks for a line that they share within reach.
fn difference(old: &str, new: &str, paint: Paint) -> String {
    const REACH: usize = 50;
    let old: Vec<&str> = old.split_inclusive('\n').collect();
    let new: Vec<&str> = new.split_inclusive('\n').collect();
    let mut lines = Vec::new();
    let (mut at, mut to) = (0, 0);
    while at < old.len() || to < new.len() {
        if old.get(at) == new.get(to) {
            (at, to) = (at + 1, to + 1);
            continue;
        }
        let meets = |skip: usize| {
            let left = skip.saturating_sub(REACH)..=skip.min(REACH);
            left.map(|left| (left, skip - left)).find(|(left, right)| {
                old.get(at + left)
                    .is_some_and(|line| Some(line) == new.get(to + right) && !line.trim().is_empty())
            })
        };
        let (gone, come) = (1..=2 * REACH).find_map(meets).unwrap_or((old.len() - at, new.len() - to));
        for (number, line) in old.iter().enumerate().skip(at).take(gone) {
            lines.push(paint.paint(Tone::Bad, &format!("{:>5} - {}", number + 1, shown(line))));
        }
        for (number, line) in new.iter().enumerate().skip(to).take(come) {
            lines.push(paint.paint(Tone::Good, &format!("{:>5} + {}", number + 1, shown(line))));
        }
        (at, to) = (at + gone, to + come);
    }
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    if more > 0 {
        lines.push(format!("      … and {more} more lines"));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A line with what would not be seen of it.
fn shown(line: &str) -> String {
    let text = line.trim_end_matches(['\n', '\r']);
    let blanks = text.len() - text.trim_end_matches([' ', '\t']).len();
    let mut shown = text[..text.len() - blanks].to_string();
    shown.push_str(&"·".repeat(blanks));
    match line.strip_prefix(text) {
        Some("\r\n") => shown.push('␍'),
        Some("") => shown.push_str(" (no newline)"),
        _ => {}
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_line_by_line() {
        let told = |old, new| difference(old, new, Paint(false));
        assert_eq!(told("a\nb\nc\n", "a\nb\nc\n"), "");
        assert_eq!(told("a\nb\nc\n", "a\nB\nc\n"), "    2 - b\n    2 + B\n");
        assert_eq!(told("a\n\n\nb", "a\n\nb\n"), "    3 - \n    4 - b (no newline)\n    3 + b\n");
        assert_eq!(told("a \r\n", "a\n"), "    1 - a·␍\n    1 + a\n");
        let long = told(&"a;b\n".repeat(100), &"a\nb\n".repeat(100));
        assert!(long.ends_with("      … and 260 more lines\n"), "{long}");
    }

    #[test]
    fn a_difference_takes_linear_time() {
        let old: String = (0..50_000).map(|number| format!("{number}  \n")).collect();
        let new = old.replace("  ", "");
        assert!(difference(&old, &new, Paint(false)).contains("and 99960 more"));
    }

    #[test]
    fn of_a_folder_what_people_write() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let found = |names: &[&str]| files(&names.iter().map(|name| at(name)).collect::<Vec<_>>());
        assert!(found(&[""]).unwrap_err().to_string().contains("no .unik file in or below"));
        for name in ["b.unik", "a.unik", "c.txt", "base/x.unik", "target/y.unik", ".git/z.unik"] {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), "").unwrap();
        }
        assert_eq!(found(&["", "a.unik"]).unwrap(), [at("a.unik"), at("b.unik"), at("base/x.unik")]);
        assert!(found(&["c.txt"]).unwrap_err().to_string().contains("is no .unik file"));
        assert!(found(&["none"]).unwrap_err().to_string().contains("can't find"));
    }
}
