//! IPv6 on a real link: an address from a router's advertisement, neighbours, ping, HTTP, and
//! both transports.

use unik_tests::machine::best;
use unik_tests::namespace::Namespace;
use unik_tests::running::Running;
use unik_tests::{build, root, unikgen};

#[test]
fn a_router_brings_an_address() {
    let image = build(&root().join("tests/fixtures/six/six.unik"), &[]);
    let machine = best();
    let namespace = Namespace::new();
    namespace.output("ip", &["-6", "address", "add", "fd00:5::1/64", "dev", "tap0", "nodad"]);
    let client = env!("CARGO_BIN_EXE_unik-client");
    let mut router =
        namespace.command(client).args(["router", "[fd00:5::]:0", "600"]).spawn().expect("it starts");
    let mut command = namespace.command(unikgen());
    command.env("UNIK_CACHE", unik_tests::cache()).env("NO_COLOR", "1");
    command.arg("run").arg(&image).args(machine.arguments()).args(["--tap", "tap0"]);
    let mut running = Running::spawn(command);
    running.wait_until_ready(machine);
    let printed = running.wait_for("ready: six fd00:5::", machine.patience());
    let ready = printed.lines().find_map(|line| line.strip_prefix("ready: six fd00:5::"));
    let six = format!("fd00:5::{}", ready.unwrap_or_else(|| panic!("{printed}")).trim());
    println!("{machine}: {six}");
    let (tcp, udp) = (format!("http://[{six}]/"), format!("[{six}]:7"));
    for (program, arguments, expected) in [
        ("ping", &["-6", "-c", "5", "-i", "0.2", "-W", "5", &six][..], " 0% packet loss"),
        ("ping", &["-6", "-c", "2", "-s", "1400", "-W", "5", &six], " 0% packet loss"),
        ("curl", &["-6", "-sS", "-g", "--max-time", "20", &tcp], "Found by six."),
        ("curl", &["-4", "-sS", "--max-time", "20", "http://10.0.2.15/"], "Found by six."),
        (client, &["udp-echo", &udp, "500"], ""),
        (client, &["tcp-echo", &udp, "3000000"], ""),
    ] {
        let output = namespace.output(program, arguments);
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains(expected), "{said}\n{}", running.printed());
        println!("{}", said.trim());
    }
    // Not a test's matter when it has gone by itself.
    let _ = router.kill();
    let _ = router.wait();
}
