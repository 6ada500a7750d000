//! What a code is, and what is to say of one.

use std::fmt::{self, Write as _};

use super::codes::{ALL, WARNINGS};
use super::did_you_mean;

/// The stable code of a kind of diagnostic, such as `U0301`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub(super) &'static str);

impl Code {
    /// `U0301`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// What it means, in full.
    #[must_use]
    pub fn explanation(self) -> Option<&'static Explanation> {
        explanation(self.0)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A code in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The code.
    pub code: Code,
    /// One line.
    pub title: &'static str,
    /// A paragraph or two.
    pub text: &'static str,
    /// A file, or the part of one, that gives it.
    pub wrong: &'static str,
    /// The same, mended.
    pub right: &'static str,
}

impl Explanation {
    /// Whether it comes as a warning, which can be denied and allowed.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        WARNINGS.contains(&self.code)
    }

    /// The text and the examples, for terminals and logs.
    #[must_use]
    pub fn plain(&self) -> String {
        let mut text = format!("{}\n", self.text);
        for (title, example) in self.examples() {
            let _ = write!(text, "\n{title}:\n");
            for line in example.lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
        text
    }

    /// The same in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("{}\n", self.text);
        for (title, example) in self.examples() {
            let _ = write!(text, "\n{title}:\n\n```text\n{example}\n```\n");
        }
        text
    }

    /// The examples that there are, with their titles.
    pub fn examples(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        [("Wrong", self.wrong), ("Right", self.right)].into_iter().filter(|(_, example)| !example.is_empty())
    }
}

/// The explanation of `code`, written as `U0301` or `u0301`.
#[must_use]
pub fn explanation(code: &str) -> Option<&'static Explanation> {
    ALL.iter().find(|explanation| explanation.code.0.eq_ignore_ascii_case(code))
}

/// The one of `codes` that was probably meant by one that there isn't.
#[must_use]
pub fn nearest(code: &str, codes: impl IntoIterator<Item = Code>) -> Option<Code> {
    did_you_mean(&code.to_ascii_uppercase(), codes.into_iter().map(|code| code.0)).map(Code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found() {
        assert_eq!(explanation("u0301").map(|found| found.code.as_str()), Some("U0301"));
        assert_eq!(explanation("U9999"), None);
        let all = || ALL.iter().map(|explanation| explanation.code);
        assert_eq!(nearest("u301", all()).map(Code::as_str), Some("U0301"));
        assert_eq!(nearest("warnings", all()), None);
    }

    #[test]
    fn codes_are_in_order_and_once() {
        assert!(ALL.is_sorted_by(|a, b| a.code < b.code));
        assert!(WARNINGS.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn an_explanation_in_full() {
        let explanation =
            Explanation { code: Code("U1"), title: "t", text: "Text.", wrong: "a\n  b", right: "" };
        assert_eq!(explanation.plain(), "Text.\n\nWrong:\n    a\n      b\n");
        assert_eq!(explanation.markdown(), "Text.\n\nWrong:\n\n```text\na\n  b\n```\n");
    }
}
