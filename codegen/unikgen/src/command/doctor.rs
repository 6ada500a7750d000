//! `unikgen doctor`: what this machine has and lacks, each with the command that mends it.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::process::{Command, Stdio};

use super::output;
use crate::exit::{ENVIRONMENT, OK, Outcome};
use crate::monitor::probe::{self, INSTALL_QEMU, QEMU, Qemu, find_program};
use crate::publish::{self, Availability, Protocol};
use crate::ui::{Paint, Tone, Ui};
use crate::{backend, holder};

/// The oldest rustc that builds images, as the workspace's `rust-version` has it.
const OLDEST_RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Where `run` publishes port 80, when it can.
const PORT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080));

/// What was found of one thing.
struct Finding {
    what: &'static str,
    state: State,
    said: String,
    mend: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    /// Works without, less well.
    Lacking,
    /// Nothing can be built without.
    Missing,
}

/// Looks, and says what it found: 3 when something is missing that builds need.
///
/// # Errors
/// When standard output can't be written.
pub fn run(ui: &Ui) -> Outcome {
    let findings = {
        let step = ui.step("looking at this machine");
        let mut findings = vec![rustc(), cargo(), linker()];
        findings.push(cache());
        step.now("asking whether cargo reaches its registry");
        findings.push(network());
        findings.push(port(publish::availability(Protocol::Tcp, PORT)));
        step.now("trying QEMU and KVM");
        let qemu = Qemu::find();
        findings.push(monitor(qemu.as_ref()));
        findings.push(kvm(qemu.as_ref()));
        findings
    };
    output(&report(&findings, ui.out()))?;
    let missing = findings.iter().any(|finding| finding.state == State::Missing);
    Ok(if missing { ENVIRONMENT } else { OK })
}

fn report(findings: &[Finding], paint: Paint) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.state {
            State::Good => paint.paint(Tone::Good, "ok     "),
            State::Lacking => paint.paint(Tone::Warning, "lacking"),
            State::Missing => paint.paint(Tone::Bad, "MISSING"),
        };
        text.push_str(&format!("{mark}  {:12} {}\n", finding.what, finding.said));
        if !finding.mend.is_empty() {
            text.push_str(&format!(
                "         {:12} mend it with: {}\n",
                "",
                paint.paint(Tone::Strong, &finding.mend)
            ));
        }
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    text.push_str(match (count(State::Missing), count(State::Lacking)) {
        (0, 0) => "\nEverything is here.\n",
        (0, _) => "\nEverything that is needed is here; what is lacking would make running better.\n",
        _ => "\nSomething that builds need is missing.\n",
    });
    text
}

fn good(what: &'static str, said: impl Into<String>) -> Finding {
    Finding { what, state: State::Good, said: said.into(), mend: String::new() }
}

fn bad(what: &'static str, state: State, said: impl Into<String>, mend: &str) -> Finding {
    Finding { what, state, said: said.into(), mend: mend.into() }
}

/// The first line that a command prints, if it succeeds.
fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_string())
}

fn rustc() -> Finding {
    const INSTALL: &str = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh";
    let program = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let Some(line) = first_line(&program, &["--version"]) else {
        return bad("rustc", State::Missing, "isn't there", INSTALL);
    };
    let version = line.split(' ').nth(1).unwrap_or_default();
    if is_older(version, OLDEST_RUST) {
        return bad(
            "rustc",
            State::Missing,
            format!("{line}; {OLDEST_RUST} or newer is needed"),
            "rustup update stable",
        );
    }
    // Images are built for the host's own target, with its precompiled core.
    match first_line(&program, &["-vV"]).and(host_of(&program)) {
        Some(host) if host != "x86_64-unknown-linux-gnu" => bad(
            "rustc",
            State::Missing,
            format!("{line} for {host}; images are built for x86_64-unknown-linux-gnu"),
            "rustup target add x86_64-unknown-linux-gnu",
        ),
        _ => good("rustc", line),
    }
}

fn host_of(program: &str) -> Option<String> {
    let output = Command::new(program).arg("-vV").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("host: ").map(String::from))
}

/// Whether the version `found` is older than `wanted`, number by number.
fn is_older(found: &str, wanted: &str) -> bool {
    let numbers = |text: &str| -> Vec<u64> {
        text.split('-').next().unwrap_or_default().split('.').map(|n| n.parse().unwrap_or(0)).collect()
    };
    let (mut found, mut wanted) = (numbers(found), numbers(wanted));
    found.resize(3, 0);
    wanted.resize(3, 0);
    found < wanted
}

fn cargo() -> Finding {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    match first_line(&program, &["--version"]) {
        Some(line) => good("cargo", line),
        None => bad("cargo", State::Missing, "isn't there", "rustup component add cargo"),
    }
}

/// Build scripts and proc-macros are linked by the C compiler, whatever links the image.
fn linker() -> Finding {
    match find_program("cc") {
        Some(program) => good("C linker", program.display().to_string()),
        None => bad("C linker", State::Missing, "there is no `cc`", backend::INSTALL_LINKER),
    }
}

fn cache() -> Finding {
    let folder = match backend::cache_folder() {
        Ok(folder) => folder,
        Err(error) => return bad("cache", State::Missing, error.to_string(), "export UNIK_CACHE=FOLDER"),
    };
    match tempfile::tempfile_in(&folder) {
        Ok(_) => good("cache", folder.display().to_string()),
        Err(error) => bad(
            "cache",
            State::Missing,
            format!("{} can't be written: {error}", folder.display()),
            "export UNIK_CACHE=FOLDER",
        ),
    }
}

/// Asks cargo for the index entry of a crate that every image has.
fn network() -> Finding {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let reached = Command::new(program)
        .args(["info", "--quiet", "--registry", "crates-io", "log"])
        .env("CARGO_NET_RETRY", "0")
        .env("CARGO_HTTP_TIMEOUT", "10")
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if reached {
        good("network", "cargo reaches its registry")
    } else {
        bad(
            "network",
            State::Lacking,
            "cargo doesn't reach its registry; what was built once builds with --offline",
            "curl -I https://index.crates.io/config.json",
        )
    }
}

/// Whether the port of this machine that `run` gives to a web site can be had.
fn port(found: Availability) -> Finding {
    let held = match found {
        Availability::Free => {
            return good("port", format!("{PORT} is free: what `run` publishes port 80 on"));
        }
        Availability::Taken => {
            let holder = holder::of(Protocol::Tcp, PORT).unwrap_or_else(|| "another program".into());
            format!("{PORT} is taken by {holder}; `run` publishes port 80 on the next that is free")
        }
        Availability::Forbidden | Availability::NotHere | Availability::Unusable(_) => {
            format!("{PORT} can't be listened on here: appliances can be reached by --tap only")
        }
    };
    bad("port", State::Lacking, held, "unikgen run --publish PORT:80")
}

fn monitor(qemu: Option<&Qemu>) -> Finding {
    let Some(qemu) = qemu else {
        return bad(
            "QEMU",
            State::Lacking,
            format!("{QEMU} isn't there: appliances run as processes"),
            INSTALL_QEMU,
        );
    };
    match qemu.version() {
        Some(version) if is_older(&version, "5.0") => {
            bad("QEMU", State::Lacking, format!("{version} is older than 5.0"), INSTALL_QEMU)
        }
        Some(version) => good("QEMU", format!("{version} ({})", qemu.program.display())),
        None => bad(
            "QEMU",
            State::Lacking,
            format!("{} doesn't say its version", qemu.program.display()),
            INSTALL_QEMU,
        ),
    }
}

fn kvm(qemu: Option<&Qemu>) -> Finding {
    let tried = match qemu {
        Some(qemu) => probe::kvm(qemu, None),
        None => probe::open_kvm(),
    };
    match (tried, qemu) {
        (Ok(()), Some(_)) => good("KVM", "a tiny machine ran"),
        (Ok(()), None) => good("KVM", "/dev/kvm can be opened"),
        (Err(why), _) => bad("KVM", State::Lacking, why.to_string(), why.mend()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_by_number() {
        assert!(is_older("1.90.0", "1.91"));
        assert!(!is_older("1.91.0", "1.91"));
        assert!(!is_older("1.100.0-nightly", "1.91"));
        assert!(!is_older("10.0.2", "5.0"));
    }

    #[test]
    fn a_port_that_is_taken_is_no_obstacle() {
        let here = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(port(publish::availability(Protocol::Tcp, here)).state == State::Good);
        let finding = port(Availability::Taken);
        assert!(finding.state == State::Lacking && finding.said.contains("is taken by"), "{}", finding.said);
        assert!(port(Availability::NotHere).said.contains("--tap only"));
    }

    #[test]
    fn each_lack_comes_with_what_mends_it() {
        let findings = [good("rustc", "1.95"), bad("QEMU", State::Lacking, "isn't there", INSTALL_QEMU)];
        let text = report(&findings, Paint(false));
        assert!(text.contains("lacking  QEMU         isn't there\n"), "{text}");
        assert!(text.contains("mend it with: sudo apt-get install qemu-system-x86"), "{text}");
        assert!(text.contains("would make running better"), "{text}");
    }
}
