//! Handlers: functions of the user's crate that answer requests.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;

use crate::{Method, Request, Response};

/// What `#[unik::handler]` makes of a function.
///
/// ```
/// use core::cell::Cell;
/// use unik_http::{Request, Response};
///
/// #[derive(Default)]
/// struct Counter(Cell<u64>);
///
/// // #[unik::handler]
/// async fn count(_: &Request<'_>, counter: &Counter) -> Response {
///     counter.0.set(counter.0.get() + 1);
///     Response::text(format!("{}\n", counter.0.get()))
/// }
/// ```
///
/// All handlers of one service that ask for the same type of state share one value of
/// it, made by `Default` when the service starts. Everything runs on one thread: a `Cell`
/// or `RefCell` is enough for what changes, as long as no borrow of it lives over an
/// `.await`.
#[allow(async_fn_in_trait, reason = "one thread: no future here needs Send")]
pub trait Handler {
    /// What it keeps from one request to the next; `()` for nothing.
    type State: Default + 'static;

    /// Answers a request.
    async fn call(request: &Request<'_>, state: &Self::State) -> Response;
}

/// The states of the handlers of one service, while it starts: one of each type.
#[derive(Debug, Default)]
pub struct States(Vec<Rc<dyn Any>>);

impl States {
    /// None yet.
    #[must_use]
    pub const fn new() -> States {
        States(Vec::new())
    }

    /// The state of type `S`, made now if no handler has asked for it before.
    pub fn share<S: Default + 'static>(&mut self) -> Rc<S> {
        let known = self.0.iter().find_map(|state| Rc::clone(state).downcast::<S>().ok());
        known.unwrap_or_else(|| {
            let state = Rc::new(S::default());
            self.0.push(state.clone());
            state
        })
    }
}

/// The state of a handler, shared with others of the same type.
pub type Shared<H> = Rc<<H as Handler>::State>;

/// The routes of one service. The host half writes the implementation: a `match` over
/// the paths that calls each handler directly.
#[allow(async_fn_in_trait, reason = "one thread: no future here needs Send")]
pub trait Routes: 'static {
    /// Whether there are any: without, a service has no code for them.
    const ANY: bool;

    /// Makes the states of the handlers.
    fn new() -> Self;

    /// Who answers a request with this decoded path and method.
    fn find(path: &str, method: Method) -> Found;

    /// Lets the handler with number `route` answer.
    async fn call(&self, route: u16, request: &Request<'_>) -> Response;
}

/// What [`Routes::find`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The handler with this number.
    Handler(u16),
    /// Handlers, but none for this method. What they allow, as the `Allow` header says it.
    Other(&'static str),
    /// No route.
    Nothing,
}

/// No routes.
#[derive(Clone, Copy, Debug)]
pub struct NoRoutes;

impl Routes for NoRoutes {
    const ANY: bool = false;

    fn new() -> Self {
        NoRoutes
    }

    fn find(_: &str, _: Method) -> Found {
        Found::Nothing
    }

    async fn call(&self, _: u16, _: &Request<'_>) -> Response {
        crate::Status::NOT_FOUND.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[test]
    fn handlers_with_one_type_of_state_share_it() {
        let mut states = States::new();
        let one = states.share::<Cell<u32>>();
        let other = states.share::<Cell<u32>>();
        one.set(7);
        assert_eq!(other.get(), 7);
        assert_eq!(states.share::<Cell<u64>>().get(), 0);
    }
}
