//! What the tool has to say about a file.
//!
//! - [`codes`]: every code with its title, explanation, a wrong and a right example.
//! - [`fix`]: changes of the text that mend them.
//! - [`render`](mod@render): as text, with the lines it is about.
//! - [`format`](mod@format): for machines: a line each, JSON, SARIF.
//! - [`Levels`]: warnings that stop the build, and warnings that aren't told.
//! - [`findings`]: what a component's host half found, as diagnostics.

mod code;
pub mod codes;
pub mod findings;
pub mod fix;
pub mod format;
mod levels;
pub mod render;

use unik_catalogue::value::Place;

pub use code::{Code, Explanation};
pub use findings::from_findings;
pub use fix::{Applicability, Applied, Edit, Fix, apply};
pub use levels::Levels;
pub use render::{render, render_all};
pub use unik_catalogue::host::Severity;

/// One thing that is wrong, or looks so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its stable code.
    pub code: Code,
    /// Errors stop the build.
    pub severity: Severity,
    /// One line: what is wrong.
    pub message: String,
    /// Where, and what is to say of it there.
    pub primary: Label,
    /// Other places that matter: the other side of a conflict.
    pub secondary: Vec<Label>,
    /// The way out, a line each.
    pub helps: Vec<String>,
    /// Changes of the text that would mend it, each by itself; the best first.
    pub fixes: Vec<Fix>,
}

/// A place with a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub place: Place,
    /// What is to say of it; may be empty.
    pub text: String,
}

impl Diagnostic {
    /// An error.
    #[must_use]
    pub fn error(code: Code, place: Place, message: impl Into<String>) -> Self {
        Diagnostic {
            code,
            severity: Severity::Error,
            message: message.into(),
            primary: Label { place, text: String::new() },
            secondary: Vec::new(),
            helps: Vec::new(),
            fixes: Vec::new(),
        }
    }

    /// A warning.
    #[must_use]
    pub fn warning(code: Code, place: Place, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, place, message) }
    }

    /// Says something at the primary place.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.primary.text = text.into();
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn and(mut self, place: Place, text: impl Into<String>) -> Self {
        self.secondary.push(Label { place, text: text.into() });
        self
    }

    /// Adds the way out.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.helps.push(text.into());
        self
    }

    /// Proposes to write `replacement` at `place`, where it may be that something else was meant.
    #[must_use]
    pub fn suggest(self, message: impl Into<String>, place: Place, replacement: impl Into<String>) -> Self {
        self.fix(Fix::maybe(message).replace(place, replacement))
    }

    /// Adds a change that would mend it.
    #[must_use]
    pub fn fix(mut self, fix: Fix) -> Self {
        self.fixes.push(fix);
        self
    }

    /// `error` or `warning`.
    #[must_use]
    pub const fn severity_word(&self) -> &'static str {
        match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }

    /// Whether it stops the build.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Puts diagnostics in the order of the text: of the file itself first, then of others in the
/// order in which they were read.
pub fn sort(diagnostics: &mut [Diagnostic]) {
    diagnostics.sort_by_key(|diagnostic| (diagnostic.primary.place.source, diagnostic.primary.place.start));
}

/// The one of `known` that `found` most resembles, if one is close enough to be meant.
#[must_use]
pub fn did_you_mean<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Names are short; a longer text would only cost time.
    if found.len() > 64 {
        return None;
    }
    let limit = 1 + found.chars().count() / 4;
    known
        .into_iter()
        .filter(|name| *name != found)
        .map(|name| (strsim::osa_distance(found, name), name))
        .filter(|(distance, name)| *distance <= limit && *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn near_words_are_meant_and_far_ones_not() {
        let known = ["port", "files", "route"];
        assert_eq!(did_you_mean("prot", known), Some("port"));
        assert_eq!(did_you_mean("file", known), Some("files"));
        assert_eq!(did_you_mean("banana", known), None);
        assert_eq!(did_you_mean("x", ["y"]), None);
    }
}
