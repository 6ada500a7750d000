//! Random edits in random places, and every question after each: the server answers all of them,
//! and none by a mistake of its own.

use std::io::Cursor;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use unik_catalogue::Component;
use unik_lsp::{Host, serve};

struct Plain;

impl Host for Plain {
    fn components(&self) -> Result<Vec<Component>, String> {
        unik_builtin::components().map_err(|error| error.to_string())
    }
}

const TEXT: &str = "unik 1\n\nparam where: cidr4 = 10.0.0.2/24 // µ𝕏\nlet name = \"é\"\n\nappliance a {\r\n    memory 8 MiB\n    device nic = virtio-net { queue-size 256 }\n    network lan = ip on nic {\n        ipv4 $where gateway 10.0.0.1\n        resolver 9.9.9.9 1.1.1.1\n    }\n    storage pages = embed { from \"site\" }\n    service site = http on lan { files from pages; route \"/\" count }\n    when target == process { log level debug }\n    budget { image <= 400 KiB }\n}\n";

const QUESTIONS: [&str; 10] = [
    "textDocument/completion",
    "textDocument/hover",
    "textDocument/definition",
    "textDocument/documentHighlight",
    "textDocument/prepareRename",
    "textDocument/documentSymbol",
    "textDocument/foldingRange",
    "textDocument/semanticTokens/full",
    "textDocument/formatting",
    "textDocument/codeAction",
];

fn frame(into: &mut Vec<u8>, message: &Value) {
    let text = message.to_string();
    into.extend(format!("Content-Length: {}\r\n\r\n{text}", text.len()).bytes());
}

/// The messages in what the server wrote.
fn messages(mut bytes: &[u8]) -> Vec<Value> {
    let mut found = Vec::new();
    while let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = std::str::from_utf8(&bytes[..at]).expect("a header");
        let length: usize = head.trim_start_matches("Content-Length: ").parse().expect("a length");
        found.push(serde_json::from_slice(&bytes[at + 4..at + 4 + length]).expect("JSON"));
        bytes = &bytes[at + 4 + length..];
    }
    found
}

fn edit() -> impl Strategy<Value = (u32, u32, u32, u32, String)> {
    let text = prop_oneof![
        Just("{".to_string()),
        Just("}".to_string()),
        Just("\"".to_string()),
        Just("[".to_string()),
        Just("$".to_string()),
        Just("/*".to_string()),
        Just("\r".to_string()),
        Just("\n    ".to_string()),
        Just("when $where in [".to_string()),
        Just("service x = http on ".to_string()),
        Just(String::new()),
        "\\PC{0,6}",
    ];
    (0..20u32, 0..45u32, 0..3u32, 0..12u32, text)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_question_has_an_answer(edits in prop::collection::vec(edit(), 1..12)) {
        let uri = "file:///nowhere/at/all/a.unik";
        let mut input = Vec::new();
        let mut id = 0;
        let ask = |input: &mut Vec<u8>, id: &mut i32, method: &str, params: Value| {
            *id += 1;
            frame(input, &json!({ "jsonrpc": "2.0", "id": *id, "method": method, "params": params }));
        };
        let capabilities = json!({ "textDocument": { "codeAction": { "codeActionLiteralSupport": { "codeActionKind": { "valueSet": [] } } } } });
        ask(&mut input, &mut id, "initialize", json!({ "capabilities": capabilities }));
        let document = json!({ "uri": uri, "languageId": "unik", "version": 0, "text": TEXT });
        frame(&mut input, &json!({ "jsonrpc": "2.0", "method": "textDocument/didOpen", "params": { "textDocument": document } }));
        for (version, (line, character, down, right, text)) in edits.into_iter().enumerate() {
            let position = json!({ "line": line, "character": character });
            let end = json!({ "line": line + down, "character": character + right });
            let change = json!({ "range": { "start": position, "end": end }, "text": text });
            frame(&mut input, &json!({ "jsonrpc": "2.0", "method": "textDocument/didChange", "params": {
                "textDocument": { "uri": uri, "version": version + 1 }, "contentChanges": [change] } }));
            for method in QUESTIONS {
                ask(&mut input, &mut id, method, json!({
                    "textDocument": { "uri": uri }, "position": position,
                    "range": { "start": { "line": 0, "character": 0 }, "end": { "line": 99, "character": 0 } },
                    "context": { "diagnostics": [], "triggerKind": 1 },
                    "options": { "tabSize": 4, "insertSpaces": true },
                }));
            }
        }
        let mut output = Vec::new();
        serve(Arc::new(Plain), Cursor::new(input), &mut output).expect("it reads and writes");
        let mut answered = 0;
        for message in messages(&output).iter().filter(|message| message.get("method").is_none()) {
            answered += 1;
            prop_assert!(message.get("error").is_none(), "{message}");
        }
        prop_assert_eq!(answered, id);
    }
}
