//! How much memory a component takes: a formula over its options.
//!
//! ```text
//! formula = product ("+" product)*
//! product = factor ("*" factor)*
//! factor  = number [unit] | option | "tcp-ports" | "udp-ports"
//!         | "min" "(" formula "," formula ")" | "(" formula ")"
//! unit    = "B" | "KiB" | "MiB"
//! ```
//!
//! `queue-size * (receive-buffer + 64 B)` is the memory of a ring with its buffers. An
//! option stands for the first number or size in its value, and for 0 where it has none.
//! `tcp-ports` and `udp-ports` count the ports that services listen on at an instance with
//! `listeners`.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::schema::Transport;
use crate::value::{Bound, Options, Value};

/// A number of bytes that follows from options.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Formula {
    /// As it is written.
    text: String,
    root: Node,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Number(u64),
    Option(String),
    Ports(Transport),
    Sum(Vec<Node>),
    Product(Vec<Node>),
    Least(Box<Node>, Box<Node>),
}

/// How deep parentheses may nest.
const MAX_DEPTH: usize = 8;

impl Formula {
    /// The options that it is about.
    #[must_use]
    pub fn options(&self) -> Vec<&str> {
        let mut found = Vec::new();
        self.each(&mut |node| {
            if let Node::Option(key) = node {
                found.push(key.as_str());
            }
        });
        found
    }

    /// Whether it counts the ports that services listen on.
    #[must_use]
    pub fn counts_ports(&self) -> bool {
        let mut counts = false;
        self.each(&mut |node| counts |= matches!(node, Node::Ports(_)));
        counts
    }

    /// What it comes to for an instance with these options, on which services listen on so many
    /// ports of a transport. What is more than a `u64` holds is its greatest.
    #[must_use]
    pub fn bytes(&self, options: &Options, ports: &dyn Fn(Transport) -> u64) -> u64 {
        self.root.bytes(options, ports)
    }

    fn each<'f>(&'f self, visit: &mut dyn FnMut(&'f Node)) {
        let mut open = vec![&self.root];
        while let Some(node) = open.pop() {
            visit(node);
            match node {
                Node::Sum(nodes) | Node::Product(nodes) => open.extend(nodes),
                Node::Least(one, other) => open.extend([&**one, &**other]),
                Node::Number(_) | Node::Option(_) | Node::Ports(_) => {}
            }
        }
    }
}

impl Node {
    fn bytes(&self, options: &Options, ports: &dyn Fn(Transport) -> u64) -> u64 {
        match self {
            Node::Number(number) => *number,
            Node::Option(key) => number_of(options, key),
            Node::Ports(transport) => ports(*transport),
            Node::Sum(nodes) => {
                nodes.iter().fold(0, |sum, node| sum.saturating_add(node.bytes(options, ports)))
            }
            Node::Product(nodes) => {
                nodes.iter().fold(1, |product, node| product.saturating_mul(node.bytes(options, ports)))
            }
            Node::Least(one, other) => one.bytes(options, ports).min(other.bytes(options, ports)),
        }
    }
}

/// The first number or size in the value of an option; 0 where there is none.
fn number_of(options: &Options, key: &str) -> u64 {
    let entries = options.get(key).map_or(&[][..], Vec::as_slice);
    let values = entries.iter().flat_map(|entry| entry.values.values()).filter_map(|bound| match bound {
        Bound::One(value) => Some(value),
        Bound::Many(values) => values.first(),
    });
    values
        .filter_map(|value| match value {
            Value::Integer(number) | Value::Size(number) => Some(*number),
            _ => None,
        })
        .next()
        .unwrap_or(0)
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Formula {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Formula {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut rest = text.trim();
        let root = sum(&mut rest, 0).map_err(|why| format!("in the formula `{text}`: {why}"))?;
        match rest {
            "" => Ok(Formula { text: text.trim().into(), root }),
            _ => Err(format!("in the formula `{text}`: `{}` is not expected here", rest.trim())),
        }
    }
}

fn sum(rest: &mut &str, depth: usize) -> Result<Node, String> {
    if depth > MAX_DEPTH {
        return Err(format!("parentheses nest deeper than {MAX_DEPTH}"));
    }
    let mut nodes = vec![product(rest, depth)?];
    while eat(rest, "+") {
        nodes.push(product(rest, depth)?);
    }
    Ok(Node::Sum(nodes))
}

fn product(rest: &mut &str, depth: usize) -> Result<Node, String> {
    let mut nodes = vec![factor(rest, depth)?];
    while eat(rest, "*") {
        nodes.push(factor(rest, depth)?);
    }
    Ok(Node::Product(nodes))
}

fn factor(rest: &mut &str, depth: usize) -> Result<Node, String> {
    if eat(rest, "(") {
        let inner = sum(rest, depth + 1)?;
        return if eat(rest, ")") { Ok(inner) } else { Err("a `(` is not closed".into()) };
    }
    let text = rest.trim_start();
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    *rest = after;
    if word.is_empty() {
        return Err("a number or an option is missing".into());
    }
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        let number: u64 = word.parse().map_err(|_| format!("`{word}` is no number"))?;
        let factor = match () {
            () if eat_word(rest, "KiB") => 1 << 10,
            () if eat_word(rest, "MiB") => 1 << 20,
            () => {
                eat_word(rest, "B");
                1
            }
        };
        return number.checked_mul(factor).map(Node::Number).ok_or_else(|| format!("`{word}` is too large"));
    }
    Ok(match word {
        "tcp-ports" => Node::Ports(Transport::Tcp),
        "udp-ports" => Node::Ports(Transport::Udp),
        "min" if eat(rest, "(") => {
            let one = sum(rest, depth + 1)?;
            if !eat(rest, ",") {
                return Err("`min` is of two, with a comma between".into());
            }
            let other = sum(rest, depth + 1)?;
            if !eat(rest, ")") {
                return Err("a `(` is not closed".into());
            }
            Node::Least(Box::new(one), Box::new(other))
        }
        _ => Node::Option(word.into()),
    })
}

fn eat(rest: &mut &str, wanted: &str) -> bool {
    match rest.trim_start().strip_prefix(wanted) {
        Some(after) => {
            *rest = after;
            true
        }
        None => false,
    }
}

fn eat_word(rest: &mut &str, wanted: &str) -> bool {
    match rest.trim_start().strip_prefix(wanted) {
        Some(after) if !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-') => {
            *rest = after;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Entry;

    fn options() -> Options {
        let one =
            |value| vec![Entry { values: [("x".to_string(), Bound::One(value))].into(), ..Entry::default() }];
        [
            ("queue-size".to_string(), one(Value::Integer(256))),
            ("receive-buffer".into(), one(Value::Size(2048))),
            ("port".into(), one(Value::Port(80))),
        ]
        .into()
    }

    #[test]
    fn formulas_are_computed() {
        let ports = |transport| if transport == Transport::Udp { 3 } else { 1 };
        for (text, bytes) in [
            ("42", 42),
            ("2 KiB + 3 B", 2051),
            ("queue-size * receive-buffer", 512 << 10),
            ("queue-size * (receive-buffer + 64 B) + 1 KiB", (512 << 10) + (16 << 10) + 1024),
            ("udp-ports * 10 + tcp-ports", 31),
            ("min(1 MiB, queue-size * 4 KiB)", 1 << 20),
            ("min(queue-size, 7) * 2", 14),
            // Neither written nor a number.
            ("absent + port", 0),
            ("18446744073709551615 * 4 KiB", u64::MAX),
        ] {
            let formula: Formula = text.parse().unwrap();
            assert_eq!(formula.bytes(&options(), &ports), bytes, "{text}");
            assert_eq!(formula.to_string(), text);
        }
        let formula: Formula = "min(a, b) + tcp-ports * c-d".parse().unwrap();
        let mut names = formula.options();
        names.sort_unstable();
        assert_eq!(names, ["a", "b", "c-d"]);
        assert!(formula.counts_ports());
    }

    #[test]
    fn slips_say_why() {
        let deep = "(".repeat(100);
        for (text, why) in [
            ("", "missing"),
            ("1 +", "missing"),
            ("(1", "not closed"),
            ("1 MB", "not expected"),
            ("min(1)", "of two"),
            ("99999999999999999999", "no number"),
            ("18446744073709551615 KiB", "too large"),
            (deep.as_str(), "deeper"),
        ] {
            let error = text.parse::<Formula>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
