//! `examples/lan`: an address by DHCP, from the monitor's own server.

use std::net::SocketAddr;

use unik_tests::client::get;
use unik_tests::example;
use unik_tests::machine::machines;
use unik_tests::running::{Running, free_port};

#[test]
fn takes_the_address_that_it_is_given() {
    for machine in machines() {
        let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut running = Running::start(&example("lan"), machine, &["--publish", &format!("{at}:80")]);
        running.wait_until_ready(machine);
        let answer = get(at, "/").unwrap_or_else(|error| panic!("{machine}: {error}\n{}", running.printed()));
        assert!(answer.contains("Found on your network."), "{machine}: {answer}");
    }
}
