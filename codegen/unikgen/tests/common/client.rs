//! A small client of the language server: it starts `unikgen lsp`, and waits for nothing forever.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Client {
    child: Child,
    input: Option<ChildStdin>,
    messages: Receiver<Value>,
    /// What came and wasn't asked for yet.
    kept: Vec<Value>,
    next: i64,
    pub folder: PathBuf,
}

/// What an editor of today says of itself.
pub fn capabilities() -> Value {
    json!({
        "general": { "positionEncodings": ["utf-8", "utf-16"] },
        "workspace": { "workspaceEdit": { "documentChanges": true } },
        "textDocument": {
            "completion": { "completionItem": { "snippetSupport": true } },
            "codeAction": { "codeActionLiteralSupport": { "codeActionKind": { "valueSet": [] } } },
            "documentSymbol": { "hierarchicalDocumentSymbolSupport": true },
        },
    })
}

impl Client {
    /// Starts the server with `folder` open.
    pub fn start(folder: &Path) -> Client {
        Client::with(folder, capabilities())
    }

    /// Starts the server for a client that can do this.
    pub fn with(folder: &Path, capabilities: Value) -> Client {
        let mut client = Client::raw(folder);
        let answer = client.request(
            "initialize",
            json!({ "processId": null, "rootUri": uri(folder), "capabilities": capabilities }),
        );
        assert!(answer["result"]["capabilities"].is_object(), "{answer}");
        client.notify("initialized", json!({}));
        client
    }

    /// Starts the server and says nothing.
    pub fn raw(folder: &Path) -> Client {
        let mut command = super::unikgen(folder);
        command.args(["lsp", "--stdio"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let input = child.stdin.take();
        let output = child.stdout.take().expect("a pipe");
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            while let Some(message) = read(&mut output) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let folder = folder.to_path_buf();
        Client { child, input, messages, kept: Vec::new(), next: 0, folder }
    }

    pub fn send(&mut self, message: &Value) {
        let text = message.to_string();
        self.send_raw(&format!("Content-Length: {}\r\n\r\n{text}", text.len()));
    }

    pub fn send_raw(&mut self, text: &str) {
        let input = self.input.as_mut().expect("it is open");
        input.write_all(text.as_bytes()).and_then(|()| input.flush()).expect("the server reads");
    }

    pub fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// Asks, and gives the whole answer.
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        self.answer(&json!(id))
    }

    /// Asks, and waits for nothing.
    pub fn ask(&mut self, method: &str, params: Value) -> i64 {
        self.next += 1;
        self.send(&json!({ "jsonrpc": "2.0", "id": self.next, "method": method, "params": params }));
        self.next
    }

    pub fn answer(&mut self, id: &Value) -> Value {
        self.wait("an answer", |message| message.get("method").is_none() && message["id"] == *id)
    }

    /// Waits for a message that fits.
    pub fn wait(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.kept.iter().position(&fits) {
            return self.kept.remove(at);
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(left) {
                Ok(message) if fits(&message) => return message,
                Ok(message) => self.kept.push(message),
                Err(error) => panic!("no {what}: {error}; there was {:#?}", self.kept),
            }
        }
    }

    /// KiB of memory that the server has at hand.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Opens a text; gives its URI.
    pub fn open(&mut self, name: &str, text: &str) -> String {
        let uri = uri(&self.folder.join(name));
        let item = json!({ "uri": uri, "languageId": "unik", "version": 1, "text": text });
        self.notify("textDocument/didOpen", json!({ "textDocument": item }));
        uri
    }

    /// Replaces a whole text.
    pub fn change(&mut self, uri: &str, version: i64, text: &str) {
        self.notify(
            "textDocument/didChange",
            json!({ "textDocument": { "uri": uri, "version": version }, "contentChanges": [{ "text": text }] }),
        );
    }

    /// The diagnostics of a text, once they are such.
    pub fn diagnostics(&mut self, uri: &str, fit: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let message = self.wait("such diagnostics", |message| {
            message["method"] == "textDocument/publishDiagnostics"
                && message["params"]["uri"] == *uri
                && message["params"]["diagnostics"].as_array().is_some_and(|found| fit(found))
        });
        // Older ones don't count any more.
        self.kept.retain(|older| {
            older["method"] != "textDocument/publishDiagnostics" || older["params"]["uri"] != *uri
        });
        message["params"]["diagnostics"].as_array().cloned().unwrap_or_default()
    }

    /// Asks about the place of the `|` in `text`, which is that of the open text `uri`.
    pub fn at(&mut self, method: &str, uri: &str, text: &str) -> Value {
        let params = json!({ "textDocument": { "uri": uri }, "position": position(text) });
        self.request(method, params)["result"].clone()
    }

    /// Replaces the text by this one, without its `|`, and asks what could stand there.
    pub fn complete(&mut self, uri: &str, text: &str) -> Vec<Value> {
        self.change(uri, 2, &text.replacen('|', "", 1));
        let found = self.at("textDocument/completion", uri, text);
        found.as_array().cloned().unwrap_or_else(|| panic!("{found}"))
    }

    /// Says goodbye; gives the exit code.
    pub fn end(mut self) -> i32 {
        let answer = self.request("shutdown", Value::Null);
        assert_eq!(answer["result"], Value::Null);
        assert!(answer.get("error").is_none(), "{answer}");
        self.notify("exit", Value::Null);
        self.code()
    }

    /// Closes the server's input; gives the exit code.
    pub fn hang_up(mut self) -> i32 {
        self.input = None;
        self.code()
    }

    pub fn code(&mut self) -> i32 {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.code().expect("it isn't ended by a signal");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the server doesn't end");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(output: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim().split_once(": ") {
            Some(("Content-Length", value)) => length = value.parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    output.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

pub fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// The position of the `|`, characters counted in bytes.
pub fn position(text: &str) -> Value {
    let at = text.find('|').expect("a cursor");
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    json!({ "line": text[..at].matches('\n').count(), "character": at - start })
}

pub fn labels(items: &[Value]) -> Vec<&str> {
    items.iter().filter_map(|item| item["label"].as_str()).collect()
}

pub fn codes(diagnostics: &[Value]) -> Vec<&str> {
    diagnostics.iter().filter_map(|diagnostic| diagnostic["code"].as_str()).collect()
}
