//! Discard over TCP (RFC 863): what comes is forgotten.

use alloc::vec::Vec;

use unik::interface::TcpStream;
use unik::time::Duration;

use crate::tcp::{Conversation, End, close, read};

/// What is read at once. More than echo's, since this is what the way into an appliance is
/// measured with.
const BUFFER: usize = 16 << 10;

/// Reads and forgets.
#[derive(Clone, Copy)]
pub(crate) struct Discard;

impl Conversation for Discard {
    async fn hold<S: TcpStream>(self, stream: &mut S, limit: Duration) -> End {
        let mut buffer = Vec::new();
        if buffer.try_reserve_exact(BUFFER).is_err() {
            return End::Broken;
        }
        buffer.resize(BUFFER, 0);
        loop {
            match read(stream, &mut buffer, limit).await {
                Ok(0) => return close(stream, limit).await,
                Ok(_) => {}
                Err(end) => return end,
            }
        }
    }
}
