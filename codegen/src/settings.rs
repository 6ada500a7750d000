//! The appliance's own settings, as the build reads them.

use unik_catalogue::{Target, Value};
use unik_dsl::plan::Plan;

/// What the file says of the appliance as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Memory of the guest, in bytes.
    pub memory: u64,
    /// The least processor: `x86-64-v2`, `x86-64-v3`.
    pub cpu: String,
    /// Where it runs.
    pub target: Target,
}

impl Settings {
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
        Settings { memory, cpu, target: plan.target }
    }
}
