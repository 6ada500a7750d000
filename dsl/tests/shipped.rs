//! The components and examples of this repository, as the checker sees them.

mod common;

use std::path::Path;
use std::time::Instant;

use common::{files, shipped as catalogue};
use unik_catalogue::Target;
use unik_dsl::{Request, analyse, diagnostic};

#[test]
fn examples_are_right_on_both_targets() {
    let catalogue = catalogue();
    for file in files(&["examples", "*", "*.unik"]) {
        for target in [Target::Machine, Target::Process] {
            let analysis =
                analyse(&Request { target: Some(target), ..Request::new(&file, None) }, &catalogue);
            let said = diagnostic::render_all(&analysis.diagnostics, &analysis.sources, false);
            assert!(said.is_empty(), "{} on {}:\n{said}", file.display(), target.word());
            assert!(analysis.plan.is_some());
        }
    }
}

/// Every default is a value of its own option: a slip there would show in no other way
/// until somebody uses the component.
#[test]
fn defaults_fit_their_options() {
    let catalogue = catalogue();
    for component in catalogue.components() {
        let text =
            format!("unik 1\nappliance a {{\n    {} x = {}\n}}\n", component.kind.word(), component.name);
        let analysis = analyse(&Request::new(Path::new("x.unik"), Some(text)), &catalogue);
        let wrong =
            analysis.diagnostics.iter().find(|diagnostic| diagnostic.code == diagnostic::codes::CATALOGUE);
        assert!(wrong.is_none(), "{wrong:?}");
    }
}

/// A file of 1,000 lines; `cargo test --release -p unik-dsl --test shipped -- --nocapture`
/// prints how long it takes.
#[test]
fn a_long_file() {
    let catalogue = catalogue();
    let mut text = String::from("unik 1\n\nlet idle = 30 s\n\nappliance long {\n    memory 256 MiB\n");
    for at in 0..99 {
        text += &format!(
            "\n    // Network {at}.\n    device nic{at} = virtio-net {{ queue-size 128 }}\n    network lan{at} = ip on nic{at} {{\n        \
             ipv4 10.0.{at}.2/24 gateway 10.0.{at}.1\n    }}\n    service echo{at} = echo on lan{at} {{\n        \
             port {}\n        idle-timeout $idle\n    }}\n",
            at + 1000
        );
    }
    text += "}\n";
    let lines = text.lines().count();
    let mut best = std::time::Duration::MAX;
    for _ in 0..5 {
        let text = text.clone();
        let start = Instant::now();
        let analysis = analyse(&Request::new(Path::new("long.unik"), Some(text)), &catalogue);
        best = best.min(start.elapsed());
        assert_eq!(analysis.diagnostics, []);
        assert!(analysis.plan.is_some_and(|plan| plan.order.len() > 290));
    }
    println!("{lines} lines checked and planned in {best:?}");
    assert!(lines >= 990);
}
