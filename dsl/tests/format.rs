//! The formatter changes how a file looks, and nothing else: on syntax trees that are made up
//! and written in any layout, and on every file of the repository.

#[path = "format/random.rs"]
mod random;

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use unik_dsl::SourceMap;
use unik_dsl::format::format;
use unik_dsl::syntax::{self, Context, Statement, StatementKind, Test, Value, ValueKind};

use random::{Node, Part, Writer};

/// What a text says, and whether something is wrong with it.
struct Read {
    /// Each statement with its docs, as text without layout.
    said: String,
    /// The tree as it is, without places.
    tree: String,
    errors: Vec<String>,
}

fn read(text: &str, context: Context) -> Read {
    let mut sources = SourceMap::default();
    let number = sources.add("x.unik", text);
    let mut diagnostics = Vec::new();
    let file = syntax::parse(&sources, number, context, &mut diagnostics);
    let errors = diagnostics.iter().filter(|it| it.is_error()).map(|it| format!("{it:?}")).collect();
    Read { said: statements(&file.statements, &sources), tree: placeless(&format!("{file:?}")), errors }
}

/// Takes the places out of what `Debug` shows, and blanks that repeat.
fn placeless(debug: &str) -> String {
    let mut parts = debug.split("Place { source: ");
    let mut text = parts.next().unwrap_or_default().to_string();
    for part in parts {
        text.push_str(part.split_once('}').map_or(part, |(_, rest)| rest));
    }
    // Blanks in the type of a parameter are no matter.
    one_blank(&text.replace("\\t", " "))
}

fn one_blank(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn statements(all: &[Statement], sources: &SourceMap) -> String {
    all.iter().map(|one| statement(one, sources)).collect::<Vec<_>>().join("|")
}

fn statement(statement: &Statement, sources: &SourceMap) -> String {
    let value = |value: &Value| self::value(value, sources);
    let block = |body: &[Statement]| Some(statements(body, sources));
    let (head, body) = match &statement.kind {
        StatementKind::Version(number) => (format!("unik {number}"), None),
        StatementKind::Param { name, ty, at_boot, default } => {
            let boot = at_boot.map_or("", |_| " at boot");
            let default = default.as_ref().map_or(String::new(), |it| format!(" = {}", value(it)));
            (format!("param {} : {}{boot}{default}", name.value, one_blank(&ty.value)), None)
        }
        StatementKind::Include(file) => (format!("include {}", sources.text(file.place)), None),
        StatementKind::Let { name, value: it } => (format!("let {} = {}", name.value, value(it)), None),
        StatementKind::When { condition, body } => {
            let subject = sources.text(condition.subject.place);
            let sign = match &condition.test {
                Test::Holds => "",
                Test::Equals(_) => " == ",
                Test::Differs(_) => " != ",
                Test::In(_) => " in ",
            };
            let compared = condition.test.value().map_or(String::new(), value);
            (format!("when {subject}{sign}{compared}"), block(body))
        }
        StatementKind::Crate { name, body } => (format!("crate {}", name.value), block(body)),
        StatementKind::Appliance { name, body } => (format!("appliance {}", name.value), block(body)),
        StatementKind::Declaration(it) => {
            let kind = sources.text(it.kind.place);
            let mut head = format!("{kind} {} = {}", it.name.value, it.component.value);
            if !it.wires.is_empty() {
                head.push_str(" on");
            }
            head.extend(it.wires.iter().map(|wire| format!(" {}", wire.value)));
            (head, Some(statements(&it.body, sources)))
        }
        StatementKind::Entry(it) => {
            let values = it.values.iter().map(|it| format!(" {}", value(it)));
            let head = std::iter::once(it.key.value.clone()).chain(values).collect();
            (head, it.body.as_ref().map(|body| statements(body, sources)))
        }
        other => (format!("{other:?}"), None),
    };
    let docs: Vec<&str> = statement.docs.iter().map(|place| sources.text(*place).trim_end()).collect();
    let body = body.map_or(String::new(), |body| format!("{{{body}}}"));
    format!("{}<{head}>{body}", docs.join("\n"))
}

fn value(value: &Value, sources: &SourceMap) -> String {
    match &value.kind {
        ValueKind::List(values) => {
            let values: Vec<String> = values.iter().map(|value| self::value(value, sources)).collect();
            format!("[{}]", values.join(","))
        }
        ValueKind::Place { instance, .. } => {
            // Between the instance and the string are a `/` and comments.
            let whole = sources.text(value.place);
            let mut rest = whole[instance.value.len()..].trim_start();
            while !rest.starts_with('"') {
                rest = rest[comment_length(rest).unwrap_or(1)..].trim_start();
            }
            format!("{} / {rest}", instance.value)
        }
        ValueKind::String(_) => sources.text(value.place).to_string(),
        _ => one_blank(sources.text(value.place)),
    }
}

/// What a made-up statement says, in the same form.
fn said(node: &Node) -> String {
    fn parts(all: &[Part]) -> String {
        let part = |part: &Part| match part {
            Part::Word(word) => word.clone(),
            Part::Sign(sign) => (*sign).to_string(),
            Part::Phrase(phrase) => (*phrase).to_string(),
            Part::List(values) => {
                let values: Vec<String> = values.iter().map(|value| parts(value)).collect();
                format!("[{}]", values.join(","))
            }
        };
        all.iter().map(part).collect::<Vec<_>>().join(" ")
    }
    // A declaration says the same with an empty block and with none.
    let declares = matches!(node.head.get(2), Some(Part::Sign("=")));
    let declares = declares && !matches!(&node.head[0], Part::Word(word) if word == "let");
    let body = node.body.as_deref().or(if declares { Some(&[]) } else { None });
    let body = body
        .map_or(String::new(), |body| format!("{{{}}}", body.iter().map(said).collect::<Vec<_>>().join("|")));
    format!("{}<{}>{body}", node.docs.join("\n"), parts(&node.head))
}

/// The comments of a text that is sound, without what layout may change: blanks at the begin
/// and end of their lines.
fn comments(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |end| end + 2)
        } else {
            comment_length(rest).unwrap_or(first.len_utf8())
        };
        if rest.starts_with("//") || rest.starts_with("/*") {
            found.push(rest[..length].lines().map(str::trim).collect::<Vec<_>>().join("\n"));
        }
        rest = &rest[length..];
    }
    found
}

/// The length of the comment that `rest` begins with.
fn comment_length(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    let (mut depth, mut at) = (0, 0);
    while rest.starts_with("/*") {
        match &rest.as_bytes()[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Lays `text` out, and holds that against it.
#[track_caller]
fn laid_out(text: &str, context: Context) -> String {
    let once = format(text).unwrap_or_else(|diagnostics| panic!("{text}\n{diagnostics:#?}"));
    let again = format(&once).unwrap_or_else(|diagnostics| panic!("{text}\n→\n{once}\n{diagnostics:#?}"));
    assert_eq!(again, once, "again, from:\n{text}");
    let (before, after) = (read(text, context), read(&once, context));
    assert_eq!(after.errors, Vec::<String>::new(), "{text}\n→\n{once}");
    assert_eq!(after.tree, before.tree, "{text}\n→\n{once}");
    assert_eq!(after.said, before.said, "{text}\n→\n{once}");
    assert_eq!(comments(&once), comments(text), "{text}\n→\n{once}");
    assert!(once.is_empty() || once.ends_with('\n') && !once.ends_with("\n\n"), "{once:?}");
    assert!(!once.starts_with('\n') && !once.contains("{\n\n") && !once.contains('\r'), "{once:?}");
    assert!(once.lines().all(|line| !line.ends_with([' ', '\t'])), "{once:?}");
    once
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// parse ∘ print = identity, and format ∘ format = format.
    #[test]
    fn any_tree_in_any_layout(file in random::file(), noise in prop::collection::vec(any::<u8>(), 1..400)) {
        let text = Writer::new(&noise).file(&file);
        let expected = file.iter().map(said).collect::<Vec<_>>().join("|");
        let read = read(&text, Context::Top);
        prop_assert_eq!(read.errors, Vec::<String>::new(), "{}", text);
        prop_assert_eq!(read.said, expected, "{}", text);
        laid_out(&text, Context::Top);
    }

    /// However it was written, without comments and blank lines there is one layout.
    #[test]
    fn all_that_was_broken_up_looks_the_same(file in random::file(), noise in prop::collection::vec(any::<u8>(), 1..200)) {
        let broken = |noise: &[u8]| format(&Writer::broken(noise).file(&file));
        prop_assert_eq!(broken(&noise), broken(&[0]));
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The `.unik` files below a folder.
fn unik_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && !["target", "node_modules"].contains(&name.as_str()) {
            unik_files(&path, found);
        } else if name.ends_with(".unik") && path.is_file() {
            found.push(path);
        }
    }
}

#[test]
fn every_file_of_the_repository_keeps_its_meaning() {
    let mut files = Vec::new();
    unik_files(&repository(), &mut files);
    assert!(files.len() > 100, "{}", files.len());
    let mut sound = 0;
    for file in &files {
        // Some cases of the corpus are no text.
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        let errors = |context| read(&text, context).errors.len();
        let Some(context) =
            [Context::Top, Context::Appliance].into_iter().find(|context| errors(*context) == 0)
        else {
            assert!(format(&text).is_err(), "{}", file.display());
            continue;
        };
        sound += 1;
        laid_out(&text, context);
    }
    assert!(sound > 60, "{sound}");
}

/// All but the corpora of `dsl/tests/`: they are there to be odd. `UNIK_BLESS=1` lays them out.
#[test]
fn every_file_of_the_repository_is_laid_out() {
    let mut files = Vec::new();
    unik_files(&repository(), &mut files);
    let corpora = repository().join("dsl/tests");
    for file in files.iter().filter(|file| !file.starts_with(&corpora)) {
        let text = std::fs::read_to_string(file).unwrap();
        // In a template stands NAME for a name.
        let named = text.replace("NAME", "nnnn");
        let laid_out = format(&named).unwrap_or_else(|error| panic!("{}: {error:?}", file.display()));
        let laid_out = laid_out.replace("nnnn", "NAME");
        if laid_out != text && std::env::var_os("UNIK_BLESS").is_some() {
            std::fs::write(file, laid_out).unwrap();
            continue;
        }
        assert!(laid_out == text, "{} isn't laid out: `unikgen fmt` does it", file.display());
    }
}

/// The blocks of the book that are whole files or go into an appliance.
#[test]
fn every_block_of_the_book_is_laid_out() {
    fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pages(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let mut found = vec![repository().join("README.md")];
    pages(&repository().join("book/src"), &mut found);
    let (mut blocks, mut wrong) = (0, Vec::new());
    for page in &found {
        let text = std::fs::read_to_string(page).unwrap();
        for part in text.split("```unik\n").skip(1) {
            let (block, _) = part.split_once("```").unwrap();
            let laid_out =
                format(block).unwrap_or_else(|error| panic!("{}: {block}\n{error:?}", page.display()));
            if block != laid_out {
                if std::env::var_os("UNIK_BLESS").is_some() {
                    let blessed = std::fs::read_to_string(page).unwrap().replace(block, &laid_out);
                    std::fs::write(page, blessed).unwrap();
                }
                wrong.push(format!("{}:\n{block}\n→\n{laid_out}", page.display()));
            }
            blocks += 1;
        }
    }
    assert!(wrong.is_empty(), "not laid out: {}", wrong.join("\n"));
    assert!(blocks > 5, "{blocks}");
}
