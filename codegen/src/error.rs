//! What can go wrong between a plan and an image.

use std::io;
use std::path::PathBuf;

use crate::expand::ExpandError;

/// Why there is no image. Each says what to do, where there is something to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing says where the cache is.
    #[error("there is no folder to build in: set UNIK_CACHE (or HOME) to one")]
    NoCache,
    /// The folder for builds has things of others under the names that builds use.
    #[error(
        "{} has a `{name}` that unikgen didn't make: set UNIK_CACHE to a folder of its own", folder.display()
    )]
    ForeignCache {
        /// The folder.
        folder: PathBuf,
        /// What isn't ours.
        name: &'static str,
    },
    /// The plan makes no Rust.
    #[error(transparent)]
    Expand(#[from] ExpandError),
    /// Secrets have no text.
    #[error(
        "the secret `{name}` has no value: give it with --set-file {name}=FILE or --set-env {name}=VARIABLE"
    )]
    NoSecret {
        /// The parameter.
        name: String,
    },
    /// Cargo isn't there.
    #[error("can't run `{program}`: {source} (unikgen builds with stable Rust: https://rustup.rs)")]
    NoCargo {
        /// What was tried.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It was ended by [`children::end_all`](crate::children::end_all).
    #[error("ended before it was done")]
    Ended,
    /// There is no C compiler, or no C library to link against.
    #[error("{message}: build scripts, proc-macros and programs are linked by the C compiler")]
    NoLinker {
        /// What is missing.
        message: String,
    },
    /// A crate of the appliance needs the standard library.
    #[error(
        "`{package}` needs the Rust standard library, which a machine doesn't have: \
         turn its feature `std` off, take another crate, or build with `--target process`"
    )]
    NeedsStd {
        /// The package that brings it in.
        package: String,
    },
    /// The linker or cargo itself failed.
    #[error("cargo can't build the appliance\n{output}")]
    Cargo {
        /// What they said.
        output: String,
    },
    /// The compiler found errors.
    #[error("{heading}\n{output}")]
    Compile {
        /// In which crate, and whose it is.
        heading: String,
        /// What it said, or what is to say of it in the `.unik` file.
        output: String,
    },
    /// What came out is no good image.
    #[error("the image is not as it must be: {message}")]
    Image {
        /// What is wrong.
        message: String,
    },
    /// The image holds what its plan doesn't, or what no image may hold.
    #[error("the image doesn't pass its audit:\n{}\nIt is kept for a closer look: unikgen audit {}", findings.join("\n"), kept.display())]
    Audit {
        /// What is wrong.
        findings: Vec<String>,
        /// Where the image stands, which isn't deployed.
        kept: PathBuf,
    },
    /// A `Cargo.toml` of the user's own can't be understood.
    #[error("{}: {message}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}
