//! `unikgen graph`: the plan, drawn.

use super::output;
use crate::appliance;
use crate::cli::{Graph, GraphFormat};
use crate::exit::{OK, Outcome};
use crate::graph::{Drawing, dot, mermaid, svg, tree};
use crate::ui::Ui;

/// Draws.
///
/// # Errors
/// When the file has errors.
pub fn run(args: &Graph, ui: &Ui) -> Outcome {
    let subject = appliance::locate_file(args.appliance.file.as_deref())?;
    let Some(file) = subject.unik_file() else { return Ok(OK) };
    let checked = appliance::check(file, &args.appliance.parameters, ui)?;
    let drawing = Drawing::new(&checked.plan, &checked.sources, !args.no_parts);
    output(&match args.format {
        GraphFormat::Tree => tree::draw(&drawing, ui.out()),
        GraphFormat::Dot => dot::draw(&drawing),
        GraphFormat::Mermaid => mermaid::draw(&drawing),
        GraphFormat::Svg => svg::draw(&drawing),
    })?;
    Ok(OK)
}
