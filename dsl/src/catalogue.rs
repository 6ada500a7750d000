//! The set of components known to the generator.

use std::path::Path;
use std::rc::Rc;

use unik_catalogue::{Component, Kind, ManifestError, Target};

/// All components that an appliance can be made of.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    components: Vec<Rc<Component>>,
}

impl Catalogue {
    /// A catalogue of these components. Of two with one name the first counts.
    #[must_use]
    pub fn from_components(components: Vec<Component>) -> Self {
        let mut catalogue = Catalogue::default();
        for component in components {
            catalogue.add(component);
        }
        catalogue
    }

    /// Adds a component; gives back `false` when there is one of that name already.
    pub fn add(&mut self, component: Component) -> bool {
        let new = self.component(&component.name).is_none();
        if new {
            self.components.push(Rc::new(component));
        }
        new
    }

    /// Reads the component in the crate in the folder `path`.
    ///
    /// # Errors
    /// [`ManifestError`], also where the crate is no component.
    pub fn load_crate(path: &Path) -> Result<Component, ManifestError> {
        Component::read(&path.join("Cargo.toml"))
    }

    /// All components, the appliance's own table of settings too.
    #[must_use]
    pub fn components(&self) -> &[Rc<Component>] {
        &self.components
    }

    /// The component with this name.
    #[must_use]
    pub fn component(&self, name: &str) -> Option<&Rc<Component>> {
        self.components.iter().find(|component| component.name == name)
    }

    /// The table of the appliance's own settings.
    #[must_use]
    pub fn appliance(&self) -> Option<&Rc<Component>> {
        self.components.iter().find(|component| component.kind == Kind::Appliance)
    }

    /// The table of what may stand in `crate NAME { … }`: no component, but described as one.
    #[must_use]
    pub fn named_crate() -> Option<Component> {
        crate::model::named_crate()
    }

    /// The component that takes the place of `component` on `target`, if there is one.
    #[must_use]
    pub fn stand_in(&self, component: &str, target: Target) -> Option<&Rc<Component>> {
        self.components.iter().find(|other| {
            other.stands_in_for.iter().any(|name| name == component) && other.targets.contains(&target)
        })
    }
}
