//! Segments of somebody who guesses (RFC 5961), floods of resets, and connections of which one
//! side knows nothing any more.

use std::time::Duration;

use unik_tests::hub::Hub;
use unik_tests::peer::{A_WHILE, ACK, Conn, FIN, PSH, RST, SOON, SYN, Segment, Wrong};

use crate::{Case, ECHO, HTTP};

pub(crate) const CASES: &[Case] = &[
    ("data far beyond the window", beyond_the_window),
    ("data far before the window", before_the_window),
    ("data that acknowledges what was never sent", acknowledges_the_future),
    ("reset in the window but not at its beginning", inexact_reset),
    ("reset outside of the window", reset_outside),
    ("reset at exactly the next byte", exact_reset),
    ("SYN in an established connection", forged_syn),
    ("SYN and ACK in an established connection", forged_syn_ack),
    ("storm of 20,000 resets at an established connection", storm_of_resets),
    ("5,000 SYNs, each followed by its reset", syns_and_resets),
    ("storm of 10,000 acknowledgements", storm_of_acknowledgements),
    ("half-open connection of a peer that began anew", half_open),
    ("SYN again with another number", syn_again),
    ("handshake that ends with a wrong number", wrong_handshake),
    ("half-open handshakes that are left over", leftovers),
    ("segments of connections that never were", unknown),
];

/// A question about a segment that may be forged, or about one out of place: "here is where I am".
fn question(segment: &Segment, next: u32) -> bool {
    segment.flags == ACK && segment.data.is_empty() && segment.acknowledgement == next
}

fn beyond_the_window(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    conn.echo(b"before")?;
    let next = conn.next;
    conn.at(1 << 20, ACK | PSH, b"evil");
    conn.expect("acknowledgement of where it is", SOON, |segment| question(segment, next))?;
    conn.never("an echo of it", |segment| !segment.data.is_empty())?;
    conn.echo(b"after")
}

fn before_the_window(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    conn.echo(b"before")?;
    let next = conn.next;
    conn.at(-(1 << 20), ACK | PSH, b"evil");
    conn.expect("acknowledgement of where it is", SOON, |segment| question(segment, next))?;
    conn.never("an echo of it", |segment| !segment.data.is_empty())?;
    conn.echo(b"after")
}

fn acknowledges_the_future(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    conn.echo(b"before")?;
    let expected = conn.expected;
    conn.expected = expected.wrapping_add(100_000);
    conn.at(0, ACK | PSH, b"evil");
    conn.expected = expected;
    // RFC 9293, section 3.10.7.4: an acknowledgement of what wasn't sent is answered, and the
    // segment dropped.
    conn.never("an echo of it", |segment| !segment.data.is_empty())?;
    conn.echo(b"after")
}

fn inexact_reset(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    conn.echo(b"before")?;
    let next = conn.next;
    conn.at(1, RST, b"");
    conn.expect("question", SOON, |segment| question(segment, next))?;
    conn.at(1000, RST | ACK, b"");
    conn.echo(b"after")
}

fn reset_outside(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    conn.echo(b"before")?;
    conn.at(-1, RST, b"");
    conn.at(1 << 24, RST, b"");
    conn.at(-(1 << 24), RST | ACK, b"");
    conn.echo(b"after")
}

fn exact_reset(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    conn.echo(b"before")?;
    conn.at(0, RST, b"");
    conn.at(0, ACK | PSH, b"nobody there");
    let expected = conn.expected;
    conn.expect("reset", SOON, |segment| segment.has(RST) && segment.sequence == expected)?;
    Ok(())
}

fn forged_syn(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    conn.echo(b"before")?;
    let next = conn.next;
    for offset in [0, 10, 1 << 24, -(1 << 24)] {
        conn.at(offset, SYN, b"");
        conn.never("another handshake", |segment| segment.has(SYN) || segment.has(RST))?;
    }
    conn.at(10, SYN, b"");
    std::thread::sleep(Duration::from_secs(1));
    conn.at(10, SYN, b"");
    conn.expect("question", SOON, |segment| question(segment, next))?;
    conn.echo(b"after")
}

fn forged_syn_ack(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    conn.echo(b"before")?;
    for offset in [0, 10, 1 << 24, -1] {
        conn.at(offset, SYN | ACK, b"");
        conn.at(offset, SYN | ACK | FIN | PSH, b"evil");
    }
    conn.never("an echo or a reset", |segment| !segment.data.is_empty() || segment.has(RST))?;
    conn.echo(b"after")
}

fn storm_of_resets(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    conn.echo(b"before")?;
    let mut questions = 0;
    for number in 0..20_000_u32 {
        // Every number but the one that counts.
        let offset = i64::from(number.wrapping_mul(214_013) | 1);
        let flags = if number % 2 == 0 { RST } else { RST | ACK };
        conn.send(&conn.segment(flags, offset, b""));
        while conn.take(Duration::ZERO)?.is_some() {
            questions += 1;
        }
    }
    while let Some(segment) = conn.take(A_WHILE)? {
        if segment.has(RST) {
            return Err("a reset was answered with one".into());
        }
        questions += 1;
    }
    // One in a second (RFC 5961, section 7), however many there are.
    if questions > 10 {
        return Err(format!("{questions} questions"));
    }
    conn.echo(b"after")
}

fn syns_and_resets(hub: &Hub) -> Result<(), Wrong> {
    for number in 0..5_000 {
        let conn = Conn::new(hub, if number % 2 == 0 { ECHO } else { HTTP });
        conn.at(0, SYN, b"");
        // Dropped: the reset of the next number goes with it.
        conn.at(1, RST, b"");
    }
    let mut conn = Conn::open(hub, ECHO)?;
    conn.echo(b"after")
}

fn storm_of_acknowledgements(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    conn.echo(b"before")?;
    for _ in 0..10_000 {
        conn.at(0, ACK, b"");
    }
    // Nothing that is right is answered: two of us would never end.
    conn.never("an answer to an acknowledgement", |_| true)?;
    conn.echo(b"after")
}

fn half_open(hub: &Hub) -> Result<(), Wrong> {
    let mut old = Conn::open(hub, ECHO)?;
    old.echo(b"before")?;
    // The peer has crashed, and begins anew from the same port (RFC 9293, section 3.5.1).
    let mut new = Conn::new(hub, ECHO);
    new.port = old.port;
    new.next = old.next.wrapping_add(1 << 28);
    new.at(0, SYN, b"");
    let next = old.next;
    let answer = new.expect("question", SOON, |segment| question(segment, next))?;
    new.send(&Segment { sequence: answer.acknowledgement, ..new.segment(RST, 0, b"") });
    new.request()?;
    new.say(ACK, b"");
    new.echo(b"after")?;
    drop(new);
    Ok(())
}

fn syn_again(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::new(hub, ECHO);
    let first = conn.request()?;
    // Sent again: the same answer.
    conn.at(-1, SYN, b"");
    let again = conn.expect("the answer again", SOON, |segment| segment.has(SYN | ACK))?;
    if again.sequence != first.sequence {
        return Err("the answer has another number".into());
    }
    // Another handshake in its place.
    conn.next = conn.next.wrapping_add(1 << 20);
    conn.request()?;
    conn.say(ACK, b"");
    conn.echo(b"after")
}

fn wrong_handshake(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::new(hub, ECHO);
    conn.request()?;
    let right = conn.expected;
    conn.expected = right.wrapping_add(12345);
    conn.at(0, ACK, b"");
    let wrong = conn.expected;
    conn.expect("reset", SOON, |segment| segment.has(RST) && segment.sequence == wrong)?;
    conn.expected = right;
    conn.say(ACK, b"");
    conn.echo(b"after")
}

fn leftovers(hub: &Hub) -> Result<(), Wrong> {
    for _ in 0..500 {
        let conn = Conn::new(hub, ECHO);
        conn.at(0, SYN, b"");
        // Neither completed nor reset.
        std::mem::forget(conn);
    }
    let mut conn = Conn::open(hub, ECHO)?;
    conn.echo(b"after")
}

fn unknown(hub: &Hub) -> Result<(), Wrong> {
    for (flags, data) in
        [(ACK, &b""[..]), (ACK | PSH, b"data"), (ACK | FIN, b""), (SYN | ACK, b""), (0, b"x")]
    {
        let mut conn = Conn::new(hub, ECHO);
        conn.expected = 4711;
        conn.at(0, flags, data);
        let sequence = if flags & ACK != 0 { 4711 } else { 0 };
        conn.expect("reset", SOON, |segment| segment.has(RST) && segment.sequence == sequence)?;
    }
    // A reset isn't answered.
    let mut conn = Conn::new(hub, ECHO);
    conn.at(0, RST | ACK, b"");
    conn.never("an answer to a reset", |_| true)
}
