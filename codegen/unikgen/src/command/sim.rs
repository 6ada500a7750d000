//! `unikgen sim`: a whole appliance in virtual time, on simulated networks.

use std::fmt::Write as _;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use unik_catalogue::schema::Transport;
use unik_codegen::note::BootParameter;
use unik_dsl::Plan;

use super::output;
use crate::appliance;
use crate::backend;
use crate::cli::{Cargo, Parameters, Sim, SimFormat, TargetChoice};
use crate::exit::{self, OK, Outcome, SIM};
use crate::monitor::boot::Given;
use crate::monitor::leash::on_leash;
use crate::monitor::needs;
use crate::stop;
use crate::ui::{self, Ui};

/// Lines of the console that are shown of a run that failed.
const LAST_LINES: usize = 40;
/// How often a run is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// Runs the seeds that were asked for.
///
/// # Errors
/// When the file has errors, the build fails, or a run can't be started.
pub fn run(args: &Sim, ui: &Ui) -> Outcome {
    let subject = appliance::locate_file(args.appliance.file.as_deref())?;
    let Some(file) = subject.unik_file() else { return Ok(OK) };
    if args.appliance.parameters.target.is_some_and(|target| target != TargetChoice::Sim) {
        return Err(exit::usage("--target is another target than that of a simulation, `sim`"));
    }
    let Cargo { offline, locked } = args.cargo;
    let target = Some(TargetChoice::Sim);
    let parameters = Parameters { offline, locked, target, ..args.appliance.parameters.clone() };
    let checked = appliance::check(file, &parameters, ui)?;
    let known: Vec<BootParameter> = checked.plan.boot.iter().map(BootParameter::of).collect();
    let given = Given::of(&args.boot, &known)?;
    if let Some(tried) = Given::tried(&args.boot, &known, &parameters) {
        appliance::check(file, &tried, ui)?;
    }
    let program = backend::build(&subject, &checked, &parameters, &args.cargo, None, ui)?.image;
    let mut common = network_arguments(&checked.plan, &checked.sources, &given);
    common.extend([
        format!("clients={}", args.clients),
        format!("rounds={}", args.rounds),
        format!("patience={}", args.patience),
        format!("limit={}", args.limit),
        format!("faults={}", args.faults),
    ]);
    common.extend(args.shutdown.iter().map(|time| format!("shutdown={time}")));
    common.extend(args.request.iter().map(|path| format!("request={path}")));
    common.extend(args.pcap.iter().map(|path| format!("pcap={}", path.display())));
    let (from, to) = args.seeds.unwrap_or((args.seed, args.seed));
    let mut failed = None;
    for seed in from..=to {
        let mut command = Command::new(&program);
        command.args(&common).arg(format!("seed={seed}"));
        ui.detail(&format!("{command:?}"));
        command.env("UNIK_BOOT", &given.line);
        let run = run_one(&command, Duration::from_secs(args.timeout))?;
        if let Some(signal) = stop::requested() {
            return Ok(stop::code(signal));
        }
        if let Some(why) = run.report.refused {
            return Err(exit::usage(why));
        }
        match args.format {
            SimFormat::Human => output(&run.report.line(seed))?,
            SimFormat::Json => output(&format!("{}\n", run.report.json(&checked.plan.appliance, seed)))?,
        }
        if !run.report.fact("broke").is_empty() {
            ui.detail(&format!("tried again: {}", run.report.fact("broke")));
        }
        if ui.is_verbose() || !run.report.failures.is_empty() {
            show_console(&run.console, ui.is_verbose());
        }
        if !run.report.failures.is_empty() {
            failed = Some(seed);
            break;
        }
    }
    let Some(seed) = failed else { return Ok(OK) };
    for place in args.pcap.iter() {
        ui.say("capture", &place.display().to_string());
    }
    ui.say("repeat", &repeat(args, file, seed));
    Ok(SIM)
}

/// The command that does it again.
fn repeat(args: &Sim, file: &Path, seed: u64) -> String {
    let mut text = format!("unikgen sim {} --seed {seed}", quoted(&file.display().to_string()));
    let mut add = |flag: &str, value: &str| {
        let _ = write!(text, " {flag} {}", quoted(value));
    };
    for (name, value) in &args.appliance.parameters.set {
        add("--set", &format!("{name}={value}"));
    }
    for (name, value) in &args.appliance.parameters.set_file {
        add("--set-file", &format!("{name}={value}"));
    }
    for (name, value) in &args.appliance.parameters.set_env {
        add("--set-env", &format!("{name}={value}"));
    }
    for (name, value) in &args.boot.boot {
        add("--boot", &format!("{name}={value}"));
    }
    for (name, value) in &args.boot.boot_file {
        add("--boot-file", &format!("{name}={value}"));
    }
    if !args.faults.is_empty() {
        add("--faults", &args.faults);
    }
    // What has its default needn't be said, but may be.
    for (flag, value, default) in [
        ("--clients", args.clients.to_string(), "3"),
        ("--rounds", args.rounds.to_string(), "2"),
        ("--patience", args.patience.clone(), "5m"),
        ("--limit", args.limit.clone(), "1h"),
    ] {
        if value != default {
            add(flag, &value);
        }
    }
    args.shutdown.iter().for_each(|time| add("--shutdown", time));
    args.request.iter().for_each(|path| add("--request", path));
    text
}

/// A word of a shell's command line.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./=%,:+@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// What is plugged into which link, and what services listen on.
fn network_arguments(plan: &Plan, sources: &unik_dsl::SourceMap, given: &Given) -> Vec<String> {
    let networks = needs::of_plan(plan, sources, given).networks.into_iter().map(|network| {
        let (cidr, gateway) = match network.address {
            Some((address, prefix, gateway)) => (
                format!("{address}/{prefix}"),
                gateway.map_or_else(String::new, |gateway| gateway.to_string()),
            ),
            None => Default::default(),
        };
        format!("network={},{},{cidr},{gateway}", network.instance, network.device)
    });
    let listens = plan.instances().flat_map(|(_, node)| {
        node.listens.iter().map(|listen| {
            let protocol = if listen.protocol == Transport::Tcp { "tcp" } else { "udp" };
            let speaks = listen.speaks.as_deref().unwrap_or_default();
            format!("listen={},{protocol},{},{speaks},{}", node.id, listen.port, listen.service)
        })
    });
    networks.chain(listens).collect()
}

/// A run that has ended.
struct Ended {
    report: Report,
    console: Vec<u8>,
}

/// Starts `command`, and waits for its end.
fn run_one(command: &Command, limit: Duration) -> anyhow::Result<Ended> {
    let mut child = on_leash(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| exit::environment(format!("can't start {:?}: {error}", command.get_program())))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let console = std::thread::spawn(move || read_all(stdout));
    let report = std::thread::spawn(move || read_all(stderr));
    let started = Instant::now();
    let mut ended = None;
    while ended.is_none() && started.elapsed() < limit && stop::requested().is_none() {
        ended = child.try_wait()?;
        if ended.is_none() {
            std::thread::sleep(LOOK);
        }
    }
    if ended.is_none() {
        // One that has ended meanwhile is no error.
        child.kill()?;
        child.wait()?;
    }
    let lost = |_| anyhow::anyhow!("a thread that reads from the simulation panicked");
    let (console, report) = (console.join().map_err(lost)?, report.join().map_err(lost)?);
    let report = Report::read(&String::from_utf8_lossy(&report), ended, limit);
    Ok(Ended { report, console })
}

fn read_all(stream: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What came until it broke off is all that there is.
    let _ = stream.map(|mut stream| stream.read_to_end(&mut bytes));
    bytes
}

fn show_console(console: &[u8], all: bool) {
    let text = String::from_utf8_lossy(console);
    let lines: Vec<&str> = text.lines().collect();
    let from = if all { 0 } else { lines.len().saturating_sub(LAST_LINES) };
    for line in &lines[from..] {
        ui::stderr(&format!("  | {line}\n"));
    }
}

/// What a run came to, by the lines `sim: NAME VALUE` that it wrote.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    facts: Vec<(String, String)>,
    failures: Vec<String>,
    /// Why it didn't begin: an argument that makes no sense.
    refused: Option<String>,
}

impl Report {
    fn read(text: &str, ended: Option<ExitStatus>, limit: Duration) -> Report {
        let mut report = Report::default();
        let mut is_whole = false;
        let mut others = Vec::new();
        for line in text.lines() {
            match line.strip_prefix("sim: ").map(|rest| rest.split_once(' ').unwrap_or((rest, ""))) {
                Some(("end", _)) => is_whole = true,
                Some(("failed", why)) => report.failures.push(why.into()),
                Some(("refused", why)) => report.refused = Some(why.into()),
                Some((name, value)) => report.facts.push((name.into(), value.into())),
                None => others.push(line),
            }
        }
        if report.refused.is_some() {
            return report;
        }
        match ended {
            None => report.failures.push(format!(
                "it didn't end within {} s of real time, and was ended: a turn of a task takes for ever",
                limit.as_secs()
            )),
            Some(status) if !is_whole || (!status.success() && report.failures.is_empty()) => {
                let said = if others.is_empty() { String::new() } else { format!(": {}", others.join(" ")) };
                report.failures.push(format!("it ended by itself, with {status}{said}"));
            }
            Some(_) => {}
        }
        report
    }

    fn fact(&self, name: &str) -> &str {
        self.facts.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    fn line(&self, seed: u64) -> String {
        let mut text = format!("seed {seed}: {}", if self.failures.is_empty() { "ok" } else { "FAILED" });
        if let Ok(time) = self.fact("time").parse::<u64>() {
            let _ = write!(text, ", {}.{:03} s", time / 1_000_000_000, time / 1_000_000 % 1_000);
        }
        for (name, words) in [
            ("clients", "clients"),
            ("connections", "connections"),
            ("retries", "retries"),
            ("gave-up", "gave up"),
        ] {
            if !matches!(self.fact(name), "" | "0") {
                let _ = write!(text, ", {} {words}", self.fact(name));
            }
        }
        if !self.fact("ended-after").is_empty() {
            let _ = write!(text, ", ended {} after it was asked to", self.fact("ended-after"));
        }
        if !self.fact("sent").is_empty() {
            let _ = write!(text, ", {} frames out, {} in", self.fact("sent"), self.fact("received"));
            let faults: Vec<String> = ["lost", "duplicated", "reordered", "corrupted", "overflow"]
                .into_iter()
                .filter(|name| !matches!(self.fact(name), "" | "0"))
                .map(|name| format!("{} {name}", self.fact(name)))
                .collect();
            if !faults.is_empty() {
                let _ = write!(text, " ({})", faults.join(", "));
            }
        }
        if !self.fact("hash").is_empty() {
            let _ = write!(text, ", hash {}", self.fact("hash"));
        }
        text.push('\n');
        for failure in &self.failures {
            let _ = writeln!(text, "  {failure}");
        }
        text
    }

    fn json(&self, appliance: &str, seed: u64) -> serde_json::Value {
        let mut object = json!({
            "appliance": appliance,
            "seed": seed,
            "ok": self.failures.is_empty(),
            "failures": self.failures,
        });
        if let Some(object) = object.as_object_mut() {
            for (name, value) in &self.facts {
                let value = value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number));
                object.insert(name.clone(), value);
            }
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    const GOOD: &str = "sim: time 3500000000\nsim: hash ab\nsim: clients 2 of 2\nsim: sent 5\nsim: received 4\nsim: lost 1\nsim: end\n";

    fn read(text: &str, code: i32) -> Report {
        Report::read(text, Some(ExitStatus::from_raw(code << 8)), Duration::from_secs(1))
    }

    #[test]
    fn reports_are_read() {
        let good = read(GOOD, 0);
        assert_eq!(
            good.line(7),
            "seed 7: ok, 3.500 s, 2 of 2 clients, 5 frames out, 4 in (1 lost), hash ab\n"
        );
        assert_eq!(good.json("x", 7)["hash"], "ab");
        assert_eq!(good.json("x", 7)["sent"], 5);
        let bad = read("sim: time 1\nsim: failed it broke\nsim: end\n", 1);
        assert_eq!(bad.line(1), "seed 1: FAILED, 0.000 s\n  it broke\n");
        assert_eq!(read("sim: refused no\n", 2).refused.as_deref(), Some("no"));
    }

    #[test]
    fn no_run_is_good_that_did_not_say_so() {
        assert!(!read("", 0).failures.is_empty());
        assert!(!read(GOOD, 1).failures.is_empty());
        assert!(read("sim: time 1\nKilled\n", 9).failures[0].ends_with(": Killed"));
        assert!(!Report::read(GOOD, None, Duration::from_secs(1)).failures.is_empty());
    }

    #[test]
    fn words_for_a_shell() {
        assert_eq!(quoted("loss=5%,delay=1ms..2ms"), "loss=5%,delay=1ms..2ms");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
