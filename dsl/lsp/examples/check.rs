//! How long the checker and the formatter take for files of 1,000 to 100,000 lines, right ones
//! and ones with an error in every block, and whether that is linear: printed, not judged.
//! `cargo run --release -p unik-lsp --example check`

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use unik_dsl::{Catalogue, Request, analyse, diagnostic, format};

/// A file of about so many lines: for every thousand a device and a network with 200 services.
fn file(lines: usize, key: &str) -> String {
    let mut text = String::from("unik 1\n\nparam debug: bool = false\n\nappliance big {\n    memory 4 GiB\n");
    for service in 0..lines / 5 {
        let network = service / 200;
        if service % 200 == 0 {
            let (high, low) = (network / 250, network % 250);
            _ = writeln!(text, "    device nic{network} = virtio-net");
            _ = writeln!(text, "    network lan{network} = ip on nic{network} {{");
            _ = writeln!(text, "        ipv4 10.{high}.{low}.2/24 gateway 10.{high}.{low}.1\n    }}\n");
        }
        let port = 1000 + service % 200;
        _ = writeln!(
            text,
            "    // service number {service}\n    service s{service} = echo on lan{network} {{"
        );
        _ = writeln!(text, "        {key} {port}\n    }}\n");
    }
    text += "    when $debug { log level debug }\n}\n";
    text
}

/// The median of five times.
fn time(mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..5)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let catalogue = Catalogue::from_components(unik_builtin::components()?);
    let check = |text: &str| {
        let analysis = analyse(&Request::new(Path::new("big.unik"), Some(text.into())), &catalogue);
        diagnostic::render_all(&analysis.diagnostics, &analysis.sources, false)
    };
    let right = file(1_000, "port");
    if let said @ 1.. = check(&right).len() {
        return Err(format!("{said} bytes are said of what is right:\n{}", check(&right)).into());
    }
    for (what, key) in [("check, right", "port"), ("check, an error in each block", "prot"), ("fmt", "port")]
    {
        let mut line = format!("{what}:");
        let mut per_line = Vec::new();
        for lines in [1_000, 10_000, 100_000] {
            let text = file(lines, key);
            let took = match what {
                "fmt" => time(|| drop(format::format(&text))),
                _ => time(|| drop(check(&text))),
            };
            let count = text.lines().count();
            per_line.push(took.as_secs_f64() / count as f64);
            write!(line, " {count} lines {:.1} ms;", took.as_secs_f64() * 1e3)?;
        }
        println!(
            "{line} a line of the longest takes {:.2} times one of the shortest",
            per_line[2] / per_line[0]
        );
    }
    Ok(())
}
