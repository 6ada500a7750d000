//! The subcommands, one file each.

pub mod audit;
pub mod build;
pub mod check;
pub mod clean;
pub mod completions;
pub mod components;
pub mod diff;
pub mod doctor;
pub mod eject;
pub mod expand;
pub mod explain;
pub mod fmt;
pub mod graph;
pub mod inspect;
pub mod lsp;
pub mod man;
pub mod mend;
pub mod new;
pub mod run;
pub mod sim;
pub mod symbolize;
pub mod sync;
pub mod verify;
pub mod why;

use std::io::Write as _;

use crate::cli::{Cli, Command};
use crate::exit::Outcome;
use crate::ui::Ui;

/// Does what the command line says.
///
/// # Errors
/// Whatever the subcommand meets; see [`exit`](crate::exit).
pub fn dispatch(cli: Cli, ui: &Ui) -> Outcome {
    match cli.command {
        Command::New(args) => new::new(&args, ui),
        Command::Init(args) => new::init(&args, ui),
        Command::Doctor => doctor::run(ui),
        Command::Audit(args) => audit::run(&args, ui),
        Command::Inspect(args) => inspect::run(&args),
        Command::Cost(args) => crate::cost::run(&args, ui),
        Command::Diff(args) => diff::run(&args, ui),
        Command::Check(args) => check::run(&args, ui),
        Command::Fmt(args) => fmt::run(&args, ui),
        Command::Build(args) => build::run(&args, ui),
        Command::Verify(args) => verify::run(&args, ui),
        Command::Run(args) => run::run(&args, ui),
        Command::Sim(args) => sim::run(&args, ui),
        Command::Graph(args) => graph::run(&args, ui),
        Command::Why(args) => why::run(&args, ui),
        Command::Eject(args) => eject::run(&args, ui),
        Command::Expand(args) => expand::run(&args, ui),
        Command::Components(args) => components::run(&args, ui),
        Command::Sync(args) => sync::run(&args, ui),
        Command::Clean(args) => clean::run(&args, ui),
        Command::Symbolize(args) => symbolize::run(&args, ui),
        Command::Explain { code } => explain::run(&code, ui),
        Command::Lsp(args) => lsp::run(&args),
        Command::Completions { shell } => completions::run(shell),
        Command::Man { output } => man::run(output.as_deref()),
    }
}

/// Writes what was asked for to standard output. Unlike `print!` it doesn't panic when
/// the reader is gone.
///
/// # Errors
/// When standard output can't be written.
pub fn output(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}
