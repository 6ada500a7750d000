//! Answers, as bytes.

use alloc::vec::Vec;

use unik::interface::{Clock, TcpStream};

use crate::buffer::append_number;
use crate::condition::{self, Answer};
use crate::date::Date;
use crate::head::Head;
use crate::site::File;
use crate::wire::{Stop, Wire};
use crate::{Method, Response, Status};

/// What an answer needs to know of its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    pub(crate) is_head: bool,
    pub(crate) keep_alive: bool,
    /// HTTP/1.0.
    pub(crate) old: bool,
}

impl About {
    pub(crate) fn of(head: &Head<'_>) -> About {
        About { is_head: head.method == Method::Head, keep_alive: head.keep_alive, old: head.old }
    }

    /// Of what was no request, and ends its connection.
    pub(crate) const NO_REQUEST: About = About { is_head: false, keep_alive: false, old: false };
}

/// Answers with a response.
pub(crate) async fn response<T: TcpStream, C: Clock>(
    wire: &mut Wire<T>,
    date: &Date<C>,
    response: &Response,
    about: About,
) -> Result<(), Stop> {
    let bodiless = response.status.is_bodiless();
    let out = &mut wire.output;
    reserve(out, response.fields.len())?;
    push_status(out, response.status);
    out.extend_from_slice(&response.fields);
    if !bodiless {
        push_length(out, response.body.len() as u64);
    }
    finish(out, date, About { keep_alive: about.keep_alive && !response.close, ..about });
    if bodiless || about.is_head { wire.flush_if_full().await } else { wire.body(&response.body).await }
}

/// Answers with a file, or with what the request's conditions leave of it.
pub(crate) async fn file<T: TcpStream, C: Clock>(
    wire: &mut Wire<T>,
    date: &Date<C>,
    file: &File,
    head: &Head<'_>,
) -> Result<(), Stop> {
    let about = About::of(head);
    let length = file.body.len() as u64;
    let answer = if head.conditional {
        condition::judge(head.fields, head.method == Method::Get, file.tag(), length)
    } else {
        Answer::Whole
    };
    let out = &mut wire.output;
    reserve(out, file.head.len())?;
    let body = match answer {
        Answer::Whole => {
            out.extend_from_slice(file.head.as_bytes());
            file.body
        }
        Answer::Part(range) => {
            push_status(out, Status::PARTIAL_CONTENT);
            push_length(out, range.end - range.start);
            out.extend_from_slice(b"Content-Range: bytes ");
            append_number(out, range.start);
            out.push(b'-');
            append_number(out, range.end - 1);
            push_total(out, length);
            out.extend_from_slice(file.content_type_on());
            // A part lies inside the file, so its ends are usize.
            file.body.get(range.start as usize..range.end as usize).unwrap_or_default()
        }
        Answer::NotModified => {
            push_status(out, Status::NOT_MODIFIED);
            out.extend_from_slice(file.etag_on());
            &[]
        }
        Answer::PreconditionFailed => {
            push_status(out, Status::PRECONDITION_FAILED);
            push_length(out, 0);
            &[]
        }
        Answer::NoSuchPart => {
            push_status(out, Status::RANGE_NOT_SATISFIABLE);
            push_length(out, 0);
            out.extend_from_slice(b"Content-Range: bytes *");
            push_total(out, length);
            &[]
        }
    };
    finish(out, date, about);
    if about.is_head { wire.flush_if_full().await } else { wire.body(body).await }
}

/// Answers that a folder is asked for with a `/` at its end; the query stays.
pub(crate) async fn folder<T: TcpStream, C: Clock>(
    wire: &mut Wire<T>,
    date: &Date<C>,
    location: &str,
    query: Option<&str>,
    about: About,
) -> Result<(), Stop> {
    let out = &mut wire.output;
    reserve(out, location.len() + query.map_or(0, str::len))?;
    push_status(out, Status::MOVED_PERMANENTLY);
    out.extend_from_slice(b"Location: ");
    out.extend_from_slice(location.as_bytes());
    if let Some(query) = query {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    push_length(out, 0);
    finish(out, date, about);
    wire.flush_if_full().await
}

/// Makes room for a head whose parts of unknown length have `length` bytes; all the
/// others together have at most 256.
fn reserve(out: &mut Vec<u8>, length: usize) -> Result<(), Stop> {
    out.try_reserve(length + 256).map_err(|_| Stop::OutOfMemory)
}

fn push_status(out: &mut Vec<u8>, status: Status) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&status.digits());
    out.push(b' ');
    out.extend_from_slice(status.reason().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn push_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    append_number(out, length);
    out.extend_from_slice(b"\r\n");
}

fn push_total(out: &mut Vec<u8>, length: u64) {
    out.push(b'/');
    append_number(out, length);
    out.extend_from_slice(b"\r\n");
}

fn finish<C: Clock>(out: &mut Vec<u8>, date: &Date<C>, about: About) {
    date.push(out);
    if !about.keep_alive {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if about.old {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
}
