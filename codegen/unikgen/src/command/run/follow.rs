//! `unikgen run --watch`: what runs goes on while it is built anew, and until that is done.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::thread::{self, ScopedJoinHandle};
use std::time::SystemTime;

use super::watch::{self, Watched};
use super::{Prepared, prepare};
use crate::appliance::Subject;
use crate::cli::Run;
use crate::exit::{self, Outcome};
use crate::publish::Published;
use crate::stop;
use crate::ui::Ui;

/// What came of a build, and what to look at from then on.
struct Attempt {
    watched: Watched,
    outcome: anyhow::Result<Prepared>,
}

/// Runs, and again whenever something changes, until it is told to end.
///
/// # Errors
/// When the first one can't be built for a reason that no change of a file mends.
pub fn run(subject: &Subject, args: &Run, ui: &Ui) -> Outcome {
    let mut attempt = Attempt::new(subject, args, None, watch::at_least(subject), ui);
    loop {
        let Attempt { mut watched, outcome } = attempt;
        let outcome = match outcome {
            Ok(prepared) => {
                let (outcome, next) = run_until_replaced(subject, args, prepared, &mut watched, ui);
                if stop::requested().is_some() {
                    return outcome.map(|code| code.unwrap_or(exit::OK));
                }
                if let Some(next) = next {
                    if let Err(error) = outcome {
                        say(&error, ui);
                    }
                    attempt = next;
                    continue;
                }
                outcome
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(_) | Err(_) if stop::requested().is_some() => {
                return outcome.map(|code| code.unwrap_or(exit::OK));
            }
            // No change of a file mends the command line, or this machine.
            Err(error) if exit::code_of(&error) != exit::FAILED => return Err(error),
            Err(error) => say(&error, ui),
            Ok(_) => {}
        }
        ui.say("waiting", "for a file to change");
        let Some(path) = watched.wait() else { return Ok(exit::OK) };
        ui.say("changed", &path.display().to_string());
        attempt = Attempt::new(subject, args, None, watched.paths().clone(), ui);
    }
}

/// Runs `prepared` until it ends or there is something to take its place, which comes with it.
fn run_until_replaced(
    subject: &Subject,
    args: &Run,
    prepared: Prepared,
    watched: &mut Watched,
    ui: &Ui,
) -> (anyhow::Result<Option<u8>>, Option<Attempt>) {
    // A line that redraws itself would run into the appliance's console.
    let (published, quiet) = (prepared.published.clone(), ui.with_plain_progress());
    thread::scope(|scope| {
        let mut meanwhile = watched.changed_meanwhile();
        let mut building: Option<ScopedJoinHandle<'_, Attempt>> = None;
        let mut next = None;
        let outcome = prepared.run(args, ui, &mut || {
            if let Some(done) = building.take_if(|thread| thread.is_finished()).map(joined) {
                match done.outcome {
                    Ok(_) => {
                        next = Some(done);
                        return true;
                    }
                    Err(error) => {
                        say(&error, ui);
                        ui.say("running", "what was built before, until a file changes");
                        meanwhile = done.watched.changed_meanwhile();
                        *watched = done.watched;
                    }
                }
            }
            if building.is_none()
                && let Some(path) = meanwhile.take().or_else(|| watched.changed())
            {
                ui.say("changed", &path.display().to_string());
                let (paths, published, quiet) = (watched.paths().clone(), &published, &quiet);
                building = Some(scope.spawn(move || {
                    Watched::new(paths.clone(), SystemTime::now()).settle();
                    Attempt::new(subject, args, Some(published), paths, quiet)
                }));
            }
            false
        });
        // It ended by itself while its successor was being built.
        (outcome, next.or_else(|| building.map(joined)))
    })
}

fn joined(thread: ScopedJoinHandle<'_, Attempt>) -> Attempt {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn say(error: &anyhow::Error, ui: &Ui) {
    // What was printed already, or comes of the end that was asked for.
    if !error.is::<exit::Reported>() && stop::requested().is_none() {
        ui.error(error);
    }
}

impl Attempt {
    fn new(
        subject: &Subject,
        args: &Run,
        running: Option<&[Published]>,
        paths: BTreeSet<PathBuf>,
        ui: &Ui,
    ) -> Attempt {
        let since = SystemTime::now();
        // What was looked at stays so while there is an error: it may be mended there.
        let mut found = paths;
        let outcome = prepare(subject, args, running, ui, &mut found);
        let mut watched = Watched::new(found, since);
        if let Subject::Crate { user, .. } = subject {
            // Building has brought it in step.
            watched.forget_changes_of(&[user.folder.join("Cargo.toml")]);
        }
        Attempt { watched, outcome }
    }
}
