//! `examples/boot`: values on the boot line, in machines, as a process and in simulation.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use unik_tests::client::connect;
use unik_tests::guest::qemu_with;
use unik_tests::machine::{Machine, accelerators, best, microvms};
use unik_tests::running::{Running, free_port};
use unik_tests::{build, example, scratch, unikgen_command};

fn image() -> PathBuf {
    build(&example("boot"), &[])
}

/// All that it printed, and its exit code.
fn said(mut command: Command) -> (String, Option<i32>) {
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    (String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr), status.code())
}

fn unikgen(arguments: &[&str], file: &Path) -> (String, Option<i32>) {
    let mut command = unikgen_command();
    command.args(arguments).arg(file);
    said(command)
}

/// What comes back.
fn echo(at: SocketAddr) -> std::io::Result<[u8; 6]> {
    let mut stream = connect(at)?;
    stream.write_all(b"there?")?;
    let mut answer = [0; 6];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// One image, with what it was built with and with other values.
#[test]
fn values_are_given_when_it_starts() {
    let image = image();
    for machine in microvms().into_iter().chain([Machine::PROCESS]) {
        let file = if machine == Machine::PROCESS { example("boot") } else { image.clone() };
        let given = ["--boot", "address=10.0.2.77/24", "--boot", "greeting=two \"words\" = é \\o/"];
        for (boot, greeting) in [(&[][..], "Hello as built."), (&given[..], "two \"words\" = é \\o/")] {
            let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
            let publish = ["--publish".to_string(), format!("{at}:7")];
            let mut arguments: Vec<&str> = publish.iter().map(String::as_str).collect();
            arguments.extend(boot);
            let mut running = Running::start(&file, machine, &arguments);
            running.wait_until_ready(machine);
            // The monitor forwards to the address that it was given: nobody else has it.
            let answer = echo(at).unwrap_or_else(|error| panic!("{machine}: {error}"));
            assert_eq!(&answer, b"there?", "{machine}: {}", running.printed());
            running.wait_for(greeting, Duration::from_secs(20));
            running.interrupt();
        }
    }
}

/// The guest itself refuses, whoever starts it: nothing has started by then.
#[test]
fn a_boot_line_that_makes_no_sense_ends_the_boot() {
    let image = image();
    let long = format!("unik.greeting={}", "x".repeat(5000));
    let wrong: &[(&[u8], &str)] = &[
        (b"unik.address=10.0.2.9", "`unik.address` takes an IPv4 address with a prefix length, such as"),
        (b"unik.address=10.0.2.300/24", "not `10.0.2.300/24`"),
        (b"unik.address=10.0.2.0/24", "`unik.address`: `10.0.2.0/24` "),
        (b"unik.address=10.0.9.2/24", "of a network that the gateway is no host of"),
        (b"unik.address=", "not ``"),
        (b"unik.adress=10.0.2.9/24", "`unik.adress`"),
        (b"unik.address=10.0.2.9/24 unik.address=10.0.2.9/24", "twice"),
        (b"unik.greeting=\"not closed", "quote"),
        (b"unik.address=\x1b[31mred", "not `\u{fffd}[31mred`"),
        (b"unik.greeting=\xff\xfe", "UTF-8"),
        (long.as_bytes(), "longer than 4096 bytes"),
    ];
    for accel in accelerators() {
        for (line, expected) in wrong {
            let mut command = qemu_with(&image, accel, "microvm", "");
            command.arg("-append").arg(OsStr::from_bytes(line));
            let (printed, status) = said(command);
            let shown = String::from_utf8_lossy(&line[..line.len().min(60)]);
            assert!(printed.contains("boot line"), "{accel}: {shown}: {printed}");
            assert!(printed.contains(expected), "{accel}: {shown}: {printed}");
            assert!(!printed.contains("Hello as built."), "{accel}: {shown}: {printed}");
            assert!(!printed.contains('\x1b'), "{accel}: {shown}: {printed}");
            // 17, which `unikgen run` makes 1 of, as QEMU's exit device gives it.
            assert_eq!(status, Some(17 << 1 | 1), "{accel}: {shown}: {printed}");
        }
    }
}

/// Words that monitors and people give to other kernels mean nothing here.
#[test]
fn words_of_others_are_passed_over() {
    let line = "console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda1 rw quiet virtio_mmio.device=4K@0xd0000000:5 \
                unik.greeting=\"still here\" -- \"\" =";
    for accel in accelerators() {
        let (printed, status) = said({
            let mut command = qemu_with(&image(), accel, "microvm", line);
            // Without its device it ends, after it has read the line.
            command.arg("-no-shutdown");
            command
        });
        assert!(!printed.contains("boot line"), "{accel}: {printed}");
        assert!(printed.contains("nic"), "{accel}: {printed}");
        assert_ne!(status, Some(124), "{accel}: it hangs: {printed}");
    }
}

/// `unikgen run` refuses before it starts anything.
#[test]
fn what_is_wrong_is_said_before_it_starts() {
    let image = image();
    let folder = scratch();
    let text = folder.path().join("greeting.txt");
    std::fs::write(&text, "from a file\n").expect("a file");
    let from_file = format!("greeting={}", text.display());
    for file in [&image, &example("boot")] {
        for (arguments, expected) in [
            (&["--boot", "address=10.0.2.9"][..], "address"),
            (&["--boot", "address=10.0.2.9/33"], "address"),
            (&["--boot", "adress=10.0.2.9/24"], "did you mean `address`"),
            (&["--boot", "address=10.0.2.9/24", "--boot", "address=10.0.2.8/24"], "twice"),
            (&["--boot", "address"], "NAME=VALUE"),
            (&["--boot-file", "greeting=/no/such/file"], "/no/such/file"),
        ] {
            let mut all = vec!["run"];
            all.extend(arguments);
            let (printed, code) = unikgen(&all, file);
            assert!(printed.contains(expected), "{}: {arguments:?}: {printed}", file.display());
            assert!(matches!(code, Some(1 | 2)), "{}: {arguments:?}: {code:?} {printed}", file.display());
            assert!(!printed.contains("Hello"), "{printed}");
        }
    }
    let mut running =
        Running::start(&example("boot"), Machine::PROCESS, &["--boot-file", &from_file, "--publish", "0:7"]);
    running.wait_for("from a file", Machine::PROCESS.patience());
}

/// A warning, or the end, where it is denied.
#[test]
fn a_boot_over_its_budget() {
    let folder = scratch();
    let file = folder.path().join("slow.unik");
    for (budget, deny, expected) in [("1 ms", false, true), ("1 h", true, false), ("1 ms", true, true)] {
        let text = std::fs::read_to_string(example("boot").join("boot.unik")).expect("the example");
        let text =
            text.replace("memory 16 MiB", &format!("memory 16 MiB\n    budget {{ boot <= {budget} }}"));
        std::fs::write(&file, text).expect("a file");
        let arguments: &[&str] =
            if deny { &["--deny", "U0702", "--publish", "0:7"] } else { &["--publish", "0:7"] };
        let mut running = Running::start(&file, best(), arguments);
        running.wait_until_ready(best());
        if deny && expected {
            let status = running.wait_for_end(Duration::from_secs(10));
            assert_eq!(status.code(), Some(1), "{}", running.printed());
        } else {
            running.wait_for("Hello as built.", Duration::from_secs(20));
        }
        if expected {
            // The whole of it ends with where it was measured.
            running.wait_for("from the start of the monitor", Duration::from_secs(20));
        }
        let printed = running.printed();
        let level = if deny { "error[U0702]" } else { "warning[U0702]" };
        assert_eq!(printed.contains(level) && printed.contains("boot <= 1 ms"), expected, "{printed}");
    }
}

/// In simulation, too; what failed is repeated with the same values.
#[test]
fn a_simulation_takes_them() {
    let (printed, code) = unikgen(
        &["-v", "sim", "--boot", "address=10.0.2.99/24", "--boot", "greeting=in virtual time"],
        &example("boot"),
    );
    assert!(code == Some(0) && printed.contains("in virtual time"), "{code:?} {printed}");
    let (printed, code) = unikgen(&["sim", "--boot", "address=10.0.2.255/24"], &example("boot"));
    assert!(code == Some(1) && printed.contains("broadcast"), "{code:?} {printed}");
}

/// What an image says of itself; and what isn't one says so.
#[test]
fn an_image_lists_what_it_takes() {
    let image = image();
    let (printed, code) = unikgen(&["inspect"], &image);
    assert_eq!(code, Some(0), "{printed}");
    for part in ["address", "cidr4", "10.0.2.15/24", "greeting", "string", "What it prints when it starts"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let folder = scratch();
    let bytes = std::fs::read(&image).expect("the image");
    let at = folder.path().join("image");
    for (what, wrong) in [
        ("nothing", Vec::new()),
        ("its beginning", bytes[..bytes.len() / 2].to_vec()),
        ("text", b"appliance a { }\n".to_vec()),
        ("zeroes", vec![0; 4096]),
        ("another program", std::fs::read("/bin/true").expect("a program")),
    ] {
        std::fs::write(&at, wrong).expect("a file");
        let (printed, code) = unikgen(&["inspect"], &at);
        assert!(code == Some(2) && printed.contains("error"), "{what}: {code:?} {printed}");
        assert!(!printed.contains("panicked"), "{what}: {printed}");
    }
}
