//! What clients that break the rules get.

use super::*;

#[test]
fn malformed_requests_get_their_status_and_end_the_connection() {
    let next = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let long = "x".repeat(600);
    for (input, code) in [
        (alloc::format!("\x16\x03\x01 {next}"), 400),
        (alloc::format!("GET /\r\n\r\n{next}"), 400),
        (alloc::format!("GET / HTTP/1.1\nHost: x\n\n{next}"), 400),
        (alloc::format!("GET / HTTP/1.1\r\n\r\n{next}"), 400),
        (alloc::format!("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n{next}"), 400),
        (alloc::format!("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n{next}"), 400),
        (alloc::format!("GET /../x HTTP/1.1\r\nHost: x\r\n\r\n{next}"), 400),
        (alloc::format!("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n{next}"), 400),
        (alloc::format!("GET / HTTP/3.0\r\nHost: x\r\n\r\n{next}"), 505),
        (alloc::format!("BREW / HTTP/1.1\r\nHost: x\r\n\r\n{next}"), 501),
        (alloc::format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n{next}"), 414),
        (alloc::format!("GET / HTTP/1.1\r\nHost: x\r\nA: {long}\r\n\r\n{next}"), 431),
        (alloc::format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n{next}"), 413),
        (alloc::format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n{next}"), 413),
        (
            alloc::format!(
                "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na{next}"
            ),
            400,
        ),
        (
            alloc::format!(
                "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{next}"
            ),
            400,
        ),
        (
            alloc::format!(
                "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{next}"
            ),
            501,
        ),
        (
            alloc::format!(
                "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{next}"
            ),
            400,
        ),
        (
            alloc::format!(
                "POST /none HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n{next}"
            ),
            400,
        ),
        (
            alloc::format!(
                "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n{}\r\n0\r\n\r\n{next}",
                "x".repeat(1001)
            ),
            413,
        ),
        (alloc::format!("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: more\r\n\r\n{next}"), 417),
        (String::from("GET / HTTP/1.1\r\nHo"), 400),
        (String::from("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc"), 400),
    ] {
        let text = talk(&input);
        assert_eq!(codes(&text), [code], "{input:?}");
        assert!(text.contains("Connection: close\r\n"), "{text}");
        // What came before is answered first.
        assert_eq!(codes(&talk(&alloc::format!("{next}{input}"))), [200, code], "{input:?}");
        let (_, service) = talk_in(input.as_bytes(), 7);
        assert_eq!(service.counts.refused.get(), 1, "{input:?}");
    }
}

#[test]
fn silence_and_empty_lines_are_no_requests() {
    assert_eq!(talk(""), "");
    assert_eq!(talk("\r\n\r\n"), "");
    assert_eq!(codes(&talk("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")), [200]);
    assert_eq!(codes(&talk("\r")), [400]);
}

/// Sends `first`, waits for what comes and `then`s that until the server ends it: what
/// came, and how long that took.
fn wait_after(first: &str, drip: &str) -> (String, Duration, Rc<TestService>) {
    let (server, mut client) = mock::connection(usize::MAX, usize::MAX);
    let ((text, time), service) = with(&HASTY, server, async move || {
        let start = time::now();
        client.write_all(first.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        for byte in drip.bytes() {
            let mut piece = [0; 512];
            match time::timeout(
                Duration::from_millis(10),
                embedded_io_async::Read::read(&mut client, &mut piece),
            )
            .await
            {
                Ok(Ok(0)) => break,
                Ok(Ok(length)) => all.extend_from_slice(&piece[..length]),
                Ok(Err(error)) => panic!("{error}"),
                Err(_) => client.write_all(&[byte]).await.unwrap(),
            }
        }
        all.extend(client.read_to_end().await.unwrap());
        client.close().await.unwrap();
        (String::from_utf8(all).unwrap(), start.elapsed())
    });
    (text, time, service)
}

#[test]
fn slow_clients_are_told_so() {
    let drip = "x".repeat(200);
    for first in [
        "G",
        "GET / HTTP/1.1\r\nHost: x\r\nA: ",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n",
    ] {
        let (text, time, service) = wait_after(first, &drip);
        assert_eq!(codes(&text), [408], "{first:?}");
        assert!(time >= HASTY.header_timeout && time < Duration::from_millis(900), "{time:?}");
        assert_eq!(service.counts.timed_out.get(), 1);
    }
    // Answers don't wait for the next request's body.
    let (text, ..) = wait_after(
        "GET / HTTP/1.1\r\nHost: x\r\n\r\nPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
        "",
    );
    assert_eq!(codes(&text), [200, 408]);
}

#[test]
fn idle_clients_are_closed_without_a_word() {
    let (text, time, service) = wait_after("", "");
    assert_eq!((text.as_str(), service.counts.timed_out.get()), ("", 0));
    assert!(time >= HASTY.header_timeout);
    let (text, ..) = wait_after("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "");
    assert_eq!(codes(&text), [200]);
    // Empty lines don't keep a connection open.
    let (text, time, _) = wait_after("\r\n", &"\r\n".repeat(100));
    // Half of one is, when the time is up just then.
    assert!(text.is_empty() || codes(&text) == [408]);
    assert!(time < Duration::from_millis(900), "{time:?}");
}

#[test]
fn a_client_that_reads_nothing_is_reset() {
    let (server, mut client) = mock::connection(usize::MAX, 10_000);
    let (read, service) = with(&HASTY, server, async move || {
        client.write_all(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        time::sleep(HASTY.write_timeout * 3).await;
        client.read_to_end().await
    });
    assert!(read.is_err());
    assert_eq!(service.counts.timed_out.get(), 1);
}

#[test]
fn clients_that_abort_at_every_stage() {
    let input = b"GET /big HTTP/1.1\r\nHost: x\r\n\r\nPOST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n0\r\n\r\nGET /odd/slow HTTP/1.1\r\nHost: x\r\n\r\n";
    for sent in 0..=input.len() {
        for read in [0, 1, 50, 90_000] {
            let (server, mut client) = mock::connection(usize::MAX, 5000);
            with(&OPTIONS, server, async move || {
                client.write_all(&input[..sent]).await.unwrap();
                unik::executor::yield_now().await;
                let mut left = if sent < 30 { 0 } else { read };
                while left > 0 {
                    let mut piece = [0; 4096];
                    let room = left.min(piece.len());
                    left -= embedded_io_async::Read::read(&mut client, &mut piece[..room]).await.unwrap();
                }
            });
        }
    }
}
