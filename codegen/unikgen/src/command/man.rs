//! `unikgen man`: from the definition of the command line.

use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;

use super::output;
use crate::cli::Cli;
use crate::exit::{OK, Outcome};

/// Prints the page of the whole command, or writes all pages into `folder`.
///
/// # Errors
/// When they can't be written.
pub fn run(folder: Option<&Path>) -> Outcome {
    // Without a page for each page's help.
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        output(&String::from_utf8_lossy(&page))?;
        return Ok(OK);
    };
    std::fs::create_dir_all(folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
    clap_mangen::generate_to(command, folder)
        .with_context(|| format!("can't write man pages into {}", folder.display()))?;
    Ok(OK)
}
