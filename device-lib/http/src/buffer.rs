//! The bytes that a connection keeps: what came and isn't used up, what is to be sent.

use alloc::vec::Vec;

/// No memory left for a connection's bytes: the connection ends, the others go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfMemory;

/// What came in and isn't used up.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// The room for input that a connection has while nothing comes.
const IDLE: usize = 256;
/// The room that it starts with.
const FIRST: usize = 1024;

impl Input {
    /// What came and isn't used up.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Takes away the first `length` bytes, or all if there are fewer.
    pub(crate) fn consume(&mut self, length: usize) {
        self.start = self.end.min(self.start.saturating_add(length));
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room for more, so that there are at most `limit` bytes pending; empty when that
    /// many are.
    pub(crate) fn room(&mut self, limit: usize) -> Result<&mut [u8], OutOfMemory> {
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.bytes.len() {
            let size = (self.bytes.len() * 2).max(FIRST).min(limit.max(self.end));
            self.bytes.try_reserve_exact(size - self.bytes.len()).map_err(|_| OutOfMemory)?;
            self.bytes.resize(size, 0);
        }
        let end = self.bytes.len().min(self.start.saturating_add(limit)).max(self.end);
        Ok(&mut self.bytes[self.end..end])
    }

    /// Says that `length` bytes came into the room.
    pub(crate) fn filled(&mut self, length: usize) {
        self.end = self.bytes.len().min(self.end + length);
    }

    /// Puts back bytes that came after what was read elsewhere.
    pub(crate) fn put_back(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = self.room(usize::MAX)?;
            let length = room.len().min(rest.len());
            room[..length].copy_from_slice(&rest[..length]);
            self.filled(length);
            rest = &rest[length..];
        }
        Ok(())
    }

    /// Gives memory back, of a connection on which nothing happens.
    pub(crate) fn shrink(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.bytes.truncate(IDLE);
            self.bytes.shrink_to_fit();
        }
    }
}

/// Adds bytes, if there is memory for them.
pub(crate) fn append(to: &mut Vec<u8>, bytes: &[u8]) -> Result<(), OutOfMemory> {
    to.try_reserve(bytes.len()).map_err(|_| OutOfMemory)?;
    push(to, bytes);
    Ok(())
}

/// Adds bytes for which there is room: a call and not a copy of the code in each place.
#[inline(never)]
pub(crate) fn push(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(bytes);
}

/// Adds a number in decimal.
pub(crate) fn append_number(to: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    push(to, &digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(input: &mut Input, bytes: &[u8], limit: usize) -> usize {
        let room = input.room(limit).unwrap();
        let length = room.len().min(bytes.len());
        room[..length].copy_from_slice(&bytes[..length]);
        input.filled(length);
        length
    }

    #[test]
    fn input_holds_at_most_its_limit_and_keeps_the_order() {
        let mut input = Input::default();
        let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let mut sent = 0;
        while sent < 3000 {
            let more = fill(&mut input, &bytes[sent..], 3000);
            assert!(more > 0);
            sent += more;
        }
        assert_eq!(fill(&mut input, b"x", 3000), 0);
        assert_eq!(input.pending(), &bytes[..3000]);
        input.consume(2999);
        assert_eq!(fill(&mut input, &bytes[3000..], 3000), 2000);
        assert_eq!(input.pending(), &bytes[2999..5000]);
        input.consume(usize::MAX);
        assert!(input.pending().is_empty());
        input.shrink();
        assert_eq!(input.bytes.len(), IDLE);
        input.put_back(&bytes).unwrap();
        assert_eq!(input.pending(), bytes);
    }

    #[test]
    fn numbers() {
        for number in [0, 7, 10, 12345, u64::MAX] {
            let mut text = Vec::new();
            append_number(&mut text, number);
            assert_eq!(text, alloc::format!("{number}").as_bytes());
        }
    }
}
