//! `Console`: text for the person who runs the appliance.

/// A place for lines of text.
pub trait Console: Clone + 'static {
    /// Writes all of `text`; returns when it has left the appliance.
    fn write(&self, text: &str);
}
