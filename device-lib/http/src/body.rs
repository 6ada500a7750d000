//! The bodies of requests.

use alloc::vec::Vec;

use unik::interface::TcpStream;
use unik::time::{self, Instant};

use crate::Status;
use crate::buffer::append;
use crate::chunked::{Decoder, Piece};
use crate::head::{Framing, Refusal};
use crate::wire::{Stop, Wire, too_late};
use crate::{Options, buffer};

/// How much is read at a time.
const STEP: usize = 2048;

/// What became of the input behind a head.
#[derive(Debug, Default)]
pub(crate) struct Used {
    /// So many bytes of it were the body's.
    pub(crate) of_input: usize,
    /// These came later, and belong to the next request.
    pub(crate) beyond: Vec<u8>,
}

/// Where the bytes of a body go.
pub(crate) enum Sink<'a> {
    /// To a handler.
    Keep(&'a mut Vec<u8>),
    /// Nowhere: nobody asked for them, but the next request stands behind them.
    Drop,
}

/// Reads a whole body, whose first bytes are (perhaps) in `input`.
pub(crate) async fn read<T: TcpStream>(
    wire: &mut Wire<T>,
    framing: Framing,
    input: &[u8],
    options: &Options,
    sink: Sink<'_>,
) -> Result<Used, Stop> {
    let mut body = Body { wire, sink, left: options.max_body as u64, options, until: None };
    match framing {
        Framing::Length(0) => Ok(Used::default()),
        Framing::Length(length) => body.of_length(length, input).await,
        Framing::Chunked => body.in_chunks(input).await,
    }
}

struct Body<'a, T> {
    wire: &'a mut Wire<T>,
    sink: Sink<'a>,
    /// So many bytes are allowed yet.
    left: u64,
    options: &'a Options,
    until: Option<Instant>,
}

impl<T: TcpStream> Body<'_, T> {
    async fn of_length(&mut self, length: u64, input: &[u8]) -> Result<Used, Stop> {
        let (mut left, mut scratch) = (length, Vec::new());
        let of_input = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        self.take(&input[..of_input])?;
        left -= of_input as u64;
        while left > 0 {
            let length = self.more(&mut scratch, usize::try_from(left).unwrap_or(usize::MAX)).await?;
            self.take(&scratch[..length])?;
            left -= length as u64;
        }
        Ok(Used { of_input, beyond: Vec::new() })
    }

    async fn in_chunks(&mut self, input: &[u8]) -> Result<Used, Stop> {
        let (mut decoder, mut scratch) = (Decoder::new(), Vec::new());
        let mut rest = input;
        if self.decode(&mut decoder, &mut rest)? {
            return Ok(Used { of_input: input.len() - rest.len(), beyond: Vec::new() });
        }
        loop {
            let length = self.more(&mut scratch, STEP).await?;
            let mut rest = &scratch[..length];
            if self.decode(&mut decoder, &mut rest)? {
                let begin = length - rest.len();
                scratch.truncate(length);
                scratch.drain(..begin);
                return Ok(Used { of_input: input.len(), beyond: scratch });
            }
        }
    }

    /// Takes the data out of `rest`; whether the body has ended.
    fn decode(&mut self, decoder: &mut Decoder, rest: &mut &[u8]) -> Result<bool, Stop> {
        loop {
            match decoder.next(rest)? {
                Piece::Data(data) => self.take(data)?,
                Piece::NeedMore => return Ok(false),
                Piece::End => return Ok(true),
            }
        }
    }

    fn take(&mut self, data: &[u8]) -> Result<(), Stop> {
        self.left = self
            .left
            .checked_sub(data.len() as u64)
            .ok_or(Refusal::new(Status::CONTENT_TOO_LARGE, "a body above `max-body`"))?;
        match &mut self.sink {
            Sink::Keep(body) => Ok(append(body, data)?),
            Sink::Drop => Ok(()),
        }
    }

    /// Reads at most `limit` bytes to the start of `scratch`, at least one.
    async fn more(&mut self, scratch: &mut Vec<u8>, limit: usize) -> Result<usize, Stop> {
        // Earlier answers mustn't wait for this body.
        self.wire.flush().await?;
        if scratch.is_empty() {
            let size = limit.min(STEP);
            scratch.try_reserve_exact(size).map_err(|_| buffer::OutOfMemory)?;
            scratch.resize(size, 0);
        }
        let until = *self.until.get_or_insert_with(|| time::now() + self.options.body_timeout);
        let room = limit.min(scratch.len());
        match self.wire.read(&mut scratch[..room], until).await? {
            None => Err(too_late("a body that takes too long")),
            Some(0) => Err(Refusal::bad("a body that ends in the middle").into()),
            Some(length) => Ok(length),
        }
    }
}
