//! The language server of `.unik` files: what an editor asks while one is written.
//!
//! [`serve`] speaks the Language Server Protocol (3.17) over a pair of streams. It knows what
//! the compiler knows, because it asks the same: diagnostics come from [`unik_dsl::analyse`],
//! keys and values from the catalogue. Nothing here knows a component or a rule of its own.
//!
//! ```text
//!  client ──▶ wire ──▶ server ──▶ state: open texts ──▶ view: an appliance, read
//!                        │  ▲                             │ completion, hover, navigate,
//!                   jobs ▼  │ findings                    ▼ rename, symbols, tokens, …
//!                      checker (a thread)              answers
//! ```
//!
//! What is typed is taken in at once, and requests are answered from the text as it is, broken
//! or not: `lexer` and `cursor` need no tree. The checking has a thread of its own, where
//! only the newest text counts; the host halves of components look when nothing was typed for
//! a moment. What the server can't know by itself it asks its [`Host`].
#![forbid(unsafe_code)]

mod actions;
mod capabilities;
mod checker;
mod completion;
mod cursor;
mod documents;
mod format;
mod host;
mod hover;
mod lexer;
mod mentions;
mod navigate;
mod position;
mod publish;
mod rename;
mod server;
mod slots;
mod state;
mod symbols;
mod tokens;
mod view;
mod wire;

pub use host::{Handler, Host, Weights};
pub use server::serve;
