//! What came out, as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::rows::{Bound, Figure, From, Goal, Ratio};
use crate::statistics::Spread;
use crate::suite::{Measured, Settings};

/// What was measured, where and how.
#[derive(Clone, Debug)]
pub struct Report {
    /// The host's processor, its system and the commit.
    pub host: String,
    /// How long and how often.
    pub settings: Settings,
    /// The rows.
    pub rows: Vec<Measured>,
    /// Guest instructions, where they were counted.
    pub instructions: BTreeMap<&'static str, u64>,
}

impl Report {
    /// The tables.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}\n{} rounds of {} s; medians, and the least and the most in brackets\n",
            self.host, self.settings.rounds, self.settings.seconds
        );
        for row in &self.rows {
            text += &row_text(row);
        }
        if !self.instructions.is_empty() {
            text += "\ninstructions: what the guest executes, under TCG\n";
            for (what, count) in &self.instructions {
                let _ = writeln!(text, "  {what:28} {:>11}", number(*count as f64));
            }
        }
        text
    }

    /// Everything, for other programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(row_json).collect();
        json!({
            "host": self.host,
            "rounds": self.settings.rounds,
            "seconds": self.settings.seconds,
            "rows": rows,
            "instructions": self.instructions,
        })
    }
}

fn row_text(measured: &Measured) -> String {
    let row = &measured.row;
    let mut text = format!("\n{}: {} ({}/s)\n", row.id, row.title, row.unit);
    for (at, cell) in row.cells.iter().enumerate() {
        let Some(rate) = measured.figure(at, Figure::Rate) else {
            let why = measured.failures[at].as_deref().unwrap_or("not measured");
            let _ = writeln!(text, "  {:28} {}", cell.name, why.lines().next().unwrap_or_default());
            continue;
        };
        let _ = write!(text, "  {:28} {:>11} {:23}", cell.name, number(rate.median), range(&rate));
        if let Some(cpu) = measured.figure(at, Figure::Cpu) {
            let _ = write!(text, " CPU {:>7} µs", number(cpu.median));
        }
        let latencies: Vec<String> = (0..3)
            .filter_map(|which| measured.latency(at, which))
            .map(|latency| number(latency.median))
            .collect();
        if !latencies.is_empty() {
            let _ = write!(
                text,
                "  p50/99{} {} µs",
                if latencies.len() > 2 { "/99.9" } else { "" },
                latencies.join("/")
            );
        }
        if measured.errors(at) > 0 {
            let _ = write!(text, "  {} FAILED", measured.errors(at));
        }
        text += "\n";
        if let Some(why) = &measured.failures[at] {
            let _ = writeln!(text, "    in some rounds: {}", why.lines().next().unwrap_or_default());
        }
    }
    for ratio in &row.ratios {
        let _ = writeln!(text, "  → {}", ratio_text(measured, ratio));
    }
    text
}

/// `unik, KVM over nginx, veth: 2.11 × [2.0 .. 2.2], goal at least 2 ×: reached`
#[must_use]
pub fn ratio_text(measured: &Measured, ratio: &Ratio) -> String {
    let name = ratio_name(measured, ratio);
    let sign = if ratio.to.is_some() { " ×" } else { " µs" };
    let value = measured.ratio(ratio);
    let mut text = match &value {
        Some(value) => format!("{name}: {}{sign} {}", number(value.median), range(value)),
        None => format!("{name}: not measured"),
    };
    if let Some(goal) = ratio.goal {
        let _ = write!(text, ", goal {}: {}", goal_text(goal, sign), verdict(goal, value));
    }
    text
}

/// What is over what.
#[must_use]
pub fn ratio_name(measured: &Measured, ratio: &Ratio) -> String {
    let cells = &measured.row.cells;
    let what = match ratio.figure {
        Figure::Rate => "",
        Figure::Cpu => "CPU of ",
        Figure::P99 => "p99 of ",
    };
    match ratio.to {
        Some(to) => format!("{what}{} / {}", cells[ratio.of].name, cells[to].name),
        None => format!("{what}{}", cells[ratio.of].name),
    }
}

/// The bound, in `unit`, and who set it.
#[must_use]
pub fn goal_text(goal: Goal, unit: &str) -> String {
    let (word, bound) = match goal.bound {
        Bound::Least(least) => ("≥", least),
        Bound::Most(most) => ("≤", most),
    };
    let from = match goal.from {
        From::Target => "",
        From::Prototype => " (the prototype's)",
    };
    format!("{word} {}{unit}{from}", number(bound))
}

/// Whether it is reached.
#[must_use]
pub fn verdict(goal: Goal, value: Option<Spread>) -> &'static str {
    match value {
        Some(value) if goal.is_reached(value.median) => "reached",
        Some(_) => "NOT REACHED",
        None => "not measured",
    }
}

fn range(spread: &Spread) -> String {
    format!("[{} .. {}]", number(spread.least), number(spread.most))
}

/// Three digits that mean something, thousands apart.
#[must_use]
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), ""), |(whole, rest)| (whole, rest));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) && grouped != "-" {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if fraction.is_empty() { grouped } else { format!("{grouped}.{fraction}") }
}

fn row_json(measured: &Measured) -> Value {
    let row = &measured.row;
    let spread = |spread: Option<Spread>| {
        spread.map(|spread| json!({"median": spread.median, "least": spread.least, "most": spread.most}))
    };
    let cells: Vec<Value> = (0..row.cells.len())
        .map(|at| {
            let samples: Vec<Value> = measured.samples[at]
                .iter()
                .map(|sample| match sample {
                    Some(sample) => json!({
                        "rate": sample.rate,
                        "cpu_us": sample.cpu_us,
                        "errors": sample.errors,
                        "p50_us": sample.latency_us[0],
                        "p99_us": sample.latency_us[1],
                        "p999_us": sample.latency_us[2],
                    }),
                    None => Value::Null,
                })
                .collect();
            json!({
                "name": row.cells[at].name,
                "rate": spread(measured.figure(at, Figure::Rate)),
                "cpu_us": spread(measured.figure(at, Figure::Cpu)),
                "failure": measured.failures[at],
                "samples": samples,
            })
        })
        .collect();
    let ratios: Vec<Value> = row
        .ratios
        .iter()
        .map(|ratio| {
            let value = measured.ratio(ratio);
            json!({
                "name": ratio_name(measured, ratio),
                "value": spread(value),
                "goal": ratio.goal.map(|goal| goal_text(goal, "")),
                "verdict": ratio.goal.map(|goal| verdict(goal, value)),
            })
        })
        .collect();
    json!({"id": row.id, "title": row.title, "unit": row.unit, "cells": cells, "ratios": ratios})
}

/// An example of two cells, with a goal that is reached.
#[cfg(test)]
pub(crate) fn example() -> Report {
    Report {
        host: "a processor".into(),
        settings: Settings { rounds: 3, seconds: 1 },
        rows: vec![crate::suite::tests::example()],
        instructions: BTreeMap::from([("HTTP request", 4321)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        assert_eq!(number(1_234_567.8), "1,234,568");
        assert_eq!([number(999.6), number(99.44), number(1.055)], ["1,000", "99.4", "1.05"]);
        assert_eq!([number(-1234.0), number(-123.0), number(0.0)], ["-1,234", "-123", "0.00"]);
    }

    #[test]
    fn text_and_json_say_what_came_out() {
        let report = example();
        let text = report.text();
        for part in [
            "http-1: HTTP, 1 KiB",
            "25,000 [10.0 .. 30,000]",
            "CPU    11.0 µs",
            "p50/99 10.0/20.0 µs",
            "3 FAILED",
            "in some rounds: it stood still",
            "→ unik, KVM / unik, TCG: 2.75 × [2.50 .. 3.00], goal ≥ 2.00 ×: reached",
            "4,321",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let json = report.json();
        assert_eq!(json["rows"][0]["ratios"][0]["verdict"], "reached");
        assert_eq!(json["rows"][0]["cells"][1]["samples"][1], Value::Null);
        assert_eq!(json["instructions"]["HTTP request"], 4321);
    }
}
