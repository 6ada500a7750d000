//! Host half of `herald`: checks the file of news, and makes it ready.
#![forbid(unsafe_code)]

use std::path::Path;

use unik_catalogue::Value;
use unik_catalogue::host::{At, Baked, Finding, HostHalf, Input, Severity};

/// The longest line.
const LONGEST: usize = 60;

/// The host half of `herald`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Herald;

impl HostHalf for Herald {
    fn component(&self) -> &str {
        "herald"
    }

    fn check(&self, input: &Input) -> Vec<Finding> {
        // What a host half prints is nobody's business.
        println!("checking {}", input.instance);
        let (path, text) = match news(input) {
            Ok(read) => read,
            Err(finding) => return vec![finding],
        };
        let mut at = 0;
        let mut findings = Vec::new();
        for line in text.split_inclusive('\n') {
            let length = line.trim_end().len();
            if length > LONGEST {
                findings.push(Finding {
                    severity: Severity::Error,
                    message: format!("a line of {length} bytes, {LONGEST} is the most"),
                    at: At::File { path: path.to_owned(), start: at, end: at + length },
                    help: Some("make two of it".into()),
                });
            }
            at += line.len();
        }
        findings
    }

    fn bake(&self, input: &Input) -> Result<Baked, Vec<Finding>> {
        let (_, text) = news(input).map_err(|finding| vec![finding])?;
        let lines: Vec<&str> = text.lines().rev().collect();
        let ready: String = lines.iter().enumerate().map(|(at, line)| format!("{}. {line}\n", at + 1)).collect();
        Ok(Baked {
            items: r#"static NEWS: &[u8] = include_bytes!("news.txt");"#.into(),
            value: "NEWS".into(),
            blobs: [("news.txt".to_string(), ready.into_bytes())].into(),
            ..Baked::default()
        })
    }
}

fn news(input: &Input) -> Result<(&Path, String), Finding> {
    let entry = input.options.get("news").and_then(|entries| entries.first());
    let Some(Value::Path { resolved, .. }) = entry.and_then(|entry| entry.value("file")) else {
        return Err(Finding::error(None, "`news` names no file"));
    };
    let place = entry.and_then(|entry| entry.place);
    let bytes = input.read(resolved).map_err(|error| Finding::error(place, format!("can't be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| Finding::error(place, "the file is no UTF-8 text"))?;
    Ok((resolved, text))
}
