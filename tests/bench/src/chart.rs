//! The ratios as a picture: SVG, for light and dark pages.

use std::fmt::Write;

use crate::report::{Report, goal_text, number, ratio_name};
use crate::rows::{Bound, Goal};
use crate::statistics::Spread;

const WIDTH: f64 = 860.0;
/// Where the bars begin, and end.
const LEFT: f64 = 330.0;
const RIGHT: f64 = 700.0;
const LINE: f64 = 22.0;
const TOP: f64 = 34.0;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#222}.title{font-weight:600}.small{font-size:11px;fill:#666}\
.bar{fill:#2f6f9f}.good{fill:#2e7d4f}.bad{fill:#b3541e}.range{stroke:#222;stroke-width:1}.one{stroke:#888}\
.goal{stroke:#222;stroke-width:2}.grid{stroke:#ddd}\
@media(prefers-color-scheme:dark){text{fill:#ddd}.small{fill:#aaa}.range,.goal{stroke:#eee}.grid{stroke:#444}}";

/// One bar.
struct Bar {
    name: String,
    value: Spread,
    goal: Option<Goal>,
}

/// The chart of every ratio that was measured, on a logarithmic scale: a bar to the right
/// is more than the other side, one to the left is less. A mark across it is its goal.
#[must_use]
pub fn svg(report: &Report) -> String {
    let groups: Vec<(&str, Vec<Bar>)> = report
        .rows
        .iter()
        .map(|row| {
            let ratios = row.row.ratios.iter().filter(|ratio| ratio.to.is_some());
            let bars = ratios.filter_map(|ratio| {
                Some(Bar { name: ratio_name(row, ratio), value: row.ratio(ratio)?, goal: ratio.goal })
            });
            (row.row.title, bars.collect())
        })
        .filter(|(_, bars): &(&str, Vec<Bar>)| !bars.is_empty())
        .collect();
    let all = groups.iter().flat_map(|(_, bars)| bars);
    let values = all.flat_map(|bar| [bar.value.least, bar.value.most]).filter(|value| *value > 0.0);
    // From a tenth to ten at the least, so that small differences look small.
    let (least, most) =
        values.fold((0.1_f64, 10.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    let scale = Scale { least: least.log10().floor(), most: most.log10().ceil() };
    let lines: usize = groups.iter().map(|(_, bars)| bars.len() + 1).sum();
    let height = TOP + LINE * lines as f64 + 24.0;

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\
         <title>Ratios of unik to others, medians of {} rounds</title><style>{STYLE}</style>\n",
        report.settings.rounds
    );
    scale.draw(&mut svg, height);
    let mut y = TOP;
    for (title, bars) in &groups {
        let _ =
            writeln!(svg, "<text class=\"title\" x=\"4\" y=\"{:.0}\">{}</text>", y + 15.0, escaped(title));
        y += LINE;
        for bar in bars {
            bar.draw(&mut svg, y, &scale);
            y += LINE;
        }
    }
    svg + "</svg>\n"
}

/// Powers of ten from left to right.
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn x(&self, value: f64) -> f64 {
        let share = (value.max(1e-9).log10() - self.least) / (self.most - self.least);
        LEFT + share.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    fn draw(&self, svg: &mut String, height: f64) {
        let mut power = self.least;
        while power <= self.most {
            let value = 10_f64.powf(power);
            let (x, class) = (self.x(value), if power == 0.0 { "one" } else { "grid" });
            let label = if power < 0.0 {
                format!("{value}")
            } else {
                number(value).replace(".00", "").replace(".0", "")
            };
            let _ = writeln!(
                svg,
                "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"22\" y2=\"{:.0}\"/>\
                 <text class=\"small\" x=\"{x:.1}\" y=\"16\" text-anchor=\"middle\">{label} ×</text>",
                height - 8.0
            );
            power += 1.0;
        }
    }
}

impl Bar {
    fn draw(&self, svg: &mut String, y: f64, scale: &Scale) {
        let (one, end) = (scale.x(1.0), scale.x(self.value.median));
        let class = match self.goal {
            None => "bar",
            Some(goal) if goal.is_reached(self.value.median) => "good",
            Some(_) => "bad",
        };
        let middle = y + LINE / 2.0;
        let _ = write!(
            svg,
            "<text x=\"16\" y=\"{:.0}\">{}</text>\
             <rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"12\"/>\
             <line class=\"range\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>",
            y + 15.0,
            escaped(&self.name),
            one.min(end),
            middle - 6.0,
            (one - end).abs().max(0.5),
            scale.x(self.value.least),
            scale.x(self.value.most),
        );
        let mut label = format!("{} ×", number(self.value.median));
        if let Some(goal) = self.goal {
            let (Bound::Least(bound) | Bound::Most(bound)) = goal.bound;
            let x = scale.x(bound);
            let _ = write!(
                svg,
                "<line class=\"goal\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
                middle - 9.0,
                middle + 9.0
            );
            label = format!("{label}, goal {}", goal_text(goal, ""));
        }
        let _ = writeln!(
            svg,
            "<text class=\"small\" x=\"{:.0}\" y=\"{:.0}\">{label}</text>",
            RIGHT + 10.0,
            y + 15.0
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ratio_is_a_bar_in_the_picture() {
        let svg = svg(&crate::report::example());
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        for part in
            [">unik, KVM / unik, TCG</text>", "class=\"good\"", "class=\"goal\"", "2.75 ×, goal ≥ 2.00"]
        {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert_eq!(svg.matches("<rect").count(), 1);
        assert_eq!(svg.matches('<').count(), svg.matches('>').count());
    }

    #[test]
    fn bars_start_at_one_and_stay_inside() {
        let scale = Scale { least: -1.0, most: 1.0 };
        assert!((scale.x(1.0) - (LEFT + RIGHT) / 2.0).abs() < 0.01);
        assert!([scale.x(0.0), scale.x(0.1), scale.x(1e-12)].iter().all(|x| (x - LEFT).abs() < 0.01));
        assert!((scale.x(1e9) - RIGHT).abs() < 0.01);
    }
}
