//! Floods that others died of, and ten thousand connections at once.
//!
//! A short form runs always. `tests/run --soak floods` runs the long one: a million pings, and 300 rounds of
//! floods over all machines, of which none may stall.

use std::process::Command;

use unik_tests::machine::{Machine, accelerators, best};
use unik_tests::namespace::Namespace;
use unik_tests::running::Running;
use unik_tests::{build, root, unikgen};

const CLIENT: &str = env!("CARGO_BIN_EXE_unik-client");
/// Machine kinds × accelerators × this makes 300.
const SOAK_ROUNDS: usize = 50;
const ROUNDS: usize = 2;
const SOAK_PINGS: usize = 1_000_000;
const PINGS: usize = 200_000;
const CONNECTIONS: usize = 10_000;

fn is_soak() -> bool {
    std::env::var_os("UNIK_SOAK").is_some()
}

/// `fixtures/many` on a TAP in a namespace.
struct Many {
    namespace: Namespace,
    running: Running,
    machine: Machine,
}

impl Many {
    fn start(machine: Machine) -> Many {
        let image = build(&root().join("tests/fixtures/many/many.unik"), &[]);
        let namespace = Namespace::new();
        let mut command = namespace.command(unikgen());
        command.env("UNIK_CACHE", unik_tests::cache()).env("NO_COLOR", "1");
        command.arg("run").arg(image).args(machine.arguments()).args(["--tap", "tap0"]);
        let mut running = Running::spawn(command);
        running.wait_until_ready(machine);
        Many { namespace, running, machine }
    }

    fn client(&self, arguments: &[&str]) -> String {
        // One file descriptor a connection, and some.
        let limited = ["-c", "ulimit -n 12000 && exec \"$@\"", "sh", CLIENT];
        let output = self.namespace.output("sh", &[&limited, arguments].concat());
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let printed = self.running.printed();
        assert!(output.status.success(), "{}: {arguments:?}: {said}\n{printed}", self.machine);
        said.trim().to_string()
    }
}

#[test]
fn ten_thousand_at_once_are_each_answered() {
    let many = Many::start(best());
    println!("{}: {}", many.machine, many.client(&["many", "10.0.2.15:80", &CONNECTIONS.to_string()]));
    // They were all closed; and there is room for as many again.
    println!("{}: {}", many.machine, many.client(&["many", "10.0.2.15:80", &CONNECTIONS.to_string()]));
    println!("{}: resident memory of QEMU: {} MiB", many.machine, resident(many.running.id()) >> 20);
}

#[test]
fn only_the_declared_udp_port_answers() {
    let many = Many::start(best());
    let scan = ["-n", "-Pn", "-sU", "-p", "1-64", "--max-retries", "2", "10.0.2.15"];
    let said = many.namespace.output("nmap", &scan);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let open: Vec<&str> = said.lines().filter(|line| line.contains("udp") && line.contains("open")).collect();
    assert!(matches!(open[..], [line] if line.starts_with("7/udp")), "{said}");
    println!("{}: of UDP ports 1 to 64, {}", many.machine, open[0]);
}

/// The memory that the processes below `id` have touched, in bytes.
fn resident(id: u32) -> u64 {
    let children = Command::new("pgrep").args(["-P", &id.to_string()]).output().expect("procps is installed");
    let below: u64 = String::from_utf8_lossy(&children.stdout)
        .lines()
        .filter_map(|child| child.parse().ok())
        .map(resident)
        .sum();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let own = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    below + own.unwrap_or(0) * 1024
}

#[test]
fn every_ping_of_a_flood_is_answered() {
    let count = if is_soak() { SOAK_PINGS } else { PINGS };
    let many = Many::start(best());
    println!("{}: {}", many.machine, many.client(&["pings", "10.0.2.15:0", &count.to_string()]));
}

fn rounds(accel: &'static str, kind: &'static str) {
    if !accelerators().contains(&accel) {
        println!("{kind} on {accel}: NOT RUN, there is no {accel} here");
        return;
    }
    let rounds = if is_soak() { SOAK_ROUNDS } else { ROUNDS };
    let many = Many::start(Machine { accel: Some(accel), kind });
    println!("{}: {}", many.machine, many.client(&["rounds", "10.0.2.15:80", &rounds.to_string()]));
}

#[test]
fn nothing_stalls_on_microvm_with_kvm() {
    rounds("kvm", "microvm");
}

#[test]
fn nothing_stalls_on_microvm_with_tcg() {
    rounds("tcg", "microvm");
}

#[test]
fn nothing_stalls_on_microvm_pcie_with_kvm() {
    rounds("kvm", "microvm-pcie");
}

#[test]
fn nothing_stalls_on_microvm_pcie_with_tcg() {
    rounds("tcg", "microvm-pcie");
}

#[test]
fn nothing_stalls_on_q35_with_kvm() {
    rounds("kvm", "q35");
}

#[test]
fn nothing_stalls_on_q35_with_tcg() {
    rounds("tcg", "q35");
}
