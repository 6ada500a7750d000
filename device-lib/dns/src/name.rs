//! Names, as messages hold them (RFC 1035, section 3.1 and 4.1.4).

use alloc::vec::Vec;

/// Bytes of the longest name, its lengths included.
const LONGEST: usize = 255;
/// Bytes of the longest label.
const LONGEST_LABEL: usize = 63;

/// A name in the form of messages, uncompressed and in lower case: for each label its length
/// and its bytes, and a zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(Vec<u8>);

impl Name {
    /// The host's name in `text`, absolute with or without a dot at its end.
    pub fn parse(text: &str) -> Option<Name> {
        let text = text.strip_suffix('.').unwrap_or(text);
        // Labels take a byte each beside their own, as dots do, but for the first one; and the zero.
        if text.len() + 2 > LONGEST {
            return None;
        }
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.split('.') {
            let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if label.is_empty() || label.len() > LONGEST_LABEL || !label.bytes().all(is_good) {
                return None;
            }
            wire.push(label.len() as u8);
            wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        wire.push(0);
        Some(Name(wire))
    }

    /// Reads the name at `at` in `message`; `None` if there is none.
    pub fn read(message: &[u8], at: usize) -> Option<Name> {
        let mut wire = Vec::new();
        for label in Labels::new(message, at) {
            let label = label?;
            wire.push(label.len() as u8);
            wire.extend(label.iter().map(u8::to_ascii_lowercase));
        }
        wire.push(0);
        Some(Name(wire))
    }

    /// Whether it is the name at `at` in `message`, in whatever case; `None` if there is none.
    pub fn is_at(&self, message: &[u8], at: usize) -> Option<bool> {
        let mut rest = &self.0[..];
        for label in Labels::new(message, at) {
            let label = label?;
            let Some((own, after)) = split_label(rest) else { return Some(false) };
            if !own.eq_ignore_ascii_case(label) {
                // What follows isn't looked at: who reads the message has skipped all names before.
                return Some(false);
            }
            rest = after;
        }
        Some(rest == [0])
    }

    /// Its bytes, in lower case.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Whether its last label is `label`, which is in lower case.
    pub fn ends_in(&self, label: &[u8]) -> bool {
        let mut rest = &self.0[..];
        let mut last = &rest[..0];
        while let Some((label, after)) = split_label(rest) {
            (last, rest) = (label, after);
        }
        last == label
    }
}

/// The first label of `wire`, which is well-formed, and what follows.
fn split_label(wire: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = wire.split_first()?;
    if *length == 0 {
        return None;
    }
    rest.split_at_checked(usize::from(*length))
}

/// Where in `message` the name at `at` ends; `None` if it doesn't.
pub(crate) fn skip(message: &[u8], mut at: usize) -> Option<usize> {
    let start = at;
    loop {
        let length = *message.get(at)?;
        match length >> 6 {
            0 if length == 0 => return Some(at + 1),
            0 => at += 1 + usize::from(length),
            // The rest stands elsewhere.
            3 => return message.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
        if at - start >= LONGEST {
            return None;
        }
    }
}

/// The labels of a name, one after the other; `None` in the place of what is none, and nothing after it.
struct Labels<'a> {
    message: &'a [u8],
    at: usize,
    /// A pointer leads to before where the last one led: so they end.
    before: usize,
    /// Bytes of the name so far.
    length: usize,
    ended: bool,
}

impl<'a> Labels<'a> {
    fn new(message: &'a [u8], at: usize) -> Self {
        Labels { message, at, before: at, length: 1, ended: false }
    }

    /// The next label, or nothing at the end of the name.
    fn step(&mut self) -> Option<Option<&'a [u8]>> {
        loop {
            let length = *self.message.get(self.at)?;
            match length >> 6 {
                0 if length == 0 => return Some(None),
                0 => {
                    let start = self.at + 1;
                    let label = self.message.get(start..start + usize::from(length))?;
                    self.at = start + label.len();
                    self.length += 1 + label.len();
                    return (self.length <= LONGEST).then_some(Some(label));
                }
                3 => {
                    let low = *self.message.get(self.at + 1)?;
                    let to = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    if to >= self.before {
                        return None;
                    }
                    (self.at, self.before) = (to, to);
                }
                _ => return None,
            }
        }
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.step() {
            Some(Some(label)) => Some(Some(label)),
            Some(None) => {
                self.ended = true;
                None
            }
            None => {
                self.ended = true;
                Some(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::String;

    #[test]
    fn texts() {
        let name = Name::parse("wWw.Example.org").unwrap();
        assert_eq!(name.wire(), b"\x03www\x07example\x03org\0");
        assert_eq!(Name::parse("www.example.org."), Some(name.clone()));
        assert!(name.ends_in(b"org") && !name.ends_in(b"example"));
        assert!(Name::parse("_dns.resolver-1.arpa").is_some());
        let label = "a".repeat(63);
        let longest = std::format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!((longest.len(), Name::parse(&longest).unwrap().wire().len()), (253, 255));
        for bad in
            ["", ".", "..", "a..b", ".a", "a b", "ä.org", "a/b", &"a".repeat(64), &std::format!("{longest}a")]
        {
            assert_eq!(Name::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn compressed_names() {
        let message = b"\x03org\0\x07Example\xc0\x00\x03www\xc0\x05";
        assert_eq!(Name::read(message, 15), Name::parse("www.example.org"));
        assert_eq!(Name::parse("www.example.org").unwrap().is_at(message, 15), Some(true));
        assert_eq!(Name::parse("ww.example.org").unwrap().is_at(message, 15), Some(false));
        assert_eq!(Name::parse("www.example.org.au").unwrap().is_at(message, 15), Some(false));
        assert_eq!(Name::parse("example.org").unwrap().is_at(message, 5), Some(true));
        assert_eq!((skip(message, 0), skip(message, 15), skip(message, 19)), (Some(5), Some(21), Some(21)));
    }

    #[test]
    fn pointers_that_lead_nowhere_end() {
        for message in [
            &b"\xc0\x00"[..],    // to itself
            b"\x01a\xc0\x00",    // a loop through a label
            b"\xc0\x02\xc0\x00", // forwards
            b"\xc0",             // cut off
            b"\x05abc",          // a label that is longer than the message
            b"\x40a\0",          // a kind of label that there isn't
            b"",
        ] {
            assert_eq!(Name::read(message, 0), None, "{message:?}");
        }
        // Two pointers in turn, from the second label.
        assert_eq!(Name::read(b"\x01a\xc0\x04\x01b\xc0\x00", 4), None);
    }

    #[test]
    fn too_long_a_name_is_none() {
        // Five labels of 63 bytes.
        let mut message = Vec::new();
        for _ in 0..5 {
            message.push(63);
            message.extend([b'a'; 63]);
        }
        message.push(0);
        assert_eq!((Name::read(&message, 0), skip(&message, 0)), (None, None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(message in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..310) {
            if let Some(name) = Name::read(&message, at) {
                prop_assert!(name.wire().len() <= LONGEST);
                prop_assert_eq!(name.is_at(&message, at), Some(true));
            }
            let _ = skip(&message, at);
        }

        #[test]
        fn smoltcps_reader_agrees(labels in proptest::collection::vec("[a-z0-9]{1,12}", 1..6), cut in 0usize..4) {
            let text: String = labels.join(".");
            let name = Name::parse(&text).unwrap();
            // The last labels stand before, and are pointed to.
            let cut = cut.min(labels.len());
            let (front, back) = labels.split_at(labels.len() - cut);
            let mut message = std::vec![0; 12];
            let write = |message: &mut Vec<u8>, labels: &[String]| for label in labels {
                message.push(label.len() as u8);
                message.extend(label.bytes());
            };
            write(&mut message, back);
            message.push(0);
            let at = message.len();
            write(&mut message, front);
            message.extend([0xc0, 12]);
            prop_assert_eq!(Name::read(&message, at), Some(name));
            let packet = smoltcp::wire::DnsPacket::new_unchecked(&message[..]);
            let theirs: Vec<String> = packet
                .parse_name(&message[at..])
                .map(|label| String::from_utf8(label.unwrap().to_vec()).unwrap())
                .collect();
            prop_assert_eq!(theirs, labels);
        }
    }
}
