//! Messages on a stream: read so that a broken one costs nothing but itself, and written whole.

use std::io::{self, BufRead, Read as _, Write};

use lsp_server::{ErrorCode, Message};
use serde_json::{Value, json};

/// The longest message that is taken: no `.unik` file is near that.
const MAX_LENGTH: usize = 256 << 20;
/// The longest line of a header.
const MAX_HEADER: u64 = 4096;

/// What came.
#[derive(Debug)]
pub enum Incoming {
    /// A message.
    Message(Message),
    /// Something that is none, with the answer that it gets.
    Malformed(Value),
    /// The end of the stream.
    End,
}

/// Reads the next message.
///
/// # Errors
/// When the stream can't be read, or a message is so long that it can't be one.
pub fn read(from: &mut dyn BufRead) -> io::Result<Incoming> {
    let mut length = None;
    loop {
        let mut line = Vec::new();
        if from.take(MAX_HEADER).read_until(b'\n', &mut line)? == 0 {
            return Ok(Incoming::End);
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim();
        if line.is_empty() {
            match length {
                Some(length) => return body(from, length),
                // What follows may begin with a header again.
                None => {
                    return Ok(malformed(ErrorCode::ParseError, "a message without a length", Value::Null));
                }
            }
        }
        if let Some((name, value)) = line.split_once(':')
            && name.trim().eq_ignore_ascii_case("Content-Length")
        {
            length = value.trim().parse::<usize>().ok();
        }
    }
}

fn body(from: &mut dyn BufRead, length: usize) -> io::Result<Incoming> {
    if length > MAX_LENGTH {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes")));
    }
    let mut text = vec![0; length];
    match from.read_exact(&mut text) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Incoming::End),
        outcome => outcome?,
    }
    let value: Value = match serde_json::from_slice(&text) {
        Ok(value) => value,
        Err(error) => return Ok(malformed(ErrorCode::ParseError, &error.to_string(), Value::Null)),
    };
    let id = value.get("id").filter(|id| id.is_number() || id.is_string()).cloned().unwrap_or_default();
    Ok(match serde_json::from_value(value) {
        // A request whose number is beyond those that there are.
        Ok(Message::Notification(_)) if !id.is_null() => {
            malformed(ErrorCode::InvalidRequest, "the id is no 32-bit number", id)
        }
        Ok(message) => Incoming::Message(message),
        Err(_) => {
            malformed(ErrorCode::InvalidRequest, "neither a request, a response nor a notification", id)
        }
    })
}

fn malformed(code: ErrorCode, why: &str, id: Value) -> Incoming {
    let error = json!({ "code": code as i32, "message": format!("malformed message: {why}") });
    Incoming::Malformed(json!({ "jsonrpc": "2.0", "id": id, "error": error }))
}

/// Writes a message.
///
/// # Errors
/// When nobody reads any more.
pub fn write(to: &mut dyn Write, message: &Message) -> io::Result<()> {
    message.write(&mut &mut *to)
}

/// Writes an answer that [`Incoming::Malformed`] holds.
///
/// # Errors
/// As [`write`].
pub fn write_raw(to: &mut dyn Write, value: &Value) -> io::Result<()> {
    let text = value.to_string();
    write!(to, "Content-Length: {}\r\n\r\n{text}", text.len())?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_message_costs_only_itself() {
        let frame = |text: &str| format!("Content-Length: {}\r\n\r\n{text}", text.len());
        let mut stream = String::from("nonsense\r\n\r\n");
        stream += &frame("{");
        stream += &frame(r#"{"jsonrpc":"2.0","id":99999999999,"method":"x"}"#);
        stream += "Content-Type: x\r\n";
        stream += &frame(r#"{"jsonrpc":"2.0","method":"exit"}"#);
        stream += "Content-Length: 9\r\n\r\n{";
        let mut from = stream.as_bytes();
        let mut codes = Vec::new();
        for _ in 0..3 {
            match read(&mut from).unwrap() {
                Incoming::Malformed(answer) => {
                    codes.push((answer["error"]["code"].clone(), answer["id"].clone()))
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(
            codes,
            [
                (json!(-32700), json!(null)),
                (json!(-32700), json!(null)),
                (json!(-32600), json!(99_999_999_999_u64))
            ]
        );
        assert!(matches!(read(&mut from).unwrap(), Incoming::Message(Message::Notification(_))));
        assert!(matches!(read(&mut from).unwrap(), Incoming::End));
        assert!(read(&mut "Content-Length: 99999999999\r\n\r\n".as_bytes()).is_err());
    }
}
