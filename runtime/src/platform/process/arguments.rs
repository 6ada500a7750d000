//! The words of the command line that an appliance knows: no other is taken.

use std::fmt::Write as _;
use std::string::String;
use std::vec::Vec;

use super::boot_line;

/// The exit code for a command line that makes no sense.
const USAGE: i32 = 2;

/// A word that may stand on the command line: `NAME=VALUE` for every instance that knows it,
/// `INSTANCE.NAME=VALUE` for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The instance that reads it.
    pub instance: &'static str,
    /// What stands before the `=`.
    pub name: &'static str,
    /// What stands after it.
    pub usage: &'static str,
    /// One line for people.
    pub doc: &'static str,
}

/// Ends the process with exit code 2 when its command line has a word that isn't one of
/// `known`, and with 0 after telling about them when it asks for help. The generated wiring
/// calls this before it starts anything.
pub fn check_arguments(known: &[Argument]) {
    check(boot_line(), known, &[]);
}

/// The same, for an appliance with parameters `at boot`: arguments that begin with `unik.` are
/// [their](crate::boot) words, and looked at there.
pub fn check_arguments_beside(known: &[Argument], parameters: &[Argument]) {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let others: Vec<String> = arguments.filter(|argument| !argument.starts_with("unik.")).collect();
    check(&others.join(" "), known, parameters);
}

fn check(line: &str, known: &[Argument], parameters: &[Argument]) {
    if line.split_ascii_whitespace().any(|word| matches!(word, "--help" | "-h" | "help")) {
        std::println!("{}", usage(&program(), known, parameters).trim_end());
        std::process::exit(0);
    }
    if let Some(word) = unknown(line, known) {
        std::eprint!(
            "error: the appliance knows no `{}`\n\n{}",
            word.escape_debug(),
            usage(&program(), known, parameters)
        );
        std::process::exit(USAGE);
    }
}

/// Ends the process with exit code 2: for an instance that can't read its own words.
pub fn refuse_arguments(message: &str) -> ! {
    std::eprintln!("error: {message}");
    std::process::exit(USAGE);
}

/// What the program was started as.
fn program() -> String {
    std::env::args_os().next().map_or_else(|| "PROGRAM".into(), |name| name.to_string_lossy().into_owned())
}

/// The first word that is none of `known`.
fn unknown<'l>(line: &'l str, known: &[Argument]) -> Option<&'l str> {
    line.split_ascii_whitespace().find(|word| {
        let key = word.split_once('=').map(|(key, _)| key);
        !known.iter().any(|argument| {
            let of_one = |key: &str| {
                key.strip_suffix(argument.name).and_then(|key| key.strip_suffix('.'))
                    == Some(argument.instance)
            };
            key.is_some_and(|key| key == argument.name || of_one(key))
        })
    })
}

fn usage(program: &str, known: &[Argument], parameters: &[Argument]) -> String {
    if known.is_empty() && parameters.is_empty() {
        return std::format!("usage: {program}\n\nThis appliance takes nothing on its command line.\n");
    }
    let mut text = std::format!("usage: {program} [WORD]...\n");
    let mut told: std::vec::Vec<&str> = std::vec::Vec::new();
    for argument in known {
        if told.contains(&argument.name) {
            continue;
        }
        told.push(argument.name);
        // A String takes all that is written to it.
        let _ = write!(text, "\n  {}={}\n      {}\n", argument.name, argument.usage, argument.doc);
        for one in known.iter().filter(|other| other.name == argument.name) {
            let _ = write!(text, "  {}.{}=...\n      the same, for `{0}` alone\n", one.instance, one.name);
        }
    }
    for Argument { instance, name, usage, doc } in parameters {
        let _ = write!(text, "\n  {instance}.{name}=VALUE    {usage}\n");
        if !doc.is_empty() {
            let _ = writeln!(text, "      {doc}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn publish(instance: &'static str) -> Argument {
        Argument { instance, name: "publish", usage: "HOSTPORT:PORT", doc: "where a port is" }
    }

    #[test]
    fn only_what_is_known_is_taken() {
        let known = [publish("lan"), publish("my.wan")];
        for good in ["", "publish=80:80", " lan.publish=1:2  my.wan.publish= publish=3:4"] {
            assert_eq!(unknown(good, &known), None, "{good}");
        }
        for (bad, word) in [
            ("pubish=8080:80", "pubish=8080:80"),
            ("publish=80:80 publish", "publish"),
            ("wan.publish=80:80", "wan.publish=80:80"),
            ("lanpublish=80:80", "lanpublish=80:80"),
            (".publish=80:80", ".publish=80:80"),
            ("--publish 80:80", "--publish"),
        ] {
            assert_eq!(unknown(bad, &known), Some(word));
        }
        assert_eq!(unknown("publish=80:80", &[]), Some("publish=80:80"));
    }

    #[test]
    fn the_usage_lists_what_is_known() {
        let text = usage("./site", &[publish("lan"), publish("wan")], &[]);
        assert!(text.starts_with("usage: ./site [WORD]...\n\n  publish=HOSTPORT:PORT\n"), "{text}");
        assert!(text.contains("  lan.publish=...\n") && text.contains("  wan.publish=...\n"), "{text}");
        assert_eq!(text.matches("where a port is").count(), 1);
        assert!(usage("./hello", &[], &[]).contains("takes nothing"));
        let host = Argument { instance: "unik", name: "host", usage: "name", doc: "its name" };
        let text = usage("./hello", &[], &[host]);
        assert!(text.ends_with("\n  unik.host=VALUE    name\n      its name\n"), "{text}");
    }
}
