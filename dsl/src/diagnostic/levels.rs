//! Warnings that stop the build, and warnings that aren't told.

use super::{Code, Diagnostic, Severity};

/// What warnings are taken for: `--deny warnings`, `--deny CODE`, `--allow CODE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// Whether every warning that isn't allowed stops the build.
    pub deny_all: bool,
    /// The warnings that stop the build.
    pub deny: Vec<Code>,
    /// The warnings that aren't told. What is denied by its code is told all the same.
    pub allow: Vec<Code>,
}

impl Levels {
    /// Makes errors of the denied warnings, and leaves out the allowed ones.
    pub fn apply(&self, diagnostics: &mut Vec<Diagnostic>) {
        diagnostics.retain_mut(|diagnostic| {
            if diagnostic.is_error() {
                return true;
            }
            let denied = self.deny.contains(&diagnostic.code);
            let allowed = !denied && self.allow.contains(&diagnostic.code);
            if denied || self.deny_all {
                diagnostic.severity = Severity::Error;
            }
            !allowed
        });
    }
}

#[cfg(test)]
mod tests {
    use unik_catalogue::value::Place;

    use super::*;
    use crate::diagnostic::codes::{SYNTAX, UNREAD, UNUSED, VOID};

    #[test]
    fn warnings_by_code() {
        let place = Place { source: 0, start: 0, end: 0 };
        let all = || {
            vec![
                Diagnostic::error(SYNTAX, place, ""),
                Diagnostic::warning(UNUSED, place, ""),
                Diagnostic::warning(UNREAD, place, ""),
                Diagnostic::warning(VOID, place, ""),
            ]
        };
        let told = |levels: Levels| -> Vec<(Code, bool)> {
            let mut diagnostics = all();
            levels.apply(&mut diagnostics);
            diagnostics.iter().map(|diagnostic| (diagnostic.code, diagnostic.is_error())).collect()
        };
        let by_code = Levels { deny: vec![UNUSED], allow: vec![UNUSED, VOID, SYNTAX], ..Levels::default() };
        assert_eq!(told(by_code), [(SYNTAX, true), (UNUSED, true), (UNREAD, false)]);
        let but = Levels { deny_all: true, allow: vec![UNREAD], ..Levels::default() };
        assert_eq!(told(but), [(SYNTAX, true), (UNUSED, true), (VOID, true)]);
    }
}
