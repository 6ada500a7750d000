//! `unikgen completions`: from the definition of the command line.

use clap::CommandFactory as _;

use super::output;
use crate::cli::Cli;
use crate::exit::{OK, Outcome};

/// Prints the completions of `shell`.
///
/// # Errors
/// When standard output can't be written.
pub fn run(shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "unikgen", &mut script);
    output(&String::from_utf8_lossy(&script))?;
    Ok(OK)
}
