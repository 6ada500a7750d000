//! A plan as a tree for the terminal.

use super::{Arrow, Box, Drawing};
use crate::ui::{Paint, Tone};

/// Draws `drawing`: each node under who needs it, in full once, and afterwards as a
/// mention, so that the tree stays as small as the plan.
pub fn draw(drawing: &Drawing, paint: Paint) -> String {
    let mut tree = Tree { drawing, paint, seen: vec![false; drawing.nodes.len()], text: String::new() };
    tree.text = format!(
        "{} for {}{}{}\n",
        paint.paint(Tone::Strong, &drawing.appliance),
        drawing.target,
        tree.place(&drawing.place),
        tree.doc(&drawing.doc)
    );
    let roots = drawing.roots();
    for (at, &root) in roots.iter().enumerate() {
        tree.node(root, None, "", at + 1 == roots.len());
    }
    tree.text
}

struct Tree<'a> {
    drawing: &'a Drawing,
    paint: Paint,
    seen: Vec<bool>,
    text: String,
}

impl<'a> Tree<'a> {
    fn node(&mut self, index: usize, arrow: Option<&Arrow>, indent: &str, last: bool) {
        let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let node = &self.drawing.nodes[index];
        let seen = std::mem::replace(&mut self.seen[index], true);
        let arrows = self.arrows(index);
        let line = format!(
            "{indent}{branch}{}{}{}{}{}\n",
            self.name(node),
            self.why(arrow),
            if seen && !arrows.is_empty() {
                self.paint.paint(Tone::Faint, "  (see above)")
            } else {
                String::new()
            },
            self.place(&node.place),
            if seen { String::new() } else { self.doc(&node.doc) },
        );
        self.text.push_str(&line);
        if seen {
            return;
        }
        let indent = format!("{indent}{below}");
        let arrows: Vec<&Arrow> = arrows.into_iter().filter(|arrow| !self.is_mere_mention(arrow)).collect();
        for (at, arrow) in arrows.iter().enumerate() {
            self.node(arrow.to, Some(arrow), &indent, at + 1 == arrows.len());
        }
    }

    /// What the file says of something, after all else in its line.
    fn doc(&self, doc: &str) -> String {
        match doc {
            "" => String::new(),
            doc => format!("  {}", self.paint.paint(Tone::Faint, &format!("/// {doc}"))),
        }
    }

    fn arrows(&self, from: usize) -> Vec<&'a Arrow> {
        self.drawing.arrows.iter().filter(|arrow| arrow.from == from).collect()
    }

    /// What is shown already, and would be shown here only because something implies it
    /// once more: `why` tells all reasons.
    fn is_mere_mention(&self, arrow: &Arrow) -> bool {
        arrow.implied && self.seen[arrow.to]
    }

    fn name(&self, node: &Box) -> String {
        let name = self.paint.paint(Tone::Name, &node.id);
        match node.kind {
            "part" => format!("{name}: {}", node.summary),
            // What is implied is mostly named after its component.
            kind if node.id == node.component => format!("{kind} {name}"),
            kind => format!("{kind} {name} = {}", node.component),
        }
    }

    fn why(&self, arrow: Option<&Arrow>) -> String {
        match arrow {
            Some(arrow) if arrow.implied && !arrow.reason.is_empty() => {
                self.paint.paint(Tone::Faint, &format!("  — {}", arrow.reason))
            }
            _ => String::new(),
        }
    }

    fn place(&self, place: &str) -> String {
        if place.is_empty() { String::new() } else { self.paint.paint(Tone::Faint, &format!("  {place}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_under_who_needs_it() {
        let text = draw(&crate::graph::tests::example(), Paint(false));
        assert_eq!(
            text,
            "\
web for machine  web.unik:4  /// all of it
└─ service site = http  web.unik:15  /// the <public> site
   ├─ network lan = ip  web.unik:9
   │  └─ device nic = virtio-net  web.unik:7
   ├─ device clock  — for the \"Date\" <header> & co
   └─ lan/tcp: what \"tcp\" <does> & more  — http needs Tcp
"
        );
    }
}
