//! Names, addresses and routes from dnsmasq, whose servers most networks of this size have: by an
//! image on a real link, and by a process.

use std::process::{Child, Stdio};

use unik_tests::machine::{Machine, best};
use unik_tests::namespace::Namespace;
use unik_tests::running::Running;
use unik_tests::{build, root, scratch, unikgen};

/// A program that runs until it is dropped.
struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        // Not a test's matter when it has gone by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// dnsmasq on `tap0`: it gives 10.0.2.15, and knows the names of `test`.
fn dnsmasq(namespace: &Namespace, leases: &std::path::Path) -> Beside {
    let mut command = namespace.command("dnsmasq");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file="]);
    command.args(["--interface=tap0", "--bind-interfaces", "--no-resolv", "--no-hosts", "--local-ttl=60"]);
    command.arg(format!("--dhcp-leasefile={}", leases.display()));
    command.args(["--dhcp-range=10.0.2.15,10.0.2.15,255.255.255.0,1h", "--dhcp-authoritative"]);
    command.args(["--local=/test/", "--host-record=www.test,10.0.2.2", "--cname=alias.test,www.test"]);
    command.args(["--host-record=both.test,10.0.2.2,fd00::2"]);
    // Who says this, of him no router counts (RFC 3442).
    command.arg("--dhcp-option=option:classless-static-route,198.51.100.0/24,10.0.2.2");
    // More than a datagram holds.
    command.args((1..=100).map(|last| format!("--host-record=many.test,10.1.0.{last}")));
    Beside(command.stdout(Stdio::null()).spawn().expect("tests/run installs dnsmasq"))
}

/// What the service says of `path`.
fn ask(namespace: &Namespace, service: &str, path: &str, running: &Running) -> String {
    let output = namespace.output("curl", &["-sS", "--max-time", "30", &format!("http://{service}/{path}")]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{path}: {said}{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        running.printed()
    );
    said
}

fn names_are_looked_up(namespace: &Namespace, service: &str, running: &Running) {
    let ask = |path: &str| ask(namespace, service, path, running);
    for (path, expected) in [
        ("www.test/8080", "1 addresses\n10.0.2.2:8080: here\n"),
        ("WWW.Test./8080", "1 addresses\n10.0.2.2:8080: here\n"),
        ("alias.test/8080", "1 addresses\n10.0.2.2:8080: here\n"),
        ("10.0.2.2/8080", "1 addresses\n10.0.2.2:8080: here\n"),
        ("many.test/", "16 addresses\n"),
        ("localhost/", "1 addresses\n"),
    ] {
        assert_eq!(ask(path), expected, "{path}\n{}", running.printed());
    }
    for (path, error) in [
        ("none.test/", "NoName"),
        ("example.org/", "Refused"),
        ("a..test/", "BadName"),
        ("any/x.invalid/", "NoName"),
    ] {
        assert!(ask(path).starts_with(&format!("{error}: ")), "{path}: {}", ask(path));
    }
}

#[test]
fn an_image_asks_whom_dhcp_names() {
    let image = build(&root().join("tests/fixtures/seek/seek.unik"), &[]);
    let (machine, namespace, folder) = (best(), Namespace::new(), scratch());
    let client = env!("CARGO_BIN_EXE_unik-client");
    for elsewhere in ["198.51.100.1/32", "203.0.113.1/32"] {
        namespace.output("ip", &["address", "add", elsewhere, "dev", "lo"]);
    }
    let greeter = namespace.command(client).args(["greet", "0.0.0.0:8080", "100"]).spawn();
    let _greeter = Beside(greeter.expect("it starts"));
    let dnsmasq = dnsmasq(&namespace, &folder.path().join("leases"));
    let mut command = namespace.command(unikgen());
    command.env("UNIK_CACHE", unik_tests::cache()).env("NO_COLOR", "1");
    command.arg("run").arg(&image).args(machine.arguments()).args(["--tap", "tap0"]);
    let mut running = Running::spawn(command);
    running.wait_until_ready(machine);
    names_are_looked_up(&namespace, "10.0.2.15", &running);
    // By the route that DHCP gave, and by no other.
    for (at, heard) in [("198.51.100.1", "here"), ("203.0.113.1", "Ok(Err(Unreachable))")] {
        let said = ask(&namespace, "10.0.2.15", &format!("{at}/8080"), &running);
        assert_eq!(said, format!("1 addresses\n{at}:8080: {heard}\n"));
    }
    // The server has gone: what was learnt stays, what wasn't isn't found.
    drop(dnsmasq);
    assert_eq!(ask(&namespace, "10.0.2.15", "www.test/", &running), "1 addresses\n");
    let said = ask(&namespace, "10.0.2.15", "another.test/", &running);
    assert!(said.starts_with("TimedOut: "), "{said}");
}

#[test]
fn a_process_asks_whom_its_command_line_names() {
    let (namespace, folder) = (Namespace::new(), scratch());
    let client = env!("CARGO_BIN_EXE_unik-client");
    let greeter = namespace.command(client).args(["greet", "10.0.2.2:8080", "100"]).spawn();
    let _greeter = Beside(greeter.expect("it starts"));
    let _dnsmasq = dnsmasq(&namespace, &folder.path().join("leases"));
    let program = build(&root().join("tests/fixtures/seek/seek.unik"), &["--target", "process"]);
    let mut command = namespace.command(&program);
    command.args(["publish=8000:80", "resolver=10.0.2.2"]);
    let mut running = Running::spawn(command);
    running.wait_until_ready(Machine::PROCESS);
    // What is no server ends it.
    let refused = namespace.command(&program).arg("lan.resolver=www.test").output().expect("it starts");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("expected addresses of DNS servers"));
    names_are_looked_up(&namespace, "127.0.0.1:8000", &running);
}
