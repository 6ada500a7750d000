//! Answers, as bytes: heads are added to what is to be sent; bodies are left to the
//! caller, who sends them all from one place.

use alloc::vec::Vec;

use unik::interface::Clock;

use crate::buffer::{OutOfMemory, append_number, push};
use crate::condition::{self, Answer};
use crate::date::Date;
use crate::head::Head;
use crate::site::File;
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

/// Adds the head of a response; gives the body to send.
pub(crate) fn response<'r, C: Clock>(
    out: &mut Vec<u8>,
    date: &Date<C>,
    response: &'r Response,
    about: About,
) -> Result<&'r [u8], OutOfMemory> {
    let bodiless = response.status.is_bodiless();
    reserve(out, response.fields.len())?;
    push_status(out, response.status);
    push(out, &response.fields);
    if !bodiless {
        push_length(out, response.body.len() as u64);
    }
    finish(out, date, about);
    Ok(if bodiless || about.is_head { &[] } else { &response.body })
}

/// Adds the head for a file, or for what the request's conditions leave of it; gives the
/// bytes to send.
pub(crate) fn file<C: Clock>(
    out: &mut Vec<u8>,
    date: &Date<C>,
    file: &File,
    head: &Head<'_>,
    about: About,
) -> Result<&'static [u8], OutOfMemory> {
    let length = file.body.len() as u64;
    let answer = if head.conditional {
        condition::judge(head.fields, head.method == Method::Get, file.tag(), length)
    } else {
        Answer::Whole
    };
    reserve(out, file.head.len())?;
    let body = match answer {
        Answer::Whole => {
            push(out, file.head.as_bytes());
            file.body
        }
        Answer::Part(range) => {
            push_status(out, Status::PARTIAL_CONTENT);
            push_length(out, range.end - range.start);
            push(out, b"Content-Range: bytes ");
            append_number(out, range.start);
            out.push(b'-');
            append_number(out, range.end - 1);
            push_total(out, length);
            push(out, file.content_type_on());
            // A part lies inside the file, so its ends are usize.
            file.body.get(range.start as usize..range.end as usize).unwrap_or_default()
        }
        Answer::NotModified => {
            push_status(out, Status::NOT_MODIFIED);
            push(out, file.etag_on());
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
            push(out, b"Content-Range: bytes *");
            push_total(out, length);
            &[]
        }
    };
    finish(out, date, about);
    Ok(if about.is_head { &[] } else { body })
}

/// Adds the answer that a folder is asked for with a `/` at its end; the query stays.
pub(crate) fn folder<C: Clock>(
    out: &mut Vec<u8>,
    date: &Date<C>,
    location: &str,
    query: Option<&str>,
    about: About,
) -> Result<(), OutOfMemory> {
    reserve(out, location.len() + query.map_or(0, str::len))?;
    push_status(out, Status::MOVED_PERMANENTLY);
    push(out, b"Location: ");
    push(out, location.as_bytes());
    if let Some(query) = query {
        out.push(b'?');
        push(out, query.as_bytes());
    }
    push(out, b"\r\n");
    push_length(out, 0);
    finish(out, date, about);
    Ok(())
}

/// Makes room for a head whose parts of unknown length have `length` bytes; all the
/// others together have at most 256.
fn reserve(out: &mut Vec<u8>, length: usize) -> Result<(), OutOfMemory> {
    out.try_reserve(length + 256).map_err(|_| OutOfMemory)
}

fn push_status(out: &mut Vec<u8>, status: Status) {
    push(out, b"HTTP/1.1 ");
    push(out, &status.digits());
    out.push(b' ');
    push(out, status.reason().as_bytes());
    push(out, b"\r\n");
}

fn push_length(out: &mut Vec<u8>, length: u64) {
    push(out, b"Content-Length: ");
    append_number(out, length);
    push(out, b"\r\n");
}

fn push_total(out: &mut Vec<u8>, length: u64) {
    out.push(b'/');
    append_number(out, length);
    push(out, b"\r\n");
}

fn finish<C: Clock>(out: &mut Vec<u8>, date: &Date<C>, about: About) {
    date.push(out);
    if !about.keep_alive {
        push(out, b"Connection: close\r\n");
    } else if about.old {
        push(out, b"Connection: keep-alive\r\n");
    }
    push(out, b"\r\n");
}
