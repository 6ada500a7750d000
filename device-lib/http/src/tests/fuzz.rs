//! Fuzz harnesses: random bytes, and random sequences of what requests are made of.
//! Bounded under `cargo test`; `cargo bolero test` runs them for as long as one likes.

use bolero::check;

use super::*;
use crate::chunked::{Decoder, Piece};
use crate::condition;
use crate::head::{self, Scanner};
use crate::path;
use crate::request::Fields;

const PIECES: &[&str] = &[
    "GET ",
    "HEAD ",
    "POST ",
    "OPTIONS ",
    "CONNECT ",
    "BREW ",
    "/",
    "/big",
    "/echo",
    "/count",
    "/odd/close",
    "/dir",
    "*",
    "http://x/",
    "?a=b",
    "%2e%2e/",
    "%",
    "é",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    " HTTP/2.0\r\n",
    "Host: x\r\n",
    "\r\n",
    "\r",
    "\n",
    " ",
    "\t",
    ":",
    "\0",
    "Content-Length: ",
    "0\r\n",
    "3\r\n",
    "5",
    "99999999999999999999",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip\r\n",
    "Expect: 100-continue\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "If-None-Match: \"abc\"\r\n",
    "If-Match: *\r\n",
    "Range: bytes=",
    "1-2\r\n",
    "-3\r\n",
    "abc",
    "abc\r\n",
    "0\r\n\r\n",
    "3\r\nabc\r\n",
    ";x\r\n",
    "T: v\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: x\r\n",
    "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
];

/// However its input is cut into pieces, a connection ends, and says the same.
fn any_cut_gives_the_same(input: &[u8], window: usize) {
    let (whole, _) = talk_in(input, usize::MAX);
    let (cut, _) = talk_in(input, window.max(1));
    assert!(whole == cut, "{:?}", String::from_utf8_lossy(input));
    assert!(whole.is_empty() || whole.starts_with(b"HTTP/1.1 "));
}

#[test]
fn fuzz_connection_with_bytes() {
    check!().with_iterations(2000).with_type::<(Vec<u8>, u8)>().for_each(|(input, window)| {
        any_cut_gives_the_same(input, usize::from(*window));
    });
}

#[test]
fn fuzz_connection_with_pieces() {
    check!().with_iterations(4000).with_type::<(Vec<u8>, u8)>().for_each(|(choice, window)| {
        let input: String = choice.iter().map(|&at| PIECES[usize::from(at) % PIECES.len()]).collect();
        any_cut_gives_the_same(input.as_bytes(), usize::from(*window));
    });
}

#[test]
fn fuzz_head() {
    check!().with_iterations(20_000).with_type::<Vec<u8>>().for_each(|choice| {
        let text: String = choice.iter().map(|&at| PIECES[usize::from(at) % PIECES.len()]).collect();
        for bytes in [choice.as_slice(), text.as_bytes()] {
            // Whatever the scanner says: the parser stands on its own feet.
            let _ = head::parse(bytes);
            if let Ok(Some(length)) = Scanner::default().advance(bytes) {
                assert!(bytes[..length].ends_with(b"\r\n\r\n"));
                if let Ok(head) = head::parse(&bytes[..length]) {
                    let _ = condition::judge(head.fields, true, b"\"abc\"", 10);
                    assert!(head.fields.iter().count() <= 96);
                }
            }
        }
    });
}

#[test]
fn fuzz_target() {
    check!().with_iterations(20_000).with_type::<Vec<u8>>().for_each(|bytes| {
        let Ok(text) = core::str::from_utf8(bytes) else { return };
        for target in [String::from(text), alloc::format!("/{text}"), alloc::format!("/a/%2e./{text}")] {
            if let Ok(path::Target::Path { path, .. }) = path::resolve(&target, &mut Vec::new()) {
                assert!(path.starts_with('/') && !path.contains('\0'));
                assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
            }
        }
    });
}

#[test]
fn fuzz_condition() {
    check!().with_iterations(20_000).with_type::<Vec<u8>>().for_each(|value| {
        let mut fields = b"Range: bytes=".to_vec();
        fields.extend(value.iter().filter(|&&byte| byte != b'\n'));
        if let condition::Answer::Part(range) = condition::judge(Fields(&fields), true, b"\"a\"", 10) {
            assert!(range.start < range.end && range.end <= 10);
        }
        fields.splice(..13, *b"If-Match: ");
        let _ = condition::judge(Fields(&fields), true, b"\"a\"", 10);
    });
}

#[test]
fn fuzz_chunks() {
    check!().with_iterations(20_000).with_type::<Vec<u8>>().for_each(|choice| {
        let text: String = choice.iter().map(|&at| PIECES[usize::from(at) % PIECES.len()]).collect();
        for bytes in [choice.as_slice(), text.as_bytes()] {
            let (mut decoder, mut rest) = (Decoder::new(), bytes);
            while let Ok(Piece::Data(data)) = decoder.next(&mut rest) {
                assert!(!data.is_empty());
            }
        }
    });
}
