//! Which declared instances there are on this target.
//!
//! Where another component stands in for one, what that one was wired to may be left
//! without a user: the network device of an `ip` that in a process is sockets of the
//! host. It drops out, silently: that is what stand-ins are for.

use std::collections::HashMap;

use unik_catalogue::{Kind, Wire};

use super::{Planner, references};
use crate::diagnostic::{Diagnostic, codes};
use crate::model::Instance;
use crate::syntax::Spanned;

impl Planner<'_> {
    /// For each declared instance whether it is in the image. Reports those that can't
    /// be, and are used all the same.
    pub(super) fn live(&mut self) -> Vec<bool> {
        let instances = &self.model.instances;
        let index = |name: &str| self.by_name.get(name).copied();
        // Who uses what here, and what was used by somebody who is replaced.
        let mut uses: Vec<Vec<usize>> = Vec::with_capacity(instances.len());
        let mut users = vec![0usize; instances.len()];
        let mut lost_one = vec![false; instances.len()];
        for instance in instances {
            let mut used: Vec<usize> =
                wires(instance).iter().filter_map(|(_, name)| index(&name.value)).collect();
            if let Some(component) = &instance.component {
                used.extend(
                    references(component, &instance.options).iter().filter_map(|(_, _, name, _)| index(name)),
                );
            }
            used.iter().for_each(|&at| users[at] += 1);
            if instance.is_replaced() {
                for at in instance.wires.iter().filter_map(|wire| index(&wire.value)) {
                    lost_one[at] = true;
                }
            }
            uses.push(used);
        }
        let service = |at: usize| {
            instances[at].declared.as_ref().is_some_and(|component| component.kind == Kind::Service)
        };
        let mut live = vec![true; instances.len()];
        let drops = |at: usize, users: &[usize], lost_one: &[bool]| {
            let missing = instances[at].component.is_none() && instances[at].declared.is_some();
            users[at] == 0 && !service(at) && (missing || lost_one[at])
        };
        let mut open: Vec<usize> = (0..instances.len()).filter(|&at| drops(at, &users, &lost_one)).collect();
        while let Some(at) = open.pop() {
            if !std::mem::replace(&mut live[at], false) {
                continue;
            }
            for &used in &uses[at] {
                users[used] -= 1;
                lost_one[used] = true;
                if live[used] && drops(used, &users, &lost_one) {
                    open.push(used);
                }
            }
        }
        let mut problems = Vec::new();
        let mut used_at = HashMap::new();
        for wire in instances.iter().flat_map(|instance| &instance.wires) {
            used_at.entry(wire.value.as_str()).or_insert(wire.place);
        }
        for (at, instance) in instances.iter().enumerate() {
            let (true, Some(declared), None) = (live[at], &instance.declared, &instance.component) else {
                continue;
            };
            live[at] = false;
            if !instance.is_of_kind {
                continue;
            }
            let target = self.model.target.phrase();
            let mut diagnostic = Diagnostic::error(
                codes::NOT_ON_TARGET,
                instance.component_place,
                format!("`{}` can't run {target}", declared.name),
            );
            if let Some(place) = used_at.get(instance.name.value.as_str()) {
                diagnostic = diagnostic.and(*place, "used here");
            }
            problems.push(diagnostic.help(format!(
                "put what is for one target only under `when target == {} {{ … }}`",
                declared.targets.first().map_or("machine", |target| target.word())
            )));
        }
        self.diagnostics.append(&mut problems);
        live
    }
}

/// The wires of an instance on this target: of its component, or of the one that
/// stands in for it, which has those of the same name.
pub fn wires(instance: &Instance) -> Vec<(&Wire, &Spanned<String>)> {
    let (Some(declared), Some(component)) = (&instance.declared, &instance.component) else {
        return Vec::new();
    };
    component
        .wires
        .iter()
        .filter_map(|wire| {
            let at = declared.wires.iter().position(|declared| declared.name == wire.name)?;
            Some((wire, instance.wires.get(at)?))
        })
        .collect()
}
