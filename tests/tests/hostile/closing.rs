//! Ends of connections, in every order.

use std::time::Duration;

use unik_tests::hub::Hub;
use unik_tests::peer::{ACK, Conn, FIN, PSH, RST, SOON, SYN, Segment, Wrong};

use crate::{Case, ECHO, HTTP, PAGE, REQUEST};

pub(crate) const CASES: &[Case] = &[
    ("we close first", we_close_first),
    ("the guest closes first", guest_closes_first),
    ("both close at the same time", simultaneous_close),
    ("both close at the same time, and our last segment is lost", simultaneous_close_lost),
    ("data and FIN in one segment", data_with_fin),
    ("FIN overtakes the data before it", fin_overtakes),
    ("request and FIN with the last segment of the handshake", fin_in_handshake),
    ("data behind the FIN", data_behind_fin),
    ("FIN three times", fin_again),
    ("FIN that is reset after", fin_then_reset),
    ("half-closed before the answer", half_closed),
    ("FIN of the guest that is never acknowledged, then a reset", fin_ignored),
    ("SYN and FIN in one segment", syn_fin),
    ("TIME-WAIT used again by a later number", time_wait_again),
    ("TIME-WAIT not used again by an earlier number", time_wait_earlier),
    ("reset in TIME-WAIT", time_wait_reset),
];

fn is_page(conn: &Conn<'_>) -> Result<(), Wrong> {
    match conn.received.starts_with(b"HTTP/1.1 200") && conn.received.ends_with(PAGE) {
        true => Ok(()),
        false => Err(format!("answered {:?}", String::from_utf8_lossy(&conn.received))),
    }
}

/// A connection on which the guest has sent its page and its FIN, both acknowledged.
fn closed_by_guest(hub: &Hub) -> Result<Conn<'_>, Wrong> {
    let mut conn = Conn::open(hub, HTTP)?;
    conn.say(ACK | PSH, REQUEST);
    conn.absorb("the page and its end", SOON, |conn| conn.ended)?;
    is_page(&conn)?;
    Ok(conn)
}

/// Closes our half of it: the guest is in TIME-WAIT.
fn in_time_wait(hub: &Hub) -> Result<Conn<'_>, Wrong> {
    let mut conn = closed_by_guest(hub)?;
    conn.say(FIN | ACK, b"");
    conn.acknowledged("our FIN")?;
    Ok(conn)
}

/// What all of them wait for.
trait Acknowledged {
    fn acknowledged(&mut self, what: &str) -> Result<Segment, Wrong>;
}

impl Acknowledged for Conn<'_> {
    fn acknowledged(&mut self, what: &str) -> Result<Segment, Wrong> {
        let next = self.next;
        self.expect(&format!("acknowledgement of {what}"), SOON, |segment| {
            segment.has(ACK) && !segment.has(RST) && segment.acknowledgement == next
        })
    }
}

fn we_close_first(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    conn.echo(b"before")?;
    conn.say(FIN | ACK, b"");
    conn.absorb("the guest's FIN", SOON, |conn| conn.ended)?;
    // In LAST-ACK until our acknowledgement, and nothing is left after it.
    conn.at(0, ACK | PSH, b"");
    conn.at(0, FIN | ACK, b"");
    let expected = conn.expected;
    conn.expect("reset of what is over", SOON, |segment| segment.has(RST) && segment.sequence == expected)?;
    Ok(())
}

fn guest_closes_first(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = in_time_wait(hub)?;
    // Our FIN again, as if the answer to it had been lost: it is still answered.
    conn.at(-1, FIN | ACK, b"");
    conn.acknowledged("our FIN again")?;
    Ok(())
}

/// Takes the page and the FIN of the guest, but acknowledges only the page; then closes.
fn close_across(hub: &Hub) -> Result<Conn<'_>, Wrong> {
    let mut conn = Conn::open(hub, HTTP)?;
    conn.say(ACK | PSH, REQUEST);
    while !conn.ended {
        let segment = conn.take(SOON)?.ok_or("no FIN from the guest")?;
        conn.accept(&segment);
        let before_fin = conn.expected.wrapping_sub(u32::from(conn.ended));
        conn.send(&Segment { acknowledgement: before_fin, ..conn.segment(ACK, 0, b"") });
    }
    is_page(&conn)?;
    let before_fin = conn.expected.wrapping_sub(1);
    conn.send(&Segment { acknowledgement: before_fin, ..conn.segment(FIN | ACK, 0, b"") });
    conn.next = conn.next.wrapping_add(1);
    conn.acknowledged("our FIN, in CLOSING")?;
    Ok(conn)
}

fn simultaneous_close(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = close_across(hub)?;
    conn.at(0, ACK, b"");
    // Now in TIME-WAIT, where our FIN is still answered.
    std::thread::sleep(Duration::from_millis(50));
    conn.at(-1, FIN | ACK, b"");
    conn.acknowledged("our FIN again")?;
    conn.never("the guest's FIN again", |segment| segment.has(FIN))
}

fn simultaneous_close_lost(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = close_across(hub)?;
    // In CLOSING it sends its FIN again until that is acknowledged.
    let fin = conn.expected.wrapping_sub(1);
    for _ in 0..2 {
        conn.expect("the guest's FIN again", Duration::from_secs(5), |segment| {
            segment.has(FIN) && segment.sequence.wrapping_add(segment.data.len() as u32) == fin
        })?;
    }
    conn.at(0, ACK, b"");
    conn.never("the guest's FIN after it was acknowledged", |segment| segment.has(FIN))
}

fn data_with_fin(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    conn.say(FIN | ACK | PSH, b"all of it");
    conn.absorb("echo and FIN", SOON, |conn| conn.ended)?;
    if conn.received == b"all of it" { Ok(()) } else { Err(format!("{:?}", conn.received)) }
}

fn fin_overtakes(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    conn.at(5, FIN | ACK, b"");
    conn.at(2, FIN | ACK, b"cde");
    conn.at(0, ACK, b"ab");
    while let Some(segment) = conn.take(Duration::from_millis(100))? {
        if segment.has(FIN) && conn.acknowledged.wrapping_sub(conn.next) < 6 {
            return Err("closed before our FIN was acknowledged".into());
        }
        conn.accept(&segment);
    }
    // Whatever of that was not remembered is sent again, as a client's timer would.
    let known = conn.acknowledged.wrapping_sub(conn.next).min(5);
    conn.at(i64::from(known), FIN | ACK | PSH, &b"abcde"[known as usize..]);
    conn.next = conn.next.wrapping_add(6);
    conn.absorb("echo and FIN", SOON, |conn| conn.ended)?;
    if conn.received == b"abcde" { Ok(()) } else { Err(format!("{:?}", conn.received)) }
}

fn fin_in_handshake(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::new(hub, HTTP);
    conn.request()?;
    conn.say(FIN | ACK | PSH, REQUEST);
    conn.absorb("the page and its end", SOON, |conn| conn.ended)?;
    is_page(&conn)
}

fn data_behind_fin(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    conn.say(ACK, b"right");
    conn.say(FIN | ACK, b"");
    conn.at(0, ACK | PSH, b"wrong");
    conn.at(-1, ACK | PSH, b"wrong");
    conn.absorb("echo and FIN", SOON, |conn| conn.ended)?;
    if conn.received == b"right" { Ok(()) } else { Err(format!("{:?}", conn.received)) }
}

fn fin_again(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    conn.window = 0;
    conn.at(0, ACK, b"");
    // Our window is closed, so what is echoed, and the FIN behind it, have to wait.
    conn.say(FIN | ACK | PSH, b"held up");
    conn.acknowledged("our FIN")?;
    for _ in 0..3 {
        conn.at(-1, FIN | ACK, b"");
        conn.acknowledged("our FIN again")?;
    }
    conn.window = 60_000;
    conn.at(0, ACK, b"");
    conn.absorb("echo and FIN", SOON, |conn| conn.ended)?;
    if conn.received == b"held up" { Ok(()) } else { Err(format!("{:?}", conn.received)) }
}

fn fin_then_reset(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, HTTP)?;
    conn.say(ACK | PSH, REQUEST);
    conn.say(FIN | ACK, b"");
    conn.at(0, RST, b"");
    // Whatever it had on its way, it is over then.
    while conn.take(Duration::from_millis(100))?.is_some() {}
    conn.at(0, ACK, b"");
    conn.expect("reset of what is over", SOON, |segment| segment.has(RST))?;
    Ok(())
}

fn half_closed(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, HTTP)?;
    conn.say(ACK | PSH, REQUEST);
    conn.say(FIN | ACK, b"");
    conn.absorb("the page and its end", SOON, |conn| conn.ended)?;
    is_page(&conn)
}

fn fin_ignored(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = Conn::open(hub, ECHO)?;
    conn.say(FIN | ACK, b"");
    for _ in 0..3 {
        conn.expect("FIN, sent again and again", Duration::from_secs(5), |segment| segment.has(FIN))?;
    }
    conn.at(0, RST, b"");
    conn.never("anything after the reset", |_| true)
}

fn syn_fin(hub: &Hub) -> Result<(), Wrong> {
    for flags in [SYN | FIN, SYN | FIN | PSH, SYN | RST, SYN | FIN | RST | ACK] {
        let conn = Conn::new(hub, HTTP);
        conn.at(0, flags, b"GET / HTTP/1.1\r\n");
    }
    Ok(())
}

fn time_wait_again(hub: &Hub) -> Result<(), Wrong> {
    let mut old = in_time_wait(hub)?;
    let mut conn = Conn::new(hub, HTTP);
    conn.port = old.port;
    conn.next = old.next.wrapping_add(1000);
    // Its own reset would end the new one.
    old.port = hub.port();
    let answer = conn.request()?;
    // The guest's numbers go on, too: none of the old connection's segments fits.
    if answer.sequence.wrapping_sub(old.expected) > 1 << 31 {
        return Err(format!("the new number {} isn't after {}", answer.sequence, old.expected));
    }
    conn.say(ACK, b"");
    conn.say(ACK | PSH, REQUEST);
    conn.absorb("the page and its end", SOON, |conn| conn.ended)?;
    is_page(&conn)
}

fn time_wait_earlier(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = in_time_wait(hub)?;
    conn.at(-500, SYN, b"");
    conn.acknowledged("where it ended")?;
    conn.never("a handshake", |segment| segment.has(SYN))
}

fn time_wait_reset(hub: &Hub) -> Result<(), Wrong> {
    let mut conn = in_time_wait(hub)?;
    // Elsewhere in the window it doesn't count.
    conn.at(10, RST, b"");
    conn.at(-1, FIN | ACK, b"");
    conn.acknowledged("our FIN again")?;
    conn.at(0, RST, b"");
    conn.at(-1, FIN | ACK, b"");
    conn.expect("reset of what is over", SOON, |segment| segment.has(RST))?;
    Ok(())
}
