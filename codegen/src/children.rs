//! The programs that a build runs. Each leads a process group of its own, so that it can be
//! ended with all that it started: cargo that is ended alone leaves its compilers behind,
//! which then work on for minutes.
//!
//! A wish to end comes by a signal, which is for the whole process, and so is this.

use std::ffi::OsStr;
use std::io;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use std::os::unix::process::CommandExt as _;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

#[derive(Debug)]
struct Groups {
    leaders: Vec<Pid>,
    ending: bool,
}

static GROUPS: Mutex<Groups> = Mutex::new(Groups { leaders: Vec::new(), ending: false });

fn groups() -> MutexGuard<'static, Groups> {
    // A list of numbers is whole whoever panicked.
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a command is begun that starts a program.
pub type Starter = fn(&OsStr) -> Command;

static STARTER: OnceLock<Starter> = OnceLock::new();

/// Has builds begin their commands so, instead of by [`Command::new`]: for a program that
/// sees to it that they end with it, however it ends. The first call counts.
///
/// The command may have arguments already; the program's own follow. It is started as the
/// leader of a process group.
pub fn start_by(starter: Starter) {
    // Whoever was first has said how.
    let _ = STARTER.set(starter);
}

/// A command that runs `program`, to be started by [`spawn`].
pub(crate) fn command(program: &OsStr) -> Command {
    STARTER.get().map_or_else(|| Command::new(program), |starter| starter(program))
}

/// Ends all that builds have started, with all that these have started, and lets them start
/// nothing more. May be called at any time from any thread.
pub fn end_all() {
    let mut groups = groups();
    groups.ending = true;
    for leader in &groups.leaders {
        // Nothing that cargo or rustc do on SIGTERM is better than nothing; and one that
        // has just ended is no error.
        let _ = kill_process_group(*leader, Signal::KILL);
    }
}

/// Whether [`end_all`] was called.
#[must_use]
pub fn is_ending() -> bool {
    groups().ending
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Running {
    /// Its streams are taken from here; it is waited for by [`wait`](Running::wait) alone.
    pub child: Child,
    pid: Pid,
}

/// Starts `command`.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Running> {
    // Locked from before there is a process until it is in the list: one that is started
    // while `end_all` runs is ended too.
    let mut groups = groups();
    if groups.ending {
        return Err(io::Error::new(io::ErrorKind::Interrupted, "it was to end before it began"));
    }
    let child = command.process_group(0).spawn()?;
    let pid = Pid::from_child(&child);
    groups.leaders.push(pid);
    Ok(Running { child, pid })
}

/// Runs `command` to its end; what it prints is taken.
pub(crate) fn output(command: &mut Command) -> io::Result<Output> {
    let mut running = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let stderr = running.child.stderr.take().map(drain);
    let stdout = running.child.stdout.take().map(drain);
    let status = running.wait()?;
    let text = |stream: Option<Drain>| stream.and_then(|it| it.join().ok()).unwrap_or_default();
    Ok(Output { status, stdout: text(stdout), stderr: text(stderr) })
}

/// Runs `command` to its end, with `input` on its standard input; what it prints is taken.
/// `None` where it isn't done within `limit`: it is ended then, with all that it has started.
pub(crate) fn answer(command: &mut Command, input: Vec<u8>, limit: Duration) -> io::Result<Option<Output>> {
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = spawn(streams)?;
    // One that reads nothing would keep whoever writes to it.
    let stdin = running.child.stdin.take();
    std::thread::spawn(move || stdin.map(|mut stdin| io::Write::write_all(&mut stdin, &input)));
    let stderr = running.child.stderr.take().map(drain);
    let stdout = running.child.stdout.take().map(drain);
    let (done, wait) = mpsc::channel::<()>();
    let pid = running.pid;
    let watch = std::thread::spawn(move || {
        let late = wait.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
        // In the list its number is its own.
        let groups = groups();
        if late && groups.leaders.contains(&pid) {
            let _ = kill_process_group(pid, Signal::KILL);
            return true;
        }
        false
    });
    let status = running.wait()?;
    drop(done);
    if watch.join().unwrap_or(false) {
        return Ok(None);
    }
    let text = |stream: Option<Drain>| stream.and_then(|it| it.join().ok()).unwrap_or_default();
    Ok(Some(Output { status, stdout: text(stdout), stderr: text(stderr) }))
}

type Drain = std::thread::JoinHandle<Vec<u8>>;

fn drain(mut stream: impl io::Read + Send + 'static) -> Drain {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        // What was read until an error is still worth showing.
        let _ = stream.read_to_end(&mut text);
        text
    })
}

impl Running {
    /// Waits for its end.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        // As long as nobody has taken its status its number is no other process's: only
        // then may it be in the list.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(error) = waitid(WaitId::Pid(self.pid), options) {
            if error != Errno::INTR {
                break;
            }
        }
        self.leave();
        self.child.wait()
    }

    fn leave(&self) {
        groups().leaders.retain(|leader| *leader != self.pid);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only on the way out of an error is it still there: then nobody waits for it, and
        // an end to it is all that is left to do.
        if groups().leaders.contains(&self.pid) {
            let _ = kill_process_group(self.pid, Signal::KILL);
            let _ = self.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_taken() {
        let output = output(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).unwrap();
        assert_eq!(
            (output.status.code(), output.stdout, output.stderr),
            (Some(3), b"out\n".into(), b"err\n".into())
        );
        assert!(groups().leaders.is_empty() || !is_ending());
    }

    #[test]
    fn one_that_gives_no_answer_is_ended() {
        let far = Duration::from_secs(60);
        let mut cat = Command::new("cat");
        let output = answer(&mut cat, b"x".repeat(100_000), far).unwrap().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 100_000));
        // It neither reads nor ends, and what it has started holds its standard output.
        let mut hangs = Command::new("sh");
        hangs.args(["-c", "sleep 600 & sleep 600"]);
        let begun = std::time::Instant::now();
        assert!(answer(&mut hangs, b"x".repeat(100_000), Duration::from_millis(50)).unwrap().is_none());
        assert!(begun.elapsed() < far);
    }

    #[test]
    fn one_that_is_dropped_is_ended_with_what_it_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]).stdout(Stdio::piped());
        let mut running = spawn(&mut command).unwrap();
        let mut grandchild = String::new();
        let mut out = io::BufReader::new(running.child.stdout.take().unwrap());
        io::BufRead::read_line(&mut out, &mut grandchild).unwrap();
        drop(running);
        // Its parent is gone: who takes its status now is not ours to know, but it ends.
        let stat = format!("/proc/{}/stat", grandchild.trim());
        let gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !gone() {
            assert!(std::time::Instant::now() < end, "{stat} is there");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
