//! A network of one's own: a namespace with one TAP device, made and removed by the test.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A network namespace; removed, with what is in it, when dropped.
///
/// Inside it `tap0` is 10.0.2.2/24, the gateway that the examples name. Addresses of
/// several namespaces don't meet.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A new namespace with its TAP device.
    ///
    /// # Panics
    /// When the rights to make one are missing; `tests/run` gives them.
    #[must_use]
    pub fn new() -> Namespace {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("unik-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let namespace = Namespace { name };
        let ip = |arguments: &[&str]| {
            let status = Command::new("ip").args(arguments).status().expect("iproute2 is installed");
            assert!(status.success(), "ip {arguments:?} failed: run tests by tests/run");
        };
        ip(&["netns", "add", &namespace.name]);
        let inside = |arguments: &[&str]| {
            let mut all = vec!["-n", namespace.name.as_str()];
            all.extend(arguments);
            ip(&all);
        };
        inside(&["link", "set", "lo", "up"]);
        inside(&["tuntap", "add", "tap0", "mode", "tap"]);
        inside(&["addr", "add", "10.0.2.2/24", "dev", "tap0"]);
        inside(&["link", "set", "tap0", "up"]);
        namespace
    }

    /// `command` inside the namespace.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a command inside to its end.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn output(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program).args(arguments).output().expect("the program is installed")
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Namespace::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nothing to be done when it is gone already.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}
