//! The file and all that it includes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use unik_catalogue::value::Place;

use crate::analysis::Request;
use crate::diagnostic::{Diagnostic, codes};
use crate::source::SourceMap;
use crate::syntax::{self, Context, File, Spanned, Statement, StatementKind};

/// How deep files may include each other.
const MAX_INCLUDES: usize = 64;

/// The syntax of all files.
#[derive(Default)]
pub struct Loaded {
    /// The files; the first is the one that was asked for.
    pub files: Vec<File>,
    /// Their paths, absolute.
    pub paths: Vec<PathBuf>,
    /// The place of an `include` → the file.
    includes: HashMap<Place, usize>,
}

/// Reads the file of `request`, and what it includes.
pub fn load(request: &Request, sources: &mut SourceMap, diagnostics: &mut Vec<Diagnostic>) -> Loaded {
    let mut loaded = Loaded::default();
    let text = match &request.text {
        Some(text) => as_text(text.clone().into_bytes()),
        None => read(request.file),
    };
    let number = sources.add_file(request.file, text.as_deref().unwrap_or_default());
    let path = std::path::absolute(request.file).unwrap_or_else(|_| request.file.into());
    if let Err(error) = text {
        let place = Place { source: number, start: 0, end: 0 };
        let message = format!("can't read {}: {error}", request.file.display());
        diagnostics.push(Diagnostic::error(codes::CANNOT_READ, place, message));
    }
    let mut found = Vec::new();
    let mut file = syntax::parse(sources, number, Context::Top, &mut found);
    let text = sources.source(number).map_or("", |source| source.text.as_str());
    if is_foreign(&file, text, &found) {
        let start = text.len() - text.trim_start().len();
        let end = start + text[start..].find(['\n', '\r']).unwrap_or(text.len() - start);
        let message = format!("{} is no .unik file: nothing in it can be read", request.file.display());
        found = vec![
            Diagnostic::error(codes::CANNOT_READ, Place { source: number, start, end }, message)
                .label("its first line")
                .help("an appliance is written `appliance NAME { … }`; `unikgen new NAME` makes one to begin with"),
        ];
        // What the checker would miss in it, nobody does.
        file = syntax::File { statements: Vec::new(), damaged: true };
    }
    diagnostics.append(&mut found);
    loaded.files.push(file);
    loaded.paths.push(path.clone());
    let same = identity(&path);
    let seen = HashSet::from([same.clone()]);
    let stack = vec![(same, Place { source: number, start: 0, end: 0 }, request.file.to_owned())];
    let mut loader = Loader { texts: &request.texts, sources, diagnostics, stack, seen };
    loader.includes(&mut loaded, 0, Context::Top, request.file);
    loaded
}

struct Loader<'a> {
    texts: &'a BTreeMap<PathBuf, String>,
    sources: &'a mut SourceMap,
    diagnostics: &'a mut Vec<Diagnostic>,
    /// The files that are being read, each with the place that included it and its path
    /// for people.
    stack: Vec<(PathBuf, Place, PathBuf)>,
    /// All files that were read.
    seen: HashSet<PathBuf>,
}

impl Loader<'_> {
    /// Reads what file `number` includes. `shown` is its path as a person wrote it.
    fn includes(&mut self, loaded: &mut Loaded, number: usize, context: Context, shown: &Path) {
        let mut found = Vec::new();
        collect(&loaded.files[number].statements, context, &mut found);
        for (include, context) in found {
            let shown = shown.parent().unwrap_or(Path::new("")).join(&include.value);
            let path = std::path::absolute(&shown).unwrap_or_else(|_| shown.clone());
            let same = identity(&path);
            if let Some(at) = self.stack.iter().position(|(open, ..)| *open == same) {
                let round = self.stack[at..].iter().chain([&self.stack[at]]);
                let names: Vec<String> = round.map(|(.., path)| path.display().to_string()).collect();
                let message = format!("a file includes itself: {}", names.join(" → "));
                let mut diagnostic = Diagnostic::error(codes::INCLUDE_CYCLE, include.place, message);
                for (_, place, _) in &self.stack[at + 1..] {
                    diagnostic = diagnostic.and(*place, "by way of this");
                }
                self.diagnostics.push(diagnostic);
                continue;
            }
            if !self.seen.insert(same.clone()) {
                self.diagnostics.push(
                    Diagnostic::warning(
                        codes::INCLUDED_TWICE,
                        include.place,
                        "this file is included already",
                    )
                    .label("adds nothing"),
                );
                continue;
            }
            if self.stack.len() == MAX_INCLUDES {
                self.diagnostics.push(Diagnostic::error(
                    codes::CANNOT_READ,
                    include.place,
                    format!("files include each other more than {MAX_INCLUDES} deep"),
                ));
                continue;
            }
            // A line of another kind of file may well be read as an entry, and would be shown.
            if path.extension().is_none_or(|extension| extension != "unik") {
                self.diagnostics.push(
                    Diagnostic::error(
                        codes::CANNOT_READ,
                        include.place,
                        format!("{} is no .unik file", shown.display()),
                    )
                    .help("the names of included files end in `.unik`"),
                );
                continue;
            }
            let text = match self.texts.get(&same) {
                Some(text) => as_text(text.clone().into_bytes()),
                None => read(&path),
            };
            let text = match text {
                Ok(text) => text,
                Err(error) => {
                    let message = format!("can't read {}: {error}", shown.display());
                    self.diagnostics.push(Diagnostic::error(codes::CANNOT_READ, include.place, message));
                    continue;
                }
            };
            let source = self.sources.add_file(&shown, text);
            let mut found = Vec::new();
            let mut file = syntax::parse(self.sources, source, context, &mut found);
            if is_another(&file) {
                // Not a word of it: it may be a file that isn't for the eyes of whoever reads this.
                found = vec![Diagnostic::error(
                    codes::CANNOT_READ,
                    include.place,
                    format!("{} is no .unik file: nothing in it can be read", shown.display()),
                )];
                file.statements.clear();
                file.damaged = true;
            }
            self.diagnostics.append(&mut found);
            let index = loaded.files.len();
            loaded.files.push(file);
            loaded.paths.push(path);
            loaded.includes.insert(include.place, index);
            self.stack.push((same, include.place, shown.clone()));
            self.includes(loaded, index, context, &shown);
            self.stack.pop();
        }
    }
}

/// Whether the main file is of another language: there are several mistakes, no statement that a file may
/// have, and none that was probably meant.
fn is_foreign(file: &File, text: &str, found: &[Diagnostic]) -> bool {
    let mended: HashSet<usize> =
        found.iter().filter(|it| !it.fixes.is_empty()).map(|it| it.primary.place.start).collect();
    let is_ours = |statement: &Statement| match &statement.kind {
        StatementKind::Broken { .. } | StatementKind::Entry(_) => mended.contains(&statement.place.start),
        _ => true,
    };
    // JSON has nothing before its braces.
    let is_bare = || text.trim_start().starts_with(['{', '[']);
    found.len() > 1 && !file.statements.iter().any(is_ours) && (!file.statements.is_empty() || is_bare())
}

/// Whether a text is of another language: several entries, and what can't be read is the
/// first of them and nearly all.
fn is_another(file: &File) -> bool {
    let broken = |statement: &&Statement| matches!(statement.kind, StatementKind::Broken { .. });
    let count = file.statements.iter().filter(broken).count();
    count > 1 && count * 10 >= file.statements.len() * 9 && file.statements.first().iter().all(broken)
}

/// The largest file that is read: a hundred times what a long one has.
const MAX_FILE: u64 = 16 << 20;

/// Reads a `.unik` file, if it is an ordinary one of bearable size: a pipe or a device could go
/// on forever.
///
/// # Errors
/// What is wrong with it, after "can't read FILE: ".
pub fn read(path: &Path) -> Result<String, String> {
    // Asked before it is opened: opening a pipe waits for whoever writes into it.
    let kind = std::fs::metadata(path).map_err(|error| plain(&error))?;
    if kind.is_dir() {
        return Err("it is a folder".into());
    }
    if !kind.is_file() {
        return Err(plain(&std::io::Error::other("not a file")));
    }
    // What its size says may be wrong by now, or always: files in /proc have none.
    read_from(std::fs::File::open(path).map_err(|error| plain(&error))?)
}

/// Reads the text of a `.unik` file from where it comes from.
///
/// # Errors
/// As [`read`].
pub fn read_from(stream: impl std::io::Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    stream.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|error| plain(&error))?;
    as_text(bytes)
}

/// The text of a file, or why it can't be one: a word for the whole, where there would be an
/// error for every line.
fn as_text(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("it is larger than {} MiB", MAX_FILE >> 20));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it is text in UTF-16; save it as UTF-8".into());
    }
    if bytes.contains(&0) {
        return Err("there are NUL bytes in it: it is text in UTF-16, or no text; save it as UTF-8".into());
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is no UTF-8 text")?;
    if text.trim_end_matches('\r').contains('\r') && !text.contains('\n') {
        return Err("its lines end in CR alone; end them in LF, or in CR LF".into());
    }
    Ok(text)
}

/// The `include`s of a file that count, each with what the included file may hold.
fn collect(statements: &[Statement], context: Context, found: &mut Vec<(Spanned<String>, Context)>) {
    for statement in statements {
        match &statement.kind {
            StatementKind::Include(file) => found.push((file.clone(), context)),
            StatementKind::Appliance { body, .. } => collect(body, Context::Appliance, found),
            _ => {}
        }
    }
}

/// What two paths of one file have in common.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.into())
}

/// The reason without the number of the operating system's error.
pub fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        std::io::ErrorKind::InvalidData => "it is no UTF-8 text".into(),
        std::io::ErrorKind::Other => "it is no ordinary file".into(),
        kind => kind.to_string(),
    }
}

impl Loaded {
    /// The statements at the top of the file, those of included files in place.
    pub fn top(&self) -> Vec<&Statement> {
        self.files.first().map(|file| self.inside(&file.statements)).unwrap_or_default()
    }

    /// `statements`, those of included files in place.
    pub fn inside<'s>(&'s self, statements: &'s [Statement]) -> Vec<&'s Statement> {
        let mut all = Vec::new();
        for statement in statements {
            match &statement.kind {
                StatementKind::Include(file) => {
                    if let Some(&index) = self.includes.get(&file.place) {
                        all.extend(self.inside(&self.files[index].statements));
                    }
                }
                _ => all.push(statement),
            }
        }
        all
    }
}
