//! `budget { boot <= 100 ms }`: judged where the appliance runs, when it is ready.

use std::time::Duration;

use unik_catalogue::Value;
use unik_catalogue::value::Place;
use unik_dsl::Diagnostic;
use unik_dsl::diagnostic::{Levels, codes};
use unik_dsl::source::SourceMap;

use crate::appliance::{Checked, fails, print_found};
use crate::monitor::choose::Choice;
use crate::ui::{Ui, seconds};

/// The time that a file gives its appliance until it is ready.
pub struct BootBudget {
    most: Duration,
    place: Place,
    sources: SourceMap,
    levels: Levels,
}

impl BootBudget {
    /// That of a file, if it has one.
    pub fn of(checked: &Checked, levels: Levels) -> Option<BootBudget> {
        let budget = checked.plan.settings.get("budget")?.first()?;
        let entry = budget.nested.get("boot")?.first()?;
        let Some(Value::Duration(most)) = entry.value("time") else { return None };
        let place = entry.place.or(budget.place)?;
        Some(BootBudget { most: *most, place, sources: checked.sources.clone(), levels })
    }

    /// Says so when it took longer, `after` so long; gives whether the appliance may go on.
    pub fn judge(&self, after: Duration, choice: &Choice, ui: &Ui) -> bool {
        if after <= self.most {
            return true;
        }
        let message = format!("it was ready after {}, and its budget is {}", shown(after), shown(self.most));
        let mut found = vec![Diagnostic::warning(codes::SLOW_BOOT, self.place, message).help(format!(
            "from the start of the monitor to the line `ready`, with {}",
            choice.monitor.words()
        ))];
        self.levels.apply(&mut found);
        print_found(&found, &self.sources, ui);
        !fails(&found)
    }
}

fn shown(time: Duration) -> String {
    if time < Duration::from_secs(10) { format!("{} ms", time.as_millis()) } else { seconds(time) }
}
