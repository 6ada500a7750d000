//! `unikgen cost`: who takes the bytes of an image.

mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::json;
use unik_codegen::audit::bill::{self, Bytes};
use unik_codegen::image::Report;

use crate::cli::{self, CostBy, CostFormat};
use crate::command::output;
use crate::exit::{OK, Outcome};
use crate::place::{self, Kind};
use crate::proof::{self, Image};
use crate::ui::{Paint, Tone, Ui, bytes};

/// Tells.
///
/// # Errors
/// When there is no image, it has no report, or the page can't be written.
pub fn run(args: &cli::Cost, ui: &Ui) -> Outcome {
    let named: Vec<_> = match &args.against {
        Some(other) => vec![args.file.as_deref(), Some(other)],
        None => vec![args.file.as_deref()],
    };
    proof::parameters_need_a_file(&named, &args.parameters)?;
    if let Some(path) = &args.html {
        place::must_be_replaceable(path, Kind::Page)?;
    }
    let of = |file| Image::of(file, &args.parameters, &args.cargo, ui)?.report();
    let report = of(args.file.as_deref())?;
    let against = args.against.as_deref().map(|file| of(Some(file))).transpose()?;
    if let Some(path) = &args.html {
        place::write(path, &page::page(&report))?;
        ui.say("page", &path.display().to_string());
    }
    let text = match (args.format, &against) {
        (CostFormat::Json, None) => format!(
            "{:#}\n",
            json!({
                "version": 1,
                "appliance": report.manifest.appliance,
                "components": bill::by_owner(&report),
                "lines": bill::by_line(&report),
                "crates": report.crates,
                "rows": report.cost,
                "memory": report.takes,
            })
        ),
        (CostFormat::Json, Some(other)) => {
            let changes = |by: CostBy| -> Vec<_> {
                changes(&lasting(&report, by), &lasting(other, by))
                    .into_iter()
                    .map(|(name, now, before)| json!({ "name": name, "now": now, "before": before }))
                    .collect()
            };
            format!(
                "{:#}\n",
                json!({
                    "version": 1,
                    "components": changes(CostBy::Component),
                    "lines": changes(CostBy::Line),
                    "crates": changes(CostBy::Crate),
                })
            )
        }
        (CostFormat::Human, None) => whole(&report, args.by, ui.out()),
        (CostFormat::Human, Some(other)) => difference(&report, other, args.by, ui.out()),
    };
    output(&text)?;
    Ok(OK)
}

/// What a table's rows are called, and their bytes.
type Table = Vec<(String, String, Bytes)>;

fn table(report: &Report, by: CostBy) -> Table {
    match by {
        CostBy::Component => bill::by_owner(report)
            .iter()
            .map(|share| (share.owners.join(", "), proof::lines(share), share.bytes))
            .collect(),
        CostBy::Line => bill::by_line(report)
            .iter()
            .map(|share| match share.lines.is_empty() {
                true => (
                    "every appliance".into(),
                    "the runtime, the wiring, and what these share".into(),
                    share.bytes,
                ),
                false => (lines(share), share.owners.join(", "), share.bytes),
            })
            .collect(),
        CostBy::Crate => bill::by_crate(&report.cost)
            .into_iter()
            .map(|(name, bytes)| (name, String::new(), bytes))
            .collect(),
    }
}

/// The lines that share something, with what stands there where it is one.
fn lines(share: &bill::Share) -> String {
    match share.lines.as_slice() {
        [line] => format!("{} │ {}", line.place, line.text.trim_end_matches('{').trim()),
        several => several.iter().map(|line| line.place.as_str()).collect::<Vec<_>>().join(", "),
    }
}

fn title(by: CostBy) -> &'static str {
    match by {
        CostBy::Component => "component",
        CostBy::Line => "line",
        CostBy::Crate => "crate",
    }
}

fn tables(by: Option<CostBy>) -> Vec<CostBy> {
    by.map_or_else(|| vec![CostBy::Line, CostBy::Component, CostBy::Crate], |by| vec![by])
}

/// What it takes of the machine's memory, in a line.
fn memory(report: &Report) -> String {
    if report.takes.is_empty() {
        return String::new();
    }
    let (at_start, in_all) = report.memory_taken();
    format!("memory: {} to start, up to {} with its clients\n", bytes(at_start), bytes(in_all))
}

fn whole(report: &Report, by: Option<CostBy>, paint: Paint) -> String {
    let total = total(report);
    let mut text = format!(
        "{}  {} of code, {} of data in the file; {} of memory that begins as zeros\n{}",
        paint.paint(Tone::Strong, &report.manifest.appliance),
        bytes(total.code),
        bytes(total.data),
        bytes(total.zeroed),
        memory(report)
    );
    for by in tables(by) {
        let rows = table(report, by);
        let width = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0).clamp(12, 64);
        let _ = writeln!(
            text,
            "\n{}",
            paint.paint(
                Tone::Strong,
                &format!("{:<width$} {:>10} {:>10} {:>6}", title(by), "code", "data", "share")
            )
        );
        for (name, note, size) in rows.iter().filter(|(_, _, size)| size.in_file() > 0) {
            let _ = writeln!(
                text,
                "{:<width$} {:>10} {:>10} {:>4} %  {}",
                shortened(name, width),
                bytes(size.code),
                bytes(size.data),
                (size.in_file() * 100 + total.in_file() / 2) / total.in_file().max(1),
                paint.paint(Tone::Faint, note)
            );
        }
    }
    text
}

fn shortened(name: &str, width: usize) -> String {
    if name.chars().count() <= width {
        return name.into();
    }
    name.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn total(report: &Report) -> Bytes {
    let mut total = Bytes::default();
    for cost in &report.cost {
        total.code += cost.code;
        total.data += cost.data;
        total.zeroed += cost.zeroed;
    }
    total
}

/// Name, bytes now, bytes before; only what changed, the most first.
fn changes(now: &Table, before: &Table) -> Vec<(String, u64, u64)> {
    let sizes = |table: &Table| -> BTreeMap<String, u64> {
        table.iter().map(|(name, _, size)| (name.clone(), size.in_file())).collect()
    };
    let (now, before) = (sizes(now), sizes(before));
    let names: BTreeSet<&String> = now.keys().chain(before.keys()).collect();
    let size = |table: &BTreeMap<String, u64>, name: &String| table.get(name).copied().unwrap_or(0);
    let mut rows: Vec<(String, u64, u64)> = names
        .into_iter()
        .map(|name| (name.clone(), size(&now, name), size(&before, name)))
        .filter(|(_, now, before)| now != before)
        .collect();
    rows.sort_by(|a, b| b.1.abs_diff(b.2).cmp(&a.1.abs_diff(a.2)).then_with(|| a.0.cmp(&b.0)));
    rows
}

/// As [`table`], by names that stay when lines move: what stands in them, not where.
fn lasting(report: &Report, by: CostBy) -> Table {
    if by != CostBy::Line {
        return table(report, by);
    }
    let name = |share: &bill::Share| match share.lines.is_empty() {
        true => "every appliance".into(),
        false => {
            let texts: Vec<&str> =
                share.lines.iter().map(|line| line.text.trim_end_matches('{').trim()).collect();
            texts.join(" + ")
        }
    };
    bill::by_line(report).iter().map(|share| (name(share), String::new(), share.bytes)).collect()
}

fn difference(report: &Report, other: &Report, by: Option<CostBy>, paint: Paint) -> String {
    let (now, before) = (total(report).in_file(), total(other).in_file());
    let mut text = format!(
        "{} {} against {} {}: {}\n",
        paint.paint(Tone::Strong, &report.manifest.appliance),
        bytes(now),
        other.manifest.appliance,
        bytes(before),
        signed(now, before, paint)
    );
    for by in tables(by) {
        let rows = changes(&lasting(report, by), &lasting(other, by));
        if rows.is_empty() {
            let _ = writeln!(text, "\nby {}: nothing changes", title(by));
            continue;
        }
        let width = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0).clamp(12, 64);
        let head = format!("{:<width$} {:>10} {:>10} {:>10}", title(by), "before", "now", "change");
        let _ = writeln!(text, "\n{}", paint.paint(Tone::Strong, &head));
        for (name, now, before) in rows {
            let _ = writeln!(
                text,
                "{:<width$} {:>10} {:>10} {}",
                shortened(&name, width),
                bytes(before),
                bytes(now),
                signed(now, before, paint)
            );
        }
    }
    text
}

/// `+1.2 KiB`, `-40 B`, `±0`: in a column of ten.
pub fn signed(now: u64, before: u64, paint: Paint) -> String {
    let text = match now.cmp(&before) {
        std::cmp::Ordering::Greater => format!("+{}", bytes(now - before)),
        std::cmp::Ordering::Less => format!("-{}", bytes(before - now)),
        std::cmp::Ordering::Equal => "±0".into(),
    };
    let tone = if now > before { Tone::Warning } else { Tone::Good };
    paint.paint(tone, &format!("{text:>10}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_largest_first() {
        let row = |name: &str, code| (name.to_string(), String::new(), Bytes { code, ..Bytes::default() });
        let (now, before) = (
            vec![row("a", 5), row("b", 100), row("c", 7)],
            vec![row("a", 4), row("b", 300), row("c", 7), row("d", 9)],
        );
        assert_eq!(changes(&now, &before), [("b".into(), 100, 300), ("d".into(), 0, 9), ("a".into(), 5, 4)]);
        assert_eq!(signed(5, 4, Paint(false)).trim(), "+1 B");
        assert_eq!(signed(4, 4, Paint(false)).trim(), "±0");
        assert_eq!(shortened("abcdef", 4), "abc…");
    }
}
