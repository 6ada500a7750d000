//! What a handler is asked.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::Method;
use crate::path;

/// A request with its whole body.
///
/// ```
/// # async fn doc() {
/// use unik_http::{Request, Response, Status};
///
/// async fn greet(request: &Request<'_>) -> Response {
///     match request.query_value("name") {
///         Some(name) => Response::text(format!("Hello, {name}.\n")),
///         None => Status::BAD_REQUEST.into(),
///     }
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) fields: Fields<'a>,
    pub(crate) body: &'a [u8],
    pub(crate) peer: SocketAddr,
}

impl<'a> Request<'a> {
    /// The method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The path, decoded: it begins with `/`, its `%20` are spaces, and it has no `.` and
    /// `..` segments.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// What stands after the `?`, as it was sent.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// The first value of `name` in the query (`?name=value&…`), decoded as forms are
    /// encoded: `+` is a space. `None` also when the value isn't UTF-8.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<Cow<'a, str>> {
        self.query?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if form_decode(key)? == name { form_decode(value) } else { None }
        })
    }

    /// The first header called `name`, in whatever case, if its value is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.fields.all(name).find_map(|value| core::str::from_utf8(value).ok())
    }

    /// All headers, in the order in which they were sent.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.fields.iter()
    }

    /// The body, put together and decoded; empty where there is none. At most `max-body`.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The body, if it is UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        core::str::from_utf8(self.body).ok()
    }

    /// The other end of the connection.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }
}

/// The header fields of a request whose head has been checked: whole lines.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    /// Name and value of each, without the white space around the value.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.0.split(|&byte| byte == b'\n').filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            Some((core::str::from_utf8(&line[..colon]).ok()?, line[colon + 1..].trim_ascii()))
        })
    }

    /// The values of all fields called `name`.
    pub(crate) fn all(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

fn form_decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let byte = path::hex_pair(rest)?;
                rest = &rest[2..];
                byte
            }
            _ => byte,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(query: &'a str, fields: &'a str) -> Request<'a> {
        Request {
            method: Method::Get,
            path: "/",
            query: Some(query),
            fields: Fields(fields.as_bytes()),
            body: b"",
            peer: SocketAddr::from(([127, 0, 0, 1], 1)),
        }
    }

    #[test]
    fn query_values() {
        let request = request("a=1&b=x+y%20%C3%A9&&c&a=2&d=%zz&e=%ff", "");
        let value = |name| request.query_value(name);
        assert_eq!(value("a").as_deref(), Some("1"));
        assert_eq!(value("b").as_deref(), Some("x y é"));
        assert_eq!(value("c").as_deref(), Some(""));
        assert_eq!(value("d"), None);
        assert_eq!(value("e"), None);
        assert_eq!(value("f"), None);
    }

    #[test]
    fn headers_by_name() {
        let request = request("", "Host: x\r\nX-Thing:\t a b \r\nx-thing: second\r\nEmpty:\r\n");
        assert_eq!(request.header("x-THING"), Some("a b"));
        assert_eq!(request.header("empty"), Some(""));
        assert_eq!(request.header("none"), None);
        assert_eq!(request.headers().count(), 4);
        assert_eq!(request.fields.all("X-Thing").count(), 2);
    }
}
