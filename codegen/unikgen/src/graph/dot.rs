//! A plan for Graphviz.

use std::fmt::Write as _;

use super::Drawing;

/// Draws `drawing` in the DOT language.
pub fn draw(drawing: &Drawing) -> String {
    let mut text = format!(
        "digraph {} {{\n    label={};\n    rankdir=TB;\n    node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];\n    edge [fontname=\"sans-serif\", fontsize=10];\n",
        quote(&drawing.appliance),
        quote(&format!("{} for {}", drawing.appliance, drawing.target)),
    );
    for node in &drawing.nodes {
        let mut label = node.id.clone();
        if node.component != node.id && node.kind != "part" {
            label = format!("{label}\n{}", node.component);
        }
        let _ = writeln!(
            text,
            "    {} [label={}, fillcolor=\"{}\", tooltip={}];",
            quote(&node.id),
            quote(&label),
            super::svg::colours(node.kind).0,
            quote(&node.about()),
        );
    }
    for arrow in &drawing.arrows {
        let _ = writeln!(
            text,
            "    {} -> {} [label={}{}];",
            quote(&drawing.nodes[arrow.from].id),
            quote(&drawing.nodes[arrow.to].id),
            quote(&arrow.reason),
            if arrow.implied { ", style=dashed" } else { "" },
        );
    }
    text.push_str("}\n");
    text
}

/// A quoted string of DOT: only `"` and `\` mean something in it, and a newline is `\n`.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn quotes_what_it_is_given() {
        let text = super::draw(&crate::graph::tests::example());
        assert!(text.starts_with("digraph \"web\" {"));
        assert!(
            text.contains(r#""site" -> "clock" [label="for the \"Date\" <header> & co", style=dashed];"#),
            "{text}"
        );
        assert!(text.contains(r#""nic" [label="nic\nvirtio-net""#), "{text}");
        assert_eq!(super::quote("a\"b\\"), r#""a\"b\\""#);
    }
}
