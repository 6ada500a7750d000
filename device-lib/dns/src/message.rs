//! Questions to servers, and what their answers say (RFC 1035, section 4).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::name::{Name, skip};

/// Bytes of a header.
const HEADER: usize = 12;
/// The size of an answer over UDP that every path carries (RFC 9715).
pub(crate) const LARGEST: u16 = 1232;
/// The most addresses that are taken of an answer.
pub(crate) const ADDRESSES: usize = 16;
/// The most aliases from a name to its addresses.
pub(crate) const ALIASES: usize = 8;
/// The most records of an answer that are looked at.
const RECORDS: usize = 256;

/// Class Internet.
const INTERNET: u16 = 1;
/// Types of records.
const CNAME: u16 = 5;
const SOA: u16 = 6;
const OPT: u16 = 41;

/// Which addresses a question is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    A,
    Aaaa,
}

impl Kind {
    const fn number(self) -> u16 {
        match self {
            Kind::A => 1,
            Kind::Aaaa => 28,
        }
    }
}

/// How a question is put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// With what says that long answers are welcome (EDNS, RFC 6891).
    pub extended: bool,
    /// In letters of random case, which the answer must repeat (draft-vixie-dnsext-dns0x20).
    pub mixed: bool,
}

/// A question for the addresses of `name`.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    name: &'a Name,
    kind: Kind,
    extended: bool,
    message: Vec<u8>,
    /// Where the question itself ends.
    end: usize,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Addresses, and for how many seconds they are good.
    Addresses(Vec<IpAddr>, u32),
    /// Those of another name, which the answer hasn't.
    Alias(Name, u32),
    /// There is none, and for how many seconds that is good, if that is said.
    None(Option<u32>),
    /// The server refuses.
    Refused,
    /// The server doesn't understand what belongs to EDNS.
    NotExtended,
    /// The server can't answer.
    Failed,
    /// What can't be understood.
    Malformed,
}

/// What a message is to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// An answer to another question, or none at all.
    Stranger,
    /// The answer, but for the case of letters: of a server that doesn't keep it, or of somebody who guesses.
    OtherCase,
    /// The answer, and whether there is more of it than the message had room for.
    Answer { answer: Answer, is_cut: bool },
}

impl<'a> Question<'a> {
    /// A question in the given style; its number and the case of its letters are taken of `random`.
    pub fn new(name: &'a Name, kind: Kind, style: Style, random: [u64; 2]) -> Question<'a> {
        let [id, mut bits] = random;
        let mut message = Vec::with_capacity(HEADER + name.wire().len() + 4 + 11);
        message.extend((id as u16).to_be_bytes());
        // A query, recursion desired, of one question.
        message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(style.extended)]);
        for byte in name.wire() {
            let is_letter = byte.is_ascii_lowercase();
            let flip = style.mixed && is_letter && bits & 1 == 1;
            if is_letter {
                bits = bits.rotate_right(1);
            }
            // The lengths between are no letters: 63 at most.
            message.push(if flip { byte.to_ascii_uppercase() } else { *byte });
        }
        message.extend(kind.number().to_be_bytes());
        message.extend(INTERNET.to_be_bytes());
        let end = message.len();
        if style.extended {
            // The root's name, OPT, the size; version 0, no flags, no data.
            message.push(0);
            message.extend(OPT.to_be_bytes());
            message.extend(LARGEST.to_be_bytes());
            message.extend([0; 6]);
        }
        Question { name, kind, extended: style.extended, message, end }
    }

    /// The message to send.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// What `message`, from the server that was asked, is to this question.
    pub fn hear(&self, message: &[u8]) -> Heard {
        let Some((header, _)) = message.split_first_chunk::<HEADER>() else { return Heard::Stranger };
        // The same number; an answer to a query.
        if header[..2] != self.message[..2] || header[2] & 0xf8 != 0x80 {
            return Heard::Stranger;
        }
        let code = header[3] & 0xf;
        let questions = u16::from_be_bytes([header[4], header[5]]);
        if questions == 0 && code != 0 {
            // Some say no more than that they don't understand.
            return Heard::Answer { answer: self.failure(code), is_cut: false };
        }
        let own = &self.message[HEADER..self.end];
        let Some(theirs) = message.get(HEADER..self.end).filter(|_| questions == 1) else {
            return Heard::Stranger;
        };
        if theirs != own {
            return match theirs.eq_ignore_ascii_case(own) {
                true => Heard::OtherCase,
                false => Heard::Stranger,
            };
        }
        let answer = match code {
            0 | 3 => self.read(message, header).unwrap_or(Answer::Malformed),
            code => self.failure(code),
        };
        Heard::Answer { answer, is_cut: header[2] & 2 != 0 }
    }

    fn failure(&self, code: u8) -> Answer {
        match code {
            // FORMERR, NOTIMP.
            1 | 4 if self.extended => Answer::NotExtended,
            5 => Answer::Refused,
            _ => Answer::Failed,
        }
    }

    /// Reads the records of an answer without an error, or with NXDOMAIN.
    fn read(&self, message: &[u8], header: &[u8; HEADER]) -> Option<Answer> {
        let count = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
        let mut at = self.end;
        let mut records = Vec::new();
        for _ in 0..count(6).min(RECORDS) {
            let record = Record::parse(message, at)?;
            at = record.end;
            // Signatures and their like are of no use here.
            if record.class == INTERNET && [self.kind.number(), CNAME].contains(&record.kind) {
                records.push(record);
            }
        }
        let (mut name, mut seconds) = (self.name.clone(), u32::MAX);
        for _ in 0..=ALIASES {
            let mut addresses = Vec::new();
            let mut alias = None;
            for record in &records {
                if !name.is_at(message, record.name)? {
                    continue;
                }
                seconds = seconds.min(record.seconds);
                if record.kind == CNAME {
                    alias = Some(Name::read(message, record.start)?);
                } else if addresses.len() < ADDRESSES {
                    addresses.push(self.address(message.get(record.start..record.end)?)?);
                }
            }
            if !addresses.is_empty() {
                return Some(Answer::Addresses(addresses, seconds));
            }
            match alias {
                Some(next) => name = next,
                None => return self.none(message, header, (at, count(6), count(8)), (name, seconds)),
            }
        }
        None
    }

    /// What an answer without addresses says, of which the records from `at` on remain; `name` is the
    /// last of its aliases.
    fn none(
        &self,
        message: &[u8],
        header: &[u8; HEADER],
        (mut at, answers, authorities): (usize, usize, usize),
        (name, seconds): (Name, u32),
    ) -> Option<Answer> {
        let is_missing = header[3] & 0xf == 3;
        if answers > RECORDS {
            return None;
        }
        let mut has_delegation = false;
        for _ in 0..authorities.min(RECORDS) {
            let record = Record::parse(message, at)?;
            at = record.end;
            if record.kind == SOA && record.class == INTERNET {
                // The last of its numbers is the one for this (RFC 2308, section 4).
                let (_, least) = message.get(record.start..record.end)?.split_last_chunk::<4>()?;
                let least = u32::from_be_bytes(*least).min(record.seconds);
                return Some(Answer::None(Some(least.min(seconds))));
            }
            has_delegation = true;
        }
        Some(match (is_missing, name == *self.name) {
            (true, _) => Answer::None(None),
            (false, false) => Answer::Alias(name, seconds),
            // It sends us on to others, and we don't go there: it isn't one that resolves.
            (false, true) if has_delegation && header[3] & 0x80 == 0 => Answer::Failed,
            (false, true) => Answer::None(None),
        })
    }

    fn address(&self, data: &[u8]) -> Option<IpAddr> {
        match self.kind {
            Kind::A => Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
            Kind::Aaaa => Some(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into()),
        }
    }
}

/// Where things are of a record.
#[derive(Clone, Copy, Debug)]
struct Record {
    name: usize,
    kind: u16,
    class: u16,
    seconds: u32,
    /// Its data, and what follows it.
    start: usize,
    end: usize,
}

impl Record {
    fn parse(message: &[u8], name: usize) -> Option<Record> {
        let fixed = skip(message, name)?;
        let [k0, k1, c0, c1, s0, s1, s2, s3, l0, l1] = *message.get(fixed..)?.first_chunk::<10>()?;
        let start = fixed + 10;
        let end = start + usize::from(u16::from_be_bytes([l0, l1]));
        let seconds = u32::from_be_bytes([s0, s1, s2, s3]);
        (end <= message.len()).then_some(Record {
            name,
            kind: u16::from_be_bytes([k0, k1]),
            class: u16::from_be_bytes([c0, c1]),
            // What has the top bit is none (RFC 2181, section 8).
            seconds: if seconds >> 31 == 0 { seconds } else { 0 },
            start,
            end,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) const PLAIN: Style = Style { extended: false, mixed: false };

    /// A record of `name`, in wire form.
    pub(crate) fn record(name: &[u8], kind: u16, seconds: u32, data: &[u8]) -> Vec<u8> {
        let mut record = name.to_vec();
        record.extend(kind.to_be_bytes());
        record.extend([0, 1]);
        record.extend(seconds.to_be_bytes());
        record.extend((data.len() as u16).to_be_bytes());
        record.extend(data);
        record
    }

    /// An answer to `question` with these flags and records.
    pub(crate) fn answer(
        question: &[u8],
        flags: [u8; 2],
        answers: &[Vec<u8>],
        authorities: &[Vec<u8>],
    ) -> Vec<u8> {
        let end = skip(question, HEADER).unwrap() + 4;
        let mut message = question[..end].to_vec();
        message[2..4].copy_from_slice(&flags);
        message[7] = answers.len() as u8;
        message[9] = authorities.len() as u8;
        message[11] = 0;
        for record in answers.iter().chain(authorities) {
            message.extend(record);
        }
        message
    }

    pub(crate) const FINE: [u8; 2] = [0x81, 0x80];
    pub(crate) const MISSING: [u8; 2] = [0x81, 0x83];
    /// The name of the question.
    pub(crate) const ASKED: &[u8] = &[0xc0, 12];

    pub(crate) fn soa(least: u32) -> Vec<u8> {
        let mut data = std::vec![0, 0];
        data.extend([0; 16]);
        data.extend(least.to_be_bytes());
        record(b"\x03org\0", SOA, 3600, &data)
    }

    fn name() -> Name {
        Name::parse("www.example.org").unwrap()
    }

    fn heard(answers: &[Vec<u8>], authorities: &[Vec<u8>], flags: [u8; 2]) -> Answer {
        let name = name();
        let question = Question::new(&name, Kind::A, PLAIN, [7, 0]);
        match question.hear(&answer(question.message(), flags, answers, authorities)) {
            Heard::Answer { answer, is_cut: false } => answer,
            other => panic!("{other:?}"),
        }
    }

    fn addresses(last: &[u8]) -> Vec<IpAddr> {
        last.iter().map(|last| Ipv4Addr::new(192, 0, 2, *last).into()).collect()
    }

    #[test]
    fn a_question_reads_as_smoltcp_reads_it() {
        let name = name();
        let style = Style { extended: true, mixed: false };
        let question = Question::new(&name, Kind::Aaaa, style, [0x1234, 0]);
        let packet = smoltcp::wire::DnsPacket::new_checked(question.message()).unwrap();
        assert_eq!((packet.transaction_id(), packet.question_count()), (0x1234, 1));
        assert_eq!((packet.answer_record_count(), packet.additional_record_count()), (0, 1));
        assert_eq!(packet.flags(), smoltcp::wire::DnsFlags::RECURSION_DESIRED);
        let (rest, read) = smoltcp::wire::DnsQuestion::parse(packet.payload()).unwrap();
        assert_eq!((read.name, read.type_), (name.wire(), smoltcp::wire::DnsQueryType::Aaaa));
        assert_eq!(rest, [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn addresses_of_the_name_and_of_no_other() {
        let answers = [
            record(ASKED, 1, 300, &[192, 0, 2, 1]),
            record(b"\x05other\0", 1, 300, &[192, 0, 2, 9]),
            record(ASKED, 28, 1, &[0; 16]),
            record(ASKED, 1, 200, &[192, 0, 2, 2]),
        ];
        assert_eq!(heard(&answers, &[], FINE), Answer::Addresses(addresses(&[1, 2]), 200));
    }

    #[test]
    fn aliases_are_followed_in_whatever_order() {
        let answers = [
            record(b"\x01b\0", 1, 300, &[192, 0, 2, 3]),
            record(b"\x01A\0", CNAME, 20, b"\x01b\0"),
            record(ASKED, CNAME, 300, b"\x01a\0"),
        ];
        assert_eq!(heard(&answers, &[], FINE), Answer::Addresses(addresses(&[3]), 20));
        let next = Name::parse("b").unwrap();
        assert_eq!(heard(&answers[1..], &[], FINE), Answer::Alias(next, 20));
        // A name that isn't there, behind an alias.
        assert_eq!(heard(&answers[1..], &[soa(60)], MISSING), Answer::None(Some(20)));
    }

    #[test]
    fn aliases_without_end_end() {
        let answers = [record(ASKED, CNAME, 300, b"\x01a\0"), record(b"\x01a\0", CNAME, 300, ASKED)];
        assert_eq!(heard(&answers, &[], FINE), Answer::Malformed);
        assert_eq!(heard(&[record(ASKED, CNAME, 300, ASKED)], &[], FINE), Answer::Malformed);
    }

    #[test]
    fn no_name_and_no_data_say_for_how_long() {
        assert_eq!(heard(&[], &[soa(60)], MISSING), Answer::None(Some(60)));
        assert_eq!(heard(&[], &[soa(7200)], FINE), Answer::None(Some(3600)));
        assert_eq!(heard(&[], &[], MISSING), Answer::None(None));
        assert_eq!(heard(&[], &[], FINE), Answer::None(None));
    }

    #[test]
    fn a_server_that_sends_us_on_is_no_resolver() {
        let delegation = record(b"\x03org\0", 2, 60, b"\x02ns\0");
        assert_eq!(heard(&[], core::slice::from_ref(&delegation), [0x81, 0]), Answer::Failed);
        assert_eq!(heard(&[], &[delegation], FINE), Answer::None(None));
    }

    #[test]
    fn codes() {
        assert_eq!(heard(&[], &[], [0x81, 0x85]), Answer::Refused);
        assert_eq!(heard(&[], &[], [0x81, 0x82]), Answer::Failed);
        assert_eq!(heard(&[], &[], [0x81, 0x81]), Answer::Failed);
        let name = name();
        let question = Question::new(&name, Kind::A, Style { extended: true, mixed: false }, [7, 0]);
        for said in [answer(question.message(), [0x81, 0x81], &[], &[]), {
            let mut header = answer(question.message(), [0x81, 0x81], &[], &[]);
            header.truncate(HEADER);
            header[5] = 0;
            header
        }] {
            let answer = Answer::NotExtended;
            assert_eq!(question.hear(&said), Heard::Answer { answer, is_cut: false });
        }
    }

    #[test]
    fn strangers_and_guesses() {
        let name = name();
        let question = Question::new(&name, Kind::A, Style { extended: true, mixed: true }, [7, 0x5555_5555]);
        let good = answer(question.message(), FINE, &[record(ASKED, 1, 9, &[192, 0, 2, 1])], &[]);
        assert!(matches!(question.hear(&good), Heard::Answer { answer: Answer::Addresses(..), .. }));
        let changed = |at: usize, flip: u8| {
            let mut message = good.clone();
            message[at] ^= flip;
            question.hear(&message)
        };
        assert_eq!(changed(0, 1), Heard::Stranger, "another number");
        assert_eq!(changed(2, 0x80), Heard::Stranger, "a question");
        assert_eq!(changed(2, 0x08), Heard::Stranger, "another kind of query");
        assert_eq!(changed(5, 2), Heard::Stranger, "three questions");
        assert_eq!(changed(HEADER + 1, 1), Heard::Stranger, "another name");
        assert_eq!(changed(HEADER + 1, 0x20), Heard::OtherCase);
        assert_eq!(changed(question.end - 3, 1), Heard::Stranger, "another type");
        let cut = changed(2, 2);
        assert!(matches!(cut, Heard::Answer { is_cut: true, .. }), "{cut:?}");
        for length in 0..question.end {
            assert_eq!(question.hear(&good[..length]), Heard::Stranger);
        }
        for length in question.end..good.len() {
            let answer = Answer::Malformed;
            assert_eq!(question.hear(&good[..length]), Heard::Answer { answer, is_cut: false });
        }
    }

    #[test]
    fn the_case_is_random() {
        let name = name();
        let mixed = Style { extended: false, mixed: true };
        let written =
            |bits| Question::new(&name, Kind::A, mixed, [0, bits]).message()[HEADER..][..17].to_vec();
        assert_eq!(written(0), b"\x03www\x07example\x03org\0");
        assert_eq!(written(u64::MAX), b"\x03WWW\x07EXAMPLE\x03ORG\0");
        assert_eq!(written(0b1001), b"\x03Www\x07Example\x03org\0");
    }

    #[test]
    fn many_records_are_cut_off() {
        let answers: Vec<_> = (0..40).map(|last| record(ASKED, 1, 9, &[192, 0, 2, last])).collect();
        let Answer::Addresses(found, 9) = heard(&answers, &[], FINE) else { panic!() };
        assert_eq!(found.len(), ADDRESSES);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            tail in proptest::collection::vec(any::<u8>(), 0..300),
            counts in any::<[u8; 8]>(),
            flags in any::<[u8; 2]>(),
        ) {
            let name = name();
            let question = Question::new(&name, Kind::Aaaa, PLAIN, [7, 0]);
            let mut message = answer(question.message(), flags, &[], &[]);
            message[4..12].copy_from_slice(&counts);
            message.extend(&tail);
            let _ = question.hear(&message);
            message[4..6].copy_from_slice(&[0, 1]);
            message[2] = 0x81;
            let _ = question.hear(&message);
        }

        /// Answers that smoltcp reads as well say the same to both.
        #[test]
        fn smoltcps_reader_agrees(lasts in proptest::collection::vec(any::<u8>(), 1..10), seconds in 0u32..100_000) {
            let answers: Vec<_> = lasts.iter().map(|last| record(ASKED, 1, seconds, &[192, 0, 2, *last])).collect();
            prop_assert_eq!(heard(&answers, &[], FINE), Answer::Addresses(addresses(&lasts), seconds));
            let name = name();
            let question = Question::new(&name, Kind::A, PLAIN, [7, 0]);
            let message = answer(question.message(), FINE, &answers, &[]);
            let packet = smoltcp::wire::DnsPacket::new_checked(&message[..]).unwrap();
            let (mut rest, _) = smoltcp::wire::DnsQuestion::parse(packet.payload()).unwrap();
            for last in lasts {
                let (after, read) = smoltcp::wire::DnsRecord::parse(rest).unwrap();
                rest = after;
                let expected = smoltcp::wire::DnsRecordData::A(Ipv4Addr::new(192, 0, 2, last));
                prop_assert_eq!((read.ttl, read.data), (seconds, expected));
            }
        }
    }
}
