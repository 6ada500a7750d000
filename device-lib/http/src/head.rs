//! The head of a request (RFC 9112, 2 to 6): finding its end, byte by byte if it must
//! be, and reading it strictly.
//!
//! Whatever two parsers could understand differently is refused: a line feed without its
//! carriage return, a folded line, white space before a colon, two lengths, a length
//! beside a transfer coding, two hosts. That is what request smuggling is made of.

use core::mem::MaybeUninit;

use crate::request::Fields;
use crate::response::is_token;
use crate::{Method, Status};

/// More headers than this are answered with 431.
const MAX_FIELDS: usize = 96;

/// Looks for the end of a head in bytes that arrive over time; sees each byte once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scanner {
    seen: usize,
    line_start: usize,
    lines: u32,
    after_method: bool,
}

impl Scanner {
    /// The length of the head at the start of `bytes`, once all of it is there. `bytes`
    /// is what it was at the last call, and more.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        while let Some(&byte) = bytes.get(self.seen) {
            // Nearly all bytes are of this kind, and need no more than to be passed over.
            if self.after_method && bytes[self.seen.saturating_sub(1)] != b'\r' {
                let plain = |byte: &&u8| matches!(**byte, b' '..=b'~' | 0x80..);
                let count = bytes[self.seen..].iter().take_while(plain).count();
                self.seen += count;
                if count > 0 {
                    continue;
                }
            }
            match byte {
                b'\n' => {
                    if self.seen == self.line_start || bytes[self.seen - 1] != b'\r' {
                        return Err(Refusal::bad("a line feed without a carriage return"));
                    }
                    if self.seen == self.line_start + 1 {
                        self.seen += 1;
                        return Ok(Some(self.seen));
                    }
                    self.lines += 1;
                    self.line_start = self.seen + 1;
                }
                _ if self.seen > self.line_start && bytes[self.seen - 1] == b'\r' => {
                    return Err(Refusal::bad("a carriage return without a line feed"));
                }
                b'\r' | b' '..=b'~' | 0x80.. if self.after_method => {}
                b' ' if self.seen > 0 => self.after_method = true,
                b'\t' if self.lines > 0 => {}
                // Until the first space stands the method: what is no HTTP at all (TLS,
                // say) is told so at once, and not when the time is up.
                _ if !self.after_method && is_token(byte) => {}
                _ => return Err(Refusal::bad("a byte that no request may have there")),
            }
            self.seen += 1;
        }
        Ok(None)
    }

    /// Whether the end of the request line has been seen.
    pub(crate) fn has_request_line(&self) -> bool {
        self.lines > 0
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What the client is told.
    pub(crate) status: Status,
    /// For the log.
    pub(crate) reason: &'static str,
}

impl Refusal {
    pub(crate) const fn bad(reason: &'static str) -> Refusal {
        Refusal { status: Status::BAD_REQUEST, reason }
    }

    pub(crate) const fn new(status: Status, reason: &'static str) -> Refusal {
        Refusal { status, reason }
    }
}

/// The head of a request, valid by construction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) method: Method,
    pub(crate) target: &'a str,
    pub(crate) fields: Fields<'a>,
    pub(crate) body: Framing,
    /// The connection goes on after this request.
    pub(crate) keep_alive: bool,
    /// HTTP/1.0: the answer must say `keep-alive`, and have no transfer coding.
    pub(crate) old: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
    /// There are headers that make the answer depend on what the client has.
    pub(crate) conditional: bool,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By its length; 0 is no body.
    Length(u64),
    /// By its last chunk.
    Chunked,
}

/// Reads a whole head, as [`Scanner`] found it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Head<'_>, Refusal> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(Refusal::bad("a head that doesn't end where it should")),
        Err(error) => return Err(refusal(error, bytes)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(Refusal::bad("an incomplete request line"));
    };
    let Some(method) = Method::from_token(method) else {
        return Err(Refusal::new(Status::NOT_IMPLEMENTED, "an unknown method"));
    };
    let first_field = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |line| line + 1);
    let mut head = Head {
        method,
        target,
        fields: Fields(&bytes[first_field..]),
        body: Framing::Length(0),
        keep_alive: minor == 1,
        old: minor == 0,
        expects_continue: false,
        conditional: false,
    };
    let mut found = Found::default();
    for field in request.headers.iter() {
        found.note(field.name, field.value, &mut head)?;
    }
    found.judge(&mut head)?;
    Ok(head)
}

/// What the fields said so far of hosts, bodies and the connection.
#[derive(Default)]
struct Found {
    host: bool,
    length: Option<u64>,
    coded: bool,
    close: bool,
    keep_alive: bool,
}

impl Found {
    fn note(&mut self, name: &str, value: &[u8], head: &mut Head<'_>) -> Result<(), Refusal> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        // By length first: nearly all headers are none of these.
        match name.len() {
            4 if is("host") => {
                if core::mem::replace(&mut self.host, true) {
                    return Err(Refusal::bad("two hosts"));
                }
                if !is_host(value) {
                    return Err(Refusal::bad("a host that is none"));
                }
            }
            14 if is("content-length") => {
                let length = parse_length(value)?;
                if self.length.replace(length).is_some() {
                    return Err(Refusal::bad("two lengths"));
                }
            }
            17 if is("transfer-encoding") => {
                if core::mem::replace(&mut self.coded, true) {
                    return Err(Refusal::bad("two transfer codings"));
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    let last = value.rsplit(|&byte| byte == b',').next().unwrap_or_default().trim_ascii();
                    return Err(if last.eq_ignore_ascii_case(b"chunked") && !twice_chunked(value) {
                        Refusal::new(Status::NOT_IMPLEMENTED, "a transfer coding other than chunked")
                    } else {
                        Refusal::bad("a transfer coding that doesn't end in one chunked")
                    });
                }
            }
            10 if is("connection") => {
                for word in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    self.close |= word.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= word.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            6 if is("expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Refusal::new(Status::EXPECTATION_FAILED, "an unknown expectation"));
                }
                head.expects_continue = !head.old;
            }
            5 if is("range") => head.conditional = true,
            8 if is("if-match") || is("if-range") => head.conditional = true,
            13 if is("if-none-match") => head.conditional = true,
            _ => {}
        }
        Ok(())
    }

    fn judge(self, head: &mut Head<'_>) -> Result<(), Refusal> {
        if !self.host && !head.old {
            return Err(Refusal::bad("no host"));
        }
        if self.coded && self.length.is_some() {
            return Err(Refusal::bad("a length beside a transfer coding"));
        }
        if self.coded && head.old {
            return Err(Refusal::bad("a transfer coding in HTTP/1.0"));
        }
        head.body = if self.coded { Framing::Chunked } else { Framing::Length(self.length.unwrap_or(0)) };
        head.expects_continue &= head.body != Framing::Length(0);
        head.keep_alive = !self.close && (head.keep_alive || self.keep_alive);
        Ok(())
    }
}

/// Digits and nothing else (RFC 9112, 6.3): no sign, no list. More than fits into a u64
/// is certainly too much.
fn parse_length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::bad("a length that is no number"));
    }
    value
        .iter()
        .try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
        .ok_or(Refusal::new(Status::CONTENT_TOO_LARGE, "a length beyond all measure"))
}

fn twice_chunked(value: &[u8]) -> bool {
    value
        .split(|&byte| byte == b',')
        .filter(|word| word.trim_ascii().eq_ignore_ascii_case(b"chunked"))
        .count()
        > 1
}

/// The characters of `uri-host [":" port]` (RFC 3986, 3.2.2); empty is allowed.
fn is_host(value: &[u8]) -> bool {
    value.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(&byte))
}

fn refusal(error: httparse::Error, bytes: &[u8]) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::new(Status::HEADER_FIELDS_TOO_LARGE, "too many headers"),
        httparse::Error::Version if names_a_version(bytes) => {
            Refusal::new(Status::VERSION_NOT_SUPPORTED, "another version of HTTP")
        }
        httparse::Error::Version => Refusal::bad("no version of HTTP"),
        httparse::Error::HeaderName => Refusal::bad("a header name that is none"),
        httparse::Error::HeaderValue => Refusal::bad("a header value that is none"),
        httparse::Error::NewLine | httparse::Error::Status | httparse::Error::Token => {
            Refusal::bad("a request line that is none")
        }
    }
}

/// Whether the request line is three words, the last of them ` HTTP/d.d`.
fn names_a_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ').skip(2);
    match (words.next(), words.next()) {
        (Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]), None) => {
            major.is_ascii_digit() && minor.is_ascii_digit()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;

    /// Scans, at once and byte by byte, and parses.
    fn read(text: &str) -> Result<Head<'_>, Refusal> {
        let bytes = text.as_bytes();
        let at_once = Scanner::default().advance(bytes);
        let mut scanner = Scanner::default();
        let by_byte =
            (1..=bytes.len()).map(|end| scanner.advance(&bytes[..end])).find(|found| *found != Ok(None));
        assert_eq!(by_byte.unwrap_or(Ok(None)), at_once, "{text:?}");
        let length = at_once?.unwrap_or_else(|| panic!("incomplete: {text:?}"));
        parse(&bytes[..length])
    }

    fn with(fields: &str) -> Result<Head<'static>, Refusal> {
        read(String::leak(format!("POST /a HTTP/1.1\r\nHost: x\r\n{fields}\r\n")))
    }

    #[test]
    fn whole_heads() {
        let head = read("GET /a?b HTTP/1.1\r\nHost: x:80\r\nAccept: */*\r\n\r\nrest").unwrap();
        assert_eq!((head.method, head.target, head.keep_alive, head.old), (Method::Get, "/a?b", true, false));
        assert_eq!(head.body, Framing::Length(0));
        assert_eq!(head.fields.iter().count(), 2);
        let head = read("GET / HTTP/1.0\r\n\r\n").unwrap();
        assert!(head.old && !head.keep_alive);
        assert!(read("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").unwrap().keep_alive);
        assert!(!with("Connection: foo, Close\r\n").unwrap().keep_alive);
        assert!(!with("Connection: keep-alive\r\nConnection: close\r\n").unwrap().keep_alive);
        assert!(with("X-Bytes: \u{e9}\r\n").is_ok());
    }

    #[test]
    fn bodies() {
        assert_eq!(with("Content-Length: 12\r\n").unwrap().body, Framing::Length(12));
        assert_eq!(with("Transfer-Encoding: Chunked\r\n").unwrap().body, Framing::Chunked);
        assert!(with("Content-Length: 1\r\nExpect: 100-Continue\r\n").unwrap().expects_continue);
        assert!(!with("Expect: 100-continue\r\n").unwrap().expects_continue);
    }

    #[test]
    fn what_is_refused_and_how() {
        let line =
            |line: &str| read(String::leak(format!("{line}\r\nHost: x\r\n\r\n"))).map(|head| head.method);
        for (wrong, code) in [
            ("GET / HTTP/2.0", 505),
            ("GET / HTTP/1.2", 505),
            ("GET / HTTP/1", 400),
            ("GET / http/1.1", 400),
            ("GET /", 400),
            ("GET  / HTTP/1.1", 400),
            ("GET / HTTP/1.1 ", 400),
            (" GET / HTTP/1.1", 400),
            ("GET / a HTTP/1.1", 400),
            ("G@T / HTTP/1.1", 400),
            ("get / HTTP/1.1", 501),
            ("BREW / HTTP/1.1", 501),
            ("GET\t/ HTTP/1.1", 400),
        ] {
            assert_eq!(line(wrong).unwrap_err().status.code(), code, "{wrong}");
        }
        for (wrong, code) in [
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", 400),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", 400),
            ("Content-Length: 1\r\nContent-Length: 2\r\n", 400),
            ("Content-Length: 1, 1\r\n", 400),
            ("Content-Length: +1\r\n", 400),
            ("Content-Length: -1\r\n", 400),
            ("Content-Length: 0x1\r\n", 400),
            ("Content-Length: 1 2\r\n", 400),
            ("Content-Length:\r\n", 400),
            ("Content-Length: 99999999999999999999\r\n", 413),
            ("Content-Length : 1\r\n", 400),
            ("Content_Length\r\n", 400),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
            ("Transfer-Encoding: chunked, gzip\r\n", 400),
            ("Transfer-Encoding: chunked, chunked\r\n", 400),
            ("Transfer-Encoding: identity\r\n", 400),
            ("Transfer-Encoding: xchunked\r\n", 400),
            ("Transfer-Encoding:\r\n", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: \u{b}chunked\r\n", 400),
            ("Host: y\r\n", 400),
            ("Expect: the-unexpected\r\n", 417),
            ("X: a\r\n b\r\n", 400),
            (" X: a\r\n", 400),
            ("X: a\n", 400),
            ("X: a\rb\r\n", 400),
            ("X: a\0b\r\n", 400),
            ("X\u{7f}: a\r\n", 400),
            (": a\r\n", 400),
            ("no colon\r\n", 400),
            ("X: a\r\r\n", 400),
        ] {
            assert_eq!(with(wrong).map(|head| head.body).unwrap_err().status.code(), code, "{wrong:?}");
        }
        for wrong in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        ] {
            assert_eq!(read(wrong).map(|head| head.old).unwrap_err().status.code(), 400, "{wrong:?}");
        }
        let many = "X: y\r\n".repeat(MAX_FIELDS);
        assert_eq!(with(&many).map(|head| head.old).unwrap_err().status.code(), 431);
    }

    #[test]
    fn what_is_no_http_is_refused_at_its_first_bytes() {
        for wrong in
            [&b"\x16\x03\x01\x02\x00"[..], b"\0", b"\n", b"GET /\n", b"\xff", b"<policy-file-request/>"]
        {
            assert!(Scanner::default().advance(wrong).is_err(), "{wrong:?}");
        }
    }
}
