//! `examples/hello`: prints its line and ends, everywhere.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use unik_tests::machine::{Machine, machines, microvms};
use unik_tests::running::Running;
use unik_tests::{build, example, unikgen_command};

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

/// The language server tells what a line brought into the image that was built last.
#[test]
fn an_editor_shows_what_its_line_weighs() {
    let file = example("hello").join("hello.unik");
    build(&file, &[]);
    let text = std::fs::read_to_string(&file).expect("the example");
    let line = text.lines().position(|line| line.contains("service greeting")).expect("the service");
    let at = text.lines().nth(line).and_then(|line| line.find("greeting")).expect("its name");
    let uri = format!("file://{}", file.display());
    let messages = [
        json!({ "id": 1, "method": "initialize", "params": { "processId": null, "rootUri": null, "capabilities": {} } }),
        json!({ "method": "initialized", "params": {} }),
        json!({ "method": "textDocument/didOpen", "params": {
            "textDocument": { "uri": uri, "languageId": "unik", "version": 1, "text": text } } }),
        json!({ "id": 2, "method": "textDocument/hover", "params": {
            "textDocument": { "uri": uri }, "position": { "line": line, "character": at } } }),
        json!({ "id": 3, "method": "shutdown" }),
        json!({ "method": "exit" }),
    ];
    let mut command = unikgen_command();
    command.arg("lsp").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("unikgen runs");
    let mut input = child.stdin.take().expect("a pipe");
    for mut message in messages {
        message["jsonrpc"] = "2.0".into();
        let message = message.to_string();
        write!(input, "Content-Length: {}\r\n\r\n{message}", message.len()).expect("it listens");
    }
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let image = said.split("Of the ").nth(1).and_then(|rest| rest.split(" KiB of the last image").next());
    let image: f64 = image.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{said}"));
    assert!((20.0..=40.0).contains(&image), "{said}");
    assert!(said.contains("it alone brought in "), "{said}");
}
