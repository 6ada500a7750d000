//! Nothing that needs entropy starts without a source that passes its health check.

use unik_tests::guest::qemu_with;
use unik_tests::machine::accelerators;
use unik_tests::{build, root};

/// What the entropy device gives: a file of the host.
const SOURCES: [(&str, bool); 2] = [("/dev/zero", false), ("/dev/urandom", true)];

#[test]
fn a_bad_source_starts_nothing() {
    let image = build(&root().join("tests/fixtures/entropy"), &[]);
    for accel in accelerators() {
        for (file, is_good) in SOURCES {
            let mut command = qemu_with(&image, accel, "microvm", "");
            command.args(["-m", "16", "-object", &format!("rng-random,id=r0,filename={file}")]);
            command.args(["-device", "virtio-rng-device,rng=r0", "-netdev", "user,id=n0"]);
            command.args(["-device", "virtio-net-device,netdev=n0"]);
            let printed = if is_good {
                // It serves until it is ended.
                unik_tests::running::Running::spawn(command)
                    .wait_for("unik: ready", std::time::Duration::from_secs(50))
            } else {
                let output = command.output().expect("timeout and QEMU are installed");
                assert_eq!(output.status.code(), Some(35), "{accel}: {file}: {output:?}");
                String::from_utf8_lossy(&output.stdout).into_owned()
            };
            let refused = "error: rng: the entropy device is no good: it fails the repetition count test";
            assert_eq!(printed.contains(refused), !is_good, "{accel}: {file}: {printed}");
            assert_eq!(printed.contains("ready"), is_good, "{accel}: {file}: {printed}");
        }
    }
}
