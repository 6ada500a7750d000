//! The bodies of requests.

use alloc::vec::Vec;

use unik::interface::TcpStream;
use unik::time;

use crate::Options;
use crate::Status;
use crate::buffer::{OutOfMemory, append};
use crate::chunked::{Decoder, Piece};
use crate::head::{Framing, Refusal};
use crate::wire::{Stop, Wire, too_late};

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
    let end = match framing {
        Framing::Length(0) => return Ok(Used::default()),
        Framing::Length(left) => End::After(left),
        Framing::Chunked => End::Chunk(Decoder::new()),
    };
    let mut body = Body { sink, allowed: options.max_body as u64, end };
    let mut rest = input;
    if body.take(&mut rest)? {
        return Ok(Used { of_input: input.len() - rest.len(), beyond: Vec::new() });
    }
    // Earlier answers mustn't wait for this body.
    wire.flush().await?;
    let mut scratch = Vec::new();
    scratch.try_reserve_exact(STEP).map_err(|_| OutOfMemory)?;
    scratch.resize(STEP, 0);
    let until = time::now() + options.body_timeout;
    loop {
        // Of a body whose length is known, no byte of the next request is read.
        let room = match body.end {
            End::After(left) => usize::try_from(left).unwrap_or(STEP).min(STEP),
            End::Chunk(_) => STEP,
        };
        let length = match wire.read(&mut scratch[..room], until).await? {
            None => return Err(too_late("a body that takes too long")),
            Some(0) => return Err(Refusal::bad("a body that ends in the middle").into()),
            Some(length) => length,
        };
        let mut rest = &scratch[..length];
        if body.take(&mut rest)? {
            let begin = length - rest.len();
            scratch.truncate(length);
            scratch.drain(..begin);
            return Ok(Used { of_input: input.len(), beyond: scratch });
        }
    }
}

/// A body of which a part has come.
struct Body<'a> {
    sink: Sink<'a>,
    /// So many bytes are allowed yet.
    allowed: u64,
    end: End,
}

/// Where it ends.
enum End {
    /// After so many bytes more.
    After(u64),
    /// With its last chunk.
    Chunk(Decoder),
}

impl Body<'_> {
    /// Takes what belongs to the body off the start of `rest`; whether it has ended.
    fn take(&mut self, rest: &mut &[u8]) -> Result<bool, Stop> {
        loop {
            let data = match &mut self.end {
                End::After(left) => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    let (data, after) = rest.split_at(length);
                    *rest = after;
                    *left -= length as u64;
                    data
                }
                End::Chunk(decoder) => match decoder.next(rest)? {
                    Piece::Data(data) => data,
                    Piece::NeedMore => return Ok(false),
                    Piece::End => return Ok(true),
                },
            };
            self.allowed = self
                .allowed
                .checked_sub(data.len() as u64)
                .ok_or(Refusal::new(Status::CONTENT_TOO_LARGE, "a body above `max-body`"))?;
            if let Sink::Keep(body) = &mut self.sink {
                append(body, data)?;
            }
            if let End::After(left) = self.end {
                return Ok(left == 0);
            }
        }
    }
}
