//! The commands that look into an image, and hold images against each other.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::{Cargo, Parameters};

/// `unikgen verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// The image
    #[arg(value_hint = ValueHint::FilePath)]
    pub image: PathBuf,
    /// The .unik file that it is said to be built from, or a folder or crate with it
    #[arg(value_hint = ValueHint::AnyPath)]
    pub file: Option<PathBuf>,
    /// Never use the network; take what cargo has already
    #[arg(long, help_heading = "Cargo")]
    pub offline: bool,
}

/// `unikgen audit`
#[derive(Debug, Args)]
pub struct Audit {
    /// An image; or a .unik file, a folder with one, a crate: then it is built
    #[arg(value_name = "IMAGE|FILE", value_hint = ValueHint::AnyPath)]
    pub file: Option<PathBuf>,
    /// How the outcome is written
    #[arg(long, default_value = "human")]
    pub format: AuditFormat,
    /// List the unsafe code that is linked in, with the reasons for it, instead
    #[arg(long = "unsafe")]
    pub unsafes: bool,
    /// List what is left in ring 0, every way into it, and who reaches I/O ports, instead
    #[arg(long, conflicts_with = "unsafes")]
    pub gate: bool,
    /// Write the bill of materials there: CycloneDX 1.5, the crates that have bytes in the image
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub sbom: Option<PathBuf>,
    /// Take this report instead of the one beside the image or in the cache
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub report: Option<PathBuf>,
    /// Take this twin instead of the one in the cache
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub twin: Option<PathBuf>,
    /// How the file is to be read.
    #[command(flatten)]
    pub parameters: Parameters,
    /// How cargo is driven.
    #[command(flatten)]
    pub cargo: Cargo,
}

/// `unikgen cost`
#[derive(Debug, Args)]
pub struct Cost {
    /// An image; or a .unik file, a folder with one, a crate: then it is built
    #[arg(value_name = "IMAGE|FILE", value_hint = ValueHint::AnyPath)]
    pub file: Option<PathBuf>,
    /// Only this table; all three by default
    #[arg(long, value_name = "WHAT")]
    pub by: Option<CostBy>,
    /// Show what changed from this image, or the image of this file
    #[arg(long, value_name = "IMAGE|FILE", value_hint = ValueHint::AnyPath)]
    pub against: Option<PathBuf>,
    /// Write a page with a treemap there
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub html: Option<PathBuf>,
    /// How the tables are written
    #[arg(long, default_value = "human")]
    pub format: CostFormat,
    /// How the file is to be read.
    #[command(flatten)]
    pub parameters: Parameters,
    /// How cargo is driven.
    #[command(flatten)]
    pub cargo: Cargo,
}

/// What bytes are added up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CostBy {
    /// By the line of the .unik file
    Line,
    /// By component
    Component,
    /// By crate
    Crate,
}

/// How an audit is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuditFormat {
    /// As text
    Human,
    /// One JSON object
    Json,
    /// SARIF 2.1.0
    Sarif,
}

/// How tables are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CostFormat {
    /// For people
    Human,
    /// One JSON object
    Json,
}

/// `unikgen diff`
#[derive(Debug, Args)]
pub struct Diff {
    /// What there was: an image, or a .unik file, whose image is built
    #[arg(value_name = "BEFORE", value_hint = ValueHint::AnyPath)]
    pub before: PathBuf,
    /// What there is to be
    #[arg(value_name = "AFTER", value_hint = ValueHint::AnyPath)]
    pub after: PathBuf,
    /// End with 4 if what there is to be may do more than what there was
    #[arg(long)]
    pub check: bool,
    /// How the difference is written
    #[arg(long, default_value = "human")]
    pub format: CostFormat,
    /// How files are to be read.
    #[command(flatten)]
    pub parameters: Parameters,
    /// How cargo is driven.
    #[command(flatten)]
    pub cargo: Cargo,
}
