//! QEMU's machine protocol, as far as instructions are counted by it.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

/// A connection to QEMU's monitor.
pub(crate) struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    /// Begins the conversation on `stream`, which QEMU has just opened.
    pub(crate) fn new(stream: UnixStream) -> io::Result<Qmp> {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut qmp = Qmp { reader: BufReader::new(stream) };
        // Its greeting; without an answer to it nothing else is answered.
        qmp.line()?;
        qmp.ask("qmp_capabilities")?;
        Ok(qmp)
    }

    /// Asks for something without arguments, and gives what it returns.
    pub(crate) fn ask(&mut self, command: &str) -> io::Result<Value> {
        self.say(command, &json!({ "execute": command }))
    }

    /// Asks by a command of the monitor's that is made for people, and gives the text.
    pub(crate) fn ask_person(&mut self, line: &str) -> io::Result<String> {
        let arguments = json!({ "command-line": line });
        let said = self.say(line, &json!({ "execute": "human-monitor-command", "arguments": arguments }))?;
        said.as_str().map(str::to_string).ok_or_else(|| io::Error::other(format!("{line}: {said}")))
    }

    fn say(&mut self, command: &str, whole: &Value) -> io::Result<Value> {
        let text = format!("{whole}\n");
        self.reader.get_mut().write_all(text.as_bytes())?;
        loop {
            let said = self.line()?;
            if let Some(value) = said.get("return") {
                return Ok(value.clone());
            }
            if let Some(error) = said.get("error") {
                return Err(io::Error::other(format!("{command}: {error}")));
            }
            // What is left is an event, which nobody waits for.
        }
    }

    fn line(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "QEMU ended"));
        }
        serde_json::from_str(&line).map_err(|error| io::Error::other(format!("QMP: {error}: {line}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_passed_over_and_errors_are_told() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let server = std::thread::spawn(move || {
            let mut server = BufReader::new(theirs);
            let mut say = |text: &str, waits: bool| {
                server.get_mut().write_all(text.as_bytes()).expect("a reader");
                let mut line = String::new();
                if waits {
                    server.read_line(&mut line).expect("a line");
                }
                line
            };
            assert!(say("{\"QMP\": {}}\n", true).contains("qmp_capabilities"));
            assert!(say("{\"return\": {}}\n", true).contains("query-replay"));
            say("{\"event\": \"RTC_CHANGE\"}\n{\"return\": {\"icount\": 7}}\n", true);
            say("{\"error\": {\"desc\": \"no\"}}\n", false);
        });
        let mut qmp = Qmp::new(ours).expect("a greeting");
        assert_eq!(qmp.ask("query-replay").expect("an answer")["icount"], 7);
        assert!(qmp.ask("nonsense").expect_err("refused").to_string().contains("no"));
        server.join().expect("no panic");
        assert!(qmp.ask("query-replay").is_err());
    }
}
