//! What many commands take: which appliance, its parameters, how cargo is driven.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use unik_dsl::diagnostic::Code;

use super::level::{self, Denied};

/// Which appliance, with which parameters.
#[derive(Clone, Debug, Default, Args)]
pub struct Appliance {
    /// The .unik file, a folder with one, or a crate that uses unik::appliance!
    #[arg(value_hint = ValueHint::AnyPath)]
    pub file: Option<PathBuf>,
    /// What else is said of it.
    #[command(flatten)]
    pub parameters: Parameters,
}

/// How the file is to be read.
#[derive(Clone, Debug, Default, Args)]
pub struct Parameters {
    /// Give a build parameter its value; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_setting)]
    pub set: Vec<(String, String)>,
    /// Give a secret parameter the text of a file, without the end of its line; may be repeated
    #[arg(long, value_name = "NAME=FILE", value_parser = parse_setting)]
    pub set_file: Vec<(String, String)>,
    /// Give a secret parameter the text of a variable of the environment; may be repeated
    #[arg(long, value_name = "NAME=VARIABLE", value_parser = parse_setting)]
    pub set_env: Vec<(String, String)>,
    /// Where the appliance runs, whatever the file says
    #[arg(long, value_name = "TARGET")]
    pub target: Option<TargetChoice>,
    /// Treat as an error: `warnings`, or one by its code; may be repeated
    #[arg(long, value_name = "WHAT", value_parser = level::parse_denied)]
    pub deny: Vec<Denied>,
    /// Don't tell of a warning, by its code; may be repeated
    #[arg(long, value_name = "CODE", value_parser = level::parse_warning)]
    pub allow: Vec<Code>,
    /// Whether host halves must be built without the network; from [`Cargo::offline`].
    #[arg(skip)]
    pub offline: bool,
    /// Whether the lock file of the crates that the file names must stay as it is; from
    /// [`Cargo::locked`].
    #[arg(skip)]
    pub locked: bool,
}

/// What an appliance is given when it starts.
#[derive(Clone, Debug, Default, Args)]
pub struct BootValues {
    /// Give a parameter `at boot` its value; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_setting)]
    pub boot: Vec<(String, String)>,
    /// Give a parameter `at boot` the text of a file, without the end of its line: for secrets
    #[arg(long, value_name = "NAME=FILE", value_parser = parse_setting)]
    pub boot_file: Vec<(String, String)>,
}

/// Where an appliance runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TargetChoice {
    /// A virtual machine
    Machine,
    /// An ordinary Linux process
    Process,
    /// A simulation: virtual time and simulated networks, as `unikgen sim` runs it
    Sim,
}

/// How cargo is driven.
#[derive(Clone, Debug, Default, Args)]
pub struct Cargo {
    /// Never use the network; take what cargo has already
    #[arg(long, help_heading = "Cargo")]
    pub offline: bool,
    /// Fail rather than change a lock file
    #[arg(long, help_heading = "Cargo")]
    pub locked: bool,
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().into(), value.into())),
        _ => Err("expected NAME=VALUE, such as host=ns2".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings() {
        assert_eq!(parse_setting("host=a=b").unwrap(), ("host".into(), "a=b".into()));
        assert!(parse_setting("host").is_err());
        assert!(parse_setting("=x").is_err());
    }
}
