//! The `Date` header (RFC 9110, 5.6.7 and 6.6.1).

use alloc::vec::Vec;
use core::cell::Cell;

use unik::interface::Clock;

use crate::buffer::push;

/// `Date: Sun, 06 Nov 1994 08:49:37 GMT` with its CRLF.
const LENGTH: usize = 37;

/// The header of the current second, rendered once a second.
#[derive(Debug)]
pub(crate) struct Date<C> {
    clock: C,
    second: Cell<u64>,
    line: Cell<[u8; LENGTH]>,
}

impl<C: Clock> Date<C> {
    pub(crate) fn new(clock: C) -> Self {
        Date { clock, second: Cell::new(0), line: Cell::new(render(0)) }
    }

    /// Adds the header to a response, or nothing where there is no time of day.
    pub(crate) fn push(&self, into: &mut Vec<u8>) {
        let Some(now) = self.clock.now() else { return };
        let second = now / 1_000_000_000;
        if self.second.replace(second) != second {
            self.line.set(render(second));
        }
        push(into, &self.line.get());
    }
}

/// The header at `second` after 1970-01-01 00:00 UTC, until the end of the year 9999.
fn render(second: u64) -> [u8; LENGTH] {
    let mut line = *b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
    let (days, second) = (second / 86_400, second % 86_400);
    // Years that begin in March have their leap day at their end; 400 of them have
    // 146,097 days. Day 0 of this calendar is 0000-03-01.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let day = day - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    let year = (400 * era + year + u64::from(month < 2)) % 10_000;
    let name = |names: &'static [u8], at: u64| names.chunks_exact(3).nth(at as usize).unwrap_or(b"???");
    line[6..9].copy_from_slice(name(b"ThuFriSatSunMonTueWed", days % 7));
    line[14..17].copy_from_slice(name(b"JanFebMarAprMayJunJulAugSepOctNovDec", month));
    for (at, number) in [
        (11, day),
        (18, year / 100),
        (20, year % 100),
        (23, second / 3600),
        (26, second / 60 % 60),
        (29, second % 60),
    ] {
        line[at] = b'0' + (number / 10) as u8;
        line[at + 1] = b'0' + (number % 10) as u8;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (second, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (1_795_430_000, "Mon, 23 Nov 2026 10:33:20 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            let line = render(second);
            assert_eq!(core::str::from_utf8(&line[6..LENGTH - 2]), Ok(expected));
        }
        let _ = render(u64::MAX / 1_000_000_000);
    }
}
