//! One guest, from greeting to end.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use unik::interface::{Clock, StreamError, TcpStream};
use unik::shutdown::unless_asked;
use unik::time::{Duration, timeout};

use crate::Options;
use crate::book::Book;

/// How long the last word may take to arrive.
const LAST_WORD: Duration = Duration::from_secs(5);

pub async fn receive(
    mut stream: impl TcpStream,
    page: &[u8],
    book: &Book,
    clock: &impl Clock,
    options: &Options,
    signed: impl Fn(&str),
) -> Result<(), StreamError> {
    stream.write_all(format!("{}\n", options.title).as_bytes()).await?;
    stream.write_all(page).await?;
    let mut lines = Lines { buffer: Vec::new(), longest: options.entry.longest };
    let patience = options.guests.time.unwrap_or(Duration::from_secs(3600));
    loop {
        // Whoever is silent for too long has left; the appliance's end is everybody's.
        let line = match unless_asked(timeout(patience, lines.next(&mut stream))).await {
            None => {
                stream.write_all(b"BYE the book is closed\n").await?;
                break;
            }
            Some(Err(_)) => break,
            Some(Ok(line)) => line?,
        };
        let answer = match line {
            Line::End => break,
            Line::TooLong => {
                stream.write_all(b"NO the line is too long\n").await?;
                break;
            }
            Line::Text(text) => match text.split_once(' ').unwrap_or((&text, "")) {
                ("SIGN", text) => match book.sign(text.trim(), clock.now().map(|now| now / 1_000_000_000)) {
                    Ok(number) => {
                        signed(text.trim());
                        format!("OK {number}\n")
                    }
                    Err(why) => format!("NO {why}\n"),
                },
                ("READ", "") => book.read(),
                ("CLEAR", word) if options.keeper.is_some_and(|keeper| is_same(keeper, word)) => {
                    book.clear();
                    String::from("OK\n")
                }
                ("BYE", "") => {
                    stream.write_all(b"BYE\n").await?;
                    break;
                }
                _ => String::from("NO it is SIGN, READ or BYE\n"),
            },
        };
        stream.write_all(answer.as_bytes()).await?;
    }
    stream.finish(LAST_WORD, 4096).await
}

/// Whether the words are the same, in a time that tells nothing of where they differ.
fn is_same(one: &str, other: &str) -> bool {
    let differ = one.bytes().zip(other.bytes()).fold(0, |differ, (one, other)| differ | (one ^ other));
    one.len() == other.len() && differ == 0
}

enum Line {
    Text(String),
    TooLong,
    End,
}

/// Lines of what a guest sends; no more is kept of it than the longest.
struct Lines {
    buffer: Vec<u8>,
    longest: usize,
}

impl Lines {
    async fn next(&mut self, stream: &mut impl TcpStream) -> Result<Line, StreamError> {
        loop {
            let end = self.buffer.iter().position(|byte| *byte == b'\n');
            if end.unwrap_or(self.buffer.len()) > self.longest {
                return Ok(Line::TooLong);
            }
            if let Some(end) = end {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                // What is no text becomes signs that say so; control characters nothing.
                let text = String::from_utf8_lossy(&line).chars().filter(|c| !c.is_control()).collect();
                return Ok(Line::Text(text));
            }
            let mut piece = [0; 512];
            match stream.read(&mut piece).await? {
                0 => return Ok(Line::End),
                length => self.buffer.extend_from_slice(&piece[..length]),
            }
        }
    }
}
