//! `examples/hello`: prints its line and ends, everywhere.

use std::time::Duration;

use unik_tests::machine::{Machine, machines, microvms};
use unik_tests::running::Running;
use unik_tests::{build, example};

#[test]
fn says_its_line_and_ends_with_0_on_every_machine() {
    for machine in machines().into_iter().chain([Machine::PROCESS]) {
        let mut running = Running::start(&example("hello"), machine, &[]);
        let status = running.wait_for_end(machine.patience() + Duration::from_secs(60));
        let printed = running.printed();
        assert_eq!(status.code(), Some(0), "{machine}:\n{printed}");
        assert!(printed.contains("Hello from a sealed unikernel."), "{machine}:\n{printed}");
        println!("{machine}: ok");
    }
}

#[test]
fn boots_in_4_mib() {
    for machine in microvms() {
        let mut running = Running::start(&example("hello"), machine, &["--memory", "4 MiB"]);
        let status = running.wait_for_end(machine.patience());
        assert_eq!(status.code(), Some(0), "{machine}:\n{}", running.printed());
    }
}

#[test]
fn its_image_is_40_kib_or_less() {
    let image = build(&example("hello"), &[]);
    let bytes = std::fs::metadata(&image).expect("the image is there").len();
    println!("hello: {bytes} bytes on disk, stripped");
    assert!(bytes <= 40 << 10, "hello is {bytes} bytes");
}
