//! Two networks on two devices: each has its own address, and answers on its own ports alone.

use unik_tests::machine::best;
use unik_tests::namespace::Namespace;
use unik_tests::running::Running;
use unik_tests::{build, root, unikgen, unikgen_command};

#[test]
fn each_network_is_its_own() {
    let file = root().join("tests/fixtures/two/two.unik");
    let image = build(&file, &[]);
    let (machine, namespace) = (best(), Namespace::new());
    for arguments in [
        &["tuntap", "add", "tap1", "mode", "tap"][..],
        &["address", "add", "10.0.3.2/24", "dev", "tap1"],
        &["link", "set", "tap1", "up"],
        &["address", "add", "198.51.100.1/32", "dev", "lo"],
    ] {
        assert!(namespace.output("ip", arguments).status.success(), "{arguments:?}");
    }
    let mut command = namespace.command(unikgen());
    command.env("UNIK_CACHE", unik_tests::cache()).env("NO_COLOR", "1");
    command.arg("run").arg(&image).args(machine.arguments());
    command.args(["--tap", "lan=tap0", "--tap", "wan=tap1"]);
    let mut running = Running::spawn(command);
    running.wait_until_ready(machine);
    for (at, is_open) in
        [("10.0.2.15:7", true), ("10.0.3.15:9", true), ("10.0.2.15:9", false), ("10.0.3.15:7", false)]
    {
        for what in ["udp-echo", "tcp-echo"] {
            let count = if is_open { "1000" } else { "1" };
            let output = namespace.output(env!("CARGO_BIN_EXE_unik-client"), &[what, at, count]);
            let said = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.success(), is_open, "{what} {at}: {said}\n{}", running.printed());
        }
    }
    // From another network, back by the route.
    let output = namespace.output("ping", &["-c", "3", "-i", "0.2", "-I", "198.51.100.1", "10.0.3.15"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let echo = "printf there | curl -sS -m 3 --interface 198.51.100.1 telnet://10.0.3.15:9 || true";
    let output = namespace.output("sh", &["-c", echo]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("there"), "{output:?}\n{}", running.printed());
    // What was counted of it: of the other network nothing is told.
    let counted = running.wait_for("tcp 9 (far): 2 accepted, 0 refused, 0 dropped", machine.patience());
    assert!(counted.contains("wan: "), "{counted}");
    running.wait_for("closed ports: 0 accepted, ", machine.patience());
    assert!(!running.printed().contains("lan: tcp"), "{}", running.printed());
}

#[test]
fn a_simulation_has_both_networks() {
    let file = root().join("tests/fixtures/two/two.unik");
    let output = unikgen_command().arg("sim").arg(&file).args(["--seed", "3"]).output().expect("it runs");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("36 of 36 clients"), "{said}");
}
