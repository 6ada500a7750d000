//! Conditional requests (RFC 9110, 13) and ranges (RFC 9110, 14).

use core::ops::Range;

use crate::request::Fields;

/// What of a file a client is to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// All of it.
    Whole,
    /// A part: never empty, inside the file.
    Part(Range<u64>),
    /// Nothing: it has it (304).
    NotModified,
    /// Nothing: it wanted another one (412).
    PreconditionFailed,
    /// Nothing: the file has no such part (416).
    NoSuchPart,
}

/// Judges the conditions of a GET or HEAD request for a file of `length` bytes with the
/// strong entity tag `tag`, quotes included. Files have no date of change, so conditions
/// on dates don't apply (RFC 9110, 13.1.3 and 13.1.4).
pub(crate) fn judge(fields: Fields<'_>, is_get: bool, tag: &[u8], length: u64) -> Answer {
    // In the order of RFC 9110, 13.2.2.
    let mut if_match = fields.all("if-match").peekable();
    if if_match.peek().is_some() && !if_match.any(|list| lists(list, tag, false)) {
        return Answer::PreconditionFailed;
    }
    if fields.all("if-none-match").any(|list| lists(list, tag, true)) {
        return Answer::NotModified;
    }
    let mut ranges = fields.all("range");
    let (Some(range), None, true) = (ranges.next(), ranges.next(), is_get) else { return Answer::Whole };
    // A date, or a weak tag, is no match: the client gets the whole file.
    if fields.all("if-range").any(|expected| expected != tag) {
        return Answer::Whole;
    }
    part(range, length)
}

/// Whether a list of entity tags has this one, or is `*`. Compared weakly, `W/"a"` is
/// `"a"`; compared strongly, it is nothing.
fn lists(list: &[u8], tag: &[u8], weakly: bool) -> bool {
    if list == b"*" {
        return true;
    }
    let mut rest = list;
    loop {
        rest = rest.trim_ascii_start();
        let is_weak = rest.starts_with(b"W/");
        if is_weak {
            rest = &rest[2..];
        }
        if rest.first() == Some(&b'"') {
            // A comma may stand inside of the quotes.
            let Some(end) = rest[1..].iter().position(|&byte| byte == b'"') else { return false };
            let (found, after) = rest.split_at(end + 2);
            if found == tag && (weakly || !is_weak) {
                return true;
            }
            rest = after;
        }
        match rest.iter().position(|&byte| byte == b',') {
            Some(comma) => rest = &rest[comma + 1..],
            None => return false,
        }
    }
}

/// The part that a `Range` names. What isn't understood, or has several parts, is as if
/// it weren't there (RFC 9110, 14.2).
fn part(range: &[u8], length: u64) -> Answer {
    let Some(spec) = range.split_first_chunk::<6>().filter(|(unit, _)| unit.eq_ignore_ascii_case(b"bytes="))
    else {
        return Answer::Whole;
    };
    let spec = spec.1.trim_ascii();
    let Some(dash) = spec.iter().position(|&byte| byte == b'-') else { return Answer::Whole };
    match (&spec[..dash], &spec[dash + 1..]) {
        (b"", last) => match number(last) {
            None => Answer::Whole,
            Some(0) => Answer::NoSuchPart,
            Some(_) if length == 0 => Answer::NoSuchPart,
            Some(last) => Answer::Part(length.saturating_sub(last)..length),
        },
        (first, last) => {
            let (Some(first), true) = (number(first), last.is_empty() || number(last).is_some()) else {
                return Answer::Whole;
            };
            let end = number(last).map_or(length, |last| last.saturating_add(1).min(length));
            if number(last).is_some_and(|last| last < first) {
                Answer::Whole
            } else if first >= length {
                Answer::NoSuchPart
            } else {
                Answer::Part(first..end)
            }
        }
    }
}

/// Digits and nothing else; more than fits into a u64 is u64::MAX.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        text.iter().fold(0, |sum: u64, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(fields: &str) -> Answer {
        judge(Fields(fields.as_bytes()), true, b"\"abc\"", 10)
    }

    #[test]
    fn entity_tags() {
        for (list, expected) in [
            ("\"abc\"", true),
            ("*", true),
            ("W/\"abc\"", true),
            ("\"x\", \"abc\"", true),
            ("\"x,y\" ,W/\"abc\"", true),
            ("junk, \"abc\"", true),
            ("abc", false),
            ("\"abc", false),
            ("\"x\"\"abc\"", false),
            ("\"ABC\"", false),
            ("", false),
            (",,,", false),
            ("w/\"abc\"", false),
            ("* , \"x\"", false),
        ] {
            assert_eq!(lists(list.as_bytes(), b"\"abc\"", true), expected, "{list}");
        }
        assert!(!lists(b"W/\"abc\"", b"\"abc\"", false));
        assert!(lists(b"W/\"x\", \"abc\"", b"\"abc\"", false));
    }

    #[test]
    fn conditions_in_their_order() {
        assert_eq!(answer(""), Answer::Whole);
        assert_eq!(answer("If-None-Match: \"abc\"\r\n"), Answer::NotModified);
        assert_eq!(answer("If-None-Match: \"x\"\r\nIf-None-Match: \"abc\"\r\n"), Answer::NotModified);
        assert_eq!(answer("If-Match: \"x\"\r\nIf-None-Match: \"abc\"\r\n"), Answer::PreconditionFailed);
        assert_eq!(answer("If-Match: *\r\nRange: bytes=0-0\r\n"), Answer::Part(0..1));
        assert_eq!(answer("If-None-Match: \"abc\"\r\nRange: bytes=0-0\r\n"), Answer::NotModified);
        assert_eq!(answer("If-Range: \"abc\"\r\nRange: bytes=0-0\r\n"), Answer::Part(0..1));
        assert_eq!(answer("If-Range: W/\"abc\"\r\nRange: bytes=0-0\r\n"), Answer::Whole);
        assert_eq!(answer("If-Range: Sat, 29 Oct 1994 19:43:31 GMT\r\nRange: bytes=0-0\r\n"), Answer::Whole);
        assert_eq!(judge(Fields(b"Range: bytes=0-0\r\n"), false, b"\"abc\"", 10), Answer::Whole);
    }

    #[test]
    fn ranges() {
        for (range, expected) in [
            ("bytes=0-3", Answer::Part(0..4)),
            ("Bytes=9-9", Answer::Part(9..10)),
            ("bytes=5-", Answer::Part(5..10)),
            ("bytes=5-99999999999999999999999", Answer::Part(5..10)),
            ("bytes=-3", Answer::Part(7..10)),
            ("bytes=-30", Answer::Part(0..10)),
            ("bytes=-0", Answer::NoSuchPart),
            ("bytes=10-", Answer::NoSuchPart),
            ("bytes=99999999999999999999999-", Answer::NoSuchPart),
            ("bytes=4-3", Answer::Whole),
            ("bytes=0-1,3-4", Answer::Whole),
            ("bytes=-1-2", Answer::Whole),
            ("bytes=a-b", Answer::Whole),
            ("bytes=", Answer::Whole),
            ("bytes=-", Answer::Whole),
            ("bytes", Answer::Whole),
            ("lines=0-1", Answer::Whole),
            ("bytes=+1-2", Answer::Whole),
        ] {
            assert_eq!(part(range.as_bytes(), 10), expected, "{range}");
        }
        assert_eq!(part(b"bytes=0-", 0), Answer::NoSuchPart);
        assert_eq!(part(b"bytes=-5", 0), Answer::NoSuchPart);
    }
}
