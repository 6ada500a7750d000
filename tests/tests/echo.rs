//! `examples/echo`: what is sent comes back, over both transports.

use unik_tests::machine::machines;
use unik_tests::namespace::Namespace;
use unik_tests::running::Running;
use unik_tests::{build, example, unikgen};

#[test]
fn what_is_sent_comes_back() {
    let image = build(&example("echo"), &[]);
    for machine in machines() {
        let namespace = Namespace::new();
        let mut command = namespace.command(unikgen());
        command.env("UNIK_CACHE", unik_tests::cache()).env("NO_COLOR", "1");
        command.arg("run").arg(&image).args(machine.arguments()).args(["--tap", "tap0"]);
        let mut running = Running::spawn(command);
        running.wait_until_ready(machine);
        for arguments in [["udp-echo", "10.0.2.15:7", "500"], ["tcp-echo", "10.0.2.15:7", "3000000"]] {
            let output = namespace.output(env!("CARGO_BIN_EXE_unik-client"), &arguments);
            let said = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{machine}: {said}\n{}", running.printed());
            println!("{machine}: {}", said.trim());
        }
    }
}
