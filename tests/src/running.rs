//! An appliance that runs.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::machine::Machine;
use crate::unikgen_command;

/// How long a build may take that nothing is known of: all crates, on a busy machine.
const BUILD: Duration = Duration::from_secs(400);

/// An appliance started by `unikgen run`; stopped, and waited for, when dropped.
pub struct Running {
    child: Child,
    output: Arc<Output>,
}

#[derive(Default)]
struct Output {
    text: Mutex<String>,
    grown: Condvar,
}

impl Running {
    /// Starts `unikgen run FILE` on `machine` with more `arguments`.
    ///
    /// # Panics
    /// When it can't be started at all.
    pub fn start(file: &Path, machine: Machine, arguments: &[&str]) -> Running {
        let mut command = unikgen_command();
        command.arg("run").arg(file).args(machine.arguments()).args(arguments);
        Running::spawn(command)
    }

    /// Starts `command`, whatever it is, and collects what it prints.
    ///
    /// # Panics
    /// When it can't be started at all.
    pub fn spawn(mut command: Command) -> Running {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let output = Arc::new(Output::default());
        if let Some(stdout) = child.stdout.take() {
            collect(stdout, &output);
        }
        if let Some(stderr) = child.stderr.take() {
            collect(stderr, &output);
        }
        Running { child, output }
    }

    /// Waits until a line with `text` was printed; `patience` begins when the appliance is
    /// built, if it is built first.
    ///
    /// # Panics
    /// When that takes longer than `patience`, or the command ends first; what was printed
    /// is in the message.
    pub fn wait_for(&mut self, text: &str, patience: Duration) -> String {
        let start = Instant::now();
        let mut end = start + patience;
        loop {
            let so_far = self.output.text.lock().expect("no panic while printing");
            if let Some(line) = so_far.lines().find(|line| line.contains(text)) {
                return line.to_string();
            }
            let (so_far, _) =
                self.output.grown.wait_timeout(so_far, Duration::from_millis(50)).expect("as above");
            let printed = so_far.clone();
            drop(so_far);
            if printed.contains("building ") && !printed.contains("built: ") && start.elapsed() < BUILD {
                end = Instant::now() + patience;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                // Its last lines may still be on their way.
                std::thread::sleep(Duration::from_millis(100));
                let printed = self.printed();
                if !printed.contains(text) {
                    panic!("ended with {status} before it said `{text}`:\n{printed}");
                }
            }
            assert!(Instant::now() < end, "did not say `{text}` in {patience:?}:\n{printed}");
        }
    }

    /// Waits until `unikgen run` says that the appliance is ready.
    ///
    /// # Panics
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_until_ready(&mut self, machine: Machine) -> String {
        self.wait_for("ready", machine.patience())
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When that takes longer than `patience`.
    pub fn wait_for_end(&mut self, patience: Duration) -> ExitStatus {
        let end = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                std::thread::sleep(Duration::from_millis(50));
                return status;
            }
            assert!(Instant::now() < end, "did not end in {patience:?}:\n{}", self.printed());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it printed so far, on both streams.
    ///
    /// # Panics
    /// Never in practice: only if the collecting thread had panicked.
    #[must_use]
    pub fn printed(&self) -> String {
        self.output.text.lock().expect("no panic while printing").clone()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The process id of the command.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends Ctrl-C, and waits for the end.
    ///
    /// # Panics
    /// When it doesn't end in 20 s.
    pub fn interrupt(&mut self) -> ExitStatus {
        signal(self.child.id(), "-INT");
        self.wait_for_end(Duration::from_secs(20))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_running() {
            return;
        }
        // Twice: what is under way isn't waited for.
        signal(self.child.id(), "-INT");
        std::thread::sleep(Duration::from_millis(20));
        signal(self.child.id(), "-TERM");
        for _ in 0..500 {
            if !self.is_running() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // It had its chance; a test that got here fails elsewhere.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal, such as `-KILL`; that the process has ended already is no error.
pub fn signal(id: u32, which: &str) {
    // The process may have ended by itself in between.
    let _ = Command::new("kill").args([which, &id.to_string()]).stderr(Stdio::null()).status();
}

fn collect(stream: impl Read + Send + 'static, output: &Arc<Output>) {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            output.text.lock().expect("no panic while printing").push_str(&String::from_utf8_lossy(&line));
            output.grown.notify_all();
            line.clear();
        }
    });
}

/// A port of this host that was free a moment ago.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    probe.local_addr().expect("it has an address").port()
}
