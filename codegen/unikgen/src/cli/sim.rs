//! `unikgen sim`

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::{Appliance, BootValues, Cargo};

/// `unikgen sim`
#[derive(Debug, Args)]
pub struct Sim {
    /// Which appliance.
    #[command(flatten)]
    pub appliance: Appliance,
    /// What it is given when it starts.
    #[command(flatten)]
    pub boot: BootValues,
    /// What the run follows from: dice of the network, entropy of the appliance, what clients do
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Run with each of these seeds, the last one included, up to the first that fails
    #[arg(long, value_name = "A..B", value_parser = parse_seeds, conflicts_with = "seed")]
    pub seeds: Option<(u64, u64)>,
    /// What the network does to frames, in both directions: loss, duplicate, reorder and corrupt,
    /// each with a share, and delay with a time or a range of times
    #[arg(long, value_name = "FAULT=…,…", default_value = "", hide_default_value = true)]
    pub faults: String,
    /// Hosts with clients on each network
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub clients: u32,
    /// How often each of them uses each service
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub rounds: u32,
    /// A path to ask for where HTTP is spoken, besides those that pages link to; may be repeated
    #[arg(long, value_name = "PATH", value_parser = parse_path)]
    pub request: Vec<String>,
    /// Virtual time that a client waits for something to come
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub patience: String,
    /// Virtual time after which all clients must be through
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub limit: String,
    /// Ask the appliance to end, in order, so long after its services answer, in virtual time
    #[arg(long, value_name = "TIME")]
    pub shutdown: Option<String>,
    /// Real time after which a run that doesn't end is ended, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub timeout: u64,
    /// Write what the appliance sends and gets to this file, for Wireshark; of one seed only
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "seeds")]
    pub pcap: Option<PathBuf>,
    /// How the outcome is written
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: SimFormat,
    /// How cargo is driven.
    #[command(flatten)]
    pub cargo: Cargo,
}

/// How the outcome is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SimFormat {
    /// A line for each seed
    Human,
    /// A JSON object for each seed, each on a line
    Json,
}

fn parse_seeds(text: &str) -> Result<(u64, u64), String> {
    let parsed = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    match parsed {
        Some((from, to)) if from <= to => Ok((from, to)),
        _ => Err("expected two numbers, the smaller one first, such as 1..100".into()),
    }
}

fn parse_path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.into())
    } else {
        Err("expected a path such as /index.html, without spaces".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_paths() {
        assert_eq!(parse_seeds("1..100"), Ok((1, 100)));
        for wrong in ["1", "2..1", "..", "a..b", "1..=3"] {
            assert!(parse_seeds(wrong).is_err(), "{wrong}");
        }
        assert!(parse_path("/x").is_ok() && parse_path("x").is_err() && parse_path("/x y").is_err());
    }
}
