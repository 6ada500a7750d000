//! How an instance is started.
//!
//! Every component exports one `start` function; the catalogue says its path. The
//! generated wiring calls it once an instance, with what the instance was wired to,
//! in the order of its catalogue table:
//!
//! ```text
//! pub async fn start(
//!     cx: &Context,                      // who am I; spawn my tasks
//!     options: &'static Options,         // the typed options of this instance
//!     listens: &'static [Listen],        // only with `listeners = true`
//!     baked: B,                          // only with a host half that bakes
//!     wire_1: W1, …, wire_n: Wn,         // one handle per wire, in order
//!     ref_1: R1, …, ref_n: Rn,           // one handle per instance that an option refers to
//!     need_1: N1, …, need_n: Nn,         // one handle per implied interface, in order
//! ) -> Result<Handle, StartError>
//! ```
//!
//! An option that may refer to an instance has its argument also where the file doesn't
//! write it: `()` then.
//!
//! `Handle` is `Clone + 'static` and implements every interface that the component
//! provides; `()` when it provides none.

use alloc::borrow::Cow;
use alloc::string::String;
use core::cell::RefCell;
use core::fmt::{self, Write};
use core::future::Future;

use crate::executor;
use crate::logging;
use crate::platform::Ending;

/// What every instance is given at its start: its name, and the right to spawn tasks.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    instance: &'static str,
}

impl Context {
    /// The context of the instance `instance`, named as in the `.unik` file.
    #[must_use]
    pub const fn new(instance: &'static str) -> Self {
        Context { instance }
    }

    /// The name of the instance in the `.unik` file.
    #[must_use]
    pub const fn instance(&self) -> &'static str {
        self.instance
    }

    /// Runs `task` beside the others until it returns. The appliance ends with
    /// [`Ending::Done`] when its last task has.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        executor::spawn(self.instance, task);
    }

    /// Like [`spawn`](Self::spawn), for a task that doesn't keep the appliance alive:
    /// a driver's, a network's.
    pub fn spawn_background(&self, task: impl Future<Output = ()> + 'static) {
        executor::spawn_background(self.instance, task);
    }

    /// Ends the appliance with [`Ending::Failed`] after
    /// the current task's turn, and prints why: for a service that can't go on.
    pub fn fail(&self, message: impl Into<Cow<'static, str>>) {
        logging::print(format_args!("error: {}\n", self.error(message)));
        executor::end(Ending::Failed);
    }

    /// An error that says that this instance could not start, and why.
    pub fn error(&self, message: impl Into<Cow<'static, str>>) -> StartError {
        StartError { instance: self.instance, message: message.into() }
    }
}

/// An instance could not start. Ends the appliance with
/// [`Ending::Failed`].
#[derive(Clone, Debug)]
pub struct StartError {
    instance: &'static str,
    message: Cow<'static, str>,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.instance, self.message)
    }
}

impl core::error::Error for StartError {}

/// A port that a service of this appliance listens on: what its network accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The transport.
    pub protocol: Protocol,
    /// The port, 1 to 65535.
    pub port: u16,
    /// The instance that listens.
    pub service: &'static str,
}

/// A transport protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP (RFC 9293).
    Tcp,
    /// UDP (RFC 768).
    Udp,
}

/// Says an address under which this appliance is reached: for the line that tells the
/// monitor that it is ready. Called by networks, once an address, while the wiring runs.
pub fn announce(address: impl fmt::Display) {
    executor::with(|executor| {
        // Formatted here and not when printed: an image without a network then has no
        // code that formats addresses. A String takes all that a Display writes.
        let _ = write!(executor.addresses.0.borrow_mut(), " {address}");
    });
}

/// Writes the line that tells the monitor that the services answer: `unik: ready`, and
/// the [announced](announce) addresses. What [`platform::ready`](crate::platform::ready)
/// does on a platform without a better way.
pub fn print_ready() {
    executor::with(|executor| logging::print(format_args!("unik: ready{}\n", executor.addresses.0.borrow())));
}

/// The announced addresses, each after a space.
pub(crate) struct Addresses(RefCell<String>);

impl Addresses {
    pub(crate) const fn new() -> Self {
        Addresses(RefCell::new(String::new()))
    }

    pub(crate) fn clear(&self) {
        self.0.take();
    }
}

/// Defines the entry point of an appliance: `unik::entry!(start)`, where `start` is
/// `async fn start() -> Result<(), StartError>`, the generated wiring.
///
/// On the machine this is the symbol that the boot code jumps to, in a process `main`.
#[macro_export]
macro_rules! entry {
    ($start:path) => {
        #[cfg(unik_machine)]
        #[unsafe(no_mangle)]
        fn __unik_main() -> $crate::platform::Ending {
            $crate::executor::run($start())
        }

        #[cfg(not(unik_machine))]
        fn main() {
            $crate::platform::begin();
            $crate::platform::exit($crate::executor::run($start()))
        }
    };
}
