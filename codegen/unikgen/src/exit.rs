//! How the command ends, for the scripts that call it.

use std::process::ExitCode;

use crate::stop;

/// Everything went well.
pub const OK: u8 = 0;
/// Diagnostics with errors, a failed build, or a guest that ended with a failure.
pub const FAILED: u8 = 1;
/// The command line makes no sense.
pub const USAGE: u8 = 2;
/// The environment lacks something: a linker, a monitor, a free port.
pub const ENVIRONMENT: u8 = 3;
/// An image that doesn't pass its audit, or that differs in what it may do.
pub const AUDIT: u8 = 4;
/// A simulation that failed.
pub const SIM: u8 = 5;

/// The table of exit codes, as the help and the man page have it.
pub const TABLE: &str = "\
Exit codes:
  0    all is well; from `run`: every service of the appliance returned
  1    diagnostics with errors, a failed build, or a failed service in `run`
  2    the command line makes no sense
  3    this machine lacks something: a linker, a monitor, a free port; see `unikgen doctor`
  4    from `audit`: something isn't proven of the image, or is wrong with it;
       from `diff --check`: the image may do more than the one before
  5    from `sim`: a run failed
  101  from `run`: the appliance panicked
  102  from `run`: the appliance met a processor exception
  130  ended by Ctrl-C; 143 by SIGTERM, 129 by SIGHUP";

/// An error that is the fault of the command line: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Usage {
    message: String,
}

/// An error that is the fault of the machine that the command runs on: exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Environment {
    message: String,
}

/// The diagnostics are printed already; nothing is left to say. Exit code 1.
#[derive(Debug, thiserror::Error)]
#[error("there are errors")]
pub struct Reported;

/// What a subcommand gives: its exit code, or an error that knows its own.
pub type Outcome = anyhow::Result<u8>;

/// An [`anyhow::Error`] that ends with code 2.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage { message: message.into() }.into()
}

/// An [`anyhow::Error`] that ends with code 3.
pub fn environment(message: impl Into<String>) -> anyhow::Error {
    Environment { message: message.into() }.into()
}

/// The exit code of an error.
pub fn code_of(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() {
        USAGE
    } else if error.is::<Environment>() {
        ENVIRONMENT
    } else {
        FAILED
    }
}

/// The exit code of `outcome`, after saying on standard error what went wrong.
pub fn report(outcome: Outcome, ui: &crate::ui::Ui) -> ExitCode {
    if let Some(signal) = stop::requested() {
        // Whatever it met on its way out comes of that.
        if !matches!(outcome, Ok(code) if code == stop::code(signal)) {
            ui.say("stopped", "before it was done");
        }
        return ExitCode::from(stop::code(signal));
    }
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_broken_pipe(&error) => ExitCode::from(OK),
        Err(error) => {
            if !error.is::<Reported>() {
                ui.error(&error);
            }
            ExitCode::from(code_of(&error))
        }
    }
}

/// Whoever read our output has enough of it (`unikgen graph | head`): no error of ours.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn errors_know_their_code_through_context() {
        assert_eq!(code_of(&usage("x")), USAGE);
        assert_eq!(code_of(&environment("x")), ENVIRONMENT);
        assert_eq!(code_of(&anyhow::anyhow!("x")), FAILED);
        let wrapped: anyhow::Result<()> = Err(environment("no linker"));
        assert_eq!(code_of(&wrapped.context("building").unwrap_err()), ENVIRONMENT);
    }
}
