//! Clients of byte streams: one that wants back what it sent (RFC 862), and one that only knocks.

use unik::platform::sim::Random;

use super::connection::{Connection, Read};
use super::{Client, Cx, MS, Step, pattern};

/// Sends bytes and wants them back.
#[derive(Debug)]
pub(crate) struct Echo {
    port: u16,
    data: Vec<u8>,
    sent: usize,
    returned: usize,
    /// Resets the connection after so many bytes came back.
    abort_at: Option<usize>,
    /// Sends nothing before.
    pause: u64,
    connection: Option<Connection>,
    is_closed: bool,
}

impl Echo {
    pub fn new(port: u16, random: &mut Random) -> Self {
        let most = [10, 1_000, 20_000, 100_000][random.between(0, 3) as usize];
        let length = random.between(1, most) as usize;
        let data = pattern(length, random);
        let abort_at = random.happens(200_000).then(|| random.between(0, length as u64 / 2) as usize);
        Echo { port, data, sent: 0, returned: 0, abort_at, pause: 0, connection: None, is_closed: false }
    }

    fn advance(&mut self, cx: &mut Cx<'_>) -> Result<Step, Step> {
        let port = self.port;
        let connection = self.connection.get_or_insert_with(|| Connection::open(cx, port));
        if !connection.poll_up(cx)? {
            return Ok(Step::Wait(u64::MAX));
        }
        let mut buffer = [0; 2048];
        loop {
            match connection.receive(cx, &mut buffer)? {
                Read::Some(count) => {
                    let expected = self.data.get(self.returned..self.returned + count);
                    if self.returned + count > self.sent || expected != Some(&buffer[..count]) {
                        return Err(Step::Wrong(format!(
                            "other bytes came back than were sent, in the {count} from byte {} on",
                            self.returned
                        )));
                    }
                    self.returned += count;
                }
                Read::End if self.is_closed && self.returned == self.data.len() => return Ok(Step::Done),
                // All that was read came back: it ended in order.
                Read::End if cx.is_ending => return Err(Step::Broken("it was asked to end".into())),
                Read::End => {
                    return Err(Step::Wrong(format!(
                        "it closed the connection after {} of {} bytes",
                        self.returned,
                        self.data.len()
                    )));
                }
                Read::Nothing => break,
            }
        }
        if self.abort_at.is_some_and(|at| self.returned >= at) {
            connection.abort(cx);
            return Ok(Step::Done);
        }
        while self.sent < self.data.len() && self.pause <= cx.now {
            let most = [1, 100, 1_460, 5_000][cx.random.between(0, 3) as usize];
            let end = self.data.len().min(self.sent + cx.random.between(1, most) as usize);
            let sent = connection.send(cx, &self.data[self.sent..end])?;
            if sent == 0 {
                break;
            }
            self.sent += sent;
            if cx.random.happens(100_000) {
                self.pause = cx.now + cx.random.between(MS, 200 * MS);
            }
        }
        if self.sent == self.data.len() && !self.is_closed {
            connection.close(cx);
            self.is_closed = true;
        }
        Ok(Step::Wait(if self.pause > cx.now { self.pause } else { u64::MAX }))
    }
}

impl Client for Echo {
    fn step(&mut self, cx: &mut Cx<'_>) -> Step {
        self.advance(cx).unwrap_or_else(|step| step)
    }

    fn waits_for(&self) -> String {
        format!("{} of {} bytes were sent, and {} came back", self.sent, self.data.len(), self.returned)
    }

    fn leave(&mut self, cx: &mut Cx<'_>) {
        if let Some(connection) = self.connection.take() {
            connection.leave(cx);
        }
    }
}

/// Connects, says something that nobody understands, and goes.
#[derive(Debug)]
pub(crate) struct Touch {
    port: u16,
    noise: Vec<u8>,
    connection: Option<Connection>,
    /// When it goes, whatever is going on.
    until: Option<u64>,
}

/// How long it waits for the appliance to close.
const TOUCH: u64 = 10_000 * MS;

impl Touch {
    pub fn new(port: u16, random: &mut Random) -> Self {
        let length = random.between(0, 64) as usize;
        Touch { port, noise: pattern(length, random), connection: None, until: None }
    }

    fn advance(&mut self, cx: &mut Cx<'_>) -> Result<Step, Step> {
        let port = self.port;
        let connection = self.connection.get_or_insert_with(|| Connection::open(cx, port));
        if !connection.poll_up(cx)? {
            return Ok(Step::Wait(u64::MAX));
        }
        let until = match self.until {
            Some(until) => until,
            None => {
                // Whatever it thinks of that: the service may refuse it.
                let _ = connection.send(cx, &self.noise);
                connection.close(cx);
                *self.until.insert(cx.now + TOUCH)
            }
        };
        loop {
            match connection.receive(cx, &mut [0; 1024]) {
                Ok(Read::Some(_)) => {}
                Ok(Read::Nothing) if cx.now < until => return Ok(Step::Wait(until)),
                _ => return Ok(Step::Done),
            }
        }
    }
}

impl Client for Touch {
    fn step(&mut self, cx: &mut Cx<'_>) -> Step {
        self.advance(cx).unwrap_or_else(|step| step)
    }

    fn waits_for(&self) -> String {
        "the connection to come up".into()
    }

    fn leave(&mut self, cx: &mut Cx<'_>) {
        if let Some(connection) = self.connection.take() {
            connection.leave(cx);
        }
    }
}
