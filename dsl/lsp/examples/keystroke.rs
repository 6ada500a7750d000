//! How long an answer takes after a keystroke in a file of 1,000 lines: printed, not judged.
//! `cargo run --release -p unik-lsp --example keystroke`

use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use unik_catalogue::Component;
use unik_lsp::{Host, serve};

struct Plain;

impl Host for Plain {
    fn components(&self) -> Result<Vec<Component>, String> {
        unik_builtin::components().map_err(|error| error.to_string())
    }
}

fn main() -> std::io::Result<()> {
    let (server_in, mut to) = std::io::pipe()?;
    let (from, server_out) = std::io::pipe()?;
    std::thread::spawn(move || serve(Arc::new(Plain), server_in, server_out));
    let mut from = BufReader::new(from);

    let mut text = String::from(
        "unik 1\n\nappliance a {\n    device nic = virtio-net\n    network lan = ip on nic { ipv4 dhcp }\n",
    );
    while text.lines().count() < 998 {
        let number = text.lines().count();
        text.push_str(&format!("    service s{number} = echo on lan {{\n        port {number}\n    }}\n"));
    }
    text.push_str("}\n");
    let uri = "file:///nowhere/a.unik";
    send(
        &mut to,
        &json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": { "capabilities": {} } }),
    )?;
    let document = json!({ "uri": uri, "languageId": "unik", "version": 0, "text": text });
    send(
        &mut to,
        &json!({ "jsonrpc": "2.0", "method": "textDocument/didOpen", "params": { "textDocument": document } }),
    )?;
    wait(&mut from, |message| message["params"]["version"] == 0)?;

    let (mut answers, mut checks) = (Vec::new(), Vec::new());
    for version in 1..=40 {
        let place = json!({ "line": 500, "character": 0 });
        let change = json!({ "range": { "start": place, "end": place }, "text": " " });
        let began = Instant::now();
        send(
            &mut to,
            &json!({ "jsonrpc": "2.0", "method": "textDocument/didChange", "params": {
            "textDocument": { "uri": uri, "version": version }, "contentChanges": [change] } }),
        )?;
        send(
            &mut to,
            &json!({ "jsonrpc": "2.0", "id": version, "method": "textDocument/completion",
            "params": { "textDocument": { "uri": uri }, "position": place } }),
        )?;
        let (mut answered, mut checked) = (false, false);
        while !(answered && checked) {
            let message = wait(&mut from, |_| true)?;
            if message["id"] == version {
                answers.push(began.elapsed());
                answered = true;
            }
            if message["params"]["version"] == version {
                checks.push(began.elapsed());
                checked = true;
            }
        }
    }
    println!("{} lines: completion {}, diagnostics {}", text.lines().count(), shown(answers), shown(checks));
    Ok(())
}

fn shown(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    format!("{:.1?} (at most {:.1?})", times[times.len() / 2], times[times.len() - 1])
}

fn send(to: &mut impl Write, message: &Value) -> std::io::Result<()> {
    let text = message.to_string();
    write!(to, "Content-Length: {}\r\n\r\n{text}", text.len())?;
    to.flush()
}

fn wait(from: &mut impl BufRead, fits: impl Fn(&Value) -> bool) -> std::io::Result<Value> {
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim().strip_prefix("Content-Length: ") {
                Some(number) => length = number.parse().map_err(std::io::Error::other)?,
                None => break,
            }
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        let message: Value = serde_json::from_slice(&body)?;
        if fits(&message) {
            return Ok(message);
        }
    }
}
