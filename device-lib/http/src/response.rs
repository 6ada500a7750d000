//! What a handler answers.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::Status;

/// The answer to a request.
///
/// ```
/// use unik_http::{Response, Status};
///
/// let hello = Response::text("Hello.\n");
/// let made = Response::json_bytes(br#"{"id": 7}"#).status(Status::CREATED).header("Location", "/things/7");
/// # assert_eq!((hello.code(), made.code()), (Status::OK, Status::CREATED));
/// ```
///
/// The server adds `Content-Length`, `Date` and `Connection` by itself, and leaves the
/// body away where there must be none (HEAD, 204, 304).
///
/// Text turns into a response by itself, and a [`Result`] into that of either side, so
/// that a handler may return `Result<Response, Status>` and use `?`.
#[derive(Clone, Debug)]
pub struct Response {
    pub(crate) status: Status,
    /// Whole field lines, each with its CRLF.
    pub(crate) fields: Vec<u8>,
    pub(crate) body: Cow<'static, [u8]>,
    pub(crate) close: bool,
    /// The first header that was refused; see [`Response::header`].
    pub(crate) refused: Option<&'static str>,
}

impl Response {
    /// 200 with plain text.
    #[must_use]
    pub fn text(text: impl Into<Cow<'static, str>>) -> Response {
        Response::new("text/plain; charset=utf-8", into_bytes(text.into()))
    }

    /// 200 with an HTML page.
    #[must_use]
    pub fn html(page: impl Into<Cow<'static, str>>) -> Response {
        Response::new("text/html; charset=utf-8", into_bytes(page.into()))
    }

    /// 200 with bytes that are JSON already, as `serde_json::to_vec` makes them.
    #[must_use]
    pub fn json_bytes(json: impl Into<Bytes>) -> Response {
        Response::new("application/json", json)
    }

    /// 200 with `body`, of the given media type (`image/png`).
    #[must_use]
    pub fn new(content_type: &'static str, body: impl Into<Bytes>) -> Response {
        Response { body: body.into().0, ..Response::empty(Status::OK) }.header("Content-Type", content_type)
    }

    /// A status without a body.
    #[must_use]
    pub fn empty(status: Status) -> Response {
        Response { status, fields: Vec::new(), body: Cow::Borrowed(&[]), close: false, refused: None }
    }

    /// 303: look at `location` instead, with GET. The usual answer to a form.
    #[must_use]
    pub fn see_other(location: &str) -> Response {
        Response::empty(Status::SEE_OTHER).header("Location", location)
    }

    /// Replaces the status.
    #[must_use]
    pub fn status(mut self, status: Status) -> Response {
        self.status = status;
        self
    }

    /// Adds a header.
    ///
    /// A value with a line break or another control character would let a client write
    /// headers of its own. Such a value, a name that is no token, and the names
    /// `Content-Length`, `Transfer-Encoding`, `Connection` and `Date`, which the server
    /// writes itself, make the whole response a 500, and a line in the log says which
    /// header it was.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Response {
        let value = value.as_ref();
        let own = ["content-length", "transfer-encoding", "connection", "date"];
        let good_name = !name.is_empty()
            && name.bytes().all(is_token)
            && !own.iter().any(|own| own.eq_ignore_ascii_case(name));
        let good_value = value.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
        if good_name && good_value {
            self.fields.reserve(name.len() + value.len() + 4);
            for part in [name.as_bytes(), b": ", value, b"\r\n"] {
                self.fields.extend_from_slice(part);
            }
        } else {
            self.refused.get_or_insert(name);
        }
        self
    }

    /// Ends the connection after this response.
    #[must_use]
    pub fn close(mut self) -> Response {
        self.close = true;
        self
    }

    /// Its status.
    #[must_use]
    pub fn code(&self) -> Status {
        self.status
    }

    /// Its body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

/// The body of a response: bytes that live as long as the program, or a `Vec` of them.
#[derive(Clone, Debug)]
pub struct Bytes(Cow<'static, [u8]>);

impl From<&'static [u8]> for Bytes {
    fn from(bytes: &'static [u8]) -> Bytes {
        Bytes(Cow::Borrowed(bytes))
    }
}

impl<const N: usize> From<&'static [u8; N]> for Bytes {
    fn from(bytes: &'static [u8; N]) -> Bytes {
        Bytes(Cow::Borrowed(bytes))
    }
}

impl From<&'static str> for Bytes {
    fn from(text: &'static str) -> Bytes {
        Bytes(Cow::Borrowed(text.as_bytes()))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes(Cow::Owned(bytes))
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Bytes {
        Bytes(Cow::Owned(text.into_bytes()))
    }
}

impl From<Cow<'static, [u8]>> for Bytes {
    fn from(bytes: Cow<'static, [u8]>) -> Bytes {
        Bytes(bytes)
    }
}

/// As [`Response::text`].
impl From<&'static str> for Response {
    fn from(text: &'static str) -> Response {
        Response::text(text)
    }
}

/// As [`Response::text`].
impl From<String> for Response {
    fn from(text: String) -> Response {
        Response::text(text)
    }
}

/// The status, and its reason as text, where a body may be.
impl From<Status> for Response {
    fn from(status: Status) -> Response {
        if status.is_bodiless() {
            return Response::empty(status);
        }
        let mut text = String::with_capacity(4 + status.reason().len() + 1);
        text.extend(status.digits().map(char::from));
        text.push(' ');
        text.push_str(status.reason());
        text.push('\n');
        Response::text(text).status(status)
    }
}

impl<T: Into<Response>, E: Into<Response>> From<Result<T, E>> for Response {
    fn from(result: Result<T, E>) -> Response {
        match result {
            Ok(response) => response.into(),
            Err(response) => response.into(),
        }
    }
}

fn into_bytes(text: Cow<'static, str>) -> Bytes {
    match text {
        Cow::Borrowed(text) => text.into(),
        Cow::Owned(text) => text.into(),
    }
}

/// A character of a token (RFC 9110, 5.6.2).
pub(crate) const fn is_token(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'z' | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z')
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn renders_headers_in_order() {
        let response = Response::text("x").header("X-A", "1").header("x-b", "é");
        assert_eq!(
            response.fields,
            "Content-Type: text/plain; charset=utf-8\r\nX-A: 1\r\nx-b: é\r\n".as_bytes()
        );
        assert_eq!(response.refused, None);
    }

    #[test]
    fn refuses_headers_that_would_break_the_message() {
        for (name, value) in [
            ("X", "a\r\nSet-Cookie: b"),
            ("X", "\0"),
            ("X Y", "1"),
            ("", "1"),
            ("X:", "1"),
            ("content-LENGTH", "1"),
        ] {
            let response = Response::empty(Status::OK).header(name, value).header("Y", "1");
            assert_eq!(response.refused, Some(name), "{name:?}: {value:?}");
            assert_eq!(response.fields, b"Y: 1\r\n");
        }
    }

    #[test]
    fn results_and_text_are_responses() {
        let bad: Result<&'static str, Status> = Err(Status::BAD_REQUEST);
        assert_eq!(Response::from(bad).body(), b"400 Bad Request\n");
        assert_eq!(Response::from(format!("{}", 1)).body(), b"1");
        assert_eq!(Response::from(Status::NO_CONTENT).body(), b"");
        assert_eq!(Response::see_other("/a").fields, b"Location: /a\r\n");
    }

    #[test]
    fn tokens() {
        let all: String = (0..=127u8).filter(|&byte| is_token(byte)).map(char::from).collect();
        assert_eq!(all, "!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~");
    }
}
