//! The simulation platform: an appliance as a program whose time, entropy and networks are made up.
//!
//! One run follows from its seed and its arguments alone: the same seed, the same run, bit for
//! bit. For that
//!
//! - time stands still while anything can be done, and then jumps to the next timer or the next
//!   event of the [`World`];
//! - entropy comes from the seed;
//! - there is one thread, and no call of the host's clock, network or random numbers.
//!
//! What an appliance is connected to is the [`World`], which a component brings in: the one that
//! stands in for a network device. An appliance without one runs until its tasks have ended.
//!
//! The console is standard output. What a run came to is written to standard error, a line for
//! each fact (`sim: NAME VALUE`), for `unikgen sim`.
//!
//! # Left out
//! Computing takes no virtual time. Memory doesn't run out where the machine's would.

mod random;

use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::format;
use std::io::{self, Write};
use std::string::String;
use std::sync::OnceLock;
use std::vec::Vec;

pub use random::Random;

use super::{Ending, NoEntropy};
use crate::{executor, logging, start};

/// What an appliance is connected to in a simulation.
pub trait World {
    /// When it has something to do next, in nanoseconds; `None` when it waits for the appliance.
    fn next_event(&self) -> Option<u64>;

    /// Does all that is due at `now`; whether the run is over with that.
    fn run(&mut self, now: u64) -> bool;

    /// The services answer; `now` all tasks wait for the world, and there are `tasks` of them.
    fn ready(&mut self, now: u64, tasks: usize);

    /// What the run came to. Nothing is asked of the world afterwards.
    fn report(&mut self, now: u64, end: &End) -> Report;
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The world said that it is over.
    Over,
    /// The appliance ended by itself.
    Ended(Ending),
    /// It didn't get any further, and why.
    Stuck(String),
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is worth knowing of it: names of one word, and values.
    pub facts: Vec<(&'static str, String)>,
    /// What went wrong; nothing, of a good run.
    pub failures: Vec<String>,
}

/// Tasks that have their turns in one instant, beyond which they are said to turn in circles.
const TURNS: u64 = 2_000_000;

/// 2026-01-01 00:00 UTC, when every simulation begins, in nanoseconds since 1970.
const EPOCH: u64 = 1_767_225_600 * 1_000_000_000;

std::thread_local! {
    static SIM: Sim = Sim {
        now: Cell::new(0),
        turns: Cell::new(0),
        is_ready: Cell::new(false),
        is_told: Cell::new(false),
        entropy: RefCell::new(random().fork("entropy")),
        world: RefCell::new(None),
    };
}

struct Sim {
    now: Cell<u64>,
    /// Turns of tasks since time went on.
    turns: Cell<u64>,
    is_ready: Cell<bool>,
    /// Whether the world knows that the services answer.
    is_told: Cell<bool>,
    entropy: RefCell<Random>,
    world: RefCell<Option<Box<dyn World>>>,
}

/// Connects the appliance to `world`. A second world takes the place of the first.
pub fn connect(world: Box<dyn World>) {
    SIM.with(|sim| *sim.world.borrow_mut() = Some(world));
}

/// The values of all arguments `name=VALUE`, in their order.
#[must_use]
pub fn arguments(name: &str) -> Vec<String> {
    let value = |argument: &str| Some(argument.strip_prefix(name)?.strip_prefix('=')?.into());
    std::env::args_os().skip(1).filter_map(|argument| value(&argument.to_string_lossy())).collect()
}

/// The generator of the seed that the run was started with (`seed=N`, else 0). Whoever draws
/// from it [forks](Random::fork) it first.
#[must_use]
pub fn random() -> Random {
    Random::new(arguments("seed").pop().and_then(|seed| seed.parse().ok()).unwrap_or(0)).fork("run")
}

/// How many tasks there are.
#[must_use]
pub fn tasks() -> usize {
    executor::task_count()
}

/// Ends the program, with 2, before there is a run: an argument makes no sense.
pub fn refuse(why: &str) -> ! {
    // As at the end of a run: who doesn't listen has the exit code.
    let _ = writeln!(io::stderr().lock(), "sim: refused {}", why.replace('\n', " "));
    std::process::exit(2)
}

/// Prepares the program for an appliance: a panic ends the run. For [`entry!`](crate::entry).
pub fn begin() {
    std::panic::set_hook(Box::new(|panic| {
        let task = executor::current_task().unwrap_or("start");
        logging::print(format_args!("panic in {task}: {panic}\n"));
        // One in the world itself, or while it is asked for its report, can't be reported by it.
        finish(End::Ended(Ending::Panic));
    }));
}

/// Virtual nanoseconds since the start.
pub fn now() -> u64 {
    SIM.with(|sim| sim.now.get())
}

/// Virtual time of day: every simulation begins at 2026-01-01 00:00 UTC.
pub fn wall_clock() -> Option<u64> {
    Some(EPOCH + now())
}

/// Lets the world do what is due. If nothing is, time jumps to `until` or to the world's next
/// event, whichever is earlier. Where neither ever comes, the run has failed.
pub fn wait(until: Option<u64>) {
    let is_over = SIM.with(|sim| {
        let now = sim.now.get();
        let mut world = sim.world.borrow_mut();
        let is_look = until.is_some_and(|until| until <= now);
        if sim.is_ready.get()
            && !is_look
            && !sim.is_told.replace(true)
            && let Some(world) = world.as_mut()
        {
            world.ready(now, executor::task_count());
        }
        let next = world.as_ref().and_then(|world| world.next_event());
        let then = match (until, next) {
            _ if is_look => now,
            (Some(until), Some(next)) => until.min(next),
            (Some(then), None) | (None, Some(then)) => then,
            (None, None) => return Err("nothing is left that could happen"),
        };
        if then > now {
            sim.now.set(then);
            sim.turns.set(0);
        }
        Ok(world.as_mut().is_some_and(|world| world.run(sim.now.get())))
    });
    match is_over {
        Ok(false) => {}
        Ok(true) => finish(End::Over),
        Err(why) => finish(End::Stuck(why.into())),
    }
}

/// Writes all of `bytes` to standard output.
pub fn console_write(bytes: &[u8]) {
    let mut output = io::stdout().lock();
    // As in a process: a service doesn't end because of its console.
    let _ = output.write_all(bytes).and_then(|()| output.flush());
}

/// The arguments of the command line, joined by spaces.
pub fn boot_line() -> &'static str {
    static LINE: OnceLock<String> = OnceLock::new();
    LINE.get_or_init(|| {
        let arguments: Vec<_> =
            std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
        arguments.join(" ")
    })
}

/// Fills `bytes` from the seed: anyone can guess them.
///
/// # Errors
/// None: a simulation always has a seed.
pub fn entropy(bytes: &mut [u8]) -> Result<(), NoEntropy> {
    SIM.with(|sim| sim.entropy.borrow_mut().fill(bytes));
    Ok(())
}

/// Counts the turns of tasks: those that go on for ever without letting time go on have
/// brought the run to its end.
pub fn progress() {
    let turns = SIM.with(|sim| {
        sim.turns.set(sim.turns.get() + 1);
        sim.turns.get()
    });
    if turns > TURNS {
        finish(End::Stuck(format!("tasks turn in circles: {TURNS} turns without a wait")));
    }
}

/// Does nothing: see the module's page.
pub fn seal() {}

/// Tells the world that the services answer, once all tasks wait; and the console.
pub fn ready() {
    SIM.with(|sim| sim.is_ready.set(true));
    start::print_ready();
}

/// Ends the run: the appliance has ended by itself.
pub fn exit(ending: Ending) -> ! {
    finish(End::Ended(ending))
}

/// Writes what the run came to, and ends the program: with 0 after a good run, with 101 after a
/// panic, else with 1.
fn finish(end: End) -> ! {
    let (now, report) = SIM.with(|sim| {
        let now = sim.now.get();
        let report = match sim.world.try_borrow_mut().as_deref_mut() {
            Ok(Some(world)) => world.report(now, &end),
            Ok(None) => match &end {
                End::Over | End::Ended(Ending::Done) => Report::default(),
                End::Ended(ending) => Report {
                    facts: Vec::new(),
                    failures: Vec::from([format!("the appliance ended: {ending:?}")]),
                },
                End::Stuck(why) => Report { facts: Vec::new(), failures: Vec::from([why.clone()]) },
            },
            Err(_) => Report {
                facts: Vec::new(),
                failures: Vec::from([String::from("the simulation itself failed")]),
            },
        };
        (now, report)
    });
    let mut text = format!("sim: time {now}\n");
    for (name, value) in &report.facts {
        text.push_str(&format!("sim: {name} {value}\n"));
    }
    for failure in &report.failures {
        text.push_str(&format!("sim: failed {}\n", failure.replace('\n', " ")));
    }
    text.push_str("sim: end\n");
    // Whoever started it and doesn't listen any more learns of it by the exit code alone.
    let _ = io::stderr().lock().write_all(text.as_bytes());
    std::process::exit(match end {
        End::Ended(Ending::Panic) => Ending::Panic.exit_code().into(),
        _ if report.failures.is_empty() => 0,
        _ => 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bell {
        at: Option<u64>,
    }

    impl World for Bell {
        fn next_event(&self) -> Option<u64> {
            self.at
        }

        fn run(&mut self, now: u64) -> bool {
            if self.at.is_some_and(|at| at <= now) {
                self.at = None;
            }
            false
        }

        fn ready(&mut self, _now: u64, _tasks: usize) {}

        fn report(&mut self, _now: u64, _end: &End) -> Report {
            Report::default()
        }
    }

    #[test]
    fn time_jumps_to_what_comes_first() {
        connect(Box::new(Bell { at: Some(700) }));
        assert_eq!(now(), 0);
        wait(Some(0));
        assert_eq!(now(), 0, "a look lets no time pass");
        wait(Some(1_000));
        assert_eq!(now(), 700);
        wait(Some(1_000));
        assert_eq!(now(), 1_000);
        assert_eq!(wall_clock(), Some(EPOCH + 1_000));
        wait(Some(10));
        assert_eq!(now(), 1_000, "time doesn't go back");
    }

    #[test]
    fn entropy_follows_from_the_seed() {
        let mut bytes = [0; 16];
        entropy(&mut bytes).expect("bytes");
        let mut again = [0; 16];
        random().fork("entropy").fill(&mut again);
        assert_eq!(bytes, again);
    }
}
