//! `unikgen run`: build if something changed, boot, show the console, end with the guest.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use unik_catalogue::Target;

use crate::appliance::{self, Subject};
use crate::backend;
use crate::cli::{Accel, Machine, MonitorChoice, Run, TargetChoice};
use crate::exit::{self, ENVIRONMENT, FAILED, INTERRUPTED, Outcome};
use crate::monitor::choose::{Choice, Monitor, Wish, choose};
use crate::monitor::qemu::{self, GuestEnd, Launch, Net};
use crate::monitor::supervise::{self, End, Watch};
use crate::monitor::{Needs, needs, process};
use crate::publish::{self, Published};
use crate::ui::{self, Tone, Ui, seconds};

/// The exit code for a processor exception, which a reset of the machine is as well.
const FAULT: u8 = 102;

/// Runs; gives the exit code of the guest.
///
/// # Errors
/// When it can't be built or started.
pub fn run(args: &Run, ui: &Ui) -> Outcome {
    let subject = appliance::locate(args.file.as_deref())?;
    let stop = supervise::on_interrupt()?;
    let prepared = match &subject {
        Subject::Image(image) => prepare_image(image, args, ui),
        Subject::File(file) | Subject::Crate { file, .. } => prepare_file(&subject, file, args, ui),
    };
    if stop.load(std::sync::atomic::Ordering::SeqCst) {
        // A terminal sends Ctrl-C to cargo too: that the build failed then is no news.
        ui.say("stopped", "before it ran");
        return Ok(INTERRUPTED);
    }
    let prepared = prepared?;
    prepared.run(args, stop, ui)
}

/// All that is needed to start.
struct Prepared {
    choice: Choice,
    needs: Needs,
    image: PathBuf,
    published: Vec<Published>,
    taps: Vec<(String, String)>,
}

fn prepare_image(image: &Path, args: &Run, ui: &Ui) -> anyhow::Result<Prepared> {
    let parameters = &args.parameters;
    if !parameters.set.is_empty() || parameters.target.is_some() || parameters.deny.is_some() {
        return Err(exit::usage("--set, --target and --deny are for .unik files: an image is built already"));
    }
    if args.monitor == Some(MonitorChoice::Process) {
        return Err(exit::usage(format!(
            "`{}` is an image for a machine; for a process, run its .unik file",
            image.display()
        )));
    }
    let needs = backend::needs_of_image(image)?;
    let choice = choose(wish(args, true), cache().as_deref())?;
    announce(&choice, ui);
    let (published, taps) = plug_in(&needs, &choice, args)?;
    Ok(Prepared { choice, needs, image: image.into(), published, taps })
}

fn prepare_file(subject: &Subject, file: &Path, args: &Run, ui: &Ui) -> anyhow::Result<Prepared> {
    let mut parameters = args.parameters.clone();
    parameters.offline = args.cargo.offline;
    if args.monitor == Some(MonitorChoice::Process) {
        if parameters.target == Some(TargetChoice::Machine) {
            return Err(exit::usage("--monitor process and --target machine exclude each other"));
        }
        parameters.target = Some(TargetChoice::Process);
    }
    let mut checked = appliance::check(file, &parameters, ui)?;
    let choice = match checked.plan.target {
        Target::Process => {
            refuse_machine_flags(args)?;
            Choice { monitor: Monitor::Process, hint: None }
        }
        Target::Machine => choose(wish(args, parameters.target.is_some()), cache().as_deref())?,
    };
    announce(&choice, ui);
    if choice.monitor == Monitor::Process && checked.plan.target == Target::Machine {
        refuse_machine_flags(args)?;
        parameters.target = Some(TargetChoice::Process);
        checked = appliance::check(file, &parameters, ui)?;
    }
    let needs = needs::of_plan(&checked.plan, &checked.sources);
    // Before the build: a taken port needn't wait for it.
    let (published, taps) = plug_in(&needs, &choice, args)?;
    let image = backend::build(subject, &checked, &parameters, &args.cargo, ui)?.image;
    Ok(Prepared { choice, needs, image, published, taps })
}

fn wish(args: &Run, machine_only: bool) -> Wish {
    // What only a virtual machine has is a wish for one.
    let machine_only = machine_only
        || args.gdb.is_some()
        || args.memory.is_some()
        || args.machine != Machine::Microvm
        || !args.tap.is_empty()
        || args.no_net;
    Wish { monitor: args.monitor, accel: args.accel, machine_only }
}

/// Nothing is silently ignored.
fn refuse_machine_flags(args: &Run) -> anyhow::Result<()> {
    let given = [
        (args.monitor == Some(MonitorChoice::Qemu), "--monitor qemu"),
        (args.accel != Accel::Auto, "--accel"),
        (args.machine != Machine::Microvm, "--machine"),
        (args.memory.is_some(), "--memory"),
        (!args.tap.is_empty(), "--tap"),
        (args.no_net, "--no-net"),
        (args.no_publish, "--no-publish"),
        (args.gdb.is_some(), "--gdb"),
    ];
    match given.iter().find(|(given, _)| *given) {
        Some((_, "--gdb")) => Err(exit::usage(
            "--gdb is for virtual machines; a process runs under gdb as it is: unikgen build -o PROGRAM, then gdb PROGRAM",
        )),
        Some((_, flag)) => {
            Err(exit::usage(format!("{flag} is for virtual machines, and this runs as a process")))
        }
        None => Ok(()),
    }
}

fn announce(choice: &Choice, ui: &Ui) {
    ui.say("monitor", choice.monitor.words());
    if let Some(hint) = &choice.hint {
        ui.hint(hint);
    }
}

fn cache() -> Option<PathBuf> {
    // Only a memory of what was tried: without a folder it is tried again.
    backend::cache_folder().ok()
}

type Plugs = (Vec<Published>, Vec<(String, String)>);

/// What is published, and what networks are plugged into.
fn plug_in(needs: &Needs, choice: &Choice, args: &Run) -> anyhow::Result<Plugs> {
    let taps = taps(needs, args)?;
    let published = if args.no_net || args.no_publish || !taps.is_empty() {
        Vec::new()
    } else {
        publish::resolve(&args.publish, &needs.listens, publish::availability)?
    };
    if choice.monitor != Monitor::Process
        && let Some(port) = args.gdb
        && publish::availability(publish::Protocol::Tcp, ([127, 0, 0, 1], port).into())
            != publish::Availability::Free
    {
        return Err(exit::environment(format!("port {port} for gdb is taken; choose another: --gdb=PORT")));
    }
    Ok((published, taps))
}

/// `--tap`, per network.
fn taps(needs: &Needs, args: &Run) -> anyhow::Result<Vec<(String, String)>> {
    let mut taps: Vec<(String, String)> = Vec::new();
    for given in &args.tap {
        let (network, tap) = match (given.split_once('='), needs.networks.as_slice()) {
            (Some((network, tap)), _) => (network.to_string(), tap.to_string()),
            (None, [only]) => (only.instance.clone(), given.clone()),
            (None, []) => return Err(exit::usage("--tap: the appliance has no network")),
            (None, several) => {
                let names: Vec<&str> = several.iter().map(|network| network.instance.as_str()).collect();
                return Err(exit::usage(format!(
                    "--tap {given}: the appliance has the networks {}: say which, as {}={given}",
                    names.join(", "),
                    names[0]
                )));
            }
        };
        if !needs.networks.iter().any(|known| known.instance == network) {
            return Err(exit::usage(format!("--tap {given}: the appliance has no network `{network}`")));
        }
        // The kernel's own rule for names of interfaces; and QEMU's options end at commas.
        if tap.is_empty() || tap.len() > 15 || tap.contains([',', '/', ' ', ':']) {
            return Err(exit::usage(format!("--tap {given}: `{tap}` is no name of an interface")));
        }
        if !is_interface(&tap) {
            return Err(exit::environment(format!(
                "there is no interface `{tap}`; make it with: sudo ip tuntap add dev {tap} mode tap user \"$USER\" && sudo ip link set {tap} up"
            )));
        }
        if taps.iter().any(|(known, _)| *known == network) {
            return Err(exit::usage(format!("--tap: the network `{network}` is plugged in twice")));
        }
        taps.push((network, tap));
    }
    Ok(taps)
}

/// Whether our network namespace has this interface; `/sys` may be another one's.
fn is_interface(name: &str) -> bool {
    // Where it can't be told, QEMU will.
    std::fs::read_to_string("/proc/self/net/dev").map_or(true, |table| {
        table.lines().any(|line| line.split(':').next().unwrap_or_default().trim() == name)
    })
}

impl Prepared {
    fn run(&self, args: &Run, stop: std::sync::Arc<std::sync::atomic::AtomicBool>, ui: &Ui) -> Outcome {
        let command = self.command(args)?;
        for published in
            self.published.iter().filter(|published| published.chosen && !published.to.service.is_empty())
        {
            let to = &published.to;
            ui.say(
                "publishing",
                &format!(
                    "port {}/{} of {} on {}; --publish PORT:{}{} chooses another",
                    to.port,
                    to.protocol.word(),
                    to.service,
                    published.host,
                    to.port,
                    if to.protocol == publish::Protocol::Udp { "/udp" } else { "" },
                ),
            );
        }
        let is_machine = self.choice.monitor != Monitor::Process;
        for network in self
            .needs
            .networks
            .iter()
            .filter(|network| is_machine && qemu::is_open(&network.instance, &self.published))
        {
            ui.hint(&format!(
                "publishing UDP opens `{}`: the appliance can reach what this machine can; with --tap, or TCP ports only, it can't",
                network.instance
            ));
        }
        if let Some(port) = args.gdb {
            ui.say(
                "gdb",
                &format!(
                    "waiting; connect with: gdb {} -ex 'target remote 127.0.0.1:{port}'",
                    backend::twin_of(&self.image).unwrap_or_else(|| self.image.clone()).display()
                ),
            );
            ui.hint("use hardware breakpoints (hbreak): under KVM a software breakpoint catches every int3, and the gate is one");
        }
        let was_ready = Cell::new(false);
        let on_ready = |addresses: &[String], after: Duration| {
            was_ready.set(true);
            self.say_ready(addresses, after, ui);
        };
        let is_process = self.choice.monitor == Monitor::Process;
        let watch = Watch {
            ui,
            symbols: backend::symbols(&self.image, ui),
            on_ready: &on_ready,
            start_timeout: (args.start_timeout > 0 && args.gdb.is_none())
                .then(|| Duration::from_secs(args.start_timeout)),
            slow_hint: self.slow_hint(args),
            error_prefix: if is_process { "" } else { "qemu: " },
            stop,
        };
        let end = supervise::run(command, watch)?;
        Ok(self.exit_code(end, args, ui))
    }

    fn command(&self, args: &Run) -> anyhow::Result<Command> {
        match &self.choice.monitor {
            Monitor::Process => {
                // Without a folder it would be looked for on PATH.
                let program = self.image.canonicalize()?;
                let mut command = Command::new(program);
                command.args(process::arguments(&self.published));
                Ok(command)
            }
            Monitor::Qemu { qemu, kvm } => {
                let net = match (args.no_net, self.taps.is_empty()) {
                    (true, _) => Net::None,
                    (false, false) => Net::Tap(&self.taps),
                    (false, true) => Net::User(&self.published),
                };
                let memory = args.memory.unwrap_or(self.needs.memory);
                self.refuse_too_little(memory)?;
                let launch = Launch {
                    image: &self.image,
                    kvm: *kvm,
                    machine: args.machine,
                    memory,
                    net,
                    gdb: args.gdb,
                };
                let mut command = Command::new(&qemu.program);
                command.args(qemu::arguments(&self.needs, &launch)?);
                Ok(command)
            }
        }
    }

    /// A machine whose memory ends before the image does has no place to say so.
    fn refuse_too_little(&self, memory: u64) -> anyhow::Result<()> {
        let end = backend::image_end(&self.image)?;
        if end <= memory {
            return Ok(());
        }
        Err(exit::usage(format!(
            "{} of memory are too little: the image alone reaches up to {}; {} asks for {}",
            ui::bytes(memory),
            ui::bytes(end),
            self.needs.appliance,
            ui::bytes(self.needs.memory)
        )))
    }

    /// `ready: http://127.0.0.1:8080/ → site`
    fn say_ready(&self, addresses: &[String], after: Duration, ui: &Ui) {
        let paint = ui.err();
        let mut lines: Vec<String> = Vec::new();
        for published in &self.published {
            lines.push(format!(
                "{} → {}",
                paint.paint(Tone::Strong, &published.to_string()),
                published.to.service
            ));
        }
        if self.published.is_empty() {
            // On a real network the guest's own addresses are what people connect to.
            for address in addresses {
                lines.push(format!("{} {}", self.needs.appliance, paint.paint(Tone::Strong, address)));
            }
        }
        if lines.is_empty() {
            lines.push(self.needs.appliance.clone());
        }
        for line in &lines {
            ui.say("ready", line);
        }
        ui.detail(&format!("ready after {}", seconds(after)));
    }

    fn slow_hint(&self, args: &Run) -> &'static str {
        match (&self.choice.monitor, args.machine) {
            (Monitor::Qemu { kvm: true, .. }, Machine::Q35) => {
                "this takes long: q35 runs firmware first, which is slow where KVM is nested; --machine microvm has none"
            }
            (Monitor::Qemu { .. }, _)
                if self.needs.networks.iter().any(|network| network.address.is_none()) =>
            {
                "not up after 10 s: does a DHCP server answer on its network? --verbose shows QEMU's command line"
            }
            (Monitor::Qemu { kvm: true, .. }, _) => {
                "not up after 10 s: try --accel tcg, and --memory with more; --verbose shows QEMU's command line"
            }
            (Monitor::Qemu { .. }, _) => {
                "not up after 10 s: try --memory with more; --verbose shows QEMU's command line"
            }
            (Monitor::Process, _) => {
                "not up after 10 s: `log level debug` in the file says what it waits for"
            }
        }
    }

    fn exit_code(&self, end: End, args: &Run, ui: &Ui) -> u8 {
        let status = match end {
            End::Interrupted => {
                ui.say("stopped", &self.needs.appliance);
                return INTERRUPTED;
            }
            End::TimedOut => {
                ui.error(&anyhow::anyhow!(
                    "{} wasn't ready after {} s, and was stopped; --start-timeout 0 waits for ever",
                    self.needs.appliance,
                    args.start_timeout
                ));
                return FAILED;
            }
            End::Stuck => {
                ui.error(&anyhow::anyhow!(
                    "KVM gave up on {}, see above; --accel tcg doesn't need it, and --verbose shows QEMU's command line",
                    self.needs.appliance
                ));
                return ENVIRONMENT;
            }
            End::Exited(status) => status,
        };
        let failed = |what: String| {
            ui.error(&anyhow::anyhow!(what));
        };
        let Some(code) = status.code() else {
            failed(format!("{} {}", self.choice.monitor.words(), supervise::in_words(status)));
            return FAILED;
        };
        let end = match self.choice.monitor {
            Monitor::Process => GuestEnd::Code(u8::try_from(code).unwrap_or(FAILED)),
            Monitor::Qemu { .. } => GuestEnd::from_status(code),
        };
        match end {
            GuestEnd::Code(code) => {
                if let Some(words) = guest_end_in_words(code) {
                    failed(format!("{} {words}", self.needs.appliance));
                }
                code
            }
            GuestEnd::Reset => {
                failed(format!(
                    "{} was reset (a triple fault): there is no crash record; the host's `dmesg` has one where KVM is nested",
                    self.needs.appliance
                ));
                FAULT
            }
            GuestEnd::Monitor(code) => {
                failed(format!(
                    "QEMU itself failed with {code}, see above; --verbose shows its command line"
                ));
                ENVIRONMENT
            }
        }
    }
}

/// What an exit code of the guest says; nothing of a good end.
fn guest_end_in_words(code: u8) -> Option<String> {
    match code {
        0 => None,
        1 => Some("failed: a service, or the start of one; see above".into()),
        101 => Some("panicked, see above".into()),
        102 => Some("met a processor exception, see above".into()),
        other => Some(format!("ended with {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command as Sub};
    use crate::monitor::Network;
    use clap::Parser as _;

    fn args(line: &[&str]) -> Run {
        let cli = Cli::try_parse_from(["unikgen", "run"].iter().chain(line)).unwrap();
        let Sub::Run(run) = cli.command else { panic!() };
        run
    }

    fn needs(networks: &[&str]) -> Needs {
        let network =
            |name: &&str| Network { instance: name.to_string(), device: "nic".into(), address: None };
        Needs { networks: networks.iter().map(network).collect(), ..Needs::default() }
    }

    #[test]
    fn taps_go_to_networks() {
        assert_eq!(taps(&needs(&["lan"]), &args(&["--tap", "lo"])).unwrap(), [("lan".into(), "lo".into())]);
        for (networks, given, part) in [
            (&["lan", "dmz"][..], "lo", "lan, dmz: say which, as lan=lo"),
            (&["lan"], "dmz=lo", "no network `dmz`"),
            (&["lan"], "a,b=c", "no network `a,b`"),
            (&["lan"], "lan=a,id=x", "is no name of an interface"),
            (&["lan"], "no-such-tap0", "ip tuntap add"),
            (&[], "lo", "has no network"),
        ] {
            let error = taps(&needs(networks), &args(&["--tap", given])).unwrap_err().to_string();
            assert!(error.contains(part), "{given}: {error}");
        }
    }

    #[test]
    fn flags_of_machines_are_not_ignored_for_processes() {
        assert!(refuse_machine_flags(&args(&[])).is_ok());
        for flags in
            [&["--memory", "16M"][..], &["--gdb"], &["--no-net"], &["--machine", "q35"], &["--accel", "tcg"]]
        {
            let error = refuse_machine_flags(&args(flags)).unwrap_err();
            assert_eq!(exit::code_of(&error), exit::USAGE);
        }
    }
}
