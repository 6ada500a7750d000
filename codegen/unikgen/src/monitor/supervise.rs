//! A running appliance: its console, Ctrl-C, and its end.

use std::io::{IsTerminal as _, Read, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::leash::on_leash;
use crate::console::{Console, Event, Symbols};
use crate::ui::{Ui, seconds, stderr};
use crate::{exit, stop};

/// How long a console line may stay unfinished before it is shown as it is.
const FLUSH: Duration = Duration::from_millis(150);
/// After that long without "ready" we say that it is taking long.
const IMPATIENT: Duration = Duration::from_secs(10);
/// What QEMU says when KVM gave up; it then waits, for a debugger to look.
const STUCK: &[u8] = b"KVM internal error";
/// How long it is given to say the rest.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// After its end, what a child wrote is waited for that long: a grandchild may hold the pipe.
const DRAIN: Duration = Duration::from_secs(2);

/// How long an end may take beyond what the appliance has for it.
const END: Duration = Duration::from_secs(2);
/// An end that takes longer is spoken of.
const SHORT: Duration = Duration::from_millis(500);
/// What tells an appliance on a serial port to end in order: EOT. The runtime's `machine::END`.
const EOT: u8 = 4;

/// How an appliance is asked to end in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// By SIGTERM.
    Signal,
    /// By a byte on its console.
    Byte,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Exited(ExitStatus),
    /// By Ctrl-C, or a request to end.
    Interrupted,
    /// It wasn't ready in time.
    TimedOut,
    /// QEMU runs, but its machine will never go on.
    Stuck,
    /// It couldn't have one of its ports; it has ended.
    PortTaken,
    /// There is something to take its place.
    Changed,
    /// It was ready, and isn't to go on: why was said.
    Refused,
}

/// What is to be done around a child.
pub struct Watch<'a> {
    /// Whether its command line has a secret, so that it isn't shown.
    pub has_secret: bool,
    /// How the command talks.
    pub ui: &'a Ui,
    /// What puts names to crash records.
    pub symbols: Box<dyn Symbols>,
    /// Prints what there is to say when the services answer; gets the guest's own addresses.
    /// Gives whether it may go on.
    pub on_ready: &'a dyn Fn(&[String], Duration) -> bool,
    /// How it is asked to end in order once it is ready, and how long that may take; if not, it is
    /// ended at once.
    pub end: Option<(Ask, Duration)>,
    /// How long it may take to be ready, if there is a limit.
    pub start_timeout: Option<Duration>,
    /// Said when it takes long.
    pub slow_hint: &'a str,
    /// What lines on its standard error begin with: whose words they are.
    pub error_prefix: &'a str,
    /// What a line says of a port that somebody else took since we looked: not shown, and
    /// told as the end.
    pub port_taken: &'a str,
}

enum Message {
    Console(Vec<u8>),
    Error(Vec<u8>),
    Closed,
}

/// Starts `command`, shows its console, and waits for its end, whatever ends it: also that
/// `changed`, which is asked again and again, says that something takes its place.
///
/// # Errors
/// When it can't be started, or standard output can't be written.
pub fn run(command: &Command, watch: Watch<'_>, changed: &mut dyn FnMut() -> bool) -> anyhow::Result<End> {
    match watch.has_secret {
        false => watch.ui.detail(&format!("{command:?}")),
        true => watch.ui.detail(&format!("{:?} …, with a secret", command.get_program())),
    }
    let by_byte = matches!(watch.end, Some((Ask::Byte, _)));
    stop::allow(watch.end.map_or(Duration::ZERO, |(_, limit)| limit + END));
    // In a process group of its own, so that Ctrl-C reaches us alone and the end is ours to order.
    let child = on_leash(command)
        .stdin(if by_byte { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| {
            exit::environment(format!("can't start {}: {error}", command.get_program().to_string_lossy()))
        })?;
    let mut child = Reaped(child);
    let (sender, receiver) = channel();
    if let Some(stdout) = child.0.stdout.take() {
        read_from(stdout, Message::Console, sender.clone());
    }
    if let Some(stderr) = child.0.stderr.take() {
        read_from(stderr, Message::Error, sender);
    }
    let mut show = Show {
        console: Console::new(std::io::stdout().is_terminal(), watch.symbols),
        errors: Vec::new(),
        ready: false,
        stuck: None,
        started: Instant::now(),
        prefix: watch.error_prefix,
        port_taken: watch.port_taken,
        is_taken: false,
        on_ready: watch.on_ready,
        refused: false,
    };
    let end = attend(
        &mut child,
        &receiver,
        &mut show,
        (watch.ui, watch.slow_hint),
        (watch.start_timeout, watch.end),
        changed,
    )?;
    if !matches!(end, End::Exited(_)) {
        child.end()?;
    }
    show.rest(&receiver)?;
    let failed = matches!(end, End::Exited(status) if !status.success());
    Ok(if failed && show.is_taken && !show.ready { End::PortTaken } else { end })
}

fn attend(
    child: &mut Reaped,
    receiver: &Receiver<Message>,
    show: &mut Show<'_>,
    (ui, slow_hint): (&Ui, &str),
    (start_timeout, end): (Option<Duration>, Option<(Ask, Duration)>),
    changed: &mut dyn FnMut() -> bool,
) -> anyhow::Result<End> {
    let mut patient = true;
    // Since when it was asked to end.
    let mut asked: Option<Instant> = None;
    loop {
        if stop::requested().is_some() {
            match (asked, end) {
                (None, Some((how, _))) if show.ready => {
                    child.ask(how);
                    asked = Some(Instant::now());
                    patient = true;
                }
                (Some(since), Some((_, limit))) if since.elapsed() < limit + END => {
                    if patient && since.elapsed() > SHORT {
                        patient = false;
                        let limit = seconds(limit);
                        ui.say(
                            "stopping",
                            &format!("what is under way has {limit}; Ctrl-C again ends at once"),
                        );
                    }
                }
                _ => return Ok(End::Interrupted),
            }
        }
        if changed() {
            return Ok(End::Changed);
        }
        match receiver.recv_timeout(FLUSH / 3) {
            Ok(message) => show.take(message)?,
            Err(RecvTimeoutError::Timeout) => show.idle()?,
            // Both streams are closed: it is about to end.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_millis(5)),
        }
        if let Some(status) = child.0.try_wait()? {
            return Ok(if asked.is_some() { End::Interrupted } else { End::Exited(status) });
        }
        if show.refused {
            return Ok(End::Refused);
        }
        if show.stuck.is_some_and(|since| since.elapsed() > LAST_WORDS) {
            return Ok(End::Stuck);
        }
        let waited = show.started.elapsed();
        if !show.ready && patient && waited > IMPATIENT && start_timeout.is_some() {
            patient = false;
            ui.hint(slow_hint);
        }
        if !show.ready && start_timeout.is_some_and(|limit| waited > limit) {
            return Ok(End::TimedOut);
        }
    }
}

/// A child that is never left behind.
struct Reaped(Child);

impl Reaped {
    /// Asks it to end. That it has ended is no news: whoever waits for it sees that.
    fn ask(&mut self, how: Ask) {
        match how {
            Ask::Signal => {
                let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
                let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
            }
            Ask::Byte => {
                let _ = self.0.stdin.as_mut().map(|console| console.write_all(&[EOT]));
            }
        }
    }

    fn end(&mut self) -> anyhow::Result<()> {
        // Killing one that has ended already is no error.
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // On the way out of an error: there is nobody left to tell.
            let _ = self.end();
        }
    }
}

struct Show<'a> {
    console: Console,
    errors: Vec<u8>,
    ready: bool,
    stuck: Option<Instant>,
    started: Instant,
    prefix: &'a str,
    port_taken: &'a str,
    is_taken: bool,
    on_ready: &'a dyn Fn(&[String], Duration) -> bool,
    refused: bool,
}

impl Show<'_> {
    fn take(&mut self, message: Message) -> anyhow::Result<()> {
        match message {
            Message::Console(bytes) => {
                let events = self.console.feed(&bytes);
                self.show(events)
            }
            Message::Error(bytes) => {
                self.errors.extend(bytes);
                while let Some(end) = self.errors.iter().position(|&byte| byte == b'\n') {
                    let line: Vec<u8> = self.errors.drain(..=end).collect();
                    if line.starts_with(STUCK) {
                        self.stuck.get_or_insert_with(Instant::now);
                    }
                    if !self.takes_note_of(&String::from_utf8_lossy(&line)) {
                        self.error_line(&line);
                    }
                }
                Ok(())
            }
            Message::Closed => Ok(()),
        }
    }

    fn idle(&mut self) -> anyhow::Result<()> {
        let event = self.console.flush();
        self.show(event)
    }

    fn show(&mut self, events: impl IntoIterator<Item = Event>) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout().lock();
        for event in events {
            match event {
                Event::Text(text) => {
                    if !self.takes_note_of(&text) {
                        stdout.write_all(text.as_bytes())?;
                    }
                }
                Event::Ready(addresses) if !self.ready => {
                    self.ready = true;
                    self.refused = !(self.on_ready)(&addresses, self.started.elapsed());
                }
                // Only once; a guest that says it again tells nothing new.
                Event::Ready(_) => {}
            }
        }
        Ok(stdout.flush()?)
    }

    /// Whether this line is for us and not to be shown.
    fn takes_note_of(&mut self, line: &str) -> bool {
        let is_taken = !self.ready && line.contains(self.port_taken);
        self.is_taken |= is_taken;
        is_taken
    }

    fn error_line(&self, line: &[u8]) {
        stderr(&format!("{}{}\n", self.prefix, String::from_utf8_lossy(line).trim_end()));
    }

    /// What was still on its way when the child ended.
    fn rest(&mut self, receiver: &Receiver<Message>) -> anyhow::Result<()> {
        let until = Instant::now() + DRAIN;
        while let Ok(message) = receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.take(message)?;
        }
        let last = self.console.end();
        self.show(last)?;
        if !self.errors.is_empty() {
            let line = std::mem::take(&mut self.errors);
            self.error_line(&line);
        }
        Ok(())
    }
}

fn read_from(mut stream: impl Read + Send + 'static, wrap: fn(Vec<u8>) -> Message, to: Sender<Message>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            let message = match stream.read(&mut buffer) {
                Ok(0) => Message::Closed,
                Ok(count) => wrap(buffer[..count].to_vec()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => Message::Closed,
            };
            let closed = matches!(message, Message::Closed);
            if to.send(message).is_err() || closed {
                return;
            }
        }
    });
}

/// In words, how a child ended that wasn't ended by us.
pub fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".into(),
    }
}
