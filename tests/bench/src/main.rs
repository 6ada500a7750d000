//! `tests/bench/run` builds and starts this.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use unik_bench::arguments::{Asked, USAGE, parse};
use unik_bench::debian::Debian;
use unik_bench::report::Report;
use unik_bench::{book, chart, client, instructions, reflector, rows, server, sides, suite};
use unik_tests::root;

/// The row that isn't one of [`rows::all`]: it needs no network and no rounds.
const INSTRUCTIONS: &str = "instructions";
/// What ten thousand connections take, with room.
const DESCRIPTORS: u64 = 20_000;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let all = rows::all();
    let known: Vec<&str> = all.iter().map(|row| row.id).chain([INSTRUCTIONS]).collect();
    let asked = match parse(&words, &known) {
        Ok(asked) => asked,
        Err(error) => {
            eprintln!("bench: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(asked) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(asked: Asked) -> Result<(), Box<dyn Error>> {
    match asked {
        Asked::Help => print!("{USAGE}"),
        Asked::List => {
            for row in rows::all() {
                println!("{:14} {}", row.id, row.title);
            }
            println!("{INSTRUCTIONS:14} guest instructions per request, under TCG");
        }
        Asked::Client { to, time, task } => println!("{}", client::run(&task, to, time)?),
        Asked::Fetch => {
            Debian::fetch()?;
            for image in [sides::image(), sides::bulk_image()] {
                eprintln!("bench: {}", image.display());
            }
        }
        Asked::Serve => server::serve()?,
        Asked::Reflect(device) => reflector::serve(&device)?,
        Asked::Measure { rows, settings, out, book } => measure(&rows, settings, out, book)?,
    }
    Ok(())
}

fn measure(
    chosen: &[String],
    settings: suite::Settings,
    out: Option<PathBuf>,
    into_book: bool,
) -> Result<(), Box<dyn Error>> {
    let is_chosen = |id: &str| chosen.is_empty() || chosen.iter().any(|row| row == id);
    raise_descriptors()?;
    let mut report = Report { host: host(), settings, rows: Vec::new(), instructions: BTreeMap::new() };
    let image = sides::image();
    if is_chosen(INSTRUCTIONS) {
        report.instructions = instructions::count(&image)?;
    }
    for row in rows::all().into_iter().filter(|row| is_chosen(row.id)) {
        report.rows.push(suite::measure(row, settings));
    }
    println!("{}", report.text());
    let out = out.unwrap_or_else(|| root().join("target/bench"));
    std::fs::create_dir_all(&out)?;
    std::fs::write(out.join("bench.json"), format!("{:#}\n", report.json()))?;
    std::fs::write(out.join("bench.svg"), chart::svg(&report))?;
    println!("written: {0}/bench.json, {0}/bench.svg", out.display());
    if into_book {
        let page = root().join("book/src/benchmarks.md");
        book::write(&page, &report)?;
        println!("written: {}", page.display());
    }
    Ok(())
}

/// For this process, and all that it starts: each connection takes one. Not everybody may
/// have as many; what fails then says so.
fn raise_descriptors() -> Result<(), Box<dyn Error>> {
    let now = getrlimit(Resource::Nofile);
    let wanted = now.maximum.unwrap_or(DESCRIPTORS).min(DESCRIPTORS);
    if now.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum })?;
    }
    if wanted < DESCRIPTORS {
        eprintln!("bench: {wanted} open files at most (`ulimit -Hn`): rows of many connections may fail");
    }
    Ok(())
}

/// The processor, the system, QEMU and the commit.
fn host() -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(root()).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().lines().next().unwrap_or("unknown").trim().to_string()
    };
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let changed = if said("git", &["status", "--porcelain", "-uno"]) == "unknown" { "" } else { ", changed" };
    format!(
        "{model}, {cores} cores, Linux {}, {}, commit {}{changed}",
        said("uname", &["-r"]),
        said("qemu-system-x86_64", &["--version"]),
        said("git", &["rev-parse", "--short", "HEAD"]),
    )
}
