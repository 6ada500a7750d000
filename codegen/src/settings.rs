//! The appliance's own settings, as the build reads them.

use std::time::Duration;

use unik_catalogue::{Target, Value};
use unik_dsl::plan::Plan;

/// How long an end may take if nothing sets it: `shutdown::DRAIN` of the runtime.
pub const DRAIN: Duration = Duration::from_secs(10);

/// What the file says of the appliance as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Memory of the guest, in bytes.
    pub memory: u64,
    /// The least processor: `x86-64-v2`, `x86-64-v3`.
    pub cpu: String,
    /// Where it runs.
    pub target: Target,
    /// How long its end may take, once it is asked for.
    pub drain: Duration,
}

impl Settings {
    /// How long an end in order may take, in milliseconds; `None` where the appliance has nothing
    /// to end: no port that a service listens on, or no time for it.
    #[must_use]
    pub fn drains(&self, plan: &Plan) -> Option<u32> {
        let listens = plan.instances().any(|(_, node)| !node.listens.is_empty());
        let time = u32::try_from(self.drain.as_millis()).unwrap_or(u32::MAX);
        (listens && time > 0).then_some(time)
    }

    /// The settings of `plan`; where it has none, those that the catalogue would give.
    #[must_use]
    pub fn of(plan: &Plan) -> Settings {
        let value = |key: &str, placeholder: &str| plan.settings.get(key)?.first()?.value(placeholder);
        let memory = match value("memory", "size") {
            Some(Value::Size(bytes)) => *bytes,
            _ => 16 << 20,
        };
        let cpu = match value("cpu", "level") {
            Some(Value::Word(level)) => level.clone(),
            _ => "x86-64-v2".into(),
        };
        let drain = match value("drain", "time") {
            Some(Value::Duration(time)) => *time,
            _ => DRAIN,
        };
        Settings { memory, cpu, target: plan.target, drain }
    }
}
