//! The commands that build an image and run it.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use unik_codegen::layout::{NoSeed, Seed};

use super::{Appliance, BootValues, Cargo, Format, Parameters};
use crate::publish::Publish;

/// `unikgen build`
#[derive(Debug, Args)]
pub struct Build {
    /// Which appliance.
    #[command(flatten)]
    pub appliance: Appliance,
    /// Where the image goes
    #[arg(long, short, value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Also put the image's twin beside it, as IMAGE.twin.elf: it has the symbols that explain
    /// crash records, and isn't deployed
    #[arg(long)]
    pub twin: bool,
    /// What the layout of the image is drawn from: a number, or `random`; by default the hash
    /// of everything that the image is made of, so that the same inputs make the same image
    #[arg(long, value_name = "N|random", value_parser = parse_seed)]
    pub seed: Option<SeedChoice>,
    /// Also print the report of the image on standard output
    #[arg(long, value_name = "FORMAT")]
    pub report: Option<ReportFormat>,
    /// How findings are written; what only the build itself finds is text on standard error
    #[arg(long, default_value = "human", conflicts_with = "report")]
    pub format: Format,
    /// How cargo is driven.
    #[command(flatten)]
    pub cargo: Cargo,
}

/// What a layout is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeedChoice {
    /// This.
    Fixed(Seed),
    /// A number that nobody knows yet.
    Random,
}

/// How the report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// JSON
    Json,
}

/// `unikgen run`
#[derive(Debug, Args)]
pub struct Run {
    /// A .unik file, a folder with one, a crate that uses unik::appliance!, or an image
    #[arg(value_name = "FILE|IMAGE", value_hint = ValueHint::AnyPath)]
    pub file: Option<PathBuf>,
    /// How the file is to be read.
    #[command(flatten)]
    pub parameters: Parameters,
    /// What it is given when it starts.
    #[command(flatten)]
    pub boot: BootValues,
    /// Publish a port of the appliance on this machine; may be repeated, and replaces the defaults
    #[arg(long, short, value_name = "[ADDR:]HOST:GUEST[/udp]", help_heading = "Network")]
    pub publish: Vec<Publish>,
    /// Publish nothing
    #[arg(long, conflicts_with_all = ["publish", "tap"], help_heading = "Network")]
    pub no_publish: bool,
    /// Plug the network into a TAP interface; with several networks, NETWORK=TAP for each
    #[arg(long, value_name = "[NETWORK=]TAP", conflicts_with = "publish", help_heading = "Network")]
    pub tap: Vec<String>,
    /// Give the machine no network device at all
    #[arg(long, conflicts_with_all = ["publish", "tap"], help_heading = "Network")]
    pub no_net: bool,
    /// What runs it; by default the best there is
    #[arg(long, value_name = "MONITOR", help_heading = "Machine")]
    pub monitor: Option<MonitorChoice>,
    /// How QEMU runs the guest's instructions
    #[arg(long, value_name = "HOW", default_value = "auto", help_heading = "Machine")]
    pub accel: Accel,
    /// QEMU's machine; by default microvm-pcie for an appliance with a network under KVM, where it
    /// serves more, and microvm for others
    #[arg(long, value_name = "MACHINE", help_heading = "Machine")]
    pub machine: Option<Machine>,
    /// Memory of the machine, such as 16M; by default what the appliance asks for
    #[arg(long, value_name = "SIZE", value_parser = parse_memory, help_heading = "Machine")]
    pub memory: Option<u64>,
    /// A port of this machine where gdb may connect; the machine waits for it (1234 by default)
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "1234", help_heading = "Machine")]
    pub gdb: Option<u16>,
    /// Build again whenever a file that it is made of changes, and start that in its place
    #[arg(long)]
    pub watch: bool,
    /// Give up when the appliance isn't ready after so many seconds; 0 waits for ever
    #[arg(long, value_name = "SECONDS", default_value_t = 60, help_heading = "Machine")]
    pub start_timeout: u64,
    /// How cargo is driven.
    #[command(flatten)]
    pub cargo: Cargo,
}

/// What runs an appliance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MonitorChoice {
    /// QEMU, a virtual machine
    Qemu,
    /// None: the appliance as an ordinary Linux process
    Process,
}

/// How QEMU runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// KVM if it works here, else TCG
    Auto,
    /// By the processor itself, through /dev/kvm
    Kvm,
    /// By translation: slower, works everywhere
    Tcg,
}

/// QEMU's machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Machine {
    /// The smallest: devices on virtio-mmio
    Microvm,
    /// The smallest, with devices on PCI Express
    MicrovmPcie,
    /// A PC with firmware and devices on PCI Express; boots slowly
    Q35,
}

fn parse_seed(text: &str) -> Result<SeedChoice, NoSeed> {
    if text == "random" { Ok(SeedChoice::Random) } else { text.parse().map(SeedChoice::Fixed) }
}

/// `16M`, `16MiB`, `1G`: bytes. A bare number would be a guess between bytes and MiB.
fn parse_memory(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => return Err("expected a size with its unit, such as 16M or 1G".into()),
    };
    let number: u64 = number.parse().map_err(|_| "expected a size such as 16M".to_string())?;
    match number.checked_mul(1 << shift) {
        Some(bytes) if (1 << 20..=1 << 40).contains(&bytes) => Ok(bytes),
        _ => Err("expected a size from 1M to 1024G".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds() {
        assert_eq!(parse_seed("random"), Ok(SeedChoice::Random));
        assert_eq!(parse_seed("0x10"), Ok(SeedChoice::Fixed(Seed(16))));
        assert!(parse_seed("Random").is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_memory("16M").unwrap(), 16 << 20);
        assert_eq!(parse_memory("1GiB").unwrap(), 1 << 30);
        for wrong in ["16", "M", "16 MB", "99999999999999999999G", "0M", "512K", "18446744073709551615G"] {
            assert!(parse_memory(wrong).is_err(), "{wrong}");
        }
    }
}
