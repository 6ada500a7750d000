//! A fuzz harness of the whole checker: `cargo bolero test -p unik-dsl fuzz_parser`
//! runs it for as long as one likes, `cargo test` for a bounded while.

mod common;

use std::path::Path;

use unik_dsl::{Request, analyse, diagnostic};

#[test]
fn fuzz_parser() {
    let catalogue = common::catalogue();
    bolero::check!().with_type::<Vec<u8>>().with_iterations(2_000).for_each(|bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        for text in [text.clone(), format!("unik 1\nappliance a {{\n{text}\n}}\n")] {
            let analysis = analyse(&Request::new(Path::new("fuzz.unik"), Some(text)), &catalogue);
            let rendered = diagnostic::render_all(&analysis.diagnostics, &analysis.sources, true);
            assert_eq!(rendered.is_empty(), analysis.diagnostics.is_empty());
        }
    });
}
