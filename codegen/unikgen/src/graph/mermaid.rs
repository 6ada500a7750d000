//! A plan for Markdown that knows Mermaid.

use std::fmt::Write as _;

use super::Drawing;

/// Draws `drawing` as a Mermaid flowchart.
pub fn draw(drawing: &Drawing) -> String {
    let mut text = String::from("flowchart TD\n");
    for (at, node) in drawing.nodes.iter().enumerate() {
        // Ids of nodes can't hold most characters; their labels can, once escaped.
        let doc = match node.doc.as_str() {
            "" => String::new(),
            doc => format!("<br/>{}", escape(doc)),
        };
        let label = if node.component == node.id || node.kind == "part" {
            escape(&node.id)
        } else {
            format!("{}<br/>{}", escape(&node.id), escape(&node.component))
        };
        let _ = writeln!(text, "    n{at}[\"{label}{doc}\"]:::{}", node.kind);
    }
    for arrow in &drawing.arrows {
        let line = if arrow.implied { "-.->" } else { "-->" };
        let label =
            if arrow.reason.is_empty() { String::new() } else { format!("|\"{}\"|", escape(&arrow.reason)) };
        let _ = writeln!(text, "    n{} {line}{label} n{}", arrow.from, arrow.to);
    }
    for kind in ["device", "network", "storage", "service", "part"] {
        let (fill, stroke) = super::svg::colours(kind);
        let _ = writeln!(text, "    classDef {kind} fill:{fill},stroke:{stroke},color:#111");
    }
    text
}

/// Inside quotes Mermaid takes character entities, written with `#` instead of `&`.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("#quot;"),
            '&' => escaped.push_str("#amp;"),
            '<' => escaped.push_str("#lt;"),
            '>' => escaped.push_str("#gt;"),
            '#' => escaped.push_str("#35;"),
            '`' => escaped.push_str("#96;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #[test]
    fn escapes_what_it_is_given() {
        let text = super::draw(&crate::graph::tests::example());
        assert!(text.contains("n3 -.->|\"for the #quot;Date#quot; #lt;header#gt; #amp; co\"| n1"), "{text}");
        assert!(text.contains("n0[\"nic<br/>virtio-net\"]:::device"), "{text}");
    }
}
