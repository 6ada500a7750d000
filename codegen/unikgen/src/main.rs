//! The command: from a `.unik` file to a running appliance.
//!
//! | module | holds |
//! |---|---|
//! | [`cli`] | every flag, once |
//! | [`command`] | the subcommands, one file each |
//! | [`appliance`] | from a FILE argument to a checked plan |
//! | [`backend`] | what the command asks of the generator |
//! | [`cost`] | who takes the bytes: tables and the treemap |
//! | [`proof`] | an image with its report and its twin |
//! | [`monitor`] | what runs an image: QEMU, or the host itself |
//! | [`publish`], [`holder`], [`console`], [`crash`] | the appliance's ports and console, here |
//! | [`graph`] | drawings of a plan |
//! | [`ui`], [`exit`], [`stop`] | how the command talks, how it ends, and when it is asked to |
#![forbid(unsafe_code)]

mod appliance;
mod backend;
mod cli;
mod command;
mod console;
mod cost;
mod crash;
mod exit;
mod graph;
mod holder;
mod last;
mod monitor;
mod place;
mod proof;
mod publish;
mod stop;
mod ui;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    if let Some(code) = monitor::leash::become_leashed() {
        return code;
    }
    unik_codegen::children::start_by(monitor::leash::group_on_leash);
    let cli = cli::Cli::parse();
    let ui = ui::Ui::new(&cli.global);
    let outcome = stop::listen().and_then(|()| command::dispatch(cli, &ui));
    exit::report(outcome, &ui)
}
