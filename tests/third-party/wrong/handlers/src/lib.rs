#![no_std]

use unik_http::{Request, Response, Status};

#[unik::handler]
pub async fn by_value(_: Request<'_>) -> Response {
    Response::from(Status::OK)
}

#[unik::handler]
pub async fn of_a_number(_: &Request<'_>) -> u32 {
    404
}

#[unik::handler]
pub fn in_a_hurry(_: &Request<'_>, state: &mut u32) -> Response {
    Response::from(Status::OK)
}
