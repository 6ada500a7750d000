//! The `.unik` language: text to syntax tree, to model, to plan.
//!
//! | stage | module | decides |
//! |---|---|---|
//! | syntax | [`syntax`] | what is written |
//! | model | `model` | what is meant: names resolved, values typed and in range |
//! | plan | [`plan`] | what is in the image, and why; start order |
//!
//! [`analyse`] runs all three. Everything that is wrong comes back at once, as
//! [`Diagnostic`]s with places in a [`SourceMap`]; [`diagnostic::render`](fn@diagnostic::render) shows them.
//!
//! ```
//! use std::path::Path;
//! use unik_dsl::{Catalogue, Request, analyse, diagnostic};
//!
//! let catalogue = Catalogue::from_components(Vec::new());
//! let analysis = analyse(&Request::new(Path::new("x.unik"), Some("unik 1\nappliance x {".into())), &catalogue);
//! assert!(analysis.plan.is_none());
//! println!("{}", diagnostic::render_all(&analysis.diagnostics, &analysis.sources, false));
//! ```
#![forbid(unsafe_code)]

mod analysis;
pub mod catalogue;
pub mod diagnostic;
pub mod fetch;
pub mod format;
pub mod memory;
mod model;
pub mod plan;
mod planner;
mod removal;
pub mod source;
pub mod syntax;

pub use analysis::{Analysis, Request, analyse};
pub use catalogue::Catalogue;
pub use diagnostic::{Code, Diagnostic, Severity};
pub use model::{read, read_from, value_of};
pub use plan::Plan;
pub use source::SourceMap;
