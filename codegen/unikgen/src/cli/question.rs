//! The commands that answer and build nothing.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::Appliance;

/// `unikgen check`
#[derive(Debug, Args)]
pub struct Check {
    /// Which appliance.
    #[command(flatten)]
    pub appliance: Appliance,
    /// How findings are written
    #[arg(long, default_value = "human")]
    pub format: Format,
    /// First mend what needs no asking, in this file and those that it includes
    #[arg(long)]
    pub fix: bool,
}

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// With the lines they are about, on standard error
    Human,
    /// A line each on standard output: `FILE:LINE:COLUMN: error[CODE]: MESSAGE`
    Short,
    /// One JSON object on standard output
    Json,
    /// SARIF 2.1.0 on standard output
    Sarif,
}

/// `unikgen graph`
#[derive(Debug, Args)]
pub struct Graph {
    /// Which appliance.
    #[command(flatten)]
    pub appliance: Appliance,
    /// How it is drawn
    #[arg(long, default_value = "tree")]
    pub format: GraphFormat,
    /// Leave out the parts of components (protocols inside a network)
    #[arg(long)]
    pub no_parts: bool,
}

/// How a plan is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// For the terminal
    Tree,
    /// For Graphviz
    Dot,
    /// For Markdown that knows Mermaid
    Mermaid,
    /// A picture
    Svg,
}

/// `unikgen why`
#[derive(Debug, Args)]
pub struct Why {
    /// A component (http), instance (site), part (tcp), crate (unik-http) or interface (Tcp)
    pub thing: String,
    /// Which appliance.
    #[command(flatten)]
    pub appliance: Appliance,
}

/// `unikgen expand`
#[derive(Debug, Args)]
pub struct Expand {
    /// Which appliance.
    #[command(flatten)]
    pub appliance: Appliance,
    /// Print the generated Cargo.toml instead of the Rust
    #[arg(long)]
    pub manifest: bool,
}

/// `unikgen components`
#[derive(Debug, Args)]
pub struct Components {
    /// Describe this one in full
    pub name: Option<String>,
    /// Also those that this .unik file names by `crate NAME { … }`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub file: Option<PathBuf>,
}

/// `unikgen inspect`
#[derive(Debug, Args)]
pub struct Inspect {
    /// The image
    #[arg(value_hint = ValueHint::FilePath)]
    pub image: PathBuf,
    /// How it is written
    #[arg(long, default_value = "human")]
    pub format: InspectFormat,
}

/// How what an image says is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InspectFormat {
    /// For people
    Human,
    /// The manifest as the image has it: JSON
    Json,
}

/// `unikgen symbolize`
#[derive(Debug, Args)]
pub struct Symbolize {
    /// The image that wrote the log
    #[arg(value_hint = ValueHint::FilePath)]
    pub image: PathBuf,
    /// Its twin, where it is neither beside it nor in the cache
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub twin: Option<PathBuf>,
}

/// How to serve an editor.
#[derive(Clone, Debug, Args)]
pub struct Lsp {
    /// Use standard input and output, as it does anyway
    #[arg(long)]
    pub stdio: bool,
}
