//! The flags of `unikgen fmt`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Arguments of `fmt`.
#[derive(Debug, Args)]
pub struct Fmt {
    /// Files, or folders: all .unik files in and below them [default: the current folder]
    #[arg(value_name = "FILE|FOLDER", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,
    /// Change nothing; list the files that aren't laid out, with what would change
    #[arg(long)]
    pub check: bool,
    /// Lay out standard input, onto standard output; so does `-` for a FILE
    #[arg(long, conflicts_with = "paths")]
    pub stdin: bool,
    /// The file that standard input is, for messages
    #[arg(long, value_name = "FILE", default_value = "<stdin>", hide_default_value = true, value_hint = ValueHint::FilePath)]
    pub stdin_name: PathBuf,
}
