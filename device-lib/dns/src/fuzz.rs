//! Hostile answers: whatever a server sends, reading it ends, and stays within its bounds.

use crate::message::tests::{ASKED, FINE, answer, record};
use crate::message::{ADDRESSES, Answer, Heard, Kind, Question, Style};
use crate::name::Name;

#[test]
fn hostile_answers() {
    let name = Name::parse("www.example.org").unwrap();
    let style = Style { extended: true, mixed: true };
    bolero::check!().with_max_len(1300).for_each(|bytes: &[u8]| {
        let question = Question::new(&name, Kind::A, style, [3, 5]);
        let _ = question.hear(bytes);
        // The same behind a good beginning, and behind a record.
        for records in [&[][..], &[record(ASKED, 5, 9, b"\xc0\x0c")]] {
            let mut message = answer(question.message(), FINE, records, &[]);
            message[6..12].copy_from_slice(&[0, 200, 0, 200, 0, 200]);
            message.extend(bytes);
            if let Heard::Answer { answer: Answer::Addresses(addresses, _), .. } = question.hear(&message) {
                assert!((1..=ADDRESSES).contains(&addresses.len()));
            }
        }
    });
}
