//! The example appliance as a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{fs, thread};

/// The example. `cargo test` builds it too, but not when it is told to build one test only.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("target/debug");
    let example = folder.join("examples/appliance");
    assert!(example.exists(), "build it first: cargo build --example appliance");
    example
}

/// Held by tests that open many connections: 1,024 descriptors are all that many a host
/// gives a process.
static DESCRIPTORS: Mutex<()> = Mutex::new(());

struct Appliance {
    process: Child,
    address: SocketAddr,
}

impl Appliance {
    /// Starts it with at most `descriptors` open files, and waits until it is ready.
    fn start(descriptors: u32) -> Appliance {
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let port = address.port();
        let mut process = Command::new("sh")
            .args(["-c", &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"")])
            .arg(example())
            .arg(format!("publish={port}:7,{port}:7/udp"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut lines = BufReader::new(process.stdout.take().expect("its console"));
        let mut line = String::new();
        while line != "unik: ready 127.0.0.1\n" {
            line.clear();
            assert_ne!(lines.read_line(&mut line).expect("its console"), 0, "it ended before it was ready");
        }
        // Goes on reading, so that the console is never full.
        thread::spawn(move || lines.lines().map_while(Result::ok).for_each(|line| println!("{line}")));
        Appliance { process, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        stream
    }

    /// How long it has used a processor.
    fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("its record");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(10 * ticks)
    }

    fn signal(&mut self, name: &str) -> Option<i32> {
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.process.id())]).status();
        assert!(status.expect("a shell").success());
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match self.process.try_wait().expect("its status") {
                Some(status) => return status.code(),
                None => assert!(Instant::now() < deadline, "it doesn't end"),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn echo(mut stream: &TcpStream, data: &[u8]) {
    stream.write_all(data).expect("a reader");
    let mut back = vec![0; data.len()];
    stream.read_exact(&mut back).expect("the echo");
    assert!(back == data);
}

#[test]
fn a_thousand_connections_at_once() {
    let _descriptors = DESCRIPTORS.lock();
    let appliance = Appliance::start(1024);
    let connections: Vec<_> = (0..1000).map(|_| appliance.connect()).collect();
    for round in 0..3u8 {
        let data = |index: usize| vec![round ^ index as u8; 1024];
        for (index, mut stream) in connections.iter().enumerate() {
            stream.write_all(&data(index)).expect("a reader");
        }
        for (index, mut stream) in connections.iter().enumerate() {
            let mut back = vec![0; 1024];
            stream.read_exact(&mut back).expect("the echo");
            assert!(back == data(index), "connection {index}");
        }
    }
}

#[test]
fn without_descriptors_it_waits_and_recovers() {
    let _descriptors = DESCRIPTORS.lock();
    let appliance = Appliance::start(32);
    let connections: Vec<_> = (0..100).map(|_| appliance.connect()).collect();
    echo(&connections[0], b"first");
    let before = appliance.processor_time();
    thread::sleep(Duration::from_secs(1));
    let used = appliance.processor_time() - before;
    assert!(used < Duration::from_millis(200), "it spins: {used:?} of a second");
    // UDP goes on, on the socket that it has.
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    socket.send_to(b"x", appliance.address).expect("room");
    assert_eq!(socket.recv(&mut [0; 8]).expect("the echo"), 1);
    let last = connections.into_iter().next_back().expect("a hundred");
    echo(&last, b"last");
}

#[test]
fn signals_end_it_in_order() {
    for name in ["INT", "TERM"] {
        let mut appliance = Appliance::start(64);
        let mut open = appliance.connect();
        echo(&open, b"said before");
        open.write_all(b"said last").expect("a reader");
        let client = thread::spawn(move || {
            let mut last = Vec::new();
            open.read_to_end(&mut last).expect("an end, not a reset");
            last
        });
        assert_eq!(appliance.signal(name), Some(0));
        assert_eq!(client.join().expect("no panic"), b"said last");
    }
}

#[test]
fn a_bad_command_line_is_refused() {
    let output = Command::new(example()).arg("publish=80").output().expect("the example");
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors, "error: lan: publish=80: expected [ADDRESS:]HOSTPORT:PORT[/udp], such as 8080:80\n");
}
