//! The end of an appliance in order: downloads that are under way when it is asked for, one by curl.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use unik_tests::client::get;
use unik_tests::machine::{Machine, best};
use unik_tests::running::{Running, free_port, signal};
use unik_tests::{build, scratch};

const FILE: &str = "
unik 1

appliance slow {
    memory 64 MiB
    drain  4 s

    device nic = virtio-net

    network lan = ip on nic {
        ipv4 10.0.2.15/24 gateway 10.0.2.2
    }

    storage pages = embed { from \"site\" }

    service site = http on lan {
        port 80
        files from pages
    }
}
";

/// More than twice what the sockets on the way hold.
const SIZE: usize = 24 << 20;

fn download(at: SocketAddr, to: &Path) -> Child {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "60", "--limit-rate", "8M", "-o"]).arg(to);
    curl.arg(format!("http://{at}/big.bin")).stdin(Stdio::null()).spawn().expect("curl runs")
}

/// A client that asks, and doesn't read what comes.
fn dawdle(at: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a socket");
    socket.connect(&at.into()).expect("a connection");
    let mut stream = TcpStream::from(socket);
    stream.write_all(b"GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n").expect("room");
    stream
}

/// How many bytes it gets in the end.
fn rest_of(mut stream: TcpStream) -> usize {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    let (mut all, mut buffer) = (0, vec![0; 1 << 16]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return all,
            Ok(length) => all += length,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "it has ended");
                return all;
            }
        }
    }
}

/// Downloads once quickly enough and once too slowly, asks `running` to end meanwhile, and gives its
/// exit code.
fn end_in_the_midst(mut running: Running, at: SocketAddr, which: &str, folder: &Path) -> Option<i32> {
    let file = folder.join("whole");
    let mut kept = TcpStream::connect(at).expect("a connection");
    let mut curl = download(at, &file);
    let other = dawdle(at);
    std::thread::sleep(Duration::from_millis(700));
    let asked = Instant::now();
    signal(running.id(), which);
    // A connection without a request isn't waited for.
    kept.set_read_timeout(Some(Duration::from_secs(3))).expect("a socket");
    assert!(matches!(kept.read(&mut [0; 16]), Ok(0)), "it closes an idle connection");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert!(get(at, "/").is_err_or_empty(), "nobody is let in any more");
    assert!(curl.wait().expect("curl ends").success(), "{}", running.printed());
    let whole = std::fs::read(&file).expect("a file");
    assert!(whole.len() == SIZE && whole.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
    let status = running.wait_for_end(Duration::from_secs(20));
    let took = asked.elapsed();
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(9), "{took:?}");
    assert!(rest_of(other) < SIZE, "it was cut off");
    let printed = running.printed();
    assert!(printed.contains("unik: cut off"), "{printed}");
    status.code()
}

trait Refused {
    fn is_err_or_empty(&self) -> bool;
}

/// QEMU's user network takes the connection, and then finds nobody.
impl<E> Refused for Result<String, E> {
    fn is_err_or_empty(&self) -> bool {
        self.as_ref().map_or(true, String::is_empty)
    }
}

#[test]
fn downloads_go_on_for_a_while() {
    let folder = scratch();
    let file = folder.path().join("slow.unik");
    std::fs::create_dir(folder.path().join("site")).expect("a folder");
    let bytes: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
    std::fs::write(folder.path().join("site/big.bin"), bytes).expect("a file");
    std::fs::write(&file, FILE).expect("a file");

    let local = || SocketAddr::from(([127, 0, 0, 1], free_port()));
    let machine = best();
    let at = local();
    let mut running = Running::start(&file, machine, &["--publish", &format!("{at}:80")]);
    running.wait_until_ready(machine);
    // The command's own code, which says what ended it.
    assert_eq!(end_in_the_midst(running, at, "-INT", folder.path()), Some(130));
    println!("{machine}: ok");

    let program = build(&file, &["--target", "process"]);
    let start = |at: SocketAddr| {
        let mut command = Command::new(&program);
        command.arg(format!("publish={}:80", at.port()));
        let mut running = Running::spawn(command);
        running.wait_until_ready(Machine::PROCESS);
        running
    };
    let at = local();
    assert_eq!(end_in_the_midst(start(at), at, "-TERM", folder.path()), Some(0));

    // A second signal doesn't wait.
    let at = local();
    let mut running = start(at);
    let other = dawdle(at);
    std::thread::sleep(Duration::from_millis(300));
    signal(running.id(), "-INT");
    std::thread::sleep(Duration::from_millis(300));
    assert!(running.is_running(), "{}", running.printed());
    signal(running.id(), "-TERM");
    assert_eq!(running.wait_for_end(Duration::from_secs(2)).code(), Some(143), "{}", running.printed());
    assert!(rest_of(other) < SIZE);
}
