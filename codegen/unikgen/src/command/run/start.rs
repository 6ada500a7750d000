//! Starting what was prepared, and what is made of its end.

use std::cell::Cell;
use std::process::Command;
use std::time::Duration;

use super::Prepared;
use crate::backend;
use crate::cli::{Machine, Run};
use crate::exit::{self, ENVIRONMENT, FAILED};
use crate::monitor::choose::Monitor;
use crate::monitor::process;
use crate::monitor::qemu::{self, GuestEnd, Launch, Net};
use crate::monitor::supervise::{self, End, Watch};
use crate::publish;
use crate::stop;
use crate::ui::{self, Tone, Ui, seconds};

/// The exit code for a processor exception, which a reset of the machine is as well.
const FAULT: u8 = 102;
/// How often it is started when its ports are taken from under it.
const TRIES: u32 = 10;

impl Prepared {
    /// Starts it, and waits for its end; gives the exit code of the guest, or nothing when it
    /// was ended because `changed`, which is asked again and again, said so.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn run(
        mut self,
        args: &Run,
        ui: &Ui,
        changed: &mut dyn FnMut() -> bool,
    ) -> anyhow::Result<Option<u8>> {
        let mut tries = 0;
        loop {
            let end = self.start(args, ui, changed)?;
            if end == End::Changed {
                return Ok(None);
            }
            if end != End::PortTaken {
                return Ok(Some(self.exit_code(end, args, ui)));
            }
            // It was free when we looked, and another program was faster. One that we chose
            // is as good as the next; one that was asked for isn't, and this says so.
            self.published = publish::resolve(&args.publish, &self.needs.listens, publish::availability)?;
            tries += 1;
            if tries == TRIES {
                return Err(exit::environment(format!(
                    "other programs took the ports of {} from under it {TRIES} times; choose others with --publish",
                    self.needs.appliance
                )));
            }
            ui.detail("a port was taken meanwhile: once more");
        }
    }

    fn start(&self, args: &Run, ui: &Ui, changed: &mut dyn FnMut() -> bool) -> anyhow::Result<End> {
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
        if is_machine && self.given.has_secret {
            ui.hint("QEMU's command line has the secret: other users of this machine can read it");
        }
        let was_ready = Cell::new(false);
        let on_ready = |addresses: &[String], after: Duration| {
            was_ready.set(true);
            self.say_ready(addresses, after, ui);
            // Who looks at it with gdb has other clocks.
            let budget = self.budget.as_ref().filter(|_| args.gdb.is_none());
            budget.is_none_or(|budget| budget.judge(after, &self.choice, ui))
        };
        let is_process = self.choice.monitor == Monitor::Process;
        let watch =
            Watch {
                ui,
                has_secret: self.given.has_secret,
                symbols: backend::symbols(&self.image, ui),
                on_ready: &on_ready,
                // With gdb it may stand still.
                end: self.needs.drain.filter(|_| args.gdb.is_none()).map(|limit| {
                    (if is_process { supervise::Ask::Signal } else { supervise::Ask::Byte }, limit)
                }),
                start_timeout: (args.start_timeout > 0 && args.gdb.is_none())
                    .then(|| Duration::from_secs(args.start_timeout)),
                slow_hint: self.slow_hint(args),
                error_prefix: if is_process { "" } else { "qemu: " },
                port_taken: if is_process {
                    "the port is in use"
                } else {
                    "Could not set up host forwarding rule"
                },
            };
        supervise::run(&command, watch, changed)
    }

    fn command(&self, args: &Run) -> anyhow::Result<Command> {
        match &self.choice.monitor {
            Monitor::Process => {
                // Without a folder it would be looked for on PATH.
                let program = self.image.canonicalize()?;
                let mut command = Command::new(program);
                command.args(process::arguments(&self.published));
                if !self.given.line.is_empty() {
                    // Other users of the machine can read its arguments, and not this.
                    command.env("UNIK_BOOT", &self.given.line);
                }
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
                    machine: args.machine.unwrap_or_else(|| qemu::machine_for(&self.needs, *kvm)),
                    memory,
                    net,
                    gdb: args.gdb,
                    boot_line: &self.given.line,
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
            (Monitor::Qemu { kvm: true, .. }, Some(Machine::Q35)) => {
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
                return stop::requested().map_or(FAILED, stop::code);
            }
            // Dealt with where it is started.
            End::PortTaken | End::Changed => return ENVIRONMENT,
            End::Refused => return FAILED,
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
