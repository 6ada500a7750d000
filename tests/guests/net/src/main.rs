//! A guest with a network and no generator: the source of the tests of drivers and stack.
//! `net.py` builds and boots it.
//!
//! Port 80 answers every request with one page of 1 KiB, port 7 echoes. On the boot line:
//! `dhcp` instead of 10.0.0.2/24, `rng=virtio` instead of RDRAND, `queue=N`, `memory=BYTES`
//! for the buffers of TCP, `counters` to print what the network counted, every second.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use core::net::Ipv4Addr;

use unik::interface::{Entropy, Frames, Tcp, TcpListener, TcpStream};
use unik::platform::machine::boot_arguments;
use unik::start::{Context, Listen, Protocol, StartError};
use unik::time::{Duration, sleep};

/// The value of `NAME=VALUE` on the boot line.
fn argument(name: &str) -> Option<&'static str> {
    boot_arguments().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn number(name: &str, otherwise: usize) -> usize {
    argument(name).and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

static ECHO: unik_echo::Options =
    unik_echo::Options { port: 7, max_connections: 2000, idle_timeout: Duration::from_secs(60) };

static LISTENS: [Listen; 3] = [
    Listen { protocol: Protocol::Tcp, port: 80, service: "page" },
    Listen { protocol: Protocol::Tcp, port: 7, service: "echo" },
    Listen { protocol: Protocol::Udp, port: 7, service: "echo" },
];

async fn wire() -> Result<(), StartError> {
    let nic = &*Box::leak(Box::new(unik_virtio_net::Options {
        queue_size: number("queue", 256) as u64,
        mac: None,
    }));
    let nic = unik_virtio_net::start(&Context::new("nic"), nic).await?;
    if argument("rng") == Some("virtio") {
        let rng = unik_virtio_rng::start(&Context::new("rng"), &unik_virtio_rng::Options {}).await?;
        serve(nic, rng).await
    } else {
        let rng = unik_rdrand::start(&Context::new("rng"), &unik_rdrand::Options {}).await?;
        serve(nic, rng).await
    }
}

async fn serve<F: Frames, E: Entropy>(nic: F, rng: E) -> Result<(), StartError> {
    unik::platform::seal();
    let fixed = unik_ip::Ipv4::Static {
        address: (Ipv4Addr::new(10, 0, 0, 2), 24),
        gateway: Some(Ipv4Addr::new(10, 0, 0, 1)),
    };
    let dhcp = boot_arguments().any(|word| word == "dhcp");
    let options = &*Box::leak(Box::new(unik_ip::Options {
        ipv4: if dhcp { unik_ip::Ipv4::Dhcp } else { fixed },
        hostname: Some("net"),
        max_connections: 4096,
        tcp_buffer: 16384,
        tcp_memory: number("memory", 6 << 20),
        udp_buffer: 65536,
    }));
    let lan = unik_ip::start(&Context::new("lan"), options, &LISTENS, nic, rng).await?;
    unik_echo::start(&Context::new("echo"), &ECHO, lan.clone()).await?;
    page(&Context::new("page"), &lan)?;
    if boot_arguments().any(|word| word == "counters") {
        let (lan, mut last) = (lan.clone(), unik_ip::Counters::default());
        Context::new("counters").spawn_background(async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                if lan.counters() != last {
                    last = lan.counters();
                    unik::platform::console_write(format!("{last:?}\n").as_bytes());
                }
            }
        });
    }
    unik::platform::ready();
    Ok(())
}

fn page<N: Tcp>(cx: &Context, net: &N) -> Result<(), StartError> {
    let mut listener = net.listen(80).map_err(|error| cx.error(format!("port 80: {error}")))?;
    let cx = *cx;
    cx.spawn(async move {
        loop {
            let stream = listener.accept().await;
            cx.spawn(answer(stream));
        }
    });
    Ok(())
}

/// Answers each empty line with the page.
async fn answer<S: TcpStream>(mut stream: S) {
    let page = format!("HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n{:1024}", "");
    let (mut buffer, mut seen) = ([0; 1024], 0);
    loop {
        let length = match stream.read(&mut buffer).await {
            Ok(0) => break,
            Ok(length) => length,
            Err(_) => return,
        };
        for byte in &buffer[..length] {
            seen = if *byte == b"\r\n\r\n"[seen] { seen + 1 } else { usize::from(*byte == b'\r') };
            if seen == 4 {
                seen = 0;
                if stream.write_all(page.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
    let _ = stream.close().await;
}

unik::entry!(wire);
