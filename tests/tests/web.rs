//! `examples/web`: a site, served by every machine and by a process, to every kind of client.

use std::net::SocketAddr;
use std::process::Output;
use std::time::Duration;

use unik_tests::client::{Abort, abort, curl, exchange, get};
use unik_tests::machine::{Machine, best, machines, microvms};
use unik_tests::namespace::Namespace;
use unik_tests::running::{Running, free_port};
use unik_tests::{build, example, unikgen};

const INDEX: &str = include_str!("../../examples/web/site/index.html");

struct Site {
    running: Running,
    at: SocketAddr,
    machine: Machine,
}

impl Site {
    fn start(machine: Machine) -> Site {
        let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let publish = format!("{at}:80");
        let mut running = Running::start(&example("web"), machine, &["--publish", &publish]);
        running.wait_until_ready(machine);
        Site { running, at, machine }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    fn alive(&mut self) {
        let answer = get(self.at, "/");
        let printed = self.running.printed();
        assert!(
            answer.as_ref().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")),
            "{}: {answer:?}\n{printed}",
            self.machine
        );
    }
}

#[test]
fn curl_gets_the_page_from_every_machine_and_from_a_process() {
    for machine in machines().into_iter().chain([Machine::PROCESS]) {
        let mut site = Site::start(machine);
        let (page, fine) = curl(&[&site.url("/")]);
        assert!(fine, "{machine}: {page}");
        assert_eq!(page, INDEX, "{machine}");
        let (about, _) = curl(&["-L", &site.url("/about")]);
        assert!(about.contains("What is in this image?"), "{machine}: {about}");
        let status = site.running.interrupt();
        assert_eq!(status.code(), Some(130), "{machine}: Ctrl-C\n{}", site.running.printed());
        println!("{machine}: ok");
    }
}

#[test]
fn http_as_the_standard_says() {
    for machine in microvms().into_iter().chain([Machine::PROCESS]) {
        let mut site = Site::start(machine);
        let status = |arguments: &[&str], path: &str| {
            let url = site.url(path);
            let mut all = vec!["-o", "/dev/null", "-w", "%{http_code}"];
            all.extend(arguments);
            all.push(&url);
            curl(&all).0
        };
        assert_eq!(status(&[], "/"), "200", "{machine}");
        assert_eq!(status(&["--head"], "/style.css"), "200", "{machine}");
        assert_eq!(status(&[], "/nothing"), "404", "{machine}");
        assert_eq!(status(&[], "/about"), "301", "{machine}");
        assert_eq!(status(&["-X", "DELETE"], "/"), "405", "{machine}");
        assert_eq!(status(&["-r", "0-9"], "/"), "206", "{machine}");
        assert_eq!(status(&["-r", "999999-"], "/"), "416", "{machine}");
        assert_eq!(status(&["--path-as-is"], "/../../etc/passwd"), "400", "{machine}");

        let (head, _) = curl(&["--head", &site.url("/")]);
        let header = |name: &str| {
            head.lines().find_map(|line| {
                line.to_lowercase().starts_with(name).then(|| line[name.len() + 1..].trim().to_string())
            })
        };
        assert_eq!(header("content-length"), Some(INDEX.len().to_string()), "{machine}: {head}");
        assert!(header("content-type").is_some_and(|ty| ty.starts_with("text/html")), "{machine}: {head}");
        let etag = header("etag").unwrap_or_else(|| panic!("{machine}: no ETag in {head}"));
        assert_eq!(status(&["-H", &format!("If-None-Match: {etag}")], "/"), "304", "{machine}");
        let (part, _) = curl(&["-r", "0-14", &site.url("/")]);
        assert_eq!(part, INDEX[..15], "{machine}");

        let pipelined = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\n\r\n\
                         GET /style.css HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answers = exchange(site.at, pipelined.as_bytes()).expect("an answer");
        let codes: Vec<&str> = answers.matches("HTTP/1.1 ").map(|_| "").collect();
        assert_eq!(codes.len(), 3, "{machine}: {answers}");
        let order = ["HTTP/1.1 200", "HTTP/1.1 404", "text/css"].map(|text| answers.find(text));
        assert!(order.is_sorted() && order[0].is_some(), "{machine}: {answers}");

        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100_000));
        let refused = exchange(site.at, long.as_bytes()).unwrap_or_default();
        assert!(!refused.starts_with("HTTP/1.1 2"), "{machine}: {refused}");
        for (request, code) in [
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/9.9\r\nHost: a\r\n\r\n", "505"),
            ("nonsense\r\n\r\n", "400"),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        ] {
            let answer = exchange(site.at, request.as_bytes()).expect("an answer");
            assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{machine}: {request:?} → {answer}");
        }
        site.alive();
    }
}

#[test]
fn aborting_and_garbage_sending_clients_do_no_harm() {
    for machine in microvms().into_iter().chain([Machine::PROCESS]) {
        let mut site = Site::start(machine);
        for _ in 0..20 {
            for stage in Abort::ALL {
                // Any answer to an abort is fine; that the site lives on is the point.
                let _ = abort(site.at, stage);
            }
        }
        for seed in 0..20_u8 {
            let bytes: Vec<u8> =
                (0..2000_u32).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed) | 0x80).collect();
            let answer = exchange(site.at, &[&bytes[..], b"\r\n\r\n"].concat()).unwrap_or_default();
            assert!(!answer.starts_with("HTTP/1.1 2"), "{machine}: garbage was served");
        }
        site.alive();
    }
}

/// The image on a TAP in a namespace: no user-mode network between it and the clients.
struct Wired {
    namespace: Namespace,
    running: Running,
    machine: Machine,
}

impl Wired {
    fn start(machine: Machine) -> Wired {
        let image = build(&example("web"), &[]);
        let namespace = Namespace::new();
        let mut command = namespace.command(unikgen());
        command.env("UNIK_CACHE", unik_tests::cache()).env("NO_COLOR", "1");
        command.arg("run").arg(image).args(machine.arguments()).args(["--tap", "tap0"]);
        let mut running = Running::spawn(command);
        running.wait_until_ready(machine);
        Wired { namespace, running, machine }
    }

    fn client(&self, arguments: &[&str]) -> String {
        let output = self.namespace.output(env!("CARGO_BIN_EXE_unik-client"), arguments);
        self.check(arguments, &output)
    }

    fn check(&self, what: &[&str], output: &Output) -> String {
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {what:?}: {said}\n{}", self.machine, self.running.printed());
        said
    }
}

#[test]
fn a_thousand_at_once_slow_ones_aborts_and_pings_on_a_wire() {
    for machine in machines() {
        let wired = Wired::start(machine);
        let ping = wired.namespace.output("ping", &["-c", "20", "-i", "0.02", "-W", "2", "10.0.2.15"]);
        let said = wired.check(&["ping"], &ping);
        assert!(said.contains(" 0% packet loss"), "{machine}: {said}");
        println!("{machine}: {}", wired.client(&["parallel", "10.0.2.15:80", "1000"]).trim());
        println!("{machine}: {}", wired.client(&["abort", "10.0.2.15:80", "50"]).trim());
        println!("{machine}: {}", wired.client(&["garbage", "10.0.2.15:80", "100"]).trim());
        if machine.kind == "microvm" {
            println!("{machine}: {}", wired.client(&["slow", "10.0.2.15:80"]).trim());
        }
        // Connections that were refused linger for two seconds, and are among the 1,024.
        std::thread::sleep(Duration::from_secs(3));
        println!("{machine}: {}", wired.client(&["parallel", "10.0.2.15:80", "1000"]).trim());
    }
}

#[test]
fn the_65536th_connection_works_as_the_first() {
    let wired = Wired::start(best());
    println!("{}: {}", wired.machine, wired.client(&["sequence", "10.0.2.15:80", "65540"]).trim());
}

#[test]
fn only_the_declared_port_is_open() {
    let wired = Wired::start(best());
    let scan =
        wired.namespace.output("nmap", &["-n", "-Pn", "-p", "1-1024", "--max-retries", "2", "10.0.2.15"]);
    let said = wired.check(&["nmap"], &scan);
    let open: Vec<&str> = said.lines().filter(|line| line.contains(" open ")).collect();
    assert_eq!(open.len(), 1, "{said}");
    assert!(open[0].starts_with("80/tcp"), "{said}");
}

#[test]
fn serves_in_16_mib_and_its_image_is_200_kib_or_less() {
    let image = build(&example("web"), &[]);
    let files: u64 = walk(&example("web").join("site"));
    let bytes = std::fs::metadata(&image).expect("the image is there").len();
    println!("web: {bytes} bytes on disk, stripped, {files} of them its files");
    assert!(bytes - files <= 200 << 10, "web without its files is {} bytes", bytes - files);
    let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let machine = best();
    let mut running =
        Running::start(&image, machine, &["--memory", "16 MiB", "--publish", &format!("{at}:80")]);
    running.wait_until_ready(machine);
    assert!(get(at, "/").is_ok_and(|answer| answer.contains("It works.")));
}

fn walk(folder: &std::path::Path) -> u64 {
    std::fs::read_dir(folder)
        .expect("the folder is there")
        .flatten()
        .map(|entry| {
            if entry.path().is_dir() { walk(&entry.path()) } else { entry.metadata().map_or(0, |m| m.len()) }
        })
        .sum()
}
