//! Every code, once: its number, title, explanation, a wrong and a right example.
//!
//! `unikgen explain CODE` prints this; a test holds that each wrong example gives its
//! code and each right one is without errors.

use std::fmt;

/// The stable code of a kind of diagnostic, such as `U0301`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(&'static str);

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

/// The explanation of `code`, written as `U0301` or `u0301`.
#[must_use]
pub fn explanation(code: &str) -> Option<&'static Explanation> {
    ALL.iter().find(|explanation| explanation.code.0.eq_ignore_ascii_case(code))
}

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $text:literal, wrong: $wrong:literal, right: $right:literal;)*) => {
        $(#[doc = concat!($code, ": ", $title, ".")] pub const $name: Code = Code($code);)*

        /// All codes in order.
        pub const ALL: &[Explanation] = &[
            $(Explanation { code: $name, title: $title, text: $text, wrong: $wrong, right: $right },)*
        ];
    };
}

codes! {
    NOT_SUPPORTED = "U0109", "something that the language has room for, but that isn't built yet",
        "The language keeps words for things that will come: `budget`, parameters `at boot`, \
         secrets. Until they have a meaning, a file that uses them is refused, never half obeyed.",
        wrong: "param host: name at boot = \"ns1\"",
        right: "param host: name = \"ns1\"";

    COMPONENT_FINDING = "U0601", "a component found something wrong with its options",
        "What the catalogue can't say is judged by the component's own code: whether a zone file \
         is one, whether two routes exclude each other. The message is the component's.",
        wrong: "",
        right: "";
}
