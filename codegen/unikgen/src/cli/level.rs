//! `--deny` and `--allow`: what warnings are taken for.

use unik_dsl::diagnostic::{Code, Levels, codes};

use super::Parameters;
use crate::exit;

/// What `--deny` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Every warning.
    Warnings,
    /// This one.
    Code(Code),
}

impl Parameters {
    /// What warnings are taken for.
    ///
    /// # Errors
    /// A usage error when one is denied by its code, and allowed.
    pub fn levels(&self) -> anyhow::Result<Levels> {
        let deny: Vec<Code> = self
            .deny
            .iter()
            .filter_map(|denied| match denied {
                Denied::Warnings => None,
                Denied::Code(code) => Some(*code),
            })
            .collect();
        if let Some(both) = deny.iter().find(|code| self.allow.contains(code)) {
            return Err(exit::usage(format!("--deny {both} and --allow {both} exclude each other")));
        }
        let deny_all = self.deny.contains(&Denied::Warnings);
        Ok(Levels { deny_all, deny, allow: self.allow.clone() })
    }
}

/// What `--deny` takes: `warnings`, or the code of one.
pub fn parse_denied(text: &str) -> Result<Denied, String> {
    if text == "warnings" {
        return Ok(Denied::Warnings);
    }
    parse_warning(text).map(Denied::Code).map_err(|error| format!("{error}; `warnings` are all of them"))
}

/// The code of a warning.
pub fn parse_warning(text: &str) -> Result<Code, String> {
    match codes::explanation(text) {
        Some(entry) if entry.is_warning() => Ok(entry.code),
        Some(entry) => Err(format!("{} is an error, and stays one", entry.code)),
        None => Err(match codes::nearest(text, codes::WARNINGS.iter().copied()) {
            Some(near) => format!("there is no such code; did you mean `{near}`?"),
            None => "there is no such code; `unikgen explain` lists them all".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_warnings_can_be_denied_and_allowed() {
        assert_eq!(parse_denied("warnings"), Ok(Denied::Warnings));
        assert_eq!(parse_denied("u0511"), Ok(Denied::Code(codes::UNUSED)));
        assert_eq!(parse_warning("U0511"), Ok(codes::UNUSED));
        assert_eq!(parse_warning("U0301"), Err("U0301 is an error, and stays one".into()));
        assert_eq!(parse_warning("U0551"), Err("there is no such code; did you mean `U0511`?".into()));
        assert!(parse_denied("everything").is_err_and(|error| error.contains("`warnings`")));
    }

    #[test]
    fn both_is_neither() {
        let code = codes::UNUSED;
        let both = Parameters { deny: vec![Denied::Code(code)], allow: vec![code], ..Parameters::default() };
        assert_eq!(exit::code_of(&both.levels().unwrap_err()), exit::USAGE);
        let all = Parameters { deny: vec![Denied::Warnings], allow: vec![code], ..Parameters::default() };
        assert_eq!(all.levels().unwrap(), Levels { deny_all: true, deny: vec![], allow: vec![code] });
    }
}
