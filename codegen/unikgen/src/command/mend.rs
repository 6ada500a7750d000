//! `unikgen check --fix`: makes the fixes that need no asking.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use unik_dsl::diagnostic::{Applicability, Applied, Fix, apply};
use unik_dsl::{Analysis, Diagnostic};

use crate::appliance;
use crate::cli::Parameters;
use crate::place;
use crate::ui::Ui;

/// A fix may uncover what is to be fixed next. No file needs as many rounds as this.
const MAX_ROUNDS: usize = 64;

/// Mends `file` and what it includes, as far as that needs no asking, and says what it did.
/// A fix that would leave more wrong than there was isn't made. Files are written at the
/// end, each in one step.
///
/// # Errors
/// When a file can't be written, or was changed in the meantime.
pub fn mend(file: &Path, parameters: &Parameters, ui: &Ui) -> anyhow::Result<()> {
    let mut texts: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut said = Vec::new();
    let mut analysis = appliance::analyse_text(file, &texts, parameters, ui)?;
    let found: BTreeMap<PathBuf, String> = files(&analysis);
    for _ in 0..MAX_ROUNDS {
        let fixes = certain(&analysis);
        let Some((made, better)) = round(file, &analysis, &fixes, &texts, parameters, ui)? else { break };
        said.extend(made);
        texts.extend(files(&better));
        analysis = better;
    }
    for (path, text) in &texts {
        if found.get(path).is_some_and(|found| found != text) {
            let now = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
            let before = found[path].as_bytes();
            anyhow::ensure!(now == before, "{} was changed in the meantime; try again", path.display());
            place::rewrite(path, text)?;
        }
    }
    for line in &said {
        ui.say("fixed", line);
    }
    if said.is_empty() {
        ui.say("fixed", "nothing: there is nothing that needs no asking");
    }
    Ok(())
}

/// Whether there are fixes that need no asking.
pub fn some_certain(analysis: &Analysis) -> bool {
    !apply(&analysis.sources, certain(analysis).into_iter().map(|(_, fix)| fix)).made.is_empty()
}

type Round = Option<(Vec<String>, Analysis)>;

/// Makes what can be made at once of `fixes`, or where that is for the worse the first by
/// itself that isn't: what was done, and what is found then. `None` when nothing can be made.
fn round(
    file: &Path,
    analysis: &Analysis,
    fixes: &[(&Diagnostic, &Fix)],
    texts: &BTreeMap<PathBuf, String>,
    parameters: &Parameters,
    ui: &Ui,
) -> anyhow::Result<Round> {
    let alone = if fixes.len() > 1 { fixes } else { &[] };
    for attempt in std::iter::once(fixes).chain(alone.iter().map(std::slice::from_ref)) {
        let applied = apply(&analysis.sources, attempt.iter().map(|(_, fix)| *fix));
        if applied.made.is_empty() {
            continue;
        }
        let mut changed = texts.clone();
        for (number, text) in &applied.texts {
            if let Some(source) = analysis.sources.source(*number) {
                changed.insert(identity(&source.path), text.clone());
            }
        }
        let after = appliance::analyse_text(file, &changed, parameters, ui)?;
        if weight(&after) <= weight(analysis) {
            return Ok(Some((told(attempt, &applied, analysis), after)));
        }
    }
    Ok(None)
}

/// The fixes that need no asking, at most one of each diagnostic.
fn certain(analysis: &Analysis) -> Vec<(&Diagnostic, &Fix)> {
    let first = |diagnostic: &'_ Diagnostic| {
        diagnostic.fixes.iter().position(|fix| fix.applicability == Applicability::Certain)
    };
    let found = analysis.diagnostics.iter();
    found.filter_map(|diagnostic| Some((diagnostic, &diagnostic.fixes[first(diagnostic)?]))).collect()
}

/// How much is wrong: errors by the stage that finds them, the first of which hides what
/// later ones would find, then warnings. Less is better.
fn weight(analysis: &Analysis) -> Vec<usize> {
    let mut weight = vec![0; 11];
    for diagnostic in &analysis.diagnostics {
        // `U0301` → 3.
        let stage = diagnostic.code.as_str().get(2..3).and_then(|digit| digit.parse().ok());
        let at = if diagnostic.is_error() { stage.unwrap_or(9) } else { 10 };
        weight[at.min(10)] += 1;
    }
    weight
}

/// What was made, a line each.
fn told(attempt: &[(&Diagnostic, &Fix)], applied: &Applied, analysis: &Analysis) -> Vec<String> {
    let made = |fix: &Fix| applied.made.iter().any(|made| std::ptr::eq(*made, fix));
    let lines = attempt.iter().filter(|(_, fix)| made(fix)).map(|(diagnostic, fix)| {
        let at = fix.edits.first().map_or(diagnostic.primary.place, |edit| edit.place);
        let place = analysis
            .sources
            .position(at)
            .map_or_else(String::new, |(path, line, column)| format!("{}:{line}:{column}: ", path.display()));
        format!("{place}{} ({})", diagnostic.message, diagnostic.code)
    });
    lines.collect()
}

/// The files of an analysis, by the path that is theirs alone.
fn files(analysis: &Analysis) -> BTreeMap<PathBuf, String> {
    let files = analysis.sources.iter().filter(|(_, source)| source.is_file);
    files.map(|(_, source)| (identity(&source.path), source.text.clone())).collect()
}

fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.into())
}
