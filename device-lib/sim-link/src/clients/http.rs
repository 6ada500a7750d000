//! A client of HTTP/1.1 (RFC 9112).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use sha2::{Digest, Sha256};
use unik::platform::sim::Random;

use super::connection::{Connection, Read};
use super::{Client, Cx, MS, Step};

/// What all clients know of the sites of a network.
#[derive(Debug)]
pub(crate) struct Pages {
    /// What may be asked for, in the order in which it was found.
    paths: Vec<String>,
    /// The content that an entity tag stood for, by port, path and tag.
    seen: BTreeMap<(u16, String, Vec<u8>), [u8; 32]>,
}

/// As many paths are remembered.
const PATHS: usize = 64;
/// A path that no site has.
const NOWHERE: &str = "/no/such/page-of-a-simulation";
/// As many bytes of an answer are read.
const LARGEST: usize = 16 << 20;

impl Pages {
    pub fn new(paths: &[String]) -> Self {
        Pages { paths: paths.to_vec(), seen: BTreeMap::new() }
    }

    /// Remembers the links of a page at `path`.
    fn learn(&mut self, path: &str, body: &[u8]) {
        let text = String::from_utf8_lossy(body);
        for attribute in ["href=\"", "src=\""] {
            for (at, _) in text.match_indices(attribute) {
                let link = text[at + attribute.len()..].split(['"', '#', '?']).next().unwrap_or_default();
                let is_path = !link.is_empty() && !link.contains(':') && !link.starts_with("//");
                let is_token = link.bytes().all(|byte| byte.is_ascii_graphic());
                if !is_path || !is_token || self.paths.len() >= PATHS {
                    continue;
                }
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let found = if link.starts_with('/') { link.into() } else { format!("{folder}/{link}") };
                if !self.paths.contains(&found) {
                    self.paths.push(found);
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Request {
    is_head: bool,
    path: String,
}

/// Some requests on one connection.
#[derive(Debug)]
pub(crate) struct Http {
    port: u16,
    pages: Rc<RefCell<Pages>>,
    requests: Vec<Request>,
    /// The text of all requests, as far as it wasn't sent.
    unsent: Vec<u8>,
    is_written: bool,
    /// All at once, or each after the answer to the one before.
    is_pipelined: bool,
    /// Resets the connection after this many bytes of answers.
    abort_at: Option<usize>,
    answered: usize,
    received: usize,
    buffer: Vec<u8>,
    pause: u64,
    connection: Option<Connection>,
}

impl Http {
    pub fn new(port: u16, random: &mut Random, pages: Rc<RefCell<Pages>>) -> Self {
        let requests = (0..random.between(1, 5)).map(|_| {
            let paths = &pages.borrow().paths;
            let known = random.between(0, paths.len() as u64) as usize;
            let path = paths.get(known).map_or(NOWHERE, String::as_str).into();
            Request { is_head: random.happens(200_000), path }
        });
        let requests = requests.collect();
        let is_pipelined = random.happens(300_000);
        let abort_at = random.happens(100_000).then(|| random.between(0, 2_000) as usize);
        Http {
            port,
            pages,
            requests,
            unsent: Vec::new(),
            is_written: false,
            is_pipelined,
            abort_at,
            answered: 0,
            received: 0,
            buffer: Vec::new(),
            pause: 0,
            connection: None,
        }
    }

    fn write_requests(&mut self, guest: &str) {
        let last = self.requests.len() - 1;
        let (from, to) = if self.is_pipelined { (0, last) } else { (self.answered, self.answered) };
        for (at, request) in self.requests.iter().enumerate().take(to + 1).skip(from) {
            let method = if request.is_head { "HEAD" } else { "GET" };
            let close = if at == last { "Connection: close\r\n" } else { "" };
            let text = format!("{method} {} HTTP/1.1\r\nHost: {guest}\r\n{close}\r\n", request.path);
            self.unsent.extend(text.bytes());
        }
        self.is_written = true;
    }

    fn advance(&mut self, cx: &mut Cx<'_>) -> Result<Step, Step> {
        let port = self.port;
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(cx, port),
        };
        let step = self.converse(&mut connection, cx);
        self.connection = Some(connection);
        step
    }

    fn converse(&mut self, connection: &mut Connection, cx: &mut Cx<'_>) -> Result<Step, Step> {
        if !connection.poll_up(cx)? {
            return Ok(Step::Wait(u64::MAX));
        }
        let mut chunk = [0; 2048];
        let is_end = loop {
            match connection.receive(cx, &mut chunk)? {
                Read::Some(count) => {
                    self.received += count;
                    self.buffer.extend(&chunk[..count]);
                    if self.buffer.len() > LARGEST {
                        return Err(Step::Wrong(format!("an answer of more than {LARGEST} bytes")));
                    }
                }
                Read::Nothing => break false,
                Read::End => break true,
            }
        };
        while let Some(request) = self.requests.get(self.answered).cloned() {
            let answer = Answer::read(&self.buffer, request.is_head, is_end)
                .map_err(|why| Step::Wrong(format!("the answer to {}: {why}", request.path)))?;
            let Some(answer) = answer else { break };
            self.judge(&request, &answer)?;
            let (length, closes) = (answer.length, answer.closes);
            self.buffer.drain(..length);
            self.answered += 1;
            self.is_written = self.is_pipelined;
            if closes {
                self.requests.truncate(self.answered);
            }
        }
        if self.abort_at.is_some_and(|at| self.received >= at) {
            connection.abort(cx);
            return Ok(Step::Done);
        }
        if self.answered == self.requests.len() {
            if !self.buffer.is_empty() {
                return Err(Step::Wrong("bytes came behind the last answer".into()));
            }
            connection.close(cx);
            return Ok(if is_end { Step::Done } else { Step::Wait(u64::MAX) });
        }
        if is_end {
            let (answered, all) = (self.answered, self.requests.len());
            if cx.is_ending && !self.buffer.is_empty() {
                return Err(Step::Wrong("it ended in the middle of an answer".into()));
            }
            return Err(Step::Broken(format!("it closed the connection after {answered} of {all} answers")));
        }
        if !self.is_written {
            self.write_requests(&cx.guest.to_string());
        }
        while !self.unsent.is_empty() && self.pause <= cx.now {
            let length = if cx.random.happens(200_000) { cx.random.between(1, 40) as usize } else { 1_000 };
            let sent = connection.send(cx, &self.unsent[..length.min(self.unsent.len())])?;
            if sent == 0 {
                break;
            }
            self.unsent.drain(..sent);
            if cx.random.happens(200_000) {
                self.pause = cx.now + cx.random.between(MS, 100 * MS);
            }
        }
        let waits = !self.unsent.is_empty() && self.pause > cx.now;
        Ok(Step::Wait(if waits { self.pause } else { u64::MAX }))
    }

    /// Whether the answer can be one to this request.
    fn judge(&self, request: &Request, answer: &Answer<'_>) -> Result<(), Step> {
        let path = &request.path;
        if answer.status >= 500 {
            return Err(Step::Wrong(format!("{path} was answered with {}", answer.status)));
        }
        if path == NOWHERE && answer.status == 200 {
            return Err(Step::Wrong(format!("{path}, which nobody has, was answered with 200")));
        }
        let mut pages = self.pages.borrow_mut();
        if request.is_head || answer.status != 200 {
            return Ok(());
        }
        if let Some(tag) = answer.tag {
            let hash = Sha256::digest(&answer.body).into();
            let key = (self.port, path.clone(), tag.to_vec());
            if *pages.seen.entry(key).or_insert(hash) != hash {
                return Err(Step::Wrong(format!("{path} was answered differently under one entity tag")));
            }
        }
        pages.learn(path, &answer.body);
        Ok(())
    }
}

impl Client for Http {
    fn step(&mut self, cx: &mut Cx<'_>) -> Step {
        self.advance(cx).unwrap_or_else(|step| step)
    }

    fn waits_for(&self) -> String {
        let path = self.requests.get(self.answered).map_or("", |request| request.path.as_str());
        if path.is_empty() {
            return "the connection to be closed after the last answer".into();
        }
        format!("the answer to {path}: {} bytes of it are there", self.buffer.len())
    }

    fn leave(&mut self, cx: &mut Cx<'_>) {
        if let Some(connection) = self.connection.take() {
            connection.leave(cx);
        }
    }
}

/// One whole answer.
#[derive(Debug, PartialEq, Eq)]
struct Answer<'a> {
    status: u16,
    tag: Option<&'a [u8]>,
    body: Vec<u8>,
    closes: bool,
    /// Bytes of all of it.
    length: usize,
}

impl<'a> Answer<'a> {
    /// The answer at the beginning of `bytes`; `None` while it isn't whole. What is wrong with one
    /// that contradicts itself.
    fn read(bytes: &'a [u8], is_head: bool, is_end: bool) -> Result<Option<Self>, String> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut headers);
        let start = match head.parse(bytes) {
            Ok(httparse::Status::Complete(start)) => start,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(format!("its head is broken: {error}")),
        };
        let status = head.code.unwrap_or_default();
        let values = |name: &str| -> Vec<&'a [u8]> {
            let named = head.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
            named.map(|header| header.value).collect()
        };
        let has = |name: &str, word: &[u8]| values(name).iter().any(|value| value.eq_ignore_ascii_case(word));
        let tag = values("etag").first().copied();
        let closes = has("connection", b"close");
        let is_chunked = has("transfer-encoding", b"chunked");
        let lengths = values("content-length");
        let rest = &bytes[start..];
        let whole = |body: &[u8], used: usize| {
            Ok(Some(Answer { status, tag, body: body.to_vec(), closes, length: start + used }))
        };
        if is_head || matches!(status, 100..=199 | 204 | 304) {
            return whole(&[], 0);
        }
        if is_chunked {
            if !lengths.is_empty() {
                return Err("it has chunks and a length".into());
            }
            return match chunks(rest)? {
                Some((body, used)) => whole(&body, used),
                None => Ok(None),
            };
        }
        match lengths.as_slice() {
            [] if is_end => whole(rest, rest.len()),
            [] if closes => Ok(None),
            [] => Err("nothing says where it ends".into()),
            [length] => {
                let length = std::str::from_utf8(length).ok().and_then(|text| text.parse::<usize>().ok());
                let length = length.ok_or("its length is no number")?;
                if rest.len() < length { Ok(None) } else { whole(&rest[..length], length) }
            }
            _ => Err("it has several lengths".into()),
        }
    }
}

/// A chunked body (RFC 9112, section 7.1), and how many bytes it takes; `None` while it isn't whole.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        match httparse::parse_chunk_size(&bytes[at..]) {
            Ok(httparse::Status::Complete((line, size))) => {
                let size = usize::try_from(size).map_err(|_| "a chunk is too large")?;
                let (start, end) = (at + line, at + line + size);
                let Some(tail) = bytes.get(end..end + 2) else { return Ok(None) };
                if tail != b"\r\n" {
                    return Err("a chunk has another length than it says".into());
                }
                body.extend(&bytes[start..end]);
                at = end + 2;
                if size == 0 {
                    return Ok(Some((body, at)));
                }
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err("the size of a chunk is broken".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, is_head: bool, is_end: bool) -> Result<Option<(u16, String, usize)>, String> {
        let answer = Answer::read(text.as_bytes(), is_head, is_end)?;
        Ok(answer
            .map(|answer| (answer.status, String::from_utf8_lossy(&answer.body).into_owned(), answer.length)))
    }

    #[test]
    fn answers_end_where_they_say() {
        let fixed = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP";
        assert_eq!(read(fixed, false, false), Ok(Some((200, "abc".into(), fixed.len() - 4))));
        assert_eq!(read(&fixed[..40], false, false), Ok(None));
        assert_eq!(read(fixed, true, false), Ok(Some((200, String::new(), fixed.len() - 7))));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(read(chunked, false, false), Ok(Some((200, "abc".into(), chunked.len()))));
        for end in 0..chunked.len() {
            assert_eq!(read(&chunked[..end], false, false), Ok(None), "{end}");
        }
        let to_end = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc";
        assert_eq!(read(to_end, false, false), Ok(None));
        assert_eq!(read(to_end, false, true), Ok(Some((200, "abc".into(), to_end.len()))));
        for wrong in [
            "garbage\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        ] {
            assert!(read(wrong, false, false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pages_link_to_others() {
        let mut pages = Pages::new(&["/".to_string()]);
        pages.learn(
            "/a/index.html",
            b"<a href=\"b.html#x\"> <img src=\"/c.png\"> <a href=\"https://x/\"> <a href=\"//y\"> <a href=\"\">",
        );
        assert_eq!(pages.paths, ["/", "/a/b.html", "/c.png"]);
    }
}
