//! The catalogue: what the generator knows of a component.
//!
//! A component is an ordinary crate whose `Cargo.toml` has a table
//! `[package.metadata.unik]`. [`Component::from_manifest`] reads that table into the
//! one [`Component`] value that serves all readers: the checker, the planner, the code
//! generator, the `options!` macro of the component itself, `unikgen components`, and
//! the reference pages of the book.
//!
//! - [`schema`]: the table itself.
//! - [`usage`]: the little pattern language of an option (`<port: port 1..=65535>`).
//! - [`shape`]: how options become Rust types and Rust values.
//! - [`value`]: the types and values that options take.
//! - [`formula`]: how much memory a component takes, by its options.
//! - [`host`]: the host half of a component: `check` and `bake`.
//! - [`helper`]: a host half in a process of its own.
#![forbid(unsafe_code)]

pub mod formula;
pub mod helper;
pub mod host;
pub mod rust_name;
pub mod schema;
pub mod shape;
pub mod usage;
pub mod value;

pub use formula::Formula;
pub use schema::{
    Component, Constraint, Form, Kind, ManifestError, Need, OptionSpec, Package, Part, Target, Wire,
};
pub use usage::{Term, Usage, UsageError};
pub use value::{BootValue, Bound, Entry, Options, Secret, Type, Value};
