//! `unikgen diff`: what changes from one image to another.

use std::fmt::Write as _;
use std::path::Path;

use unik_codegen::audit::diff::{Diff, Side, diff};
use unik_codegen::image::Report;

use super::output;
use crate::cli::{self, CostFormat};
use crate::cost::signed;
use crate::exit::{AUDIT, OK, Outcome};
use crate::proof::{self, Image};
use crate::ui::{Paint, Tone, Ui, bytes};

/// Compares.
///
/// # Errors
/// When one of the two is no image, has no report, or doesn't build.
pub fn run(args: &cli::Diff, ui: &Ui) -> Outcome {
    proof::parameters_need_a_file(&[Some(&args.before), Some(&args.after)], &args.parameters)?;
    let of = |file: &Path| -> anyhow::Result<(Report, String)> {
        let image = Image::of(Some(file), &args.parameters, &args.cargo, ui)?;
        Ok((image.report()?, image.gate()?))
    };
    let ((before, gate_before), (after, gate_after)) = (of(&args.before)?, of(&args.after)?);
    let diff = diff(Side { report: &before, gate: &gate_before }, Side { report: &after, gate: &gate_after });
    let text = match args.format {
        CostFormat::Human => {
            let head = if before.manifest.appliance == after.manifest.appliance {
                after.manifest.appliance.clone()
            } else {
                format!("{} → {}", before.manifest.appliance, after.manifest.appliance)
            };
            human(&diff, &head, ui.out())
        }
        CostFormat::Json => format!("{:#}\n", serde_json::to_value(&diff)?),
    };
    output(&text)?;
    Ok(if args.check && diff.widens { AUDIT } else { OK })
}

fn human(diff: &Diff, head: &str, paint: Paint) -> String {
    let changed = |subject: &&unik_codegen::audit::diff::Subject| {
        !(subject.added.is_empty() && subject.removed.is_empty())
    };
    let verdict = match (diff.widens, diff.subjects.iter().any(|subject| changed(&subject))) {
        (true, _) => paint.paint(Tone::Warning, "may do more than before"),
        (false, true) => paint.paint(Tone::Good, "may do no more than before"),
        (false, false) if diff.same_bytes => paint.paint(Tone::Good, "is the same, byte by byte"),
        (false, false) => paint.paint(Tone::Good, "may do no more than before; its code or data differ"),
    };
    let mut text = format!("{}  {verdict}\n", paint.paint(Tone::Strong, head));
    for subject in diff.subjects.iter().filter(changed) {
        let _ = writeln!(text, "\n{}", paint.paint(Tone::Strong, subject.name));
        let tone = if subject.widens { Tone::Warning } else { Tone::Name };
        for line in &subject.removed {
            let _ = writeln!(text, "  {} {line}", paint.paint(Tone::Faint, "-"));
        }
        for line in &subject.added {
            let _ = writeln!(text, "  {} {line}", paint.paint(tone, "+"));
        }
    }
    let same: Vec<&str> =
        diff.subjects.iter().filter(|subject| !changed(subject)).map(|subject| subject.name).collect();
    if !same.is_empty() {
        let _ = writeln!(text, "\nno change: {}", same.join(", "));
    }
    let (before, after) = diff.bytes;
    let _ = writeln!(
        text,
        "\nbytes   {} → {} {}",
        bytes(before),
        bytes(after),
        signed(after, before, paint).trim()
    );
    let (before, after) = diff.memory;
    if before != after {
        let _ = writeln!(text, "memory  {} → {}", bytes(before), bytes(after));
    }
    text
}
