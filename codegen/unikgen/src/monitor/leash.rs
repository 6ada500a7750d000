//! A monitor never outlives the command, however that ends: not even SIGKILL, which nobody
//! hears of, leaves one behind that holds ports and memory.
//!
//! Linux sends a process a signal at its parent's death if it asks for that itself, and what
//! it then executes inherits the wish. So a monitor is started through this very program,
//! which asks and then becomes the monitor, under the same process number.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// The first argument; what follows is the parent's number, the program, its arguments.
const WORD: &str = "--on-leash";
/// The exit code when there is nothing to become, as shells have it.
const NOT_STARTED: u8 = 126;

/// What starts `command` on a leash. Without `/proc` it is the command itself.
///
/// The calling thread holds the leash: `command` is killed when that thread ends.
pub fn on_leash(command: &Command) -> Command {
    let own = Path::new("/proc/self/exe");
    let mut leashed = if own.exists() {
        let mut leashed = Command::new(own);
        leashed.args([WORD, &std::process::id().to_string()]).arg(command.get_program());
        leashed
    } else {
        Command::new(command.get_program())
    };
    leashed.args(command.get_args());
    leashed
}

/// Becomes the program that the command line names, if it was made by [`on_leash`].
pub fn become_leashed() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != OsStr::new(WORD) {
        return None;
    }
    let parent = arguments.next()?.to_str()?.parse().ok();
    let program = arguments.next()?;
    let arguments: Vec<OsString> = arguments.collect();
    let fail = |why: &dyn std::fmt::Display| {
        crate::ui::stderr(&format!("can't start {}: {why}\n", program.to_string_lossy()));
        Some(ExitCode::from(NOT_STARTED))
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return fail(&error);
    }
    // It may have died before it was asked for.
    if getppid().map(Pid::as_raw_nonzero) != parent {
        return Some(ExitCode::from(NOT_STARTED));
    }
    fail(&Command::new(&program).args(&arguments).exec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_and_arguments_stay() {
        let mut command = Command::new("qemu");
        command.args(["-m", "4"]);
        let leashed = on_leash(&command);
        let words: Vec<&OsStr> = leashed.get_args().collect();
        assert_eq!((words[0], &words[2..]), (OsStr::new(WORD), &["qemu", "-m", "4"].map(OsStr::new)[..]));
    }
}
