//! `unikgen run`: build if something changed, boot, show the console, end with the guest.

mod budget;
mod follow;
mod start;
mod watch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use unik_catalogue::Target;
use unik_codegen::note::BootParameter;

use crate::appliance::{self, Subject};
use crate::backend;
use crate::cli::{Accel, MonitorChoice, Run, TargetChoice};
use crate::exit::{self, Outcome};
use crate::monitor::boot::Given;
use crate::monitor::choose::{Choice, Monitor, Wish, choose};
use crate::monitor::{Needs, needs};
use crate::publish::{self, Published};
use crate::ui::{self, Ui};
use budget::BootBudget;

/// Runs; gives the exit code of the guest.
///
/// # Errors
/// When it can't be built or started.
pub fn run(args: &Run, ui: &Ui) -> Outcome {
    let subject = appliance::locate(args.file.as_deref())?;
    if args.watch {
        return follow::run(&subject, args, ui);
    }
    let prepared = prepare(&subject, args, None, ui, &mut BTreeSet::new())?;
    let code = prepared.run(args, ui, &mut || false)?;
    Ok(code.unwrap_or(exit::OK))
}

/// Builds what has to be built. `made_of` gets the files and folders that it is made of.
/// `running` are the ports of what this one is to replace, which it may have.
fn prepare(
    subject: &Subject,
    args: &Run,
    running: Option<&[Published]>,
    ui: &Ui,
    made_of: &mut BTreeSet<PathBuf>,
) -> anyhow::Result<Prepared> {
    match subject {
        Subject::Image(image) => prepare_image(image, args, running, ui),
        Subject::File(file) | Subject::Crate { file, .. } => {
            prepare_file(subject, file, args, running, ui, made_of)
        }
    }
}

/// All that is needed to start.
struct Prepared {
    choice: Choice,
    needs: Needs,
    given: Given,
    image: PathBuf,
    published: Vec<Published>,
    taps: Vec<(String, String)>,
    budget: Option<BootBudget>,
}

fn prepare_image(
    image: &Path,
    args: &Run,
    running: Option<&[Published]>,
    ui: &Ui,
) -> anyhow::Result<Prepared> {
    let parameters = &args.parameters;
    let levels = !parameters.deny.is_empty() || !parameters.allow.is_empty();
    if !parameters.set.is_empty() || parameters.target.is_some() || levels {
        return Err(exit::usage(
            "--set, --target, --deny and --allow are for .unik files: an image is built already",
        ));
    }
    if args.monitor == Some(MonitorChoice::Process) {
        return Err(exit::usage(format!(
            "`{}` is an image for a machine; for a process, run its .unik file",
            image.display()
        )));
    }
    let (needs, given) = backend::needs_of_image(image, &args.boot)?;
    refuse_too_much(&needs, args)?;
    let choice = choose(wish(args, true), cache().as_deref())?;
    announce(&choice, ui);
    let (published, taps) = plug_in(&needs, &choice, args, running)?;
    Ok(Prepared { choice, needs, given, image: image.into(), published, taps, budget: None })
}

fn prepare_file(
    subject: &Subject,
    file: &Path,
    args: &Run,
    running: Option<&[Published]>,
    ui: &Ui,
    made_of: &mut BTreeSet<PathBuf>,
) -> anyhow::Result<Prepared> {
    let mut parameters = args.parameters.clone();
    parameters.offline = args.cargo.offline;
    parameters.locked = args.cargo.locked;
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
        Target::Sim => return Err(exit::usage("a simulation has a command of its own: unikgen sim")),
        Target::Machine => choose(wish(args, parameters.target.is_some()), cache().as_deref())?,
    };
    announce(&choice, ui);
    if choice.monitor == Monitor::Process && checked.plan.target == Target::Machine {
        refuse_machine_flags(args)?;
        parameters.target = Some(TargetChoice::Process);
        checked = appliance::check(file, &parameters, ui)?;
    }
    made_of.extend(checked.made_of());
    let known: Vec<BootParameter> = checked.plan.boot.iter().map(BootParameter::of).collect();
    let given = Given::of(&args.boot, &known)?;
    if let Some(tried) = Given::tried(&args.boot, &known, &parameters) {
        appliance::check(file, &tried, ui)?;
    }
    let needs = needs::of_plan(&checked.plan, &checked.sources, &given);
    if choice.monitor != Monitor::Process {
        refuse_too_much(&needs, args)?;
    }
    // Before the build: a taken port needn't wait for it.
    let (published, taps) = plug_in(&needs, &choice, args, running)?;
    let made = backend::build(subject, &checked, &parameters, &args.cargo, None, ui)?;
    appliance::within_budget(&checked, &made, &parameters, ui)?;
    let image = made.image;
    let budget = BootBudget::of(&checked, parameters.levels()?);
    Ok(Prepared { choice, needs, given, image, published, taps, budget })
}

fn wish(args: &Run, machine_only: bool) -> Wish {
    // What only a virtual machine has is a wish for one.
    let machine_only = machine_only
        || args.gdb.is_some()
        || args.memory.is_some()
        || args.machine.is_some()
        || !args.tap.is_empty()
        || args.no_net;
    Wish { monitor: args.monitor, accel: args.accel, machine_only }
}

/// Nothing is silently ignored.
fn refuse_machine_flags(args: &Run) -> anyhow::Result<()> {
    let given = [
        (args.monitor == Some(MonitorChoice::Qemu), "--monitor qemu"),
        (args.accel != Accel::Auto, "--accel"),
        (args.machine.is_some(), "--machine"),
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

/// QEMU takes a machine's memory when it starts, and where there isn't as much it says so in
/// the words of the kernel.
fn refuse_too_much(needs: &Needs, args: &Run) -> anyhow::Result<()> {
    let wanted = args.memory.unwrap_or(needs.memory);
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    // Told so by its administrator, the kernel gives what isn't there, too.
    let gives_all = text("/proc/sys/vm/overcommit_memory").trim() == "1";
    match memory_of_host(&text("/proc/meminfo")) {
        Some(there) if wanted > there && !gives_all => Err(exit::environment(format!(
            "{} is to have {} of memory, and this machine has {} in all: say less, by {}",
            needs.appliance,
            ui::bytes(wanted),
            ui::bytes(there),
            if args.memory.is_some() { "--memory" } else { "`memory` in its file or --memory" }
        ))),
        _ => Ok(()),
    }
}

/// Bytes of memory and swap, by proc(5).
fn memory_of_host(meminfo: &str) -> Option<u64> {
    let of = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(of("MemTotal:")? + of("SwapTotal:").unwrap_or(0))
}

/// What is published, and what networks are plugged into.
fn plug_in(
    needs: &Needs,
    choice: &Choice,
    args: &Run,
    running: Option<&[Published]>,
) -> anyhow::Result<Plugs> {
    let is_ours = |protocol, at| {
        let mut ours = running.into_iter().flatten();
        ours.any(|it| it.to.protocol == protocol && it.host == at)
    };
    let availability = |protocol, at| match is_ours(protocol, at) {
        true => publish::Availability::Free,
        false => publish::availability(protocol, at),
    };
    let taps = taps(needs, args)?;
    let published = if args.no_net || args.no_publish || !taps.is_empty() {
        Vec::new()
    } else {
        publish::resolve(&args.publish, &needs.listens, availability)?
    };
    if choice.monitor != Monitor::Process
        && running.is_none()
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
    fn no_machine_has_more_memory_than_this_one() {
        assert_eq!(memory_of_host("MemTotal:  100 kB\nMemFree: 1 kB\nSwapTotal: 28 kB\n"), Some(128 << 10));
        assert_eq!(memory_of_host(""), None);
        let error = refuse_too_much(&needs(&[]), &args(&["--memory", "1024G"]));
        if std::fs::read_to_string("/proc/sys/vm/overcommit_memory").is_ok_and(|how| how.trim() != "1") {
            let error = error.unwrap_err();
            assert_eq!(exit::code_of(&error), exit::ENVIRONMENT);
            assert!(error.to_string().contains("1024.0 GiB of memory, and this machine has "), "{error}");
        }
        assert!(refuse_too_much(&needs(&[]), &args(&["--memory", "1M"])).is_ok());
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
