//! An image on a [`Hub`]: QEMU on one side, a TAP with Linux's clients on the other.

use std::path::{Path, PathBuf};

use crate::guest;
use crate::hub::{GUEST_MAC, Hub, Sockets};
use crate::machine::Machine;
use crate::namespace::Namespace;
use crate::running::Running;
use crate::{build, cache, copy_folder, root};

/// The whole of it. It ends when it is dropped.
pub struct Rig {
    /// What the guest and the clients are plugged into.
    pub hub: Hub,
    /// Where the clients are.
    pub namespace: Namespace,
    /// The machine.
    pub machine: Machine,
    guest: Running,
    _tap: Running,
}

impl Rig {
    /// Boots `image`, which has 10.0.2.15, with `mebibytes` of memory; `client` is the command
    /// `unik-client`. It must have ended after `seconds`.
    ///
    /// # Panics
    /// When it doesn't get ready.
    #[must_use]
    pub fn start(image: &Path, machine: Machine, mebibytes: u32, seconds: u32, client: &str) -> Rig {
        Rig::start_with(image, machine, mebibytes, seconds, client, |_, _| {})
    }

    /// As [`start`](Self::start); `prepare` is called when the guest is plugged in, and boots.
    ///
    /// # Panics
    /// When it doesn't get ready.
    #[must_use]
    pub fn start_with(
        image: &Path,
        machine: Machine,
        mebibytes: u32,
        seconds: u32,
        client: &str,
        prepare: impl FnOnce(&Hub, &Namespace),
    ) -> Rig {
        let namespace = Namespace::new();
        let sockets = Sockets::new().expect("sockets can be made");
        let accel = machine.accel.expect("a virtual machine");
        let mut command = guest::qemu_bounded(image, accel, machine.kind, "", seconds);
        command.args(["-m", &mebibytes.to_string(), "-netdev"]);
        command
            .arg(format!("stream,id=n0,server=off,addr.type=unix,addr.path={}", sockets.guest().display()));
        let (bus, more) =
            if machine.kind == "microvm" { ("device", "") } else { ("pci", ",disable-legacy=on,romfile=") };
        let mac = GUEST_MAC.map(|byte| format!("{byte:02x}")).join(":");
        command.args(["-device", &format!("virtio-net-{bus},netdev=n0,mac={mac}{more}")]);
        let mut guest = Running::spawn(command);
        let mut command = namespace.command(client);
        command.arg("tap").arg(sockets.host()).arg("tap0");
        let tap = Running::spawn(command);
        let hub = sockets.join(1).expect("both ends come");
        prepare(&hub, &namespace);
        guest.wait_for("unik: ready", machine.patience());
        Rig { hub, namespace, machine, guest, _tap: tap }
    }

    /// Runs a client, and gives what it said.
    ///
    /// # Panics
    /// When it fails: what it and the guest said is in the message.
    pub fn client(&self, program: &str, arguments: &[&str]) -> String {
        self.try_client(program, arguments).unwrap_or_else(|said| panic!("{}: {said}", self.machine))
    }

    /// As [`client`](Self::client), for clients that may fail.
    ///
    /// # Errors
    /// When it fails: what it and the guest said.
    pub fn try_client(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let output = self.namespace.output(program, arguments);
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        match output.status.success() {
            true => Ok(said),
            false => Err(format!("{program} {arguments:?}: {said}\n{}", self.guest.printed())),
        }
    }

    /// What the guest printed.
    #[must_use]
    pub fn printed(&self) -> String {
        self.guest.printed()
    }
}

/// The image of `fixtures/path`, whose site has a file `large.bin` of [`LARGE`] bytes beside its page:
/// see [`large`].
///
/// # Panics
/// When it can't be built.
#[must_use]
pub fn path_image() -> PathBuf {
    // The same folder each time, so that it is built once.
    let folder = cache().join("path");
    copy_folder(&root().join("tests/fixtures/path"), &folder);
    std::fs::write(folder.join("site/large.bin"), large()).expect("the file can be written");
    build(&folder, &[])
}

/// Bytes of the large file.
pub const LARGE: usize = 300_000;

/// What is in the large file: no byte follows another twice in the same way within 64 KiB.
#[must_use]
pub fn large() -> Vec<u8> {
    (0..LARGE as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
