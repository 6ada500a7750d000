//! Whole connections over a TCP of memory.

mod abuse;
mod conversations;
mod fuzz;

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;

use embedded_io_async::Write;
use unik::executor;
use unik::interface::{Clock, TcpStream};
use unik::time::{self, Duration};

use crate::connection::Connection;
use crate::mock::{self, End};
use crate::service::Service;
use crate::{Entry, File, Found, Handler, Method, Options, Request, Response, Routes, Site, States, Status};

/// No time of day: the answers of two runs are equal.
#[derive(Clone)]
pub(crate) struct NoClock;

impl Clock for NoClock {
    fn now(&self) -> Option<u64> {
        None
    }
}

/// For tests of what happens when the time is up.
pub(crate) static HASTY: Options = Options {
    header_timeout: Duration::from_millis(60),
    body_timeout: Duration::from_millis(60),
    write_timeout: Duration::from_millis(60),
    idle_timeout: Duration::from_millis(60),
    ..OPTIONS
};

/// For all others: however busy the machine is, time plays no part in them.
pub(crate) const OPTIONS: Options = Options {
    port: 80,
    max_connections: 2,
    max_header: 512,
    max_body: 1000,
    header_timeout: Duration::from_secs(60),
    body_timeout: Duration::from_secs(60),
    write_timeout: Duration::from_secs(60),
    idle_timeout: Duration::from_secs(60),
};

static BIG_BODY: [u8; 100_000] = {
    let mut body = [0; 100_000];
    let mut at = 0;
    while at < body.len() {
        body[at] = (at % 251) as u8;
        at += 1;
    }
    body
};

static PAGE: File = File {
    head: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Type: text/html; charset=utf-8\r\nETag: \"abc\"\r\nAccept-Ranges: bytes\r\n",
    content_type: 37,
    etag: 77,
    body: b"0123456789",
};

static BIG: File = File {
    head: "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nContent-Type: application/octet-stream\r\nETag: \"big\"\r\nAccept-Ranges: bytes\r\n",
    content_type: 41,
    etag: 81,
    body: &BIG_BODY,
};

static PATHS: [(&str, Entry); 5] = [
    ("/", Entry::File(&PAGE)),
    ("/big", Entry::File(&BIG)),
    ("/dir", Entry::Folder("/dir/")),
    ("/dir/", Entry::File(&PAGE)),
    ("/é x", Entry::File(&PAGE)),
];

/// What the host half would write.
pub(crate) struct TestSite;

impl Site for TestSite {
    type Routes = TestRoutes;

    fn paths() -> &'static [(&'static str, Entry)] {
        &PATHS
    }
}

pub(crate) struct TestRoutes {
    counter: Rc<Cell<u32>>,
}

impl Routes for TestRoutes {
    const ANY: bool = true;

    fn new() -> Self {
        let mut states = States::new();
        TestRoutes { counter: states.share::<<Count as Handler>::State>() }
    }

    fn find(path: &str, method: Method) -> Found {
        match path {
            "/count" => match method {
                Method::Get | Method::Head => Found::Handler(0),
                _ => Found::Other("GET, HEAD, OPTIONS"),
            },
            "/echo" => Found::Handler(1),
            _ if path.starts_with("/odd/") => Found::Handler(2),
            _ => Found::Nothing,
        }
    }

    async fn call(&self, route: u16, request: &Request<'_>) -> Response {
        match route {
            0 => Count::call(request, &self.counter).await,
            1 => Echo::call(request, &()).await,
            2 => Odd::call(request, &()).await,
            _ => Status::NOT_FOUND.into(),
        }
    }
}

struct Count;

impl Handler for Count {
    type State = Cell<u32>;

    async fn call(_: &Request<'_>, state: &Cell<u32>) -> Response {
        state.set(state.get() + 1);
        Response::text(alloc::format!("{}\n", state.get()))
    }
}

struct Echo;

impl Handler for Echo {
    type State = ();

    async fn call(request: &Request<'_>, (): &()) -> Response {
        Response::new("application/octet-stream", request.body().to_vec())
            .header("X-Method", request.method().as_str())
            .header("X-Query", request.query().unwrap_or("none"))
    }
}

struct Odd;

impl Handler for Odd {
    type State = ();

    async fn call(request: &Request<'_>, (): &()) -> Response {
        match request.path() {
            "/odd/header" => Response::text("x").header("X", "a\r\nSet-Cookie: b"),
            "/odd/close" => Response::text("bye").close(),
            "/odd/empty" => Response::empty(Status::NO_CONTENT),
            "/odd/slow" => {
                time::sleep(Duration::from_millis(5)).await;
                Response::text("slow")
            }
            path => Response::text(String::from(path)),
        }
    }
}

pub(crate) type TestService = Service<TestSite, NoClock>;

/// Serves one connection with `options` on `server` while `client` runs.
pub(crate) fn with<R>(
    options: &'static Options,
    server: End,
    client: impl AsyncFnOnce() -> R,
) -> (R, Rc<TestService>) {
    let service = Rc::new(Service::new("test", options, NoClock));
    let shared = Rc::clone(&service);
    let result = executor::block_on(async move {
        let done = Rc::new(Cell::new(false));
        let is_done = Rc::clone(&done);
        executor::spawn("test", async move {
            Connection::new(server, &*shared).run(()).await;
            is_done.set(true);
        });
        let result = client().await;
        let limit = time::now() + Duration::from_secs(10);
        while !done.get() {
            assert!(time::now() < limit, "the connection doesn't end");
            time::sleep(Duration::from_micros(100)).await;
        }
        result
    });
    (result, service)
}

/// Everything that the server sends to a client that sends `input`, at most `window`
/// bytes at a time, and then closes its half.
pub(crate) fn talk_in(input: &[u8], window: usize) -> (Vec<u8>, Rc<TestService>) {
    let (server, mut client) = mock::connection(window, usize::MAX);
    with(&OPTIONS, server, async move || {
        // The server may have closed or reset by then.
        let _ = client.write_all(input).await;
        let _ = client.close().await;
        client.read_to_end().await.unwrap_or_else(|got| got)
    })
}

/// As [`talk_in`], in one piece and byte by byte, which must make no difference.
pub(crate) fn talk(input: &str) -> String {
    let (at_once, _) = talk_in(input.as_bytes(), usize::MAX);
    let (by_bytes, _) = talk_in(input.as_bytes(), 1);
    let text = String::from_utf8_lossy(&at_once).into_owned();
    assert_eq!(text, String::from_utf8_lossy(&by_bytes), "for {input:?}");
    text
}

/// The status codes of the responses in `text`.
pub(crate) fn codes(text: &str) -> Vec<u16> {
    text.split("HTTP/1.1 ").skip(1).map(|response| response[..3].parse().expect("a code")).collect()
}
