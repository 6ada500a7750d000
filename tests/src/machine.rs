//! The machines that there are here.

use std::fmt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// A way to run an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// `kvm`, `tcg`, or `None` for an ordinary process.
    pub accel: Option<&'static str>,
    /// `microvm`, `microvm-pcie` or `q35`; nothing for a process.
    pub kind: &'static str,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.accel {
            Some(accel) => write!(f, "{} on {accel}", self.kind),
            None => f.write_str("process"),
        }
    }
}

impl Machine {
    /// The process platform.
    pub const PROCESS: Machine = Machine { accel: None, kind: "process" };

    /// The arguments of `unikgen run` that choose it.
    #[must_use]
    pub fn arguments(&self) -> Vec<&'static str> {
        match self.accel {
            Some(accel) => vec!["--monitor", "qemu", "--accel", accel, "--machine", self.kind],
            None => vec!["--target", "process"],
        }
    }

    /// How long it may take until it is ready: a bound for what hangs, not a measure. The
    /// first run of a user's crate builds the generator too, and where KVM is nested in
    /// software the firmware of q35 is emulated instruction by instruction.
    #[must_use]
    pub fn patience(&self) -> Duration {
        Duration::from_secs(600)
    }
}

/// The accelerators that work here, said on the test's output.
///
/// # Panics
/// When there is no QEMU: `tests/run` installs it.
pub fn accelerators() -> &'static [&'static str] {
    static FOUND: OnceLock<Vec<&'static str>> = OnceLock::new();
    FOUND.get_or_init(|| {
        assert!(works("tcg"), "qemu-system-x86_64 doesn't run: tests/run installs it");
        if works("kvm") {
            println!("KVM works here: images run under KVM and TCG");
            vec!["kvm", "tcg"]
        } else {
            println!("NO KVM HERE: images run under TCG only");
            vec!["tcg"]
        }
    })
}

/// Every virtual machine there is: accelerator × kind.
pub fn machines() -> Vec<Machine> {
    let kinds = ["microvm", "microvm-pcie", "q35"];
    accelerators().iter().flat_map(|&accel| kinds.map(|kind| Machine { accel: Some(accel), kind })).collect()
}

/// The quickest virtual machine for each accelerator.
pub fn microvms() -> Vec<Machine> {
    accelerators().iter().map(|&accel| Machine { accel: Some(accel), kind: "microvm" }).collect()
}

/// The best virtual machine here.
pub fn best() -> Machine {
    microvms()[0]
}

fn works(accel: &str) -> bool {
    // A machine without an image: `-S` keeps it from running, `quit` ends it.
    let cpu = if accel == "kvm" { "max,-arch-capabilities" } else { "max" };
    let child = Command::new("timeout")
        .args([
            "20",
            "qemu-system-x86_64",
            "-accel",
            accel,
            "-cpu",
            cpu,
            "-M",
            "microvm",
            "-S",
            "-nodefaults",
        ])
        .args(["-no-user-config", "-display", "none", "-monitor", "stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    if let Some(mut stdin) = child.stdin.take() {
        use std::io::Write;
        // A machine that could not start has closed its end: its exit code says so.
        let _ = stdin.write_all(b"quit\n");
    }
    child.wait().is_ok_and(|status| status.success())
}
