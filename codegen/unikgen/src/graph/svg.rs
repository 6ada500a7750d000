//! A plan as a picture: a layered drawing, those that need above those that give.
//!
//! The steps are those of Sugiyama: layers by longest path; long arrows get a bend in
//! every layer that they cross; the order inside layers by medians of the neighbours;
//! then coordinates. A plan has tens of nodes, so the simplest form of each will do.

use std::fmt::Write as _;

use petgraph::graph::{DiGraph, NodeIndex};

use super::Drawing;

const ROW: f64 = 92.0;
const BOX_HEIGHT: f64 = 44.0;
const GAP: f64 = 28.0;
const MARGIN: f64 = 24.0;
const TITLE: f64 = 34.0;
/// Width of a character at the size of a name, in a sans-serif face, on the safe side.
const CHARACTER: f64 = 8.0;
const SWEEPS: usize = 12;

/// Draws `drawing` as an SVG 1.1 document.
pub fn draw(drawing: &Drawing) -> String {
    let layout = Layout::new(drawing);
    let (width, height) = layout.size;
    let title = format!("{} for {}", drawing.appliance, drawing.target);
    let mut text = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}" font-family="system-ui, sans-serif" role="img">
<title>{title}</title>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="#667"/></marker></defs>
<rect width="100%" height="100%" fill="#fff"/>
<text x="{MARGIN}" y="{MARGIN}" font-size="16" font-weight="600" fill="#111">{title}</text>
"##,
        title = escape(&title),
    );
    for (arrow, points) in drawing.arrows.iter().zip(&layout.arrows) {
        let dashes = if arrow.implied { r#" stroke-dasharray="5 4""# } else { "" };
        let _ = writeln!(
            text,
            r##"<path d="{}" fill="none" stroke="#667" stroke-width="1.3"{dashes} marker-end="url(#tip)"><title>{}</title></path>"##,
            curve(points),
            escape(&format!(
                "{} → {}: {} {}",
                drawing.nodes[arrow.from].id, drawing.nodes[arrow.to].id, arrow.reason, arrow.place
            )),
        );
    }
    for (node, &(x, y, width)) in drawing.nodes.iter().zip(&layout.boxes) {
        let (fill, stroke) = colours(node.kind);
        let second = if node.kind == "part" { "part" } else { &node.component };
        let _ = writeln!(
            text,
            r##"<g><title>{}</title><rect x="{:.1}" y="{y:.1}" width="{width:.1}" height="{BOX_HEIGHT}" rx="8" fill="{fill}" stroke="{stroke}"/><text x="{x:.1}" y="{:.1}" font-size="14" font-weight="600" text-anchor="middle" fill="#111">{}</text><text x="{x:.1}" y="{:.1}" font-size="11" text-anchor="middle" fill="#445">{}</text></g>"##,
            escape(&node.about()),
            x - width / 2.0,
            y + 19.0,
            escape(&node.id),
            y + 35.0,
            escape(second),
        );
    }
    text.push_str("</svg>\n");
    text
}

/// Fill and stroke of a kind of node; the other formats use them too.
pub const fn colours(kind: &str) -> (&'static str, &'static str) {
    match kind.as_bytes() {
        b"device" => ("#ffe3d3", "#c9703b"),
        b"network" => ("#d8e8ff", "#4a7fc1"),
        b"storage" => ("#e4f3d6", "#6a9a3c"),
        b"service" => ("#ecdffb", "#8a5cc0"),
        _ => ("#f1f1f4", "#9a9aa5"),
    }
}

/// Where everything stands.
struct Layout {
    /// Of each node: the middle, the top and the width of its box.
    boxes: Vec<(f64, f64, f64)>,
    /// Of each arrow: the points that it goes through.
    arrows: Vec<Vec<(f64, f64)>>,
    size: (f64, f64),
}

/// A node of the drawing, or a bend of an arrow that crosses a layer.
struct Cell {
    layer: usize,
    width: f64,
}

impl Layout {
    fn new(drawing: &Drawing) -> Layout {
        let layers = layer_of_each(drawing);
        let mut cells: DiGraph<Cell, ()> = DiGraph::new();
        for (node, &layer) in drawing.nodes.iter().zip(&layers) {
            let letters = node.id.chars().count().max(node.component.chars().count()).max(6);
            cells.add_node(Cell { layer, width: letters as f64 * CHARACTER + 24.0 });
        }
        let mut routes: Vec<Vec<NodeIndex>> = Vec::new();
        for arrow in &drawing.arrows {
            let mut route = vec![NodeIndex::new(arrow.from)];
            for layer in layers[arrow.from] + 1..layers[arrow.to] {
                route.push(cells.add_node(Cell { layer, width: 10.0 }));
            }
            route.push(NodeIndex::new(arrow.to));
            for pair in route.windows(2) {
                cells.add_edge(pair[0], pair[1], ());
            }
            routes.push(route);
        }
        let rows = ordered_rows(&cells);
        let (x, width) = columns(&cells, &rows);
        let top = |index: NodeIndex| TITLE + MARGIN + cells[index].layer as f64 * ROW;
        let middle = |index: NodeIndex| x[index.index()];
        let boxes = (0..drawing.nodes.len())
            .map(NodeIndex::new)
            .map(|index| (middle(index), top(index), cells[index].width))
            .collect();
        let arrows = routes
            .iter()
            .map(|route| {
                let last = route.len() - 1;
                route
                    .iter()
                    .enumerate()
                    .map(|(at, &index)| match at {
                        0 => (middle(index), top(index) + BOX_HEIGHT),
                        _ if at == last => (middle(index), top(index) - 1.0),
                        _ => (middle(index), top(index) + BOX_HEIGHT / 2.0),
                    })
                    .collect()
            })
            .collect();
        let height = TITLE + MARGIN * 2.0 + rows.len().max(1) as f64 * ROW - (ROW - BOX_HEIGHT);
        Layout { boxes, arrows, size: (width.max(240.0), height) }
    }
}

/// The longest way from a node that nobody needs. A circle, which a plan never has,
/// would be cut where it is met.
fn layer_of_each(drawing: &Drawing) -> Vec<usize> {
    let mut layers = vec![0; drawing.nodes.len()];
    for _ in 0..drawing.nodes.len() {
        let mut changed = false;
        for arrow in &drawing.arrows {
            let below = layers[arrow.from] + 1;
            if layers[arrow.to] < below && below < drawing.nodes.len() {
                layers[arrow.to] = below;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    layers
}

/// The cells of each layer from left to right, with few crossings.
fn ordered_rows(cells: &DiGraph<Cell, ()>) -> Vec<Vec<NodeIndex>> {
    let count = cells.node_weights().map(|cell| cell.layer + 1).max().unwrap_or(0);
    let mut rows = vec![Vec::new(); count];
    for index in cells.node_indices() {
        rows[cells[index].layer].push(index);
    }
    let mut position = vec![0.0; cells.node_count()];
    let mut best = (crossings(cells, &rows), rows.clone());
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        let direction = if down { petgraph::Incoming } else { petgraph::Outgoing };
        for row in &rows {
            for (at, index) in row.iter().enumerate() {
                position[index.index()] = at as f64;
            }
        }
        let order: Vec<usize> = if down { (0..count).collect() } else { (0..count).rev().collect() };
        for layer in order {
            let row = &mut rows[layer];
            let weight = |index: &NodeIndex| {
                let mut around: Vec<f64> = cells
                    .neighbors_directed(*index, direction)
                    .map(|other| position[other.index()])
                    .collect();
                around.sort_by(f64::total_cmp);
                match around.len() {
                    0 => position[index.index()],
                    n if n % 2 == 1 => around[n / 2],
                    n => (around[n / 2 - 1] + around[n / 2]) / 2.0,
                }
            };
            let mut keyed: Vec<(f64, NodeIndex)> = row.iter().map(|index| (weight(index), *index)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            *row = keyed.into_iter().map(|(_, index)| index).collect();
            for (at, index) in row.iter().enumerate() {
                position[index.index()] = at as f64;
            }
        }
        let now = crossings(cells, &rows);
        if now < best.0 {
            best = (now, rows.clone());
        }
    }
    best.1
}

/// How many pairs of arrows cross.
fn crossings(cells: &DiGraph<Cell, ()>, rows: &[Vec<NodeIndex>]) -> usize {
    let mut position = vec![0; cells.node_count()];
    for row in rows {
        for (at, index) in row.iter().enumerate() {
            position[index.index()] = at;
        }
    }
    let ends: Vec<(usize, usize, usize)> = cells
        .edge_indices()
        .filter_map(|edge| cells.edge_endpoints(edge))
        .map(|(from, to)| (cells[from].layer, position[from.index()], position[to.index()]))
        .collect();
    let mut count = 0;
    for (at, a) in ends.iter().enumerate() {
        for b in &ends[at + 1..] {
            if a.0 == b.0 && (a.1 < b.1 && a.2 > b.2 || a.1 > b.1 && a.2 < b.2) {
                count += 1;
            }
        }
    }
    count
}

/// The middle of every cell, and the width of the whole: rows are packed, then pulled
/// towards their neighbours without overlapping.
fn columns(cells: &DiGraph<Cell, ()>, rows: &[Vec<NodeIndex>]) -> (Vec<f64>, f64) {
    let mut x = vec![0.0; cells.node_count()];
    let length = |row: &[NodeIndex]| row.iter().map(|&index| cells[index].width + GAP).sum::<f64>();
    let widest = rows.iter().map(|row| length(row)).fold(0.0, f64::max);
    for row in rows {
        let mut left = (widest - length(row)) / 2.0;
        for &index in row {
            x[index.index()] = left + cells[index].width / 2.0;
            left += cells[index].width + GAP;
        }
    }
    for _ in 0..SWEEPS {
        for row in rows {
            pull(cells, row, &mut x);
        }
    }
    let edges = |sign: f64| {
        let x = &x;
        cells.node_indices().map(move |index| x[index.index()] + sign * cells[index].width / 2.0)
    };
    let left = edges(-1.0).fold(f64::INFINITY, f64::min);
    let right = edges(1.0).fold(f64::NEG_INFINITY, f64::max);
    if !left.is_finite() {
        return (x, 0.0);
    }
    for value in &mut x {
        *value += MARGIN - left;
    }
    (x, right - left + 2.0 * MARGIN)
}

/// Moves each cell of a row to the mean of its neighbours as far as the row lets it.
fn pull(cells: &DiGraph<Cell, ()>, row: &[NodeIndex], x: &mut [f64]) {
    for (at, &index) in row.iter().enumerate() {
        let around: Vec<f64> = cells.neighbors_undirected(index).map(|other| x[other.index()]).collect();
        if around.is_empty() {
            continue;
        }
        let wanted = around.iter().sum::<f64>() / around.len() as f64;
        let apart = |other: NodeIndex| (cells[index].width + cells[other].width) / 2.0 + GAP;
        let low = at.checked_sub(1).map_or(f64::NEG_INFINITY, |left| x[row[left].index()] + apart(row[left]));
        let high = row.get(at + 1).map_or(f64::INFINITY, |&right| x[right.index()] - apart(right));
        if low <= high {
            x[index.index()] = wanted.clamp(low, high);
        }
    }
}

/// A smooth line through the points, leaving and arriving upright.
fn curve(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (at, &(x, y)) in points.iter().enumerate() {
        let _ = match at.checked_sub(1).map(|before| points[before]) {
            None => write!(path, "M{x:.1} {y:.1}"),
            Some((from_x, from_y)) => {
                let half = (from_y + y) / 2.0;
                write!(path, " C{from_x:.1} {half:.1} {x:.1} {half:.1} {x:.1} {y:.1}")
            }
        };
    }
    path
}

/// Text inside an element or an attribute of XML. Control characters have no place there
/// at all.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Arrow, Box};

    #[test]
    fn escapes_what_it_is_given() {
        let text = draw(&crate::graph::tests::example());
        assert!(text.contains("for the &quot;Date&quot; &lt;header&gt; &amp; co"), "{text}");
        assert!(!text.contains("<header>"));
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
    }

    #[test]
    fn those_that_need_stand_above_and_nothing_overlaps() {
        let drawing = crate::graph::tests::example();
        let layout = Layout::new(&drawing);
        for arrow in &drawing.arrows {
            assert!(layout.boxes[arrow.from].1 + BOX_HEIGHT <= layout.boxes[arrow.to].1);
        }
        for (at, a) in layout.boxes.iter().enumerate() {
            assert!(a.0 - a.2 / 2.0 >= 0.0 && a.0 + a.2 / 2.0 <= layout.size.0, "inside the picture");
            for b in &layout.boxes[at + 1..] {
                assert!(a.1 != b.1 || (a.0 - b.0).abs() >= (a.2 + b.2) / 2.0, "{a:?} overlaps {b:?}");
            }
        }
    }

    #[test]
    fn crossings_are_undone() {
        // a → d, b → c as written crosses; the order of the lower row mends it.
        let node = |id: &str| Box { id: id.into(), component: id.into(), ..Box::default() };
        let arrow =
            |from, to| Arrow { from, to, reason: String::new(), place: String::new(), implied: false };
        let drawing = Drawing {
            nodes: ["a", "b", "c", "d"].map(node).into(),
            arrows: vec![arrow(0, 3), arrow(1, 2)],
            ..Drawing::default()
        };
        let layout = Layout::new(&drawing);
        assert_eq!(layout.boxes[0].0 < layout.boxes[1].0, layout.boxes[3].0 < layout.boxes[2].0);
    }

    #[test]
    fn nothing_and_circles_do_no_harm() {
        draw(&Drawing::default());
        let node = Box { id: "a".into(), ..Box::default() };
        let arrow =
            |from, to| Arrow { from, to, reason: String::new(), place: String::new(), implied: false };
        draw(&Drawing {
            nodes: vec![node.clone(), node],
            arrows: vec![arrow(0, 1), arrow(1, 0)],
            ..Drawing::default()
        });
    }
}
