//! `unikgen lsp`: the language server. What it asks of the generator is here.

use std::path::Path;
use std::sync::Arc;

use unik_catalogue::Component;
use unik_catalogue::host::{Baked, Finding, HostHalf, Input};
use unik_codegen::HostHalves;
use unik_dsl::Analysis;
use unik_lsp::{Host, Weights};

use crate::backend;
use crate::cli::Lsp;
use crate::exit::{FAILED, OK, Outcome};
use crate::last;

/// Serves an editor until it says goodbye or is gone.
///
/// # Errors
/// When it can't be written to.
pub fn run(args: &Lsp) -> Outcome {
    // There is no other way yet.
    let Lsp { stdio: _ } = args;
    let orderly = unik_lsp::serve(Arc::new(Generator), std::io::stdin(), std::io::stdout().lock())?;
    Ok(if orderly { OK } else { FAILED })
}

/// The generator, as the server sees it.
struct Generator;

impl Host for Generator {
    fn components(&self) -> Result<Vec<Component>, String> {
        unik_builtin::components().map_err(|error| error.to_string())
    }

    fn weights(&self, file: &Path) -> Option<Weights> {
        let last = last::of(&backend::cache_folder().ok()?, file)?;
        Some(Weights { image: last.image, instances: last.instances })
    }

    fn deepen(&self, _: &Path, analysis: &mut Analysis) {
        let Some(plan) = &analysis.plan else { return };
        let mut halves = HostHalves::new(unik_builtin::host_halves());
        for (_, node) in plan.instances() {
            let component = &node.component;
            if component.host.is_some() && halves.of(&component.name).is_none() {
                halves.add(Box::new(Unasked(component.name.clone())));
            }
        }
        let (_, mut found) = unik_codegen::prepare(plan, &halves, &mut analysis.sources);
        found.retain(|diagnostic| diagnostic.message != UNASKED);
        analysis.diagnostics.extend(found);
    }
}

/// The host half of a third party: it would have to be compiled, and `unikgen check` does. What
/// is wired to its instance isn't asked either.
struct Unasked(String);

const UNASKED: &str = "not asked while typing";

impl HostHalf for Unasked {
    fn component(&self) -> &str {
        &self.0
    }

    fn bake(&self, _: &Input) -> Result<Baked, Vec<Finding>> {
        Err(vec![Finding::error(None, UNASKED)])
    }
}
