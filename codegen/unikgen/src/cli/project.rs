//! The commands that make a project, keep it in step, and clean up after it.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::Parameters;

/// `unikgen new`
#[derive(Debug, Args)]
pub struct New {
    /// The name of the appliance and of its folder: lower-case letters, digits and `-`
    pub name: String,
    /// What to begin with
    #[arg(long, value_name = "TEMPLATE", default_value = "web")]
    pub template: Template,
}

/// `unikgen init`
#[derive(Debug, Args)]
pub struct Init {
    /// The folder
    #[arg(default_value = ".", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
    /// What to begin with
    #[arg(long, value_name = "TEMPLATE", default_value = "web")]
    pub template: Template,
    /// The name of the appliance; that of the folder by default
    #[arg(long)]
    pub name: Option<String>,
}

/// What a new project begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// A web site from a folder of files
    Web,
    /// A crate of yours: handlers of HTTP with state, answering with JSON
    Handler,
    /// A crate of yours: a service with options of its own, over TCP, and its test
    Service,
    /// Sends back what it is sent, over TCP and UDP
    Echo,
    /// Prints a line and ends
    Hello,
}

/// `unikgen eject`
#[derive(Debug, Args)]
pub struct Eject {
    /// The .unik file, or a folder with one
    #[arg(value_hint = ValueHint::AnyPath)]
    pub file: PathBuf,
    /// The folder of the crate, which there mustn't be yet
    #[arg(value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
}

/// `unikgen sync`
#[derive(Debug, Args)]
pub struct Sync {
    /// The crate
    #[arg(default_value = ".", value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
    /// How the file is to be read.
    #[command(flatten)]
    pub parameters: Parameters,
    /// Change nothing; end with 1 if something would change
    #[arg(long)]
    pub check: bool,
}

/// `unikgen clean`
#[derive(Debug, Args)]
pub struct Clean {
    /// The .unik file, or a folder with one
    #[arg(value_hint = ValueHint::AnyPath)]
    pub file: Option<PathBuf>,
    /// Also what all appliances share: compiled components and unpacked sources
    #[arg(long)]
    pub all: bool,
    /// Only say what would be removed, and how much it is
    #[arg(long)]
    pub dry_run: bool,
}
