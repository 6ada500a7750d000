//! From a plan to a crate to an image.
//!
//! | stage | module | does |
//! |---|---|---|
//! | crate | [`host`] | asks the components' host halves to check and to bake |
//! | | [`helper`] | builds and runs those of third parties |
//! | | [`fetch`] | brings crates that a file names by git or version |
//! | | [`expand`](mod@expand) | plan → Rust tokens: the one function behind both doors |
//! | | `boot` | the code that reads values at boot, and checks them |
//! | | [`manifest`] | plan → dependencies and features → `Cargo.toml` |
//! | | [`format`](mod@format) | tokens → text for people |
//! | | [`foreign`] | crates of third parties, as a generated crate sees them |
//! | | [`handlers`] | what the file names in a crate of the user's own |
//! | image | [`build`](mod@build) | crate → cargo → image, in a [`cache`] |
//! | | [`children`] | the programs that a build runs, and their end |
//! | | [`layout`] | draws from a seed where things are in it |
//! | | [`record`] | what an image says of how it was built |
//! | | [`image`] | reads the image back: checks, strips, reports, symbolises |
//! | | [`verify`] | compares an image with one that was built again |
//! | | [`audit`](mod@audit) | what is proven of it: contents = plan, no privileged instruction, … |
//! | macro | [`door`] | the macro door, `unik::appliance!` |
//! | | [`sync`] | dependencies of a crate of the user's own |
//!
//! Nothing here names a component: the catalogue, the host halves and the sources that a
//! generated crate is built from are arguments.
#![forbid(unsafe_code)]

#[cfg(feature = "image")]
pub mod audit;
mod boot;
#[cfg(feature = "image")]
pub mod budget;
#[cfg(feature = "image")]
pub mod build;
pub mod cache;
pub mod cargo;
pub mod children;
#[cfg(feature = "image")]
mod compile;
pub mod door;
mod error;
pub mod expand;
#[cfg(feature = "image")]
mod fault;
pub mod fetch;
#[cfg(feature = "image")]
pub mod foreign;
pub mod format;
pub mod handlers;
pub mod helper;
pub mod host;
#[cfg(feature = "image")]
pub mod image;
#[cfg(feature = "image")]
pub mod layout;
mod lock;
pub mod manifest;
pub mod note;
#[cfg(feature = "image")]
pub mod record;
pub mod settings;
#[cfg(feature = "image")]
pub mod sync;
#[cfg(feature = "image")]
mod template;
#[cfg(feature = "image")]
pub mod verify;

#[cfg(feature = "image")]
pub use build::{Built, Job, Progress, UserCrate, build};
pub use cache::{Cache, Sources};
pub use cargo::Cargo;
pub use error::Error;
pub use expand::{ExpandError, Expansion, expand};
pub use fetch::Fetcher;
pub use format::format;
pub use host::{BakedSet, HostHalves, prepare};
