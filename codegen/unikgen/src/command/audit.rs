//! `unikgen audit`: what is proven of an image, and what isn't.

use std::fmt::Write as _;

use serde_json::{Value, json};
use unik_codegen::audit::unsafes::{Unsafe, UnsafeKind};
use unik_codegen::audit::{Audit, Check, Rule, Status, audit, bill, sbom};
use unik_codegen::image::Report;

use super::output;
use crate::cli::{self, AuditFormat as Format};
use crate::exit::{AUDIT, OK, Outcome};
use crate::place::{self, Kind};
use crate::proof::{self, Carried, Image};
use crate::ui::{Paint, Tone, Ui, bytes};
use unik_dsl::diagnostic::format::uri;

/// Audits: 0 when all is proven, [`AUDIT`] when something isn't.
///
/// # Errors
/// When there is no image, or the bill of materials can't be written.
pub fn run(args: &cli::Audit, ui: &Ui) -> Outcome {
    proof::parameters_need_a_file(&[args.file.as_deref()], &args.parameters)?;
    if let Some(path) = &args.sbom {
        place::must_be_replaceable(path, Kind::Bill)?;
    }
    let image = Image::of(args.file.as_deref(), &args.parameters, &args.cargo, ui)?
        .with(args.report.as_deref(), args.twin.as_deref())?;
    let carried = Carried::read()?;
    let audit = audit(&image.evidence(&carried))?;
    match (&args.sbom, &audit.report) {
        (Some(path), Some(report)) if audit.passed() => {
            place::write(path, &format!("{:#}\n", sbom::sbom(&image.bytes, report)))?;
            ui.say("bill of materials", &path.display().to_string());
        }
        (Some(path), _) => {
            ui.hint(&format!("{} isn't written: what the image holds isn't proven", path.display()))
        }
        (None, _) => {}
    }
    let text = match args.format {
        Format::Human if args.unsafes => unsafes(&audit, ui.out()),
        Format::Human if args.gate => gate(&audit, ui.out()),
        Format::Human => human(&audit, &image, ui.out()),
        Format::Json => format!("{:#}\n", as_json(&audit)),
        Format::Sarif => format!("{:#}\n", as_sarif(&audit, &image)),
    };
    output(&text)?;
    Ok(if audit.passed() { OK } else { AUDIT })
}

/// What is said of a driver whose package has no table of ways.
const UNKNOWN_DMA: &str =
    "a driver gives memory to a device, and its package doesn't say what that could be aimed at";

/// Owners that are shown; what is left is added up.
const SHOWN: usize = 10;

fn human(audit: &Audit, image: &Image, paint: Paint) -> String {
    let mut text = String::new();
    let failed = audit.checks.iter().filter(|check| check.status == Status::Failed).count();
    let (tone, verdict) = match failed {
        _ if audit.passed() => (Tone::Good, "passed".to_string()),
        0 => (Tone::Warning, "not proven".to_string()),
        _ => (Tone::Bad, "FAILED".to_string()),
    };
    let name = audit.report.as_ref().map_or("the image", |report| report.manifest.appliance.as_str());
    let _ = writeln!(
        text,
        "{}  {}  {}  SHA-256 {}\n",
        paint.paint(Tone::Strong, name),
        paint.paint(tone, &verdict),
        bytes(image.bytes.len() as u64),
        &audit.image[..16],
    );
    for check in &audit.checks {
        check_line(&mut text, check, paint);
    }
    let Some(report) = &audit.report else { return text };
    let shares = bill::by_owner(report);
    let whole: u64 = shares.iter().map(|share| share.bytes.in_file()).sum();
    let _ = writeln!(text, "\n{}", paint.paint(Tone::Strong, "Who takes the bytes"));
    for share in shares.iter().take(SHOWN) {
        row(&mut text, &proof::owners(share), share.bytes.in_file(), whole, &proof::lines(share), paint);
    }
    let rest: u64 = shares.iter().skip(SHOWN).map(|share| share.bytes.in_file()).sum();
    if rest > 0 {
        row(&mut text, "all others", rest, whole, "unikgen cost has them", paint);
    }
    let _ = writeln!(text);
    reach(&mut text, report, audit, paint);
    text
}

fn check_line(text: &mut String, check: &Check, paint: Paint) {
    let mark = match check.status {
        Status::Passed => paint.paint(Tone::Good, "✓"),
        Status::Failed => paint.paint(Tone::Bad, "✗"),
        Status::Unknown => paint.paint(Tone::Warning, "?"),
    };
    let mut summary = check.summary.clone();
    if summary.chars().count() > 60 {
        summary = summary.chars().take(59).chain(['…']).collect();
    }
    let _ = writeln!(
        text,
        "  {mark} {} {:<48} {}",
        check.rule.code(),
        check.rule.title(),
        paint.paint(Tone::Faint, &summary)
    );
    for finding in &check.findings {
        let place = finding.place.as_ref().map_or(String::new(), |(file, line)| format!(" ({file}:{line})"));
        let _ = writeln!(text, "      {}{place}", paint.paint(Tone::Bad, &finding.message));
    }
}

fn row(text: &mut String, name: &str, size: u64, whole: u64, note: &str, paint: Paint) {
    const BAR: u64 = 16;
    let filled = size.saturating_mul(BAR).div_ceil(whole.max(1)).min(BAR) as usize;
    let bar = format!("{}{}", "█".repeat(filled), "·".repeat(BAR as usize - filled));
    let _ = writeln!(
        text,
        "  {:<30} {:>10} {:>3} % {} {}",
        name,
        bytes(size),
        (size.saturating_mul(100).saturating_add(whole / 2)) / whole.max(1),
        paint.paint(Tone::Name, &bar),
        paint.paint(Tone::Faint, note)
    );
}

/// What can reach the image, and what it can reach.
fn reach(text: &mut String, report: &Report, audit: &Audit, paint: Paint) {
    let mut line = |name: &str, what: String| {
        if !what.is_empty() {
            let _ = writeln!(text, "  {} {what}", paint.paint(Tone::Strong, &format!("{name:<8}")));
        }
    };
    let devices: Vec<String> = report
        .manifest
        .devices
        .iter()
        .map(|device| {
            if device.name == device.component {
                device.name.clone()
            } else {
                format!("{} ({})", device.name, device.component)
            }
        })
        .collect();
    line("devices", devices.join(", "));
    let listens: Vec<String> = report
        .manifest
        .listens
        .iter()
        .map(|port| format!("{} {} for {} on {}", port.protocol, port.port, port.service, port.network))
        .collect();
    line("ports", listens.join(", "));
    if let Some(gate) = &audit.gate {
        let calls: Vec<&str> =
            gate.entries.iter().filter(|entry| entry.is_call()).map(|entry| entry.name.as_str()).collect();
        let vectors: usize = gate.entries.iter().map(|entry| entry.vectors.len()).sum();
        line(
            "gate",
            format!(
                "{} bytes stay in ring 0; ring 3 calls {}; {vectors} vectors (--gate lists them)",
                gate.bytes,
                calls.join(", ")
            ),
        );
        let open: Vec<String> =
            gate.open_ports.iter().map(|(ports, what)| format!("{ports} ({what})")).collect();
        line("I/O", format!("ports {} stay open", open.join(", ")));
    }
    let ways = &audit.dma;
    let open: Vec<&str> = ways.iter().filter(|way| !way.closed).map(|way| way.way.as_str()).collect();
    if audit.dma_unknown {
        line("DMA", UNKNOWN_DMA.into());
    }
    if !ways.is_empty() {
        line(
            "DMA",
            format!(
                "{} of {} ways closed; open: {} (--gate tells)",
                ways.len() - open.len(),
                ways.len(),
                open.join(", ")
            ),
        );
    }
    let reasons = report.unsafes.iter().filter(|found| found.reason.is_none()).count();
    line(
        "unsafe",
        format!(
            "{} pieces in {} crates, {reasons} of them without a reason (--unsafe lists them)",
            report.unsafes.len(),
            report
                .unsafes
                .iter()
                .map(|found| &found.package)
                .collect::<std::collections::BTreeSet<_>>()
                .len()
        ),
    );
    let crates = report.crates.iter().filter(|entry| entry.version.is_some()).count();
    line(
        "crates",
        format!(
            "{crates} with bytes in the image, of {} that cargo built (--sbom FILE)",
            report.packages.len()
        ),
    );
}

/// What is left in ring 0, and every way into it.
fn gate(audit: &Audit, paint: Paint) -> String {
    let Some(gate) = &audit.gate else { return "the twin isn't here: the gate can't be read\n".into() };
    let mut text = format!(
        "{}\n  {} bytes of code stay in ring 0; {} more are boot's, and unmapped by the seal\n\n",
        paint.paint(Tone::Strong, "The gate"),
        gate.bytes,
        gate.boot
    );
    let _ = writeln!(text, "{}", paint.paint(Tone::Strong, "Ways in"));
    for entry in &gate.entries {
        let how = match (entry.is_call(), entry.by_ring_3, entry.vectors.len()) {
            (true, ..) => "int3 at this one address".to_string(),
            (_, true, _) => format!("vector {:#x}, which ring 3 may raise", entry.vectors.start),
            (_, _, 1) => format!("vector {:#x}", entry.vectors.start),
            _ => format!("vectors {:#x} to {:#x}", entry.vectors.start, entry.vectors.end.saturating_sub(1)),
        };
        let _ = writeln!(text, "  {:<16} {:#10x}  {how}", entry.name, entry.address);
    }
    let privileged: Vec<String> =
        gate.privileged.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let registers: Vec<String> = gate.registers.iter().map(|register| format!("{register:#x}")).collect();
    let _ = writeln!(
        text,
        "\n{}\n  {}",
        paint.paint(Tone::Strong, "Privileged instructions in it"),
        privileged.join(", ")
    );
    let _ = writeln!(text, "  wrmsr writes {}", registers.join(", "));
    let _ = writeln!(text, "\n{}", paint.paint(Tone::Strong, "I/O ports"));
    for (ports, what) in &gate.open_ports {
        let _ = writeln!(text, "  {ports} stay open after the seal: {what}");
    }
    let _ = writeln!(text, "  reached by, before the seal too:");
    for function in &gate.ports {
        let _ = writeln!(text, "    {function}");
    }
    let ways = &audit.dma;
    if audit.dma_unknown {
        let _ = writeln!(text, "\n{}\n  {UNKNOWN_DMA}", paint.paint(Tone::Warning, "DMA"));
    }
    if !ways.is_empty() {
        let _ = writeln!(
            text,
            "\n{}",
            paint.paint(Tone::Strong, "What a device could be aimed at, by whoever owns ring 3")
        );
    }
    for way in ways {
        let mark =
            if way.closed { paint.paint(Tone::Good, "closed") } else { paint.paint(Tone::Warning, "OPEN  ") };
        let _ = writeln!(
            text,
            "  {mark} {}\n           virtio-mmio: {}; virtio-pci: {}",
            way.way, way.mmio, way.pci
        );
    }
    text
}

/// The `unsafe` in the image, with its reasons.
fn unsafes(audit: &Audit, paint: Paint) -> String {
    let Some(report) = &audit.report else {
        return "the report isn't here: what is unsafe isn't known\n".into();
    };
    let mut text = String::new();
    let mut package = "";
    for found in &report.unsafes {
        if found.package != package {
            package = &found.package;
            let _ = writeln!(text, "{}", paint.paint(Tone::Strong, package));
        }
        let _ = writeln!(text, "  {}:{} {}", found.module, found.line, describe(found));
        let (tone, reason) = match &found.reason {
            Some(reason) => (Tone::Faint, reason.as_str()),
            None => (Tone::Warning, "no reason is given"),
        };
        let _ = writeln!(text, "      {}", paint.paint(tone, reason));
    }
    text.push_str("Rust's own library isn't listed: its sources don't come with the compiler.\n");
    text
}

fn describe(found: &Unsafe) -> String {
    let what = match found.kind {
        UnsafeKind::Block => "block",
        UnsafeKind::Function => "unsafe fn",
        UnsafeKind::Impl => "unsafe impl",
        UnsafeKind::Assembly => "assembly",
    };
    found.function.as_ref().map_or_else(|| what.into(), |function| format!("{what} in `{function}`"))
}

fn as_json(audit: &Audit) -> Value {
    let mut value = json!({
        "version": 1,
        "verdict": match (audit.passed(), audit.open().any(|check| check.status == Status::Failed)) {
            (true, _) => "passed",
            (_, true) => "failed",
            _ => "not-proven",
        },
        "image": audit.image,
        "checks": audit.checks.iter().map(|check| json!({
            "code": check.rule.code(),
            "title": check.rule.title(),
            "status": check.status,
            "summary": check.summary,
            "findings": check.findings,
        })).collect::<Vec<_>>(),
        "gate": audit.gate,
    });
    if let Some(report) = &audit.report {
        value["appliance"] = json!(report.manifest.appliance);
        value["dma"] = json!(audit.dma);
        value["dma-unknown"] = json!(audit.dma_unknown);
        value["devices"] = json!(report.manifest.devices);
        value["listens"] = json!(report.manifest.listens);
        value["owners"] = json!(bill::by_owner(report));
        value["lines"] = json!(bill::by_line(report));
        value["crates"] = json!(report.crates);
        value["unsafe"] = json!(report.unsafes);
    }
    value
}

/// SARIF 2.1.0 (OASIS), as code hosts take it.
fn as_sarif(audit: &Audit, image: &Image) -> Value {
    let rules: Vec<Value> = Rule::ALL
        .iter()
        .map(|rule| json!({ "id": rule.code(), "shortDescription": { "text": rule.title() } }))
        .collect();
    let this = uri(&image.path.to_string_lossy());
    let result = |check: &Check, message: &str, place: Option<&(String, u32)>, address: Option<u64>| {
        let mut physical = match place {
            Some((file, line)) => json!({
                "artifactLocation": { "uri": uri(file) },
                "region": { "startLine": (*line).max(1) },
            }),
            None => json!({ "artifactLocation": { "uri": this } }),
        };
        if let Some(address) = address {
            physical["address"] = json!({ "absoluteAddress": address });
        }
        json!({
            "ruleId": check.rule.code(),
            "level": if check.status == Status::Failed { "error" } else { "warning" },
            "message": { "text": message },
            "locations": [{ "physicalLocation": physical }],
        })
    };
    let results: Vec<Value> = audit
        .open()
        .flat_map(|check| {
            let unknown = (check.status == Status::Unknown).then(|| {
                result(
                    check,
                    &format!("not known whether {}: {}", check.rule.title(), check.summary),
                    None,
                    None,
                )
            });
            let found = check
                .findings
                .iter()
                .map(|finding| result(check, &finding.message, finding.place.as_ref(), finding.address));
            unknown.into_iter().chain(found).collect::<Vec<_>>()
        })
        .collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "unikgen", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "results": results,
        }],
    })
}
