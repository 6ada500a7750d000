//! Windows that are closed, tiny or slow, and segments that are cut in odd ways.

use std::time::Duration;

use unik_tests::hub::Hub;
use unik_tests::peer::{ACK, Conn, PSH, SOON, Wrong};
use unik_tests::rig::large;

use crate::{CHARGEN, Case, ECHO, HTTP, PAGE, REQUEST};

pub(crate) const CASES: &[Case] = &[
    ("zero window, probed, opened again", zero_window),
    ("window opened only in answer to a probe", window_update_lost),
    ("window that shrinks below what is on its way", shrunk_window),
    ("segments of one byte", tiny_segments),
    ("one byte each, the odd ones first", odd_bytes_first),
    ("overlapping segments of different content", overlapping),
    ("segment that begins before the window and ends in it", half_old),
    ("slow reader with a window of 64 bytes", slow_reader),
    ("slow writer", slow_writer),
    ("pipelined requests in one segment and a half", pipelined),
];

/// A character generator's stream: lines whose every byte follows from its place.
fn assert_chargen(bytes: &[u8], from: usize) -> Result<(), Wrong> {
    let expected = |at: usize| {
        let (line, column) = (at / 74 % 95, at % 74);
        match column {
            72 => b'\r',
            73 => b'\n',
            _ => b' ' + ((line + column) % 95) as u8,
        }
    };
    match (0..bytes.len()).find(|&at| bytes[at] != expected(from + at)) {
        None => Ok(()),
        Some(at) => Err(format!("byte {} of the stream is {:#x}", from + at, bytes[at])),
    }
}

/// Takes `size` bytes, with a window that closes as they come.
fn fill(conn: &mut Conn<'_>, size: usize) -> Result<(), Wrong> {
    while conn.received.len() < size {
        let Some(segment) = conn.take(SOON)? else {
            return Err(format!("{} bytes came into a window of {size}", conn.received.len()));
        };
        if conn.accept(&segment) {
            conn.window = (size - conn.received.len()) as u16;
            conn.at(0, ACK, b"");
        }
    }
    Ok(())
}

fn zero_window(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::new(hub, CHARGEN);
    conn.window = 4000;
    conn.request()?;
    conn.say(ACK, b"");
    fill(&mut conn, 4000)?;
    let full = conn.expected;
    conn.never("data into a closed window", |segment| segment.data.len() > 1)?;
    // Probes come, later and later, and may bring a byte, which we have no room for.
    for _ in 0..3 {
        conn.expect("probe of a closed window", Duration::from_secs(10), |probe| {
            probe.has(ACK) && probe.data.len() <= 1
        })?;
        conn.at(0, ACK, b"");
    }
    conn.window = 3000;
    conn.at(0, ACK, b"");
    conn.absorb("data after the window opened", SOON, |conn| conn.expected.wrapping_sub(full) >= 9000)?;
    assert_chargen(&conn.received, 0)
}

fn window_update_lost(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::new(hub, CHARGEN);
    conn.window = 2000;
    conn.request()?;
    conn.say(ACK, b"");
    fill(&mut conn, 2000)?;
    // The window opens now, but we say so only when we are asked.
    conn.expect("probe of a closed window", Duration::from_secs(10), |probe| probe.has(ACK))?;
    conn.window = 8000;
    conn.at(0, ACK, b"");
    conn.absorb("data after the window opened", SOON, |conn| conn.received.len() >= 20_000)?;
    assert_chargen(&conn.received, 0)
}

fn shrunk_window(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::new(hub, CHARGEN);
    conn.window = 10_000;
    conn.request()?;
    conn.say(ACK, b"");
    let segment = conn.expect("data", SOON, |segment| !segment.data.is_empty())?;
    conn.accept(&segment);
    // RFC 9293, section 3.8.6: "shrinking the window" is discouraged, and must be lived with.
    conn.window = 100;
    conn.at(0, ACK, b"");
    std::thread::sleep(Duration::from_millis(100));
    while conn.take(Duration::ZERO)?.is_some() {}
    conn.window = 20_000;
    conn.at(0, ACK, b"");
    conn.absorb("data again", Duration::from_secs(15), |conn| conn.received.len() >= 30_000)?;
    assert_chargen(&conn.received, 0)
}

fn tiny_segments(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, HTTP)?;
    for byte in REQUEST {
        conn.say(ACK | PSH, &[*byte]);
    }
    conn.absorb("an answer", SOON, |conn| conn.ended)?;
    if conn.received.starts_with(b"HTTP/1.1 200") && conn.received.ends_with(PAGE) {
        return Ok(());
    }
    Err(format!("answered {:?}", String::from_utf8_lossy(&conn.received)))
}

fn odd_bytes_first(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    let data: Vec<u8> = (0..100).collect();
    let begin = conn.next;
    for at in (1..100).step_by(2) {
        conn.at(at, ACK, &data[at as usize..][..1]);
    }
    // Few holes are remembered: what is missing is sent again until all is there.
    for _ in 0..100 {
        let done = conn.acknowledged.wrapping_sub(begin).min(100);
        for at in i64::from(done)..100 {
            conn.at(at, ACK, &data[at as usize..][..1]);
        }
        while let Some(segment) = conn.take(Duration::from_millis(30))? {
            conn.accept(&segment);
        }
        if conn.received.len() >= 100 {
            break;
        }
    }
    conn.next = begin.wrapping_add(100);
    match conn.received == data {
        true => {
            conn.at(0, ACK, b"");
            conn.echo(b"and on")
        }
        false => Err(format!("came back as {:?}", conn.received)),
    }
}

fn overlapping(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    // Out of order, so that the overlap is decided before anything is delivered.
    conn.at(10, ACK, &[b'B'; 10]);
    conn.at(5, ACK, &[b'C'; 10]);
    conn.say(ACK | PSH, &[b'A'; 12]);
    conn.next = conn.next.wrapping_add(8);
    conn.absorb("the echo", SOON, |conn| conn.received.len() >= 20)?;
    let came = std::mem::take(&mut conn.received);
    // Which of two contents counts is not said anywhere; that each byte is one of them, once, is.
    let choices: [&[u8]; 4] = [b"A", b"AC", b"ABC", b"B"];
    let places = [0..5, 5..10, 10..15, 15..20].into_iter().zip(choices);
    let fits = came.len() == 20
        && places.into_iter().all(|(range, choice)| came[range].iter().all(|byte| choice.contains(byte)));
    if !fits {
        return Err(format!("came back as {:?}", String::from_utf8_lossy(&came)));
    }
    // What was acknowledged can't be changed any more.
    conn.at(-20, ACK, &[b'D'; 20]);
    conn.never("old bytes that come back", |segment| !segment.data.is_empty())?;
    conn.echo(b"and on")
}

fn half_old(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    conn.echo(b"0123456789")?;
    conn.at(-4, ACK | PSH, b"XXXXabcd");
    conn.next = conn.next.wrapping_add(4);
    conn.absorb("the echo", SOON, |conn| conn.received.len() >= 4)?;
    match &conn.received[..] {
        b"abcd" => conn.echo(b"and on"),
        other => Err(format!("came back as {:?}", String::from_utf8_lossy(other))),
    }
}

fn slow_reader(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::new(hub, HTTP);
    conn.window = 64;
    conn.request()?;
    conn.say(ACK, b"");
    conn.say(
        ACK | PSH,
        b"GET /large.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=0-19999\r\nConnection: close\r\n\r\n",
    );
    conn.absorb("the whole answer", Duration::from_secs(20), |conn| conn.ended)?;
    match conn.received.ends_with(&large()[..20_000]) {
        true => Ok(()),
        false => Err(format!("{} bytes that are not the file's", conn.received.len())),
    }
}

fn slow_writer(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, HTTP)?;
    for byte in REQUEST {
        conn.say(ACK | PSH, &[*byte]);
        std::thread::sleep(Duration::from_millis(20));
    }
    conn.absorb("an answer", SOON, |conn| conn.ended)?;
    if conn.received.ends_with(PAGE) { Ok(()) } else { Err("not the page".into()) }
}

fn pipelined(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, HTTP)?;
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let requests = [&request.repeat(9)[..], REQUEST].concat();
    let (first, second) = requests.split_at(100);
    conn.say(ACK, first);
    conn.say(ACK | PSH, second);
    conn.absorb("ten answers", SOON, |conn| conn.ended)?;
    let text = String::from_utf8_lossy(&conn.received);
    match text.matches("HTTP/1.1 200").count() {
        10 => Ok(()),
        count => Err(format!("{count} answers to ten requests")),
    }
}
