//! What stands under a condition that doesn't hold.
//!
//! It counts for nothing, and is checked all the same: a mistake in it would show on the
//! day on which somebody sets the parameter.

use indexmap::IndexMap;
use unik_catalogue::value::Place;
use unik_catalogue::{Component, OptionSpec};

use super::options::Of;
use super::{Checker, Declared, Instance, Untaken};
use crate::diagnostic::{Diagnostic, codes};
use crate::syntax::{Declaration, Statement, StatementKind};

impl<'s> Checker<'_> {
    /// Checks what an appliance has under conditions that don't hold; gives the instances
    /// that would be there, for their wires. `flat` is what there is.
    pub(super) fn untaken_appliance(
        &mut self,
        bodies: Untaken<'s>,
        flat: &[(usize, &'s Statement)],
        settings: Option<&Component>,
        place: Place,
    ) -> Vec<Instance> {
        let mut blocks = Vec::new();
        let mut open = bodies;
        open.reverse();
        while let Some(body) = open.pop() {
            let (mut flat, mut untaken) = (Vec::new(), Untaken::new());
            self.flatten(&body.iter().collect::<Vec<_>>(), 1, &mut flat, &mut untaken);
            open.extend(untaken.into_iter().rev());
            blocks.push(flat);
        }
        // All names first: one may be used further up.
        let mut found = Vec::new();
        for (block, statement) in
            blocks.iter().enumerate().flat_map(|(at, block)| block.iter().map(move |(_, it)| (at, *it)))
        {
            let StatementKind::Declaration(declaration) = &statement.kind else { continue };
            let component = self.component(declaration);
            let always = flat.iter().find(|(level, it)| *level == 0 && declares(it, &declaration.name.value));
            let here = found.iter().find(|(other, _, first, _): &&(usize, _, &Declaration, _)| {
                *other == block && first.name.value == declaration.name.value
            });
            if let Some(first) = always.map(|(_, it)| it.place).or(here.map(|(_, _, it, _)| it.name.place)) {
                self.error(
                    Diagnostic::error(
                        codes::DUPLICATE,
                        declaration.name.place,
                        format!("`{}` is declared twice, where this condition holds", declaration.name.value),
                    )
                    .and(first, "the first time"),
                );
                continue;
            }
            let fitting = component.clone().filter(|it| it.kind == declaration.kind.value);
            let declared = Declared { component: fitting, place: declaration.name.place };
            self.elsewhere.entry(declaration.name.value.clone()).or_insert(declared);
            found.push((block, statement, declaration, component));
        }
        let instances = found
            .into_iter()
            .map(|(_, statement, declaration, component)| {
                self.aside(|checker| checker.instance_of(statement, declaration, component))
            })
            .collect();
        if let Some(component) = settings {
            let of = Of::whole(component, place);
            for block in blocks {
                let is_entry = |(_, it): &(usize, &Statement)| matches!(it.kind, StatementKind::Entry(_));
                let entries: Vec<_> = block.into_iter().filter(is_entry).collect();
                self.aside(|checker| checker.each_option(&of, &component.options, &entries));
            }
        }
        instances
    }

    /// Checks options under conditions that don't hold, each entry by itself.
    pub(super) fn untaken_options(
        &mut self,
        of: &Of,
        specs: &IndexMap<String, OptionSpec>,
        bodies: Untaken<'s>,
    ) {
        let mut open = bodies;
        open.reverse();
        while let Some(body) = open.pop() {
            let (mut flat, mut untaken) = (Vec::new(), Untaken::new());
            self.flatten(&body.iter().collect::<Vec<_>>(), 1, &mut flat, &mut untaken);
            open.extend(untaken.into_iter().rev());
            self.aside(|checker| checker.each_option(of, specs, &flat));
        }
    }

    /// Does something that finds mistakes, and keeps nothing else of what it found.
    fn aside<T>(&mut self, check: impl FnOnce(&mut Self) -> T) -> T {
        let (unique, apart) = (std::mem::take(&mut self.unique), std::mem::take(&mut self.apart));
        let taken = std::mem::take(&mut self.taken);
        let was = std::mem::replace(&mut self.is_aside, true);
        let result = check(self);
        (self.unique, self.apart, self.taken, self.is_aside) = (unique, apart, taken, was);
        result
    }

    /// The component and the place of an instance that an option may name: one that is there, or,
    /// under a condition that doesn't hold, one that would be.
    pub(super) fn known(&self, name: &str) -> Option<&Declared> {
        self.declared.get(name).or_else(|| self.elsewhere.get(name).filter(|_| self.is_aside))
    }
}

fn declares(statement: &Statement, name: &str) -> bool {
    matches!(&statement.kind, StatementKind::Declaration(declaration) if declaration.name.value == name)
}
