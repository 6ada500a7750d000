//! An appliance with a service of its own: counts how often it was asked.
#![cfg_attr(unik_machine, no_std, no_main)]

extern crate alloc;

use core::cell::Cell;

use serde::Serialize;
use unik_http::{Request, Response};

unik::appliance!("counter.unik");

/// What the handler keeps from one request to the next.
#[derive(Default)]
struct Hits(Cell<u64>);

/// What it answers, as JSON.
#[derive(Serialize)]
struct Count {
    count: u64,
}

#[unik::handler]
async fn count(_request: &Request<'_>, hits: &Hits) -> Response {
    let count = hits.0.get() + 1;
    hits.0.set(count);
    match serde_json::to_vec(&Count { count }) {
        Ok(json) => Response::json_bytes(json),
        Err(_) => Response::from(unik_http::Status::INTERNAL_SERVER_ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_count() {
        assert_eq!(serde_json::to_string(&Count { count: 7 }).unwrap(), r#"{"count":7}"#);
    }
}
