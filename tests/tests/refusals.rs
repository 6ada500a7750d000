//! What can't work is refused, with its place.

use std::net::TcpListener;

use unik_tests::machine::best;
use unik_tests::{build, example, scratch, unikgen_command};

fn refused(arguments: &[&str]) -> (String, Option<i32>) {
    let output = unikgen_command().args(arguments).output().expect("unikgen runs");
    assert!(!output.status.success(), "{arguments:?} went through");
    (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
}

#[test]
fn an_image_without_its_device_shows_the_line() {
    let image = build(&example("web"), &[]);
    let (said, _) = refused(&["run", &image.to_string_lossy(), "--no-net"]);
    assert!(said.contains("web.unik") && said.contains("device nic = virtio-net"), "{said}");
}

#[test]
fn a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let web = example("web");
    let publish = format!("127.0.0.1:{port}:80");
    let mut arguments = vec!["run", web.to_str().expect("UTF-8"), "--publish", &publish];
    arguments.extend(best().arguments());
    let (said, _) = refused(&arguments);
    assert!(said.contains(&port.to_string()) && said.contains("is taken"), "{said}");
}

#[test]
fn what_is_no_image_and_what_is_no_file() {
    let folder = scratch();
    let path = folder.path().join("nonsense.img");
    std::fs::write(&path, b"\x7fELF nonsense").expect("it can be written");
    for path in [&path.to_string_lossy(), "/nowhere/at/all.unik", "/dev/zero"] {
        let (said, code) = refused(&["run", path]);
        assert!(said.contains("error"), "{said}");
        assert!(code.is_some(), "{path}: ended by a signal");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn an_image_over_its_budget() {
    let folder = scratch();
    let file = folder.path().join("hello.unik");
    let text = std::fs::read_to_string(example("hello").join("hello.unik")).expect("the example");
    let with = |budget: &str| {
        let text =
            text.replace("appliance hello {", &format!("appliance hello {{\n    budget {{ {budget} }}"));
        std::fs::write(&file, text).expect("it can be written");
    };
    let image = folder.path().join("hello.img");
    let (file_is, image_is) = (file.to_string_lossy(), image.to_string_lossy());
    let arguments = ["build", &file_is, "-o", &image_is];
    with("image <= 4 KiB");
    let (said, code) = refused(&arguments);
    assert_eq!(code, Some(1), "{said}");
    for part in ["error[U0701]", "budget { image <= 4 KiB }", "and its budget is 4 KiB", "costs", "runtime"] {
        assert!(said.contains(part), "no `{part}` in:\n{said}");
    }
    assert!(!image.exists(), "an image that is too large was put in place");
    with("image <= 1 MiB");
    let output = unikgen_command().args(arguments).output().expect("unikgen runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(image.exists());
}
