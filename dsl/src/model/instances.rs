//! Declarations against the catalogue.

use std::rc::Rc;

use unik_catalogue::{Component, Kind};

use super::{Checker, Declared, Instance, Untaken};
use crate::diagnostic::{Diagnostic, Fix, codes};
use crate::syntax::{Declaration, Statement, StatementKind};

impl Checker<'_> {
    /// Checks all declarations: first their names and components, so that options can
    /// refer to instances further down, then their options.
    pub(super) fn instances(&mut self, flat: &[(usize, &Statement)]) -> Vec<Instance> {
        let mut found = Vec::new();
        for (_, statement) in flat {
            match &statement.kind {
                StatementKind::Declaration(declaration) => {
                    let component = self.component(declaration);
                    let name = &declaration.name;
                    if let Some(first) = self.declared.get(&name.value) {
                        let first = first.place;
                        self.error(
                            Diagnostic::error(
                                codes::DUPLICATE,
                                name.place,
                                format!("`{}` is declared twice", name.value),
                            )
                            .and(first, "the first time"),
                        );
                        continue;
                    }
                    // One of another kind gives something else than what was meant to be used.
                    let fitting = component.clone().filter(|it| it.kind == declaration.kind.value);
                    let declared = Declared { component: fitting, place: name.place };
                    self.declared.insert(name.value.clone(), declared);
                    found.push((*statement, declaration, component));
                }
                StatementKind::Broken { name: Some(name), .. } => {
                    let declared = Declared { component: None, place: statement.place };
                    self.declared.entry(name.clone()).or_insert(declared);
                }
                _ => {}
            }
        }
        found
            .into_iter()
            .map(|(statement, declaration, component)| self.instance_of(statement, declaration, component))
            .collect()
    }

    pub(super) fn component(&mut self, declaration: &Declaration) -> Option<Rc<Component>> {
        let (kind, name) = (declaration.kind.value, &declaration.component);
        let Some(component) =
            self.catalogue.component(&name.value).filter(|c| c.kind != Kind::Appliance).cloned()
        else {
            if self.missing_crates {
                return None;
            }
            let mut diagnostic = Diagnostic::error(
                codes::UNKNOWN_COMPONENT,
                name.place,
                format!("there is no {} `{}`", component_word(kind), name.value),
            );
            let of_kind: Vec<String> = self
                .catalogue
                .components()
                .iter()
                .filter(|component| component.kind == kind && component.stands_in_for.is_empty())
                .map(|component| component.name.clone())
                .collect();
            let list: Vec<String> = of_kind.iter().map(|name| format!("`{name}`")).collect();
            diagnostic = match self.near(&name.value, &of_kind) {
                Some(near) => diagnostic.suggest(format!("did you mean `{near}`?"), name.place, near),
                None if list.is_empty() => diagnostic,
                None => diagnostic.help(format!("the catalogue has {}", list.join(", "))),
            };
            self.error(diagnostic);
            return None;
        };
        if component.kind != kind {
            let (is, place) = (component.kind.word(), declaration.kind.place);
            self.error(
                Diagnostic::error(
                    codes::WRONG_KIND,
                    place,
                    format!("`{}` is a {is}, not a {}", component.name, kind.word()),
                )
                .fix(Fix::certain(format!("declare it as a {is}")).replace(place, is)),
            );
        }
        Some(component)
    }

    pub(super) fn instance_of(
        &mut self,
        statement: &Statement,
        declaration: &Declaration,
        declared: Option<Rc<Component>>,
    ) -> Instance {
        let body: Vec<&Statement> = declaration.body.iter().collect();
        let (mut flat, mut untaken) = (Vec::new(), Untaken::new());
        self.flatten(&body, 0, &mut flat, &mut untaken);
        let component = declared.clone().and_then(|component| {
            if component.targets.contains(&self.target) {
                Some(component)
            } else {
                self.catalogue.stand_in(&component.name, self.target).cloned()
            }
        });
        let mut instance = Instance {
            name: declaration.name.clone(),
            place: statement.place,
            component_place: declaration.component.place,
            is_of_kind: declared.as_ref().is_some_and(|it| it.kind == declaration.kind.value),
            declared,
            component,
            wires: declaration.wires.clone(),
            options: unik_catalogue::Options::new(),
            listens: Vec::new(),
            docs: statement.docs.clone(),
        };
        match (&instance.declared, &instance.component) {
            (None, _) => self.read_all(&flat),
            (Some(declared), component) => {
                let said = self.diagnostics.len();
                let mut checked = self.options(declared, &flat, untaken, statement.place);
                if let Some(stand_in) = component.as_ref().filter(|component| component.name != declared.name)
                {
                    let heard = self.diagnostics.len();
                    // It takes those options that it declares too.
                    flat.retain(|(_, statement)| {
                        matches!(&statement.kind, StatementKind::Entry(entry) if stand_in.options.contains_key(&entry.key.value))
                    });
                    let before = std::mem::take(&mut self.unique);
                    checked = self.options(stand_in, &flat, Untaken::new(), statement.place);
                    self.unique = before;
                    if heard > said {
                        // The same mistakes again.
                        self.diagnostics.truncate(heard);
                    }
                }
                instance.options = checked.options;
                instance.listens = checked.listens;
            }
        }
        instance
    }

    /// Marks as read what the options of an unknown component read.
    fn read_all(&mut self, flat: &[(usize, &Statement)]) {
        for (_, statement) in flat {
            if let StatementKind::Entry(entry) = &statement.kind {
                for value in &entry.values {
                    let _ = self.resolve(value);
                }
                let nested: Vec<&Statement> = entry.body.iter().flatten().collect();
                let mut inner = Vec::new();
                self.flatten(&nested, 0, &mut inner, &mut Untaken::new());
                self.read_all(&inner);
            }
        }
    }
}

fn component_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Device => "driver",
        Kind::Network => "network component",
        Kind::Storage => "storage component",
        Kind::Service | Kind::Appliance => "service component",
    }
}
