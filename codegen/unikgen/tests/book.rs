//! The book's page of the command, which is its help.
//!
//! `UNIK_BLESS=1 cargo test -p unikgen --test book` writes it anew.

mod common;

use std::fmt::Write as _;

use common::{root, run};

#[test]
fn the_page_of_the_command_is_its_help() {
    let whole = run(&["--help"]).out;
    let names = subcommands(&whole);
    assert!(names.len() > 10, "the help lists its subcommands otherwise: {whole}");
    let mut page = String::from(
        "# The command\n\nWhat `unikgen --help` and `unikgen SUBCOMMAND --help` print. `unikgen man` makes \
         manual pages of the same, `unikgen completions` what shells complete by. How a command and an \
         appliance end stands in [Exit codes and crash records](exit-codes.md).\n",
    );
    section(&mut page, "unikgen", &whole);
    for name in names {
        let help = run(&[name, "--help"]);
        assert_eq!(help.code, 0, "{name}");
        section(&mut page, &format!("unikgen {name}"), &help.out);
    }
    let path = root().join("book/src/reference/command.md");
    if std::env::var_os("UNIK_BLESS").is_some() {
        std::fs::write(&path, &page).expect("the page is written");
        return;
    }
    let held = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(page, held, "command.md is out of step: UNIK_BLESS=1 cargo test -p unikgen --test book");
}

/// The first word of each line below `Commands:`, without clap's own `help`. A line that
/// goes on from the one before begins further right.
fn subcommands(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect()
}

fn section(page: &mut String, title: &str, help: &str) {
    let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    write!(page, "\n## `{title}`\n\n```text\n{}\n```\n", lines.join("\n")).expect("a String takes all");
}
