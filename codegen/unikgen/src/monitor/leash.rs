//! Neither a monitor nor a build outlives the command, however that ends: not even SIGKILL,
//! which nobody hears of, leaves one behind that holds ports, memory and processors.
//!
//! Linux sends a process a signal at its parent's death if it asks for that itself, and what
//! it then executes inherits the wish. So a monitor is started through this very program,
//! which asks and then becomes the monitor, under the same process number.
//!
//! What a build starts (cargo, that is) starts others in turn, and these inherit nothing. So
//! there this program stays, asks for a signal that it can hear, and then ends the whole
//! process group, which is the build's own.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::process::{
    Pid, Signal, getpgrp, getpid, getppid, kill_process_group, set_parent_process_death_signal,
};
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

/// The first argument; what follows is the parent's number, the program, its arguments.
const WORD: &str = "--on-leash";
/// The first argument for a program with all that it starts; then the same follows.
const WORD_FOR_GROUP: &str = "--group-on-leash";
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
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => leashed.env(name, value),
            None => leashed.env_remove(name),
        };
    }
    leashed
}

/// What starts `program` in a way that it, and all that it starts, ends with this command. It
/// has to lead a process group. Without `/proc`, or where there is no such program, it is the
/// program itself: that then says why it can't be started.
///
/// The calling thread holds the leash.
pub fn group_on_leash(program: &OsStr) -> Command {
    let own = Path::new("/proc/self/exe");
    if !own.exists() || !is_found(program) {
        return Command::new(program);
    }
    let mut leashed = Command::new(own);
    leashed.args([WORD_FOR_GROUP, &std::process::id().to_string()]).arg(program);
    leashed
}

/// Whether there is a file of that name where the system would look for the program.
fn is_found(program: &OsStr) -> bool {
    if Path::new(program).components().count() > 1 {
        return Path::new(program).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Becomes the program that the command line names, if it was made by [`on_leash`].
pub fn become_leashed() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let word = arguments.next()?;
    let is_group = word == WORD_FOR_GROUP;
    if word != WORD && !is_group {
        return None;
    }
    let parent = arguments.next()?.to_str()?.parse().ok();
    let program = arguments.next()?;
    let arguments: Vec<OsString> = arguments.collect();
    let fail = |why: &dyn std::fmt::Display| {
        crate::ui::stderr(&format!("can't start {}: {why}\n", program.to_string_lossy()));
        Some(ExitCode::from(NOT_STARTED))
    };
    // The handler first: nothing may come between.
    if is_group && let Err(error) = end_group_on_signal() {
        return fail(&error);
    }
    let signal = if is_group { Signal::TERM } else { Signal::KILL };
    if let Err(error) = set_parent_process_death_signal(Some(signal)) {
        return fail(&error);
    }
    // It may have died before it was asked for.
    if getppid().map(Pid::as_raw_nonzero) != parent {
        return Some(ExitCode::from(NOT_STARTED));
    }
    let mut command = Command::new(&program);
    command.args(&arguments);
    if !is_group {
        return fail(&command.exec());
    }
    match command.status() {
        Ok(status) => {
            // As shells count.
            let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
            Some(ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)))
        }
        Err(error) => fail(&error),
    }
}

/// Ends the process group that we lead, ourselves too, when the signal comes.
fn end_group_on_signal() -> std::io::Result<()> {
    let mut signals = Signals::new([SIGTERM])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            // Somebody else's group isn't ours to end.
            if getpgrp() == getpid() {
                let _ = kill_process_group(getpgrp(), Signal::KILL);
            }
            std::process::exit(NOT_STARTED.into());
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_for_as_the_system_does() {
        assert!(is_found(OsStr::new("sh")) && is_found(OsStr::new("/bin/sh")));
        assert!(!is_found(OsStr::new("no-such-program")) && !is_found(OsStr::new("/no/such/program")));
        assert_eq!(group_on_leash(OsStr::new("no-such-program")).get_args().count(), 0);
    }

    #[test]
    fn program_arguments_and_environment_stay() {
        let mut command = Command::new("qemu");
        command.args(["-m", "4"]).env("UNIK_BOOT", "unik.a=1").env_remove("HOME");
        let leashed = on_leash(&command);
        let words: Vec<&OsStr> = leashed.get_args().collect();
        assert_eq!((words[0], &words[2..]), (OsStr::new(WORD), &["qemu", "-m", "4"].map(OsStr::new)[..]));
        let changes: Vec<_> = leashed.get_envs().collect();
        let given = (OsStr::new("UNIK_BOOT"), Some(OsStr::new("unik.a=1")));
        assert_eq!(changes, [(OsStr::new("HOME"), None), given]);
    }
}
