//! Echo over TCP (RFC 862): what comes goes back.

use unik::interface::TcpStream;
use unik::time::Duration;

use crate::tcp::{Conversation, End, close, read, write};

/// What one connection holds of its peer's bytes.
const BUFFER: usize = 2048;

/// Sends everything back.
#[derive(Clone, Copy)]
pub(crate) struct Echo;

impl Conversation for Echo {
    async fn hold<S: TcpStream>(self, stream: &mut S, limit: Duration) -> End {
        let mut buffer = [0; BUFFER];
        loop {
            let length = match read(stream, &mut buffer, limit).await {
                Ok(0) => return close(stream, limit).await,
                Ok(length) => length,
                Err(end) => return end,
            };
            if let Err(end) = write(stream, &buffer[..length], limit).await {
                return end;
            }
        }
    }
}
