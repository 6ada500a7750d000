//! The reference of the language: its grammar, made from the one that the parser is made from, the
//! tables that the catalogue knows, and every value that it shows.
//!
//! `UNIK_BLESS=1 cargo test -p unik-dsl --test language` writes what is made anew.

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use pest_meta::ast::{Expr, Rule};
use unik_catalogue::{Component, Target};
use unik_dsl::syntax::MAX_DEPTH;
use unik_dsl::{Catalogue, Request, analyse};

const GRAMMAR: &str = include_str!("../src/syntax/grammar.pest");
const STALE: &str = "out of step: run `UNIK_BLESS=1 cargo test -p unik-dsl --test language`";

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../book/src/reference").join(name)
}

fn rules() -> Vec<Rule> {
    let pairs = pest_meta::parser::parse(pest_meta::parser::Rule::grammar_rules, GRAMMAR).expect("a grammar");
    pest_meta::parser::consume_rules(pairs).expect("rules")
}

/// The `///` line above a rule.
fn doc(rule: &str) -> Option<&'static str> {
    let mut before = "";
    for line in GRAMMAR.lines() {
        if line.split('=').next().is_some_and(|name| name.trim() == rule) {
            return before.strip_prefix("/// ");
        }
        before = line;
    }
    None
}

/// What only says where a word ends, and that blanks may stand between words, isn't shown.
const BETWEEN: &[&str] = &["end", "SOI", "EOI", "WHITESPACE"];

/// How tight an expression binds: a choice, a sequence, one thing.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Tie {
    Choice,
    Sequence,
    One,
}

/// In the notation that the page explains; `None` for what isn't shown.
fn shown(expr: &Expr) -> Option<(String, Tie)> {
    let one = |text: String| Some((text, Tie::One));
    let tight = |expr: &Expr| shown(expr).map(|(text, tie)| wrapped(text, tie, Tie::One));
    let repeated = |expr: &Expr, mark: &str| tight(expr).map(|text| (format!("{text}{mark}"), Tie::One));
    match expr {
        Expr::Str(text) => one(format!("{text:?}")),
        Expr::Range(first, last) => one(format!("{first:?}…{last:?}")),
        Expr::Ident(name) if BETWEEN.contains(&name.as_str()) => None,
        Expr::Ident(name) => one(match (name.strip_prefix("key_"), name.as_str()) {
            (Some(word), _) => format!("{word:?}"),
            (None, "ANY") => "any".into(),
            (None, "ASCII_DIGIT") => "digit".into(),
            (None, "ASCII_HEX_DIGIT") => "hex-digit".into(),
            (None, "ASCII_ALPHA") => "letter".into(),
            (None, "ASCII_ALPHANUMERIC") => "letter-or-digit".into(),
            (None, name) => name.replace('_', "-"),
        }),
        Expr::Seq(..) => joined(
            &flat(expr, &|expr| match expr {
                Expr::Seq(one, other) => Some((one, other)),
                _ => None,
            }),
            " ",
            Tie::Sequence,
        ),
        Expr::Choice(..) => joined(
            &flat(expr, &|expr| match expr {
                Expr::Choice(one, other) => Some((one, other)),
                _ => None,
            }),
            " | ",
            Tie::Choice,
        ),
        Expr::Opt(inner) => repeated(inner, "?"),
        Expr::Rep(inner) => repeated(inner, "*"),
        Expr::RepOnce(inner) => repeated(inner, "+"),
        Expr::RepExact(inner, count) => repeated(inner, &format!("{{{count}}}")),
        Expr::PosPred(_) => None,
        Expr::NegPred(inner) => tight(inner).map(|text| (format!("!{text}"), Tie::One)),
        other => panic!("no notation for {other:?}"),
    }
}

fn wrapped(text: String, tie: Tie, least: Tie) -> String {
    if tie < least { format!("({text})") } else { text }
}

fn flat<'a>(expr: &'a Expr, split: &dyn Fn(&'a Expr) -> Option<(&'a Expr, &'a Expr)>) -> Vec<&'a Expr> {
    match split(expr) {
        Some((one, other)) => [flat(one, split), flat(other, split)].concat(),
        None => vec![expr],
    }
}

fn joined(parts: &[&Expr], by: &str, tie: Tie) -> Option<(String, Tie)> {
    let mut parts: Vec<(String, Tie)> = parts.iter().filter_map(|part| shown(part)).collect();
    match parts.len() {
        0 | 1 => parts.pop(),
        _ => {
            let least = if tie == Tie::Choice { Tie::Sequence } else { Tie::One };
            let parts: Vec<String> = parts.into_iter().map(|(text, tie)| wrapped(text, tie, least)).collect();
            Some((parts.join(by), tie))
        }
    }
}

#[test]
fn the_grammar_is_the_parsers() {
    let mut text = String::from(
        "# Grammar\n\nThe grammar that the parser is made from, rule by rule; what the words mean stands in \
         [the language](language.md). `A B` is A, then B, with blanks and comments between words; `A | B` is A or, \
         where that doesn't fit, B; `?` once or not at all, `*` any number of times, `+` once or more, `{n}` n times; \
         `!A B` is a B that doesn't begin like A.\n\n```text\n",
    );
    let mut words: Vec<String> = vec!["at".into(), "boot".into()];
    for rule in rules() {
        let name = rule.name.as_str();
        if let Some(word) = name.strip_prefix("key_") {
            words.push(word.to_owned());
        }
        if name.starts_with("only_") || name.starts_with("key_") || BETWEEN.contains(&name) {
            continue;
        }
        let Some((shown, _)) = shown(&rule.expr) else { continue };
        if let Some(doc) = doc(&rule.name) {
            write!(text, "\n// {doc}\n").unwrap();
        }
        writeln!(text, "{:<13} = {shown}", name.replace('_', "-")).unwrap();
    }
    text += "```\n";
    words.sort();
    write!(
        text,
        "\n## Words\n\n{} begin or divide entries where they stand in a rule above. No word is reserved: \
         elsewhere each can be a name.\n",
        words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
    )
    .unwrap();
    assert!(common::expect(&page("grammar.md"), &text).is_ok(), "grammar.md is {STALE}");
}

fn table(component: &Component) -> String {
    let mut text = String::from("| entry | default | |\n|---|---|---|\n");
    for (key, option) in &component.options {
        let cell = |text: &str| text.replace('|', "\\|");
        let usages: Vec<String> = option
            .forms
            .iter()
            .map(|form| format!("`{key} {}`", cell(&form.usage.text)).replace(" `", "`"))
            .collect();
        let default = option.default.as_ref().map_or(String::new(), |default| format!("`{default}`"));
        writeln!(text, "| {} | {default} | {} |", usages.join("<br>"), cell(&option.doc)).unwrap();
    }
    text
}

/// What stands between `<!-- made: NAME -->` and `<!-- end -->`.
#[test]
fn the_tables_are_the_catalogues() {
    let catalogue = common::shipped();
    let targets: Vec<String> = Target::ALL.iter().map(|target| format!("`{}`", target.word())).collect();
    let made = [
        ("settings", table(catalogue.appliance().expect("settings"))),
        ("crate", table(&Catalogue::named_crate().expect("a table"))),
        ("targets", format!("The targets are {}.\n", targets.join(", "))),
        (
            "limits",
            format!(
                "Blocks nest at most {MAX_DEPTH} deep, and so do included files. A file has at most 16 MiB.\n"
            ),
        ),
    ];
    let before = std::fs::read_to_string(page("language.md")).expect("the page");
    let mut text = before;
    for (name, table) in made {
        let begin = format!("<!-- made: {name} -->\n");
        let (head, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no place for {name}"));
        let (_, tail) = rest.split_once("<!-- end -->").expect("an end");
        text = format!("{head}{begin}\n{table}\n<!-- end -->{tail}");
    }
    assert!(common::expect(&page("language.md"), &text).is_ok(), "language.md is {STALE}");
}

/// Errors that `param x: TYPE = VALUE` brings, by their codes.
fn errors(ty: &str, value: &str) -> Vec<String> {
    let text = format!("unik 1\nparam x: {ty} = {value}\nappliance a {{\n}}\n");
    let analysis = analyse(&Request::new(&page("x.unik"), Some(text)), &common::shipped());
    let errors = analysis.diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
    errors.map(|diagnostic| format!("{}: {}", diagnostic.code, diagnostic.message)).collect()
}

/// The texts in backticks of a cell.
fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_value_is_one() {
    let text = std::fs::read_to_string(page("language.md")).expect("the page");
    let (_, rest) =
        text.split_once("| type | written | as a parameter | notes |\n").expect("the table of values");
    let rows: Vec<Vec<&str>> = rest
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() >= 15, "{rows:?}");
    for row in &rows {
        let (written, types) = (code(row[1]), code(row[2]));
        assert!(!written.is_empty() && types.len() == 1, "{row:?}");
        for value in &written {
            let found = errors(types[0], value);
            // That there is such a folder is another matter.
            assert!(
                found.iter().all(|error| types[0] == "path" && error.contains("site")),
                "{value}: {found:?}"
            );
        }
        // A value of one type is none of another, but where one holds the other.
        let alike: &[&[&str]] = &[&["string", "name", "path"], &["bool", "name"], &["integer", "port"]];
        for other in rows.iter().map(|row| code(row[2])[0]) {
            let is_alike = alike.iter().any(|alike| alike.contains(&other) && alike.contains(&types[0]));
            for value in written
                .iter()
                .filter(|_| !is_alike && other != types[0] && (other, types[0]) != ("ip", "ipv4"))
            {
                assert!(!errors(other, value).is_empty(), "`{value}` is taken for {other}");
            }
        }
    }
    // Every unit that is listed, and none beside.
    let listed = |ty: &str| -> Vec<&str> {
        let row = rows.iter().find(|row| code(row[2]) == [ty]).expect("a row");
        code(row[3]).into_iter().filter(|unit| *unit != "MB").collect()
    };
    for (ty, all) in [
        ("size", &["B", "KiB", "MiB", "GiB", "TiB"][..]),
        ("duration", &["ns", "us", "ms", "s", "min", "h", "d"]),
    ] {
        assert_eq!(listed(ty), all);
        for unit in all {
            assert_eq!(errors(ty, &format!("1 {unit}")), Vec::<String>::new());
        }
    }
    assert!(!errors("size", "1 MB").is_empty() && !errors("duration", "1 w").is_empty());
}
