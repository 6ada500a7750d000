//! A host half in a process of its own: what a third party's runs in.
//!
//! The generator asks with one JSON value on standard input, and the helper answers with
//! one on the last line of standard output. What the host half prints itself comes before,
//! and doesn't matter. `unikgen` writes the helper's `main`, compiles it once per version of
//! the component, and links it with this crate in its own version, so that the two sides
//! never disagree about the form.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::host::{Baked, Finding, HostHalf, Input};

/// What the generator asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// [`HostHalf::check`].
    Check(Input),
    /// [`HostHalf::bake`].
    Bake(Input),
}

/// What the helper answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What was found.
    pub findings: Vec<Finding>,
    /// What was made, if that was asked for and went well.
    pub baked: Option<Baked>,
    /// The files and folders that were read.
    pub dependencies: Vec<PathBuf>,
}

/// Lets `half` answer `question`.
#[must_use]
pub fn answer(half: &dyn HostHalf, question: &Question) -> Answer {
    let (input, findings, baked) = match question {
        Question::Check(input) => (input, half.check(input), None),
        Question::Bake(input) => match half.bake(input) {
            Ok(baked) => (input, Vec::new(), Some(baked)),
            Err(findings) => (input, findings, None),
        },
    };
    Answer { findings, baked, dependencies: input.dependencies() }
}

/// The helper's `main`: answers the question on standard input.
pub fn serve(half: &dyn HostHalf) -> ExitCode {
    match respond(half) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", half.component());
            ExitCode::FAILURE
        }
    }
}

fn respond(half: &dyn HostHalf) -> std::io::Result<()> {
    let mut text = Vec::new();
    std::io::stdin().lock().read_to_end(&mut text)?;
    let question = serde_json::from_slice(&text)?;
    let answer = serde_json::to_string(&answer(half, &question))?;
    let mut out = std::io::stdout().lock();
    // On a line of its own, whatever the host half printed.
    writeln!(out, "\n{answer}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Half;

    impl HostHalf for Half {
        fn component(&self) -> &str {
            "half"
        }

        fn check(&self, input: &Input) -> Vec<Finding> {
            match input.read("/nowhere/at/all".as_ref()) {
                Ok(_) => Vec::new(),
                Err(_) => vec![Finding::error(None, "can't read it").help("write it")],
            }
        }

        fn bake(&self, _: &Input) -> Result<Baked, Vec<Finding>> {
            Ok(Baked { value: "7".into(), blobs: [("a".into(), vec![0, 255])].into(), ..Baked::default() })
        }
    }

    #[test]
    fn questions_and_answers_survive_the_way_there_and_back() {
        let input = Input::new("x", BTreeMap::new(), BTreeMap::new(), "machine");
        for question in [Question::Check(input.clone()), Question::Bake(input)] {
            let there: Question = serde_json::from_str(&serde_json::to_string(&question).unwrap()).unwrap();
            let answer = answer(&Half, &there);
            let back: Answer = serde_json::from_str(&serde_json::to_string(&answer).unwrap()).unwrap();
            assert_eq!(back, answer);
            match question {
                Question::Check(_) => {
                    assert_eq!(back.findings[0].message, "can't read it");
                    assert_eq!(back.dependencies, [PathBuf::from("/nowhere/at/all")]);
                }
                Question::Bake(_) => assert_eq!(back.baked.unwrap().blobs["a"], [0, 255]),
            }
        }
    }
}
