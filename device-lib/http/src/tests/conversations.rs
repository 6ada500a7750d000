//! What clients that keep to the rules get.

use super::*;
use alloc::vec;
use unik::shutdown;

fn get(path: &str, fields: &str) -> String {
    talk(&alloc::format!("GET {path} HTTP/1.1\r\nHost: x\r\n{fields}Connection: close\r\n\r\n"))
}

#[test]
fn a_file_with_all_its_headers() {
    assert_eq!(
        get("/", ""),
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Type: text/html; charset=utf-8\r\nETag: \"abc\"\r\n\
         Accept-Ranges: bytes\r\nConnection: close\r\n\r\n0123456789"
    );
    assert_eq!(codes(&get("/none", "")), [404]);
    assert_eq!(codes(&get("/%C3%A9%20x", "")), [200]);
    assert_eq!(codes(&get("/a/../dir/./", "")), [200]);
    assert_eq!(codes(&get("http://x/", "")), [200]);
    assert!(
        get("/dir?a=b", "").contains("301 Moved Permanently\r\nLocation: /dir/?a=b\r\nContent-Length: 0\r\n")
    );
}

#[test]
fn conditions_and_parts() {
    assert_eq!(
        get("/", "If-None-Match: W/\"abc\"\r\n"),
        "HTTP/1.1 304 Not Modified\r\nETag: \"abc\"\r\nAccept-Ranges: bytes\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(
        get("/", "Range: bytes=2-4\r\nIf-Range: \"abc\"\r\n"),
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nContent-Range: bytes 2-4/10\r\n\
         Content-Type: text/html; charset=utf-8\r\nETag: \"abc\"\r\nAccept-Ranges: bytes\r\nConnection: close\r\n\r\n234"
    );
    assert_eq!(
        get("/", "Range: bytes=10-\r\n"),
        "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nContent-Range: bytes */10\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(codes(&get("/", "If-Match: \"x\"\r\n")), [412]);
    assert!(get("/", "Range: bytes=0-1,3-4\r\n").ends_with("0123456789"));
}

#[test]
fn methods() {
    let ask = |method: &str, path: &str| {
        talk(&alloc::format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    };
    let head = ask("HEAD", "/");
    assert!(head.contains("Content-Length: 10\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(ask("HEAD", "/count").contains("Content-Length: 2\r\n"));
    assert!(ask("HEAD", "/none").ends_with("\r\n\r\n"));
    assert!(ask("OPTIONS", "/").contains("204 No Content\r\nAllow: GET, HEAD, OPTIONS\r\nConnection"));
    assert!(ask("OPTIONS", "*").contains("204 No Content"));
    assert!(ask("OPTIONS", "/count").contains("Allow: GET, HEAD, OPTIONS\r\n"));
    assert!(ask("OPTIONS", "/echo").contains("X-Method: OPTIONS\r\n"));
    assert!(
        ask("DELETE", "/").contains("405 Method Not Allowed\r\n") && ask("PUT", "/count").contains("Allow: ")
    );
    assert_eq!(codes(&ask("POST", "/none")), [404]);
    assert_eq!(codes(&ask("TRACE", "/")), [405]);
    assert_eq!(codes(&ask("CONNECT", "x:80")), [501]);
    assert_eq!(codes(&ask("GET", "*")), [400]);
}

#[test]
fn handlers_get_bodies_however_they_come() {
    let post = |fields: &str, body: &str| {
        talk(&alloc::format!("POST /echo?q HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n{body}"))
    };
    for answer in [
        post("Content-Length: 5\r\n", "hello"),
        post("Transfer-Encoding: chunked\r\n", "2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: a\r\n\r\n"),
    ] {
        assert!(answer.ends_with(
            "X-Method: POST\r\nX-Query: q\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
        ));
    }
    assert_eq!(codes(&get("/odd/empty", "")), [204]);
    assert!(!get("/odd/empty", "").contains("Content-Length"));
    assert_eq!(codes(&get("/odd/header", "")), [500]);
    assert!(get("/odd/x%41", "").ends_with("/odd/xA"));
    assert_eq!(
        codes(&talk("GET /odd/close HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")),
        [200]
    );
}

#[test]
fn pipelined_requests_are_answered_in_order_with_one_write() {
    let one = "GET /count HTTP/1.1\r\nHost: x\r\n\r\n";
    let many = alloc::format!(
        "{one}POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nE\r\n0\r\n\r\n\r\n{one}\
         POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nGET GET /odd/slow HTTP/1.1\r\nHost: x\r\n\r\n{one}"
    );
    let text = talk(&many);
    assert_eq!(codes(&text), [200, 200, 200, 404, 200, 200]);
    let places: Vec<_> = ["\r\n1\n", "\r\nE", "\r\n2\n", "404 Not Found\n", "slow", "\r\n3\n"]
        .iter()
        .map(|body| text.find(body))
        .collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} in {text}");

    let (server, mut client) = mock::connection(usize::MAX, usize::MAX);
    let ((), service) = with(&OPTIONS, server, async move || {
        client.write_all(one.repeat(8).as_bytes()).await.unwrap();
        client.read_until(b"\r\n8\n").await;
        assert_eq!(client.writes(), 1);
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        client.read_until(b"0123456789").await;
        assert_eq!(client.writes(), 2);
    });
    assert_eq!(service.counts.requests.get(), 9);
}

#[test]
fn a_body_is_asked_for_only_where_it_is_wanted() {
    let (server, mut client) = mock::connection(usize::MAX, usize::MAX);
    with(&OPTIONS, server, async move || {
        let head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(client.read_until(b"\r\n\r\n").await, b"HTTP/1.1 100 Continue\r\n\r\n");
        client.write_all(b"ab").await.unwrap();
        client.read_until(b"\r\n\r\nab").await;
        client.write_all(head.replace("/echo", "/").as_bytes()).await.unwrap();
        let answer = String::from_utf8(client.read_to_end().await.unwrap()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("Connection: close"), "{answer}");
        client.close().await.unwrap();
    });
    // A body that came with its head isn't asked for.
    let text = talk("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na");
    assert_eq!(codes(&text), [200]);
}

#[test]
fn old_clients() {
    let text = talk("GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n");
    assert_eq!(codes(&text), [200]);
    let text = talk("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n");
    assert_eq!(codes(&text), [200, 200]);
    assert!(text.contains("Connection: keep-alive\r\n") && text.contains("Connection: close\r\n"));
}

#[test]
fn large_files_whole_and_in_parts_to_clients_with_small_windows() {
    for (fields, expected) in [
        ("", &BIG_BODY[..]),
        ("Range: bytes=500-99998\r\n", &BIG_BODY[500..99_999]),
        ("Range: bytes=-7\r\n", &BIG_BODY[99_993..]),
    ] {
        let (server, mut client) = mock::connection(usize::MAX, 700);
        let (answer, _) = with(&OPTIONS, server, async move || {
            let request = alloc::format!("GET /big HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
            client.write_all(request.as_bytes()).await.unwrap();
            client.close().await.unwrap();
            client.read_to_end().await.unwrap()
        });
        let body = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        assert!(answer[body..] == *expected, "{fields}");
    }
}

#[test]
fn a_service_from_its_start() {
    executor::block_on(async {
        let net = mock::Net::default();
        let cx = unik::start::Context::new("site");
        crate::start(&cx, &OPTIONS, TestSite, net.clone(), (), NoClock).await.unwrap();
        let ask = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let (mut one, mut two) = (net.client(), net.client());
        // Two is the limit.
        let mut three = net.client();
        let answer = String::from_utf8(three.read_to_end().await.unwrap()).unwrap();
        assert_eq!(codes(&answer), [503]);
        assert!(
            answer.ends_with("\r\n\r\n503 Service Unavailable\n")
                && answer.contains("Content-Length: 24\r\n")
        );
        one.write_all(ask).await.unwrap();
        one.read_until(b"789").await;
        two.write_all(ask).await.unwrap();
        two.read_until(b"789").await;
        drop(one);
        // Its place is free as soon as the service has seen that.
        let ask = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        loop {
            let mut again = net.client();
            let _ = again.write_all(ask).await;
            if again.read_to_end().await.unwrap_or_default().starts_with(b"HTTP/1.1 200") {
                break;
            }
        }
        drop(two);
    });
}

#[test]
fn a_connection_on_which_nothing_happens_makes_room_for_others() {
    executor::block_on(async {
        static SERVICE_OPTIONS: Options = OPTIONS;
        let cx = unik::start::Context::new("site");
        let net = mock::Net::default();
        crate::start(&cx, &SERVICE_OPTIONS, TestSite, net.clone(), (), NoClock).await.unwrap();
        let ask = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let (mut lost, mut fresh) = (net.client(), net.client());
        lost.write_all(ask).await.unwrap();
        lost.read_until(b"0123456789").await;
        time::sleep(Duration::from_millis(1200)).await;
        fresh.write_all(ask).await.unwrap();
        fresh.read_until(b"0123456789").await;
        // Two is the limit, and the idle one goes.
        let mut third = net.client();
        third.write_all(ask).await.unwrap();
        assert_eq!(lost.read_to_end().await.unwrap_or_else(|got| got), b"");
        drop(lost);
        third.read_until(b"0123456789").await;
        // The one that was answered last is left alone.
        fresh.write_all(ask).await.unwrap();
        fresh.read_until(b"0123456789").await;
    });
}

#[test]
fn a_port_that_is_taken() {
    static TAKEN: Options = Options { port: 1, ..OPTIONS };
    executor::block_on(async {
        let cx = unik::start::Context::new("site");
        let error = crate::start(&cx, &TAKEN, TestSite, mock::Net::default(), (), NoClock).await.unwrap_err();
        assert!(alloc::format!("{error}").contains("port 1"), "{error}");
    });
}

#[test]
fn a_connection_takes_little_memory() {
    static SERVICE_OPTIONS: Options = OPTIONS;
    let service: TestService = Service::new("test", &SERVICE_OPTIONS, NoClock);
    let (server, _client) = mock::connection(1, 1);
    let task = Connection::new(server, &service).run(());
    let size = size_of_val(&task);
    // Beside it: 1 KiB of input, and the output, while a request is being answered.
    assert!(size <= 2048, "{size} bytes");
}

#[test]
fn when_it_is_to_end_nothing_is_begun_and_what_was_begun_is_finished() {
    let (server, mut client) = mock::connection(usize::MAX, usize::MAX);
    let (all, _) = with(&OPTIONS, server, async move || {
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT").await.expect("an open half");
        let first = client.read_until(b"0123456789").await;
        shutdown::ask();
        client.write_all(b"TP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("room");
        let rest = client.read_to_end().await.expect("an end in order");
        [first, rest].map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    });
    assert_eq!((codes(&all[0]), all[0].contains("Connection: ")), (vec![200], false), "{}", all[0]);
    assert_eq!((codes(&all[1]), all[1].contains("Connection: close")), (vec![200], true), "{}", all[1]);
}

#[test]
fn when_it_is_to_end_nobody_is_waited_for() {
    for request in ["", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let (server, mut client) = mock::connection(usize::MAX, usize::MAX);
        with(&OPTIONS, server, async move || {
            client.write_all(request.as_bytes()).await.expect("an open half");
            if !request.is_empty() {
                client.read_until(b"0123456789").await;
            }
            time::sleep(Duration::from_millis(30)).await;
            shutdown::ask();
            let told = time::timeout(Duration::from_secs(5), client.read_to_end()).await;
            assert_eq!(told.expect("soon").expect("in order"), b"", "{request}");
            // Our half too, which the server waits for.
            let _ = client.close().await;
        });
    }
}
