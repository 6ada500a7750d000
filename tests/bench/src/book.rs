//! The figures in the book: a picture and a table.

use std::fmt::Write;
use std::io;
use std::path::Path;

use crate::chart::svg;
use crate::report::{Report, goal_text, number, ratio_name, verdict};

const BEGIN: &str = "<!-- figures: written by tests/bench/run --book -->\n";
const END: &str = "<!-- end of figures -->\n";

/// Puts the figures of `report` into the page at `page`, and the chart beside it.
///
/// # Errors
/// When the page can't be read or written, or has no place for them.
pub fn write(page: &Path, report: &Report) -> io::Result<()> {
    let text = std::fs::read_to_string(page)?;
    let text = replaced(&text, &section(report))
        .ok_or_else(|| io::Error::other(format!("{} has no place for figures", page.display())))?;
    std::fs::write(page, text)?;
    std::fs::write(page.with_extension("svg"), svg(report))
}

fn replaced(page: &str, section: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{section}{END}{after}"))
}

fn section(report: &Report) -> String {
    let mut text = format!(
        "\n{}. Medians of {} rounds of {} s each.\n\n![Ratios of unik to others](benchmarks.svg)\n\n\
         | what | ratio | median | least to most | goal | |\n|---|---|---|---|---|---|\n",
        report.host, report.settings.rounds, report.settings.seconds
    );
    for row in &report.rows {
        for ratio in &row.row.ratios {
            let value = row.ratio(ratio);
            let Some(spread) = value else { continue };
            let sign = if ratio.to.is_some() { "×" } else { "µs" };
            let goal = ratio
                .goal
                .map(|goal| (goal_text(goal, &format!(" {sign}")), verdict(goal, value).to_lowercase()));
            let (goal, verdict) = goal.unwrap_or_default();
            let _ = writeln!(
                text,
                "| {} | {} | {} {sign} | {} to {} | {goal} | {verdict} |",
                row.row.title,
                ratio_name(row, ratio),
                number(spread.median),
                number(spread.least),
                number(spread.most),
            );
        }
    }
    if !report.instructions.is_empty() {
        text += "\n| guest instructions per | |\n|---|---|\n";
        for (what, count) in &report.instructions {
            let _ = writeln!(text, "| {what} | {} |", number(*count as f64));
        }
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_replaced_and_the_rest_stays() {
        let page = format!("# Page\n{BEGIN}old\n{END}after\n");
        let text = replaced(&page, &section(&crate::report::example())).expect("a place");
        assert!(text.starts_with("# Page\n") && text.ends_with("after\n") && !text.contains("old"));
        assert!(
            text.contains("| unik, KVM / unik, TCG | 2.75 × | 2.50 to 3.00 | ≥ 2.00 × | reached |"),
            "{text}"
        );
        assert!(text.contains("| HTTP request | 4,321 |"), "{text}");
        assert_eq!(replaced("no place", ""), None);
    }
}
