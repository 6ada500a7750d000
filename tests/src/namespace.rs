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
        let namespace = Namespace::empty();
        namespace.ip(&["tuntap", "add", "tap0", "mode", "tap"]);
        namespace.ip(&["addr", "add", "10.0.2.2/24", "dev", "tap0"]);
        namespace.ip(&["link", "set", "tap0", "up"]);
        namespace
    }

    /// Two namespaces joined by a veth: the first with 10.0.2.2/24, as [`Namespace::new`],
    /// the second with 10.0.2.15/24, as the guests of the examples. So a Linux process can
    /// take a guest's place.
    ///
    /// # Panics
    /// As [`Namespace::new`].
    #[must_use]
    pub fn pair() -> (Namespace, Namespace) {
        let (client, server) = (Namespace::empty(), Namespace::empty());
        client.ip(&["link", "add", "veth0", "type", "veth", "peer", "name", "veth0", "netns", &server.name]);
        for (namespace, address) in [(&client, "10.0.2.2/24"), (&server, "10.0.2.15/24")] {
            namespace.ip(&["addr", "add", address, "dev", "veth0"]);
            namespace.ip(&["link", "set", "veth0", "up"]);
        }
        (client, server)
    }

    /// A new namespace with its loopback alone.
    fn empty() -> Namespace {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("unik-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let namespace = Namespace { name };
        ip(&["netns", "add", &namespace.name]);
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// `ip` with `arguments` inside the namespace.
    fn ip(&self, arguments: &[&str]) {
        let mut all = vec!["-n", self.name.as_str()];
        all.extend(arguments);
        ip(&all);
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

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().expect("iproute2 is installed");
    assert!(status.success(), "ip {arguments:?} failed: run tests by tests/run");
}
