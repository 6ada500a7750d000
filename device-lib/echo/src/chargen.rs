//! Chargen over TCP (RFC 864): lines of characters, without end.

use unik::interface::TcpStream;
use unik::shutdown::{is_asked, unless_asked};
use unik::time::Duration;

use crate::tcp::{Conversation, End, close, write};

/// The printing characters of ASCII, from space to tilde.
const CHARACTERS: usize = 95;
/// Characters of a line, before its CR LF.
const LINE: usize = 72;

/// Every line once: each begins one character later than the one before, and after as many
/// lines as there are characters they begin anew.
static LINES: [u8; CHARACTERS * (LINE + 2)] = lines();

const fn lines() -> [u8; CHARACTERS * (LINE + 2)] {
    let mut all = [0; CHARACTERS * (LINE + 2)];
    let mut line = 0;
    while line < CHARACTERS {
        let start = line * (LINE + 2);
        let mut at = 0;
        while at < LINE {
            all[start + at] = b' ' + ((line + at) % CHARACTERS) as u8;
            at += 1;
        }
        all[start + LINE] = b'\r';
        all[start + LINE + 1] = b'\n';
        line += 1;
    }
    all
}

/// Sends lines until the client has enough, or the appliance is to end.
#[derive(Clone, Copy)]
pub(crate) struct Chargen;

impl Conversation for Chargen {
    async fn hold<S: TcpStream>(self, stream: &mut S, limit: Duration) -> End {
        loop {
            match unless_asked(write(stream, &LINES, limit)).await {
                Some(Ok(())) if !is_asked() => {}
                Some(Err(end)) => return end,
                _ => return close(stream, limit).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_rfc() {
        let text = core::str::from_utf8(&LINES).expect("ASCII");
        let lines: alloc::vec::Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 95);
        assert!(lines.iter().all(|line| line.len() == 72));
        // The first, second and last of the example in RFC 864, but for where it begins.
        assert!(lines[1].starts_with("!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFG"));
        assert!(lines[2].starts_with("\"#$%&'()*+,-./0123456789"));
        assert!(lines[94].starts_with("~ !\"#"));
    }
}
