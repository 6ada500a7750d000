//! The command line: one definition of every flag, from which `--help`, the man pages and
//! the completions come.

mod fmt;
mod image;
mod input;
mod level;
mod project;
mod proof;
mod question;
mod sim;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::exit;

pub use fmt::Fmt;
pub use image::{Accel, Build, Machine, MonitorChoice, ReportFormat, Run, SeedChoice};
pub use input::{Appliance, BootValues, Cargo, Parameters, TargetChoice};
pub use project::{Clean, Eject, Init, New, Sync, Template};
pub use proof::{Audit, AuditFormat, Cost, CostBy, CostFormat, Diff, Verify};
pub use question::{
    Check, Components, Expand, Format, Graph, GraphFormat, Inspect, InspectFormat, Lsp, Symbolize, Why,
};
pub use sim::{Sim, SimFormat};

const ABOUT: &str = "Turns a .unik file into a sealed unikernel image, and runs it";

const LONG_ABOUT: &str = "\
Turns a .unik file into a sealed unikernel image, and runs it.

A .unik file says what an appliance is: its devices, networks, storage and services. unikgen \
checks it, plans which components it needs and why, generates the Rust that wires them, builds \
one bootable image that holds these and nothing else, and runs it in the best monitor that \
this machine has.";

const START_HERE: &str = "\
Start here:
  unikgen new site && cd site && unikgen run     a web site of your own, running
  unikgen doctor                                 what this machine has and lacks

Then ask:
  unikgen check          every error at its place, in milliseconds
  unikgen graph          what will be in the image
  unikgen why tcp        why TCP is in it, down to the line
  unikgen components     everything that an appliance can be made of

Without FILE, a command takes the one .unik file of the current folder.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "unikgen",
    bin_name = "unikgen",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = START_HERE,
    after_long_help = format!("{START_HERE}\n\n{}", exit::TABLE),
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100,
)]
pub struct Cli {
    /// What applies to every subcommand.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What applies to every subcommand.
#[derive(Debug, Args)]
pub struct Global {
    /// Say nothing but errors and what was asked for
    #[arg(long, short, global = true, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,
    /// Say more: the commands that are run, and what they print
    #[arg(long, short, global = true, help_heading = "Output")]
    pub verbose: bool,
    /// Colours; `auto` is a terminal without NO_COLOR
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Output")]
    pub color: ColorChoice,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new project that builds and runs as it is
    #[command(after_help = "\
Examples:
  unikgen new site                        a web site from a folder
  unikgen new counter --template handler  a crate of yours that answers HTTP, with state and JSON
  unikgen new shout --template service    a crate of yours that serves a protocol of its own
  cd site && unikgen run                  and it runs")]
    New(New),
    /// Make a project in an existing folder
    #[command(after_help = "\
No file that is there already is changed: if one is in the way, nothing is written at all. In a crate \
of yours it says which two lines of src/main.rs make that the appliance.

Examples:
  unikgen init                  in the current folder, named after it
  unikgen init --template echo")]
    Init(Init),
    /// Say what this machine has and lacks, each with the command that mends it
    #[command(after_help = "\
Ends with 3 if something is missing that a build can't do without; what only makes running \
better (QEMU, KVM) doesn't count.")]
    Doctor,
    /// Report every error and warning, and build nothing
    #[command(after_help = "\
The host half of a component by others is compiled once, and has 60 seconds to answer.

Examples:
  unikgen check
  unikgen check examples/web --deny warnings --allow U0511
  unikgen check --fix                              mend what needs no asking, then check
  unikgen check --format sarif > findings.sarif    for code hosts that show them at the line")]
    Check(Check),
    /// Lay out .unik files in the one way that all have
    #[command(after_help = "\
Comments, blank lines between groups, strings and numbers stay as they are written; what the file \
says stays the same. A file with syntax errors is left alone, and they are shown. A file that is laid out \
already isn't written. Of a folder, hidden folders and those named target or node_modules are left out.

Ends with 0 if all is laid out; with 1 if a file has syntax errors or, with --check, isn't laid out.

Examples:
  unikgen fmt                   every .unik file in and below the current folder
  unikgen fmt site.unik base/
  unikgen fmt --check           for CI
  unikgen fmt - < site.unik     for editors")]
    Fmt(Fmt),
    /// Build the image
    #[command(after_help = "\
The image stands beside the .unik file unless -o says otherwise, and next to it the report, \
which keeps what every byte of the image is there for.

Examples:
  unikgen build site.unik -o site.img
  unikgen build --set host=ns2 --deny warnings
  unikgen build --target process         an ordinary Linux program of the same plan
  unikgen build --report json > report.json")]
    Build(Build),
    /// Build an image again, and say whether that gives the same, byte by byte
    #[command(after_help = "\
The image says which seed and which values of --set it was built with; FILE is built again with \
these, in a fresh folder of its own below $TMPDIR that shares nothing with earlier builds. It takes \
as long as a first build. Another version of unikgen or rustc makes another image: if it was built \
by one, that is said first.

Ends with 0 if the images are equal, 1 if they differ or FILE doesn't build, 2 if IMAGE is none.

Examples:
  unikgen verify site.img site.unik
  unikgen verify counter.img counter     a crate that uses unik::appliance!; it must be in step")]
    Verify(Verify),
    /// Build if something changed, then boot, with the console on this terminal
    #[command(after_help = format!("\
Every port that a service listens on is published on 127.0.0.1; a port below 1024 on 8000 + \
port (80 on 8080, 443 on 8443) or the next that is free. Connections are served once the \
appliance says that it is ready; only then are the addresses printed. QEMU's network is closed \
to everything else, unless a UDP port is published: then the appliance can reach out. Ctrl-C \
stops it.

Examples:
  unikgen run
  unikgen run site.unik --publish 8080:80
  unikgen run --watch                           again whenever a file changes
  unikgen run --publish 0.0.0.0:5353:53/udp     reachable from outside
  unikgen run site.img --accel tcg              an image, without KVM
  unikgen run --tap tap0                        a real network instead of the user's one
  unikgen run --monitor process                 an ordinary process, for tests and debuggers
  unikgen run --boot address=10.0.2.9/24        a value for `param address: cidr4 at boot`
  unikgen run --gdb                             waits for gdb; use hardware breakpoints (hbreak):
                                                under KVM a software breakpoint catches every int3

{}", exit::TABLE))]
    Run(Run),
    /// Run a whole appliance in virtual time, with clients on a faulty network, repeatable by a seed
    #[command(after_help = format!("\
The appliance runs as a program of this machine, with its real protocol stack, on networks that are \
made up: they lose, repeat, delay and damage frames as --faults says. On them are clients that use \
every port that a service listens on (they speak HTTP and echo; elsewhere they connect and go), and \
ping. Time is virtual: it jumps to whatever comes next. All follows from the seed: the same seed, the \
same run, and the same hash of all that crossed the wire.

A run fails if the appliance panics or ends, answers wrongly, gets no further for --patience, or keeps \
connections or tasks whose clients have gone.

Examples:
  unikgen sim
  unikgen sim site.unik --seed 7 --faults loss=5%,delay=1ms..20ms,reorder=2%,duplicate=1%,corrupt=1%
  unikgen sim --seeds 1..100 --faults loss=10%    stops at the first that fails, and says how to repeat it
  unikgen sim --seed 7 --pcap run.pcap            every frame, for Wireshark

{}", exit::TABLE))]
    Sim(Sim),
    /// Prove what an image holds and may do, and say what isn't proven
    #[command(after_help = format!("\
Reads the image, its report (bound to it by hash) and its unstripped twin, which `unikgen build` \
keeps in the cache. Passed means: the contents are the plan's, by three kinds of evidence; no memory is \
writable and executable; no privileged instruction stands outside the gate; nothing is left to link.

Examples:
  unikgen audit                     builds the file of this folder, and audits its image
  unikgen audit site.img
  unikgen audit site.img --unsafe   the unsafe code that is linked in, with the reasons for it
  unikgen audit site.img --sbom site.cdx.json
  unikgen audit site.img --format sarif > audit.sarif

{}", exit::TABLE))]
    Audit(Audit),
    /// List what an image says of itself: what it needs, and what may be given at boot
    #[command(after_help = "\
Examples:
  unikgen inspect site.img
  unikgen inspect site.img --format json")]
    Inspect(Inspect),
    /// Tell who takes the bytes of an image: lines, components, crates
    #[command(after_help = "\
Every byte is laid to the crate whose source it is, to the component that brought it in, and to \
the line of the file that declares that. What several brought in is theirs together.

Examples:
  unikgen cost                          builds the file of this folder
  unikgen cost site.img --by crate
  unikgen cost site.img --html cost.html   a treemap: one file, for a browser
  unikgen cost site.img --against old.img  what grew and what shrank")]
    Cost(Cost),
    /// Tell what changes between two images: devices, ports, addresses, authority, unsafe, bytes
    #[command(after_help = "\
For whoever says yes before a deploy. Of .unik files the images are built and compared.

Examples:
  unikgen diff running.img site.img
  unikgen diff old.unik new.unik
  unikgen diff running.img site.img --check   ends with 4 if the second may do more than the first")]
    Diff(Diff),
    /// Draw the plan: what is in the image and who needs whom
    #[command(after_help = "\
Examples:
  unikgen graph
  unikgen graph --format svg > plan.svg
  unikgen graph --format dot | dot -Tpdf > plan.pdf
  unikgen graph --format mermaid        for Markdown")]
    Graph(Graph),
    /// Say why a component, part, crate or interface is in the image, or why not
    #[command(after_help = "\
Examples:
  unikgen why tcp               the chain of needs from a line of the file to TCP
  unikgen why unik-http         which component brings that crate
  unikgen why dhcp              if it isn't there: what would bring it in")]
    Why(Why),
    /// Print the generated Rust, formatted
    #[command(after_help = "\
To be read: the crates and files that it names stand in the cache. `unikgen eject` makes a crate \
that compiles.

Examples:
  unikgen expand
  unikgen expand --manifest     the generated Cargo.toml instead")]
    Expand(Expand),
    /// Make a crate to keep of a .unik file, for code of your own
    #[command(after_help = "\
The crate has the .unik file, what that includes and embeds, and a src/main.rs with \
unik::appliance!, which stands for what unikgen expand prints. unikgen and plain cargo both build \
it; handlers and services of your own go into it.

Examples:
  unikgen eject site.unik site-crate && cd site-crate && unikgen run")]
    Eject(Eject),
    /// List the components that an appliance can be made of, or describe one
    #[command(after_help = "\
Examples:
  unikgen components
  unikgen components http       its wires, options, values and defaults
  unikgen components appliance  the settings of the appliance itself")]
    Components(Components),
    /// Bring the dependencies and features of a crate that uses unik::appliance! in step with its plan
    #[command(after_help = "\
A macro can't add dependencies or features; this does. `unikgen build` says when it is needed.

Examples:
  unikgen sync
  unikgen sync --check          changes nothing; ends with 1 if something would change")]
    Sync(Sync),
    /// Remove what builds left behind
    #[command(after_help = "\
The cache of all builds is the folder $UNIK_CACHE, else $XDG_CACHE_HOME/unik, else ~/.cache/unik.

Examples:
  unikgen clean                 what was generated for the file of this folder
  unikgen clean --all           also the shared build folder of all appliances
  unikgen clean --all --dry-run how much that would be")]
    Clean(Clean),
    /// Put functions, files and lines to the crash records of a log
    #[command(after_help = "\
Reads the console of an appliance on standard input, and prints it with the names of functions \
below each record of a fault or panic. `unikgen run` does so by itself.

The names come from the image's twin, which has its symbols and is bound to it by a hash: beside \
the image as NAME.twin.elf (unikgen build --twin puts it there), or in the cache of this machine.

Examples:
  unikgen symbolize site.img < console.log
  journalctl -u site | unikgen symbolize site.img
  unikgen symbolize site.img --twin kept/site.twin.elf < console.log")]
    Symbolize(Symbolize),
    /// Explain a diagnostic in full, with a wrong and a right example, or list all
    #[command(after_help = "\
Examples:
  unikgen explain               all codes
  unikgen explain U0301")]
    Explain {
        /// The code that stands in brackets after `error` or `warning`
        code: Option<String>,
    },
    /// Serve editors: diagnostics, completion, hover and more, over standard input and output
    #[command(after_help = "\
Speaks the Language Server Protocol. An editor starts it by itself, once it is told that this is the \
command for .unik files. It ends when the editor does, or closes its standard input.

It builds and fetches nothing: crates by git or version, and the host halves of components by \
others, are looked at by unikgen check only.

Examples:
  unikgen lsp                   for an editor's settings; most add --stdio, which changes nothing")]
    Lsp(Lsp),
    /// Print the completions of a shell
    #[command(after_help = "\
Examples:
  unikgen completions bash > ~/.local/share/bash-completion/completions/unikgen
  unikgen completions zsh  > ~/.zfunc/_unikgen
  unikgen completions fish > ~/.config/fish/completions/unikgen.fish")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for every subcommand
    #[command(after_help = "\
Examples:
  unikgen man | man -l -
  unikgen man --output /usr/local/share/man/man1")]
    Man {
        /// Write unikgen.1 and unikgen-SUBCOMMAND.1 into this folder
        #[arg(long, short, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        output: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn gdb_takes_a_port_only_after_an_equals_sign() {
        let cli = Cli::try_parse_from(["unikgen", "run", "--gdb", "site.unik"]).unwrap();
        let Command::Run(run) = cli.command else { panic!() };
        assert_eq!((run.gdb, run.file), (Some(1234), Some("site.unik".into())));
    }
}
