//! Chunked bodies (RFC 9112, 7.1), decoded as their bytes arrive.

use crate::head::Refusal;
use crate::path::hex_digit;

/// A chunk's line, with its extensions, may have so many bytes; so may all trailer
/// fields together, which are read and left away.
const MAX_LINE: usize = 256;
/// See [`MAX_LINE`].
const MAX_TRAILER: usize = 4096;

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoder {
    state: State,
    /// Bytes of the current line, or of the trailer.
    line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the size of a chunk; whether there was a digit.
    Size(u64, bool),
    /// In what follows a size: extensions, which are left away.
    Extension(u64),
    /// After the CR of a chunk's line.
    SizeEnd(u64),
    /// In the data of a chunk: so many bytes are left.
    Data(u64),
    /// Before the CR, and before the LF, that end the data.
    DataCr,
    DataLf,
    /// At the start of a line of the trailer.
    TrailerStart,
    /// In a line of the trailer.
    Trailer,
    /// After the CR of a line of the trailer.
    TrailerLf,
    /// After the CR of the line that ends it all.
    LastLf,
    Done,
}

/// What [`Decoder::next`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Bytes of the body, never none.
    Data(&'a [u8]),
    /// Nothing more in these bytes.
    NeedMore,
    /// The end of the body.
    End,
}

impl Decoder {
    pub(crate) const fn new() -> Decoder {
        Decoder { state: State::Size(0, false), line: 0 }
    }

    /// The next piece in `input`, of which what was used up is taken away.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Piece<'a>, Refusal> {
        loop {
            if let State::Data(left) = self.state {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                let (data, rest) = input.split_at(length);
                if length == 0 {
                    return Ok(Piece::NeedMore);
                }
                *input = rest;
                let left = left - length as u64;
                self.state = if left == 0 { State::DataCr } else { State::Data(left) };
                return Ok(Piece::Data(data));
            }
            if self.state == State::Done {
                return Ok(Piece::End);
            }
            let Some((&byte, rest)) = input.split_first() else { return Ok(Piece::NeedMore) };
            *input = rest;
            self.state = self.step(byte)?;
        }
    }

    fn step(&mut self, byte: u8) -> Result<State, Refusal> {
        self.line += 1;
        let state = match (self.state, byte) {
            (State::Size(size, any), _) => match (hex_digit(byte), byte) {
                // One digit below the top of a u64: no overflow, and no sensible body.
                (Some(digit), _) if size < 1 << 56 => State::Size(size << 4 | u64::from(digit), true),
                (None, b'\r') if any => State::SizeEnd(size),
                (None, b';') if any => State::Extension(size),
                _ => return Err(Refusal::bad("a chunk without a size")),
            },
            (State::Extension(size), b'\r') => State::SizeEnd(size),
            (State::Extension(size), b'\t' | b' '..=b'~') => State::Extension(size),
            (State::SizeEnd(0), b'\n') => {
                self.line = 0;
                State::TrailerStart
            }
            (State::SizeEnd(size), b'\n') => State::Data(size),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.line = 0;
                State::Size(0, false)
            }
            (State::TrailerStart, b'\r') => State::LastLf,
            (State::TrailerStart, b'!'..=b'~') | (State::Trailer, b'\t' | b' '..=b'~' | 0x80..) => {
                State::Trailer
            }
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::LastLf, b'\n') => State::Done,
            _ => return Err(Refusal::bad("a chunk that isn't put together right")),
        };
        let limit = match state {
            State::TrailerStart | State::Trailer | State::TrailerLf | State::LastLf => MAX_TRAILER,
            _ => MAX_LINE,
        };
        if self.line > limit { Err(Refusal::bad("a line of a chunk that is too long")) } else { Ok(state) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec::Vec;

    /// Decodes in pieces of `step` bytes: the body, and how much of the input is left.
    fn decode(input: &[u8], step: usize) -> Result<Option<(Vec<u8>, usize)>, Refusal> {
        let (mut decoder, mut body, mut used) = (Decoder::new(), Vec::new(), 0);
        for piece in input.chunks(step) {
            let mut rest = piece;
            loop {
                match decoder.next(&mut rest)? {
                    Piece::Data(data) => body.extend_from_slice(data),
                    Piece::NeedMore => break,
                    Piece::End => return Ok(Some((body, input.len() - used - (piece.len() - rest.len())))),
                }
            }
            used += piece.len();
        }
        Ok(None)
    }

    #[test]
    fn bodies_in_pieces_of_any_size() {
        for (input, body, left) in [
            ("0\r\n\r\nNEXT", "", 4),
            ("3\r\nabc\r\n0\r\n\r\n", "abc", 0),
            ("3;a=b\r\nabc\r\n00A\r\n0123456789\r\n0;x\r\nT: v\r\nU: w\r\n\r\nX", "abc0123456789", 1),
        ] {
            for step in 1..=input.len() {
                assert_eq!(
                    decode(input.as_bytes(), step),
                    Ok(Some((body.into(), left))),
                    "{input:?} by {step}"
                );
            }
            for end in 0..input.len() - left {
                assert_eq!(decode(&input.as_bytes()[..end], end.max(1)), Ok(None), "{input:?} until {end}");
            }
        }
    }

    #[test]
    fn wrong_chunks() {
        let (long, trailer) =
            (format!("1;{}\r\na\r\n", "x".repeat(300)), format!("0\r\nT: {}", "x".repeat(5000)));
        for input in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "1 \r\na\r\n",
            ";a\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1\na",
            "1\r\nab",
            "1\r\na\n",
            "1\r\na\r\r",
            "11111111111111111\r\n",
            "fffffffffffffffff",
            "0\r\n\n",
            "0\r\n T: a\r\n",
            "0\r\nT: a\n",
            "1;\0\r\n",
            "1\r\r\n",
            long.as_str(),
            trailer.as_str(),
        ] {
            assert!(decode(input.as_bytes(), 1).is_err(), "{input:?}");
            assert!(decode(input.as_bytes(), input.len()).is_err(), "{input:?}");
        }
    }
}
