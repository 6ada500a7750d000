//! The small macros of components and handlers.
//!
//! They stand apart from `unik::appliance!`, so that the runtime of a generated crate
//! doesn't bring the generator in. Each still expands to something plausible when it
//! reports an error, so that an editor keeps working.
#![forbid(unsafe_code)]

mod handler;
mod options;
mod service;

use proc_macro::TokenStream;

/// Declares `pub struct Options`, the typed options of the component whose crate this is.
///
/// Reads `[package.metadata.unik]` of the crate's own `Cargo.toml`; takes no argument.
/// The rule that makes the types is in the book, "The four contracts"; it is the rule by
/// which the code generator fills them in.
#[proc_macro]
pub fn options(input: TokenStream) -> TokenStream {
    options::expand(input.into()).into()
}

/// Lets a `.unik` file name a function as a handler of HTTP requests.
///
/// ```text
/// #[unik::handler]
/// async fn count(request: &Request<'_>, state: &Counter) -> Response { … }
/// ```
///
/// The function stays what it is and can be called. Beside it comes a type of the same
/// name, of which there is never a value, that implements `unik_http::Handler`; this is
/// what the generated code names. The state is optional; its type must be
/// `Default + 'static`, and it is made once, when the service starts.
#[proc_macro_attribute]
pub fn handler(attribute: TokenStream, item: TokenStream) -> TokenStream {
    handler::expand(attribute.into(), item.into()).into()
}

/// Makes a crate a service: stands on the function that starts an instance.
///
/// ```text
/// #[unik::service]
/// pub async fn start(cx: &Context, options: &'static Options, net: impl Tcp) -> Result<(), StartError> { … }
/// ```
///
/// Declares `pub struct Options`, as [`options!`] does, and compares the function with the
/// table `[package.metadata.unik]` of the crate's own `Cargo.toml`: a parameter for each
/// wire, for each instance that an option refers to and for each need, in this order, that
/// asks for no more than the table promises. What doesn't fit is said at its place.
#[proc_macro_attribute]
pub fn service(attribute: TokenStream, item: TokenStream) -> TokenStream {
    service::expand(attribute.into(), item.into()).into()
}
