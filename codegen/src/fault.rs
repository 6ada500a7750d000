//! What the compiler said of a crate, as something to say of the appliance.
//!
//! Generated code has no place of its own that a person could go to. What the compiler finds
//! wrong in it is the fault of a name that the `.unik` file gives, if it is about that name,
//! and is shown there; anything else is shown as the compiler shows it, under a heading that
//! says whose crate it is.

use std::path::{Path, PathBuf};

use unik_dsl::diagnostic::{self, Diagnostic, codes};
use unik_dsl::source::SourceMap;

use crate::Error;
use crate::handlers::Handler;

/// An error of the compiler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// The name of the crate.
    pub name: String,
    /// Its `Cargo.toml`.
    pub manifest: PathBuf,
    /// The compiler's number for it: `E0425`.
    pub code: Option<String>,
    /// Its title.
    pub message: String,
    /// What it says at the places, without the places.
    pub labels: Vec<String>,
    /// Whether it is in what `unik::appliance!` wrote.
    pub in_macro: bool,
    /// What it would write instead.
    pub instead: Option<String>,
    /// All of it, as the compiler shows it.
    pub rendered: String,
}

/// The error of a build that `faults` ended. `folder` is that of the last crate, `own` is
/// whether that is the user's own.
pub fn explain(
    faults: &[Fault],
    folder: &Path,
    own: bool,
    handlers: &[Handler],
    sources: &SourceMap,
) -> Error {
    let manifest = folder.join("Cargo.toml");
    let mut found: Vec<Diagnostic> = Vec::new();
    let mut rest: Vec<&Fault> = Vec::new();
    // What is said of the generated path says more than what is said of the pointer to it.
    let mut faults: Vec<&Fault> = faults.iter().collect();
    faults.sort_by_key(|fault| fault.in_macro && fault.code.as_deref() == Some("E0432"));
    for fault in faults {
        let generated = fault.manifest == manifest && (fault.in_macro || !own);
        match handlers.iter().find(|handler| generated && fault.is_about(handler)) {
            // The generated code names it more than once.
            Some(handler) if found.iter().any(|said| said.primary.place == handler.place) => {}
            Some(handler) => found.push(fault.at(handler, own)),
            None => rest.push(fault),
        }
    }
    // "aborting due to 2 previous errors", and the like.
    rest.retain(|fault| found.is_empty() || fault.code.is_some() || !fault.labels.is_empty());
    let elsewhere = rest.iter().find(|fault| fault.manifest != manifest);
    let heading = match elsewhere {
        Some(fault) => format!("`{}`, a crate of the appliance, doesn't build", fault.name),
        None if own => "the crate of the appliance doesn't build".into(),
        None => "the generated crate doesn't build".into(),
    };
    let mut output = diagnostic::render_all(&found, sources, false);
    for fault in rest {
        if !output.is_empty() {
            output.push('\n');
        }
        output += fault.rendered.trim_end();
        output.push('\n');
    }
    Error::Compile { heading, output: output.trim_end().into() }
}

impl Fault {
    /// Whether it is that the crate lacks this handler, or that it is none.
    fn is_about(&self, handler: &Handler) -> bool {
        let texts = || std::iter::once(&self.message).chain(&self.labels);
        let names = |name: &str| texts().any(|text| quotes(text, name));
        handler.path.split("::").any(names)
    }

    /// What is to say of it in the `.unik` file.
    fn at(&self, handler: &Handler, own: bool) -> Diagnostic {
        let missing = ["E0405", "E0412", "E0425", "E0432", "E0433"].map(Some).contains(&self.code.as_deref());
        let path = &handler.path;
        let message = match (missing, own) {
            (true, true) => format!("the crate has no handler `{path}`"),
            (true, false) => format!("there is no handler `{path}`: the appliance has no crate of its own"),
            (false, _) => format!("`{path}` can't be used as a handler"),
        };
        let mut diagnostic = Diagnostic::error(codes::HANDLER, handler.place, message);
        let mut said = self.message.clone();
        for label in self.labels.iter().filter(|label| !self.message.contains(label.as_str())) {
            said += &format!("; {label}");
        }
        diagnostic = diagnostic.help(format!("the compiler says: {said}"));
        if !own {
            return diagnostic
                .help("a handler stands in a crate that names the file by `unik::appliance!`: unikgen new NAME --template handler");
        }
        let segment = path.rsplit("::").next().unwrap_or(path);
        match &self.instead {
            Some(instead) if missing && quotes(&format!("{} {}", self.message, self.labels.join(" ")), segment) => {
                let place = unik_catalogue::value::Place {
                    start: handler.place.end - segment.len().min(handler.place.end),
                    ..handler.place
                };
                diagnostic.suggest(format!("did you mean `{instead}`?"), place, instead.clone())
            }
            _ if missing => diagnostic.help("a handler is an `async fn` marked `#[unik::handler]`, named as seen from the root of the crate"),
            _ => diagnostic,
        }
    }
}

/// Whether `text` names `name` between backquotes, alone or in a path.
fn quotes(text: &str, name: &str) -> bool {
    text.split('`')
        .skip(1)
        .step_by(2)
        .any(|quoted| quoted.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == name))
}

#[cfg(test)]
mod tests {
    use unik_catalogue::value::Place;

    use super::*;

    fn fault(code: &str, message: &str, label: &str) -> Fault {
        Fault {
            name: "mine".into(),
            manifest: "/mine/Cargo.toml".into(),
            code: Some(code.into()),
            message: message.into(),
            labels: vec![label.into()],
            in_macro: true,
            instead: None,
            rendered: format!("error[{code}]: {message}\n"),
        }
    }

    fn said(faults: &[Fault], own: bool) -> String {
        let mut sources = SourceMap::default();
        let text = "route \"/a\" api::cuont\n";
        let source = sources.add("mine.unik", text);
        let handlers =
            [Handler { path: "api::cuont".into(), place: Place { source, start: 11, end: text.len() - 1 } }];
        explain(faults, Path::new("/mine"), own, &handlers, &sources).to_string()
    }

    #[test]
    fn a_misspelled_handler_is_shown_where_it_is_named() {
        let first = Fault {
            instead: Some("count".into()),
            ..fault(
                "E0425",
                "cannot find function `cuont` in module `crate::api`",
                "not found in `crate::api`",
            )
        };
        let second =
            fault("E0432", "unresolved import `line_1_of_mine_unik::api::cuont`", "no `cuont` in `api`");
        let aborting = Fault {
            message: "aborting due to 2 previous errors".into(),
            manifest: "/mine/Cargo.toml".into(),
            rendered: "error: aborting due to 2 previous errors\n".into(),
            ..Fault::default()
        };
        let expected = "the crate of the appliance doesn't build
error[U0602]: the crate has no handler `api::cuont`
 --> mine.unik:1:12
  |
1 | route \"/a\" api::cuont
  |            ^^^^^^^^^^
  |
  = help: the compiler says: cannot find function `cuont` in module `crate::api`; not found in `crate::api`
help: did you mean `count`?
  |
1 - route \"/a\" api::cuont
1 + route \"/a\" api::count
  |";
        assert_eq!(said(&[second, first, aborting], true), expected);
    }

    #[test]
    fn what_is_no_handler_is_shown_there_too() {
        let text =
            said(&[fault("E0573", "expected type, found function `crate::api::cuont`", "not a type")], true);
        assert!(text.contains("error[U0602]: `api::cuont` can't be used as a handler"), "{text}");
        assert!(text.contains("the compiler says: expected type, found function"), "{text}");
    }

    #[test]
    fn a_file_alone_has_no_handlers() {
        let text = said(&[fault("E0433", "cannot find module `api` in the crate root", "")], false);
        assert!(text.starts_with("the generated crate doesn't build\nerror[U0602]"), "{text}");
        assert!(text.contains("the appliance has no crate of its own"), "{text}");
        assert!(text.contains("--template handler"), "{text}");
    }

    #[test]
    fn errors_of_the_users_own_are_shown_as_theirs() {
        let own =
            Fault { in_macro: false, ..fault("E0425", "cannot find function `cuont` in this scope", "") };
        let text = said(&[own], true);
        assert_eq!(
            text,
            "the crate of the appliance doesn't build\nerror[E0425]: cannot find function `cuont` in this scope"
        );
        let other =
            Fault { manifest: "/friend/Cargo.toml".into(), name: "friend".into(), ..fault("E0308", "x", "") };
        let text = said(&[other], true);
        assert_eq!(text, "`friend`, a crate of the appliance, doesn't build\nerror[E0308]: x");
    }
}
