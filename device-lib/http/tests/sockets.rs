//! The service on the host's sockets, with curl and with clients that no curl is.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use unik::executor;
use unik::interface::Clock;
use unik::start::{Context, Listen, Protocol};
use unik_host_ip::{HostIp, Mapping};
use unik_http::{Entry, File, Found, Method, Options, Request, Response, Routes, Site, Status};

static OPTIONS: Options = Options {
    port: 80,
    max_connections: 400,
    max_header: 8192,
    max_body: 65_536,
    header_timeout: Duration::from_secs(1),
    body_timeout: Duration::from_secs(2),
    write_timeout: Duration::from_secs(5),
    idle_timeout: Duration::from_secs(5),
};

static PAGE: File = File {
    head: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Type: text/plain\r\nETag: \"p\"\r\nAccept-Ranges: bytes\r\n",
    content_type: 36,
    etag: 62,
    body: b"hello\n",
};

static BIG: File = File {
    head: "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\nContent-Type: text/plain\r\nETag: \"b\"\r\nAccept-Ranges: bytes\r\n",
    content_type: 42,
    etag: 68,
    body: &[b'x'; 3_000_000],
};

static PATHS: [(&str, Entry); 3] =
    [("/", Entry::File(&PAGE)), ("/big", Entry::File(&BIG)), ("/dir", Entry::Folder("/dir/"))];

struct TestSite;

impl Site for TestSite {
    type Routes = Echo;

    fn paths() -> &'static [(&'static str, Entry)] {
        &PATHS
    }
}

struct Echo;

impl Routes for Echo {
    const ANY: bool = true;

    fn new() -> Self {
        Echo
    }

    fn find(path: &str, method: Method) -> Found {
        match (path, method) {
            ("/echo", Method::Post) => Found::Handler(0),
            ("/echo", _) => Found::Other("OPTIONS, POST"),
            _ => Found::Nothing,
        }
    }

    async fn call(&self, _: u16, request: &Request<'_>) -> Response {
        match request.text() {
            Some(text) => Response::text(text.to_owned()),
            None => Status::UNSUPPORTED_MEDIA_TYPE.into(),
        }
    }
}

#[derive(Clone)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Option<u64> {
        Some(784_111_777_000_000_000)
    }
}

/// Serves on a port that was free a moment ago, in a thread that the tests leave behind.
fn serve() -> SocketAddr {
    static LISTENS: &[Listen] = &[Listen { protocol: Protocol::Tcp, port: 80, service: "site" }];
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let host = free.expect("a free port");
    std::thread::spawn(move || {
        let network = HostIp::new("lan", LISTENS, vec![Mapping { protocol: Protocol::Tcp, port: 80, host }]);
        executor::block_on(async {
            let started =
                unik_http::start(&Context::new("site"), &OPTIONS, TestSite, network, (), Noon).await;
            started.expect("a service");
            unik::time::sleep(Duration::from_secs(600)).await;
        });
    });
    let limit = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(host).is_err() {
        assert!(Instant::now() < limit, "no service");
        std::thread::sleep(Duration::from_millis(5));
    }
    host
}

fn connect(host: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(host).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    stream
}

/// What comes until the other end closes, or resets.
fn rest(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset) => {}
        Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&all)),
    }
    String::from_utf8(all).expect("text")
}

fn ask(host: SocketAddr, request: &str) -> String {
    let mut stream = connect(host);
    stream.write_all(request.as_bytes()).expect("an open half");
    stream.shutdown(Shutdown::Write).expect("an open half");
    rest(stream)
}

/// The output of curl: head and body.
fn curl(arguments: &[&str], url: &str) -> String {
    let output =
        Command::new("curl").args(["-s", "-i", "--max-time", "20"]).args(arguments).arg(url).output();
    let output = output.expect("curl is installed");
    assert!(output.status.success(), "curl {arguments:?} {url}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn curl_gets_what_it_asks_for() {
    let host = serve();
    let url = |path: &str| format!("http://{host}{path}");
    assert_eq!(
        curl(&[], &url("/")),
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Type: text/plain\r\nETag: \"p\"\r\nAccept-Ranges: bytes\r\n\
         Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nhello\n"
    );
    assert!(curl(&["-I"], &url("/")).ends_with("GMT\r\n\r\n"));
    assert!(curl(&["-r", "1-3"], &url("/")).ends_with("\r\n\r\nell"));
    assert!(curl(&["-H", "If-None-Match: \"p\""], &url("/")).starts_with("HTTP/1.1 304 "));
    assert!(curl(&["-0"], &url("/")).ends_with("hello\n"));
    assert_eq!(curl(&[], &url("/big")).len() - 3_000_000, curl(&["-I"], &url("/big")).len());
    assert!(curl(&["-L"], &url("/dir?a=b")).contains("Location: /dir/?a=b\r\n"));
    assert!(curl(&["-X", "DELETE"], &url("/")).starts_with("HTTP/1.1 405 "));
    let body = "0123456789".repeat(5000);
    for how in ["Expect: 100-continue", "Transfer-Encoding: chunked"] {
        assert!(curl(&["-H", how, "-d", &body], &url("/echo")).ends_with(&body), "{how}");
    }
    let too_large = curl(&["-d", &body.repeat(2)], &url("/echo"));
    assert!(too_large.contains("HTTP/1.1 413 "), "{too_large}");
    let three = curl(&[&url("/"), &url("/none")], &url("/"));
    assert_eq!((three.matches("200 OK").count(), three.matches("404 Not Found\r\n").count()), (2, 1));
}

#[test]
fn a_thousand_pipelined_requests() {
    let host = serve();
    let mut all = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    all += "GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answers = ask(host, &all);
    assert_eq!(answers.matches("\r\n\r\nhello\n").count(), 1000);
    assert!(answers.ends_with("404 Not Found\n"));
}

#[test]
fn slow_and_silent_clients() {
    let host = serve();
    let mut stream = connect(host);
    for byte in b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" {
        stream.write_all(&[*byte]).expect("an open half");
        std::thread::sleep(Duration::from_millis(5));
    }
    stream.shutdown(Shutdown::Write).expect("an open half");
    assert!(rest(stream).ends_with("hello\n"));
    // One byte too rarely.
    let start = Instant::now();
    let mut stream = connect(host);
    while start.elapsed() < Duration::from_millis(1500) && stream.write_all(b"G").is_ok() {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(rest(stream).starts_with("HTTP/1.1 408 "));
    assert_eq!(rest(connect(host)), "");
}

#[test]
fn many_clients_at_once_and_more_than_there_is_room_for() {
    let host = serve();
    let mut clients: Vec<TcpStream> = (0..400).map(|_| connect(host)).collect();
    for client in &mut clients {
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("an open half");
    }
    for client in &mut clients {
        let mut answer = [0; 12];
        client.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
    let answer = rest(connect(host));
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Retry-After: 1\r\n"), "{answer}");
    drop(clients);
    let limit = Instant::now() + Duration::from_secs(10);
    while !ask(host, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").ends_with("hello\n") {
        assert!(Instant::now() < limit, "no place becomes free");
    }
}

#[test]
fn the_service_outlives_clients_that_abort_and_clients_that_send_garbage() {
    let host = serve();
    let request =
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcdGET /big HTTP/1.1\r\nHost: x\r\n\r\n";
    for sent in 0..=request.len() {
        for reset in [true, false] {
            let mut stream = connect(host);
            stream.write_all(&request.as_bytes()[..sent]).expect("an open half");
            if sent % 3 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            if reset {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
            }
        }
    }
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for length in 0..200 {
        let garbage: Vec<u8> = (0..length)
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 56) as u8
            })
            .collect();
        let mut stream = connect(host);
        let _ = stream.write_all(&garbage);
        let _ = stream.shutdown(Shutdown::Write);
        let answer = rest(stream);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5"),
            "{answer}"
        );
    }
    for _ in 0..1000 {
        assert!(ask(host, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").ends_with("hello\n"));
    }
}
