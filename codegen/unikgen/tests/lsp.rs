//! The language server, driven as an editor does: the real command, over its standard input and
//! output.

mod common;

use common::client::{Client, codes, labels, position, uri};
use serde_json::{Value, json};

const SITE: &str = "\
unik 1

/// The name of this host.
param host: name = \"ns1\"
let web-port = 8080

appliance site {
    memory 16 MiB

    device nic = virtio-net

    /// The one network.
    network lan = ip on nic {
        ipv4 dhcp
        hostname \"x\"
    }

    service log = say { line \"hello\" }
    service names = echo on lan { port $web-port }
}
";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The canonical path of a folder, as editors name it.
fn path(folder: &tempfile::TempDir) -> std::path::PathBuf {
    folder.path().canonicalize().expect("it is there")
}

#[test]
fn begins_and_ends_as_the_protocol_has_it() {
    let folder = folder();
    let mut client = Client::raw(&path(&folder));
    let early = client.request("textDocument/hover", json!({}));
    assert_eq!(early["error"]["code"], -32002, "{early}");
    let answer = client.request("initialize", json!({ "capabilities": {} }));
    assert_eq!(answer["result"]["capabilities"]["positionEncoding"], "utf-16");
    assert_eq!(answer["result"]["serverInfo"]["name"], "unikgen");
    client.notify("initialized", json!({}));
    assert_eq!(client.request("no/such", json!({}))["error"]["code"], -32601);
    assert_eq!(client.request("textDocument/hover", json!(7))["error"]["code"], -32602);
    client.notify("no/such", json!({}));
    client.notify("$/setTrace", json!({ "value": "off" }));

    // What is no message costs nothing but itself.
    client.send_raw("Content-Length: 1\r\n\r\n{");
    let answer = client.wait("an error", |message| message["id"].is_null() && message.get("error").is_some());
    assert_eq!(answer["error"]["code"], -32700);
    client.send_raw("rubbish\r\n\r\n");
    client.wait("an error", |message| message["id"].is_null() && message.get("error").is_some());
    let odd = json!({ "jsonrpc": "2.0", "id": 99_999_999_999_i64, "method": "shutdown" });
    client.send(&odd);
    assert_eq!(client.answer(&odd["id"])["error"]["code"], -32600);

    assert_eq!(client.end(), 0);

    let mut client = Client::start(&path(&folder));
    assert_eq!(client.request("shutdown", Value::Null)["result"], Value::Null);
    assert_eq!(client.request("textDocument/hover", json!({}))["error"]["code"], -32600);
    client.notify("exit", Value::Null);
    assert_eq!(client.code(), 0);

    // Without a goodbye.
    let mut client = Client::start(&path(&folder));
    client.notify("exit", Value::Null);
    assert_eq!(client.code(), 1);
    assert_eq!(Client::start(&path(&folder)).hang_up(), 1);
}

#[test]
fn what_is_cancelled_in_time_is_not_answered() {
    let folder = folder();
    let mut client = Client::start(&path(&folder));
    let uri = client.open("site.unik", SITE);
    let cancel = json!({ "jsonrpc": "2.0", "method": "$/cancelRequest", "params": { "id": 77 } });
    let ask = json!({
        "jsonrpc": "2.0", "id": 77, "method": "textDocument/documentSymbol",
        "params": { "textDocument": { "uri": uri } },
    });
    // In one write, behind something that takes a while.
    let mut text = String::new();
    let long = json!({
        "jsonrpc": "2.0", "method": "textDocument/didChange", "params": {
            "textDocument": { "uri": uri, "version": 2 },
            "contentChanges": [{ "text": format!("{SITE}{}", "// x\n".repeat(20_000)) }],
        },
    });
    for message in [&long, &ask, &cancel] {
        let message = message.to_string();
        text.push_str(&format!("Content-Length: {}\r\n\r\n{message}", message.len()));
    }
    client.send_raw(&text);
    assert_eq!(client.answer(&json!(77))["error"]["code"], -32800);
    assert_eq!(client.end(), 0);
}

#[test]
fn diagnostics_come_and_go_as_one_types() {
    let folder = folder();
    let mut client = Client::start(&path(&folder));
    let uri = client.open("site.unik", SITE);
    // `host` is never read.
    let found = client.diagnostics(&uri, |found| !found.is_empty());
    assert_eq!(codes(&found).len(), 1, "{found:?}");
    assert_eq!(found[0]["severity"], 2);
    assert_eq!(found[0]["tags"], json!([1]));
    assert_eq!(found[0]["range"]["start"], json!({ "line": 3, "character": 6 }));

    // An edit in place: `16 MiB` becomes `16 MB`.
    let edit = json!({
        "range": { "start": { "line": 7, "character": 15 }, "end": { "line": 7, "character": 16 } },
        "text": "",
    });
    client.notify(
        "textDocument/didChange",
        json!({ "textDocument": { "uri": uri, "version": 2 }, "contentChanges": [edit] }),
    );
    let message = client.wait("the diagnostics of version 2", |message| {
        message["params"]["version"] == 2 && message["params"]["uri"] == json!(uri)
    });
    let found = message["params"]["diagnostics"].as_array().expect("a list").clone();
    assert!(found.iter().any(|it| it["message"].to_string().contains("`MB` is no unit")), "{found:?}");
    client.change(&uri, 3, &SITE.replace("hostname \"x\"", "hostname $host"));
    client.diagnostics(&uri, <[Value]>::is_empty);

    // Closed, it has none.
    client.notify("textDocument/didClose", json!({ "textDocument": { "uri": uri } }));
    client.diagnostics(&uri, <[Value]>::is_empty);
    assert_eq!(client.end(), 0);
}

#[test]
fn included_files_are_checked_as_they_are_on_the_screen() {
    let folder = folder();
    let here = path(&folder);
    std::fs::write(here.join("net.unik"), "device nic = virtio-net\n").expect("written");
    let main = "unik 1\nappliance a {\n    include \"net.unik\"\n    network lan = ip on nic { ipv4 dhcp }\n    service e = echo on lan\n}\n";
    std::fs::write(here.join("main.unik"), main).expect("written");

    // Alone it is part of main.unik, and nothing is wrong with it.
    let mut client = Client::start(&here);
    let part = client.open("net.unik", "device nic = virtio-net\n");
    client.diagnostics(&part, <[Value]>::is_empty);
    let root = client.open("main.unik", main);
    client.diagnostics(&root, <[Value]>::is_empty);

    // Changed on the screen only, it breaks the other; and what is wrong lands where it is.
    client.change(&part, 2, "device card = virtio-net { queue-size 3 }\n");
    let there = client.diagnostics(&root, |found| !found.is_empty());
    assert!(there[0]["message"].to_string().contains("`nic`"), "{there:?}");
    let here_too = client.diagnostics(&part, |found| !found.is_empty());
    assert!(here_too[0]["message"].to_string().contains("queue-size"), "{here_too:?}");
    client.change(&part, 3, "device nic = virtio-net\n");
    client.diagnostics(&root, <[Value]>::is_empty);
    client.diagnostics(&part, <[Value]>::is_empty);
    assert_eq!(client.end(), 0);

    // Included by nobody, it is told only what is wrong in itself.
    let lonely = folder_with(&[]);
    let mut client = Client::start(&path(&lonely));
    let uri =
        client.open("part.unik", "device nic = virtio-net\nnetwork lan = ip on nic {\n    ipv4 dhcp\n}\n");
    client.diagnostics(&uri, <[Value]>::is_empty);
    client.change(&uri, 2, "device nic = virtio-net\nnetwork lan ip on nic\n");
    let found = client.diagnostics(&uri, |found| !found.is_empty());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(client.end(), 0);
}

fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = folder();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

#[test]
fn completes_keys_components_values_and_names() {
    let folder = folder();
    let mut client = Client::start(&path(&folder));
    let uri = client.open("site.unik", "");
    let top = client.complete(&uri, "|");
    for word in ["unik", "appliance", "param", "let", "include", "crate"] {
        assert!(labels(&top).contains(&word), "{word} in {top:?}");
    }
    let inside = client.complete(&uri, "unik 1\nappliance a {\n    memory 8 MiB\n    |\n}\n");
    let found = labels(&inside);
    for word in ["device", "network", "service", "cpu", "log", "when"] {
        assert!(found.contains(&word), "{word} in {found:?}");
    }
    assert!(!found.contains(&"memory"), "it is written already");

    let kinds = client.complete(&uri, "unik 1\nappliance a {\n    network lan = |\n}\n");
    assert!(labels(&kinds).contains(&"ip") && !labels(&kinds).contains(&"http"), "{kinds:?}");
    let wires = "unik 1\nappliance a {\n    device nic = virtio-net\n    device rng = virtio-rng\n    network lan = ip on |\n}\n";
    assert_eq!(labels(&client.complete(&uri, wires)), ["nic"]);

    let head = "unik 1\nparam where: cidr4 = 10.0.0.2/24\nappliance a {\n    device nic = virtio-net\n    network lan = ip on nic {\n";
    let keys = client.complete(&uri, &format!("{head}        ipv4 dhcp\n        |\n    }}\n}}\n"));
    assert!(labels(&keys).contains(&"resolver") && !labels(&keys).contains(&"ipv4"), "{keys:?}");
    let hostname = keys.iter().find(|item| item["label"] == "hostname").expect("it is there");
    assert!(hostname["documentation"]["value"].to_string().contains("DHCP"), "{hostname}");
    let values = client.complete(&uri, &format!("{head}        ipv4 |\n    }}\n}}\n"));
    assert!(labels(&values).contains(&"dhcp") && labels(&values).contains(&"$where"), "{values:?}");
    // A broken text: no brace is closed yet.
    let names = client.complete(&uri, &format!("{head}        ipv4 $w|"));
    let named = names.iter().find(|item| item["label"] == "$where").expect("it is there");
    assert_eq!(named["textEdit"]["range"]["start"]["character"], 13, "the `$` is replaced, too: {named}");
    let units = client.complete(&uri, &format!("{head}        tcp-memory 4 |\n    }}\n}}\n"));
    assert!(labels(&units).contains(&"MiB"), "{units:?}");
    let target = client.complete(&uri, "unik 1\nappliance a {\n    when target == |\n}\n");
    assert!(labels(&target).contains(&"process"), "{target:?}");
    assert!(labels(&client.complete(&uri, "unik 1\nparam a: |\n")).contains(&"duration"));
    assert!(client.complete(&uri, "unik 1\n// a |\n").is_empty());
    assert_eq!(client.end(), 0);
}

#[test]
fn completes_paths_and_instances_of_options() {
    let folder = folder();
    let here = path(&folder);
    std::fs::create_dir_all(here.join("site/img")).expect("made");
    std::fs::write(here.join("site/index.html"), "x").expect("written");
    std::fs::write(here.join("base.unik"), "").expect("written");
    let mut client = Client::start(&here);
    let uri = client.open("a.unik", "");
    let text = "unik 1\nappliance a {\n    storage pages = embed { from \"|\" }\n}\n";
    assert_eq!(labels(&client.complete(&uri, text)), ["site/", "base.unik"]);
    let text = text.replace("\"|\"", "\"site/|");
    assert_eq!(labels(&client.complete(&uri, &text)), ["site/img/", "site/index.html"]);
    assert_eq!(labels(&client.complete(&uri, "unik 1\ninclude \"|\"")), ["site/", "base.unik"]);
    let text = "unik 1\nappliance a {\n    storage pages = embed { from \"site\" }\n    device nic = virtio-net\n    network lan = ip on nic { ipv4 dhcp }\n    service s = http on lan {\n        files from |\n    }\n}\n";
    assert_eq!(labels(&client.complete(&uri, text)), ["pages"]);
    assert_eq!(client.end(), 0);
}

#[test]
fn crates_from_here_are_known_and_others_not_asked_for() {
    let folder = folder();
    let here = path(&folder);
    std::fs::create_dir_all(here.join("own/src")).expect("made");
    std::fs::write(
        here.join("own/Cargo.toml"),
        "[package]\nname = \"own\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[package.metadata.unik]\nname = \"own\"\nkind = \"service\"\nsummary = \"Ours\"\nstart = \"own::start\"\n[package.metadata.unik.options.colour]\ndoc = \"Which\"\nusage = \"<c: red|green>\"\n",
    )
    .expect("written");
    let mut client = Client::start(&here);
    let head = "unik 1\ncrate own { path \"own\" }\nappliance a {\n    service o = own { ";
    let uri = client.open("a.unik", &format!("{head}colour blue }}\n}}\n"));
    let found = client.diagnostics(&uri, |found| !found.is_empty());
    assert!(found[0]["message"].to_string().contains("red"), "{found:?}");
    assert_eq!(labels(&client.complete(&uri, &format!("{head}colour | }}\n}}\n"))), ["red", "green"]);

    let far = "unik 1\ncrate far { version \"1\" }\nappliance a {\n    service o = far\n}\n";
    client.change(&uri, 3, far);
    client.wait("version 3 without an error", |message| {
        message["params"]["version"] == 3 && message["params"]["diagnostics"] == json!([])
    });
    assert_eq!(client.end(), 0);
}

#[test]
fn outlines_and_folds() {
    let folder = folder();
    let mut client = Client::start(&path(&folder));
    let uri = client.open("site.unik", SITE);
    let params = json!({ "textDocument": { "uri": uri } });
    let symbols = client.request("textDocument/documentSymbol", params.clone())["result"].clone();
    let names: Vec<&str> =
        symbols.as_array().expect("a list").iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["host", "web-port", "site"]);
    let lan = &symbols[2]["children"][2];
    assert_eq!((&lan["name"], &lan["detail"]), (&json!("lan"), &json!("ip on nic")));
    // From its comment to its brace.
    assert_eq!(lan["range"]["start"]["line"], 11);
    assert_eq!(lan["range"]["end"], json!({ "line": 15, "character": 5 }));
    let folds = client.request("textDocument/foldingRange", params.clone())["result"].clone();
    assert!(folds.as_array().expect("a list").iter().any(|fold| fold["startLine"] == 12), "{folds}");
    let tokens = client.request("textDocument/semanticTokens/full", params)["result"].clone();
    let data = tokens["data"].as_array().expect("a list");
    assert!(data.len().is_multiple_of(5) && data.len() > 100, "{tokens}");
    assert_eq!(client.end(), 0);
}

#[test]
fn lays_out() {
    let folder = folder();
    let mut client = Client::start(&path(&folder));
    let uri = client.open("a.unik", "unik 1\n\nappliance a {\n  memory   8 MiB\n    log level info\n}\n");
    let ask = json!({ "textDocument": { "uri": uri }, "options": { "tabSize": 4, "insertSpaces": true } });
    let edits = client.request("textDocument/formatting", ask.clone())["result"].clone();
    let range = json!({ "start": { "line": 3, "character": 0 }, "end": { "line": 3, "character": 16 } });
    assert_eq!(edits, json!([{ "range": range, "newText": "    memory 8 MiB" }]));
    // What can't be read stays as it is.
    client.change(&uri, 2, "appliance {\n");
    assert_eq!(client.request("textDocument/formatting", ask)["result"], Value::Null);
    assert_eq!(client.end(), 0);
}

#[test]
fn counts_as_agreed_whatever_the_text() {
    let text =
        "unik 1\r\n// µ𝕏\r\nparam ort: name = \"µ𝕏\"\r\nappliance a { service s = say { line $oort } }\r\n";
    let folder = folder();
    for (offer, column) in [(json!(["utf-8"]), 0), (json!(["utf-16", "utf-32"]), 0)] {
        let utf8 = offer == json!(["utf-8"]);
        let mut client = Client::with(&path(&folder), json!({ "general": { "positionEncodings": offer } }));
        let uri = client.open("a.unik", text);
        let found = client.diagnostics(&uri, |found| found.len() > 1 || !found.is_empty());
        let unknown =
            found.iter().find(|it| it["message"].to_string().contains("oort")).expect("it is there");
        assert_eq!(unknown["range"]["start"], json!({ "line": 3, "character": 37 + column }));
        // Behind characters of several bytes.
        let end = if utf8 { 26 } else { 23 };
        let edit = json!({
            "range": {
                "start": { "line": 2, "character": end - 1 },
                "end": { "line": 2, "character": end },
            },
            "text": "\"\r\nlet oort = $ort",
        });
        client.notify(
            "textDocument/didChange",
            json!({ "textDocument": { "uri": uri, "version": 2 }, "contentChanges": [edit] }),
        );
        client.diagnostics(&uri, |found| {
            !found.iter().any(|it| it["message"].to_string().contains("nothing is called"))
        });
        assert_eq!(client.end(), 0);
    }
}

#[test]
fn finds_and_renames() {
    let folder = folder();
    let here = path(&folder);
    std::fs::write(here.join("base.unik"), "param address: cidr4 = 10.0.0.2/24\n").expect("written");
    let main = "unik 1\ninclude \"base.unik\"\nappliance a {\n    device nic = virtio-net\n    network lan = ip on nic { ipv4 $address }\n    service e = echo on lan\n}\n";
    let mut client = Client::start(&here);
    let file = client.open("main.unik", main);
    let base = uri(&here.join("base.unik"));
    let goto = |client: &mut Client, text: &str| client.at("textDocument/definition", &file, text);

    let found = goto(&mut client, &main.replace("$addr", "$ad|dr"));
    assert_eq!(found["uri"], json!(base));
    assert_eq!(found["range"]["start"], json!({ "line": 0, "character": 6 }));
    let found = goto(&mut client, &main.replace("on nic", "on n|ic"));
    assert_eq!(found["range"]["start"], json!({ "line": 3, "character": 11 }));
    let found = goto(&mut client, &main.replace("\"base", "\"ba|se"));
    assert_eq!(found["uri"], json!(base));

    let at = position(&main.replace("on nic", "on n|ic"));
    let params = json!({
        "textDocument": { "uri": file }, "position": at, "context": { "includeDeclaration": true },
    });
    let found = client.request("textDocument/references", params)["result"].clone();
    assert_eq!(found.as_array().map(Vec::len), Some(2), "{found}");
    let found = client.at("textDocument/documentHighlight", &file, &main.replace("on nic", "on n|ic"));
    assert_eq!(found.as_array().map(Vec::len), Some(2), "{found}");

    let at = position(&main.replace("$addr", "$ad|dr"));
    let prepared = client
        .request("textDocument/prepareRename", json!({ "textDocument": { "uri": file }, "position": at }));
    assert_eq!(prepared["result"]["placeholder"], "address");
    let rename = |client: &mut Client, name: &str| {
        client.request(
            "textDocument/rename",
            json!({ "textDocument": { "uri": file }, "position": at, "newName": name }),
        )
    };
    let edit = rename(&mut client, "where")["result"].clone();
    let changes = edit["documentChanges"].as_array().expect("a list");
    assert_eq!(changes.len(), 2, "{edit}");
    let own =
        changes.iter().find(|change| change["textDocument"]["uri"] == json!(file)).expect("it is there");
    assert_eq!(
        own["edits"],
        json!([{
            "range": { "start": { "line": 4, "character": 36 }, "end": { "line": 4, "character": 43 } },
            "newText": "where",
        }])
    );
    for bad in ["Where", "a b", ""] {
        assert!(rename(&mut client, bad)["error"]["message"].to_string().contains("no name"), "{bad}");
    }
    assert_eq!(client.end(), 0);
}

#[test]
fn says_what_things_are_and_mends_them() {
    let folder = folder();
    let mut client = Client::start(&path(&folder));
    let uri = client.open("site.unik", SITE);
    let mut hover = |text: &str| client.at("textDocument/hover", &uri, text)["contents"]["value"].to_string();
    let text = hover(&SITE.replace("hostname \"x\"", "host|name \"x\""));
    assert!(text.contains("DHCP server") && text.contains("string in quotes"), "{text}");
    let text = hover(&SITE.replace("= ip on", "= i|p on"));
    assert!(text.contains("Frames"), "{text}");
    let text = hover(&SITE.replace("on lan {", "on l|an {"));
    assert!(text.contains("The one network."), "{text}");
    let text = hover(&SITE.replace("$web-port", "$web|-port"));
    assert!(text.contains("8080"), "{text}");

    let wrong = SITE.replace("hostname", "hostnam");
    client.change(&uri, 2, &wrong);
    let found = client.diagnostics(&uri, |found| found.iter().any(|it| it["severity"] == 1));
    let range = found.iter().find(|it| it["severity"] == 1).expect("an error")["range"].clone();
    let params = json!({
        "textDocument": { "uri": uri }, "range": range, "context": { "diagnostics": found },
    });
    let actions = client.request("textDocument/codeAction", params)["result"].clone();
    let actions = actions.as_array().expect("a list");
    let fix =
        actions.iter().find(|it| it["title"] == "write `hostname`").unwrap_or_else(|| panic!("{actions:?}"));
    assert_eq!(fix["edit"]["documentChanges"][0]["edits"][0]["newText"], "hostname");
    let explain = actions.iter().find(|it| it["command"].is_object()).expect("an explanation");
    let params =
        json!({ "command": explain["command"]["command"], "arguments": explain["command"]["arguments"] });
    let answer = client.request("workspace/executeCommand", params)["result"].clone();
    assert!(answer.as_str().is_some_and(|text| text.contains("Wrong:")), "{answer}");
    assert_eq!(client.end(), 0);
}

#[test]
fn ten_thousand_edits_leave_no_memory_behind() {
    let folder = folder();
    let mut client = Client::start(&path(&folder));
    let uri = client.open("site.unik", SITE);
    let mut early = 0;
    for version in 2..10_002 {
        // A character comes and goes in the middle of a word.
        let (end, text) = if version % 2 == 0 { (6, "x") } else { (7, "") };
        let range = json!({ "start": { "line": 6, "character": 6 }, "end": { "line": 6, "character": end } });
        client.notify(
            "textDocument/didChange",
            json!({
                "textDocument": { "uri": uri, "version": version },
                "contentChanges": [{ "range": range, "text": text }],
            }),
        );
        if version % 100 == 0 {
            let symbols =
                client.request("textDocument/documentSymbol", json!({ "textDocument": { "uri": uri } }));
            assert!(symbols["result"].is_array(), "{symbols}");
        }
        if version == 1_000 {
            early = client.memory();
        }
    }
    let late = client.memory();
    assert!(late < early + 16 * 1024, "{early} KiB after a thousand, {late} after ten thousand");
    // And the text is what it should be.
    let hover = client.request(
        "textDocument/hover",
        json!({ "textDocument": { "uri": uri }, "position": { "line": 7, "character": 5 } }),
    );
    assert!(hover["result"]["contents"].is_object(), "{hover}");
    assert_eq!(client.end(), 0);
}
