//! Generated text that is not Rust.

use handlebars::{Handlebars, no_escape};
use serde::Serialize;

/// The generated crate's manifest.
pub const CARGO_TOML: &str = include_str!("../templates/Cargo.toml.hbs");
/// The linker script of an image.
pub const LINKER_SCRIPT: &str = include_str!("../templates/image.ld.hbs");
/// A script that runs an image under QEMU without `unikgen`.
pub const RUN: &str = include_str!("../templates/run.sh.hbs");

/// Fills in a template of this module.
///
/// # Panics
/// When `template` is malformed or names something that `view` lacks: a mistake in this
/// crate, which its tests render every template to find.
#[must_use]
pub fn render(template: &str, view: &impl Serialize) -> String {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_escape_fn(no_escape);
    match registry.render_template(template, view) {
        Ok(text) => text,
        Err(error) => panic!("a template of this crate is wrong: {error}"),
    }
}
