//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::{Task, Way};
use crate::suite::Settings;

/// How to use it.
pub const USAGE: &str = "Measures appliances beside what people use today.

usage: tests/bench/run [OPTION…] [ROW…]

  ROW…              only these rows; `instructions` is one, too
  --list            say which rows there are
  --rounds N        measure each cell so often (default 5)
  --seconds N       for so long each time (default 4)
  --out FOLDER      where bench.json and bench.svg go (default target/bench)
  --book            write the figures into the book, too
";

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// The usage.
    Help,
    /// The names of the rows.
    List,
    /// Measure.
    Measure {
        /// Only these rows; all when there is none.
        rows: Vec<String>,
        /// How long and how often.
        settings: Settings,
        /// Where the figures go, if not to their usual place.
        out: Option<PathBuf>,
        /// Whether they go into the book, too.
        book: bool,
    },
    /// Be a client: what the suite starts inside a namespace.
    Client {
        /// Where to.
        to: SocketAddr,
        /// For how long.
        time: Duration,
        /// What to do.
        task: Task,
    },
    /// Fetch and build all that measuring needs of the network.
    Fetch,
    /// Be a server.
    Serve,
    /// Be a reflector on this device.
    Reflect(String),
}

/// Reads the words after the program's name. `known` are the rows that there are.
///
/// # Errors
/// What is wrong with them.
pub fn parse(words: &[String], known: &[&str]) -> Result<Asked, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["client", to, seconds, task @ ..] => Ok(Asked::Client {
            to: to.parse().map_err(|_| format!("`{to}` is no ADDRESS:PORT"))?,
            time: Duration::from_secs(whole(seconds)?),
            task: parse_task(task)?,
        }),
        ["fetch"] => Ok(Asked::Fetch),
        ["serve"] => Ok(Asked::Serve),
        ["reflect", device] => Ok(Asked::Reflect((*device).to_string())),
        words => parse_measure(words, known),
    }
}

fn parse_measure(words: &[&str], known: &[&str]) -> Result<Asked, String> {
    let mut settings = Settings { rounds: 5, seconds: 4 };
    let (mut rows, mut out, mut book) = (Vec::new(), None, false);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match *word {
            "-h" | "--help" => return Ok(Asked::Help),
            "--list" => return Ok(Asked::List),
            "--rounds" => settings.rounds = whole(value()?)? as usize,
            "--seconds" => settings.seconds = whole(value()?)?,
            "--out" => out = Some(PathBuf::from(value()?)),
            "--book" => book = true,
            option if option.starts_with('-') => return Err(format!("there is no {option}")),
            row if known.contains(&row) => rows.push(row.to_string()),
            row => return Err(format!("there is no row `{row}`; there are {}", known.join(", "))),
        }
    }
    Ok(Asked::Measure { rows, settings, out, book })
}

fn parse_task(words: &[&str]) -> Result<Task, String> {
    let number = |word: &str| whole(word).map(|number| number as usize);
    match *words {
        ["paced", rate, connections] => {
            let rate: f64 = rate.parse().map_err(|_| format!("`{rate}` is no rate"))?;
            if !(rate > 0.0 && rate.is_finite()) {
                return Err(format!("`{rate}` is no rate above 0"));
            }
            Ok(Task::Paced { rate, connections: number(connections)? })
        }
        ["bulk-in", flows] => Ok(Task::Bulk { way: Way::In, flows: number(flows)? }),
        ["bulk-out", flows] => Ok(Task::Bulk { way: Way::Out, flows: number(flows)? }),
        ["datagrams", window] => Ok(Task::Datagrams { window: number(window)? }),
        ["ping"] => Ok(Task::Ping),
        ["hold", connections] => Ok(Task::Hold { connections: number(connections)? }),
        _ => Err(format!("there is no client `{}`", words.join(" "))),
    }
}

/// A number from 1 to a million.
fn whole(word: &str) -> Result<u64, String> {
    match word.parse() {
        Ok(number @ 1..=1_000_000) => Ok(number),
        _ => Err(format!("`{word}` is no number from 1 to 1000000")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Asked, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
        parse(&words, &["http-1", "udp-64"])
    }

    #[test]
    fn rows_and_options() {
        let settings = Settings { rounds: 1, seconds: 2 };
        let rows = vec!["udp-64".to_string()];
        assert_eq!(
            read("--rounds 1 udp-64 --seconds 2 --out x --book"),
            Ok(Asked::Measure { rows, settings, out: Some("x".into()), book: true })
        );
        assert_eq!(read("http-1 --help"), Ok(Asked::Help));
        assert_eq!(read("--list"), Ok(Asked::List));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, part) in [
            ("http-2", "there are http-1, udp-64"),
            ("--rounds", "needs a value"),
            ("--rounds 0", "`0` is no number"),
            ("--fast", "there is no --fast"),
            ("client nowhere 1 ping", "`nowhere` is no ADDRESS:PORT"),
            ("client 10.0.0.1:7 1 paced nan 1", "no rate"),
            ("client 10.0.0.1:7 1 juggle", "no client `juggle`"),
        ] {
            assert!(read(line).is_err_and(|error| error.contains(part)), "{line}: {:?}", read(line));
        }
    }

    #[test]
    fn a_client_gets_its_task_as_the_suite_says_it() {
        for task in [
            Task::Paced { rate: 1234.5, connections: 64 },
            Task::Bulk { way: Way::In, flows: 10 },
            Task::Bulk { way: Way::Out, flows: 1 },
            Task::Datagrams { window: 64 },
            Task::Ping,
            Task::Hold { connections: 10_000 },
        ] {
            let line = format!("client 10.0.2.15:80 4 {}", crate::load::words_of(&task).join(" "));
            let to = "10.0.2.15:80".parse().expect("an address");
            assert_eq!(read(&line), Ok(Asked::Client { to, time: Duration::from_secs(4), task }));
        }
    }
}
