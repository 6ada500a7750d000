//! The audit: what is proven of an image, from the image itself.
//!
//! | module | does |
//! |---|---|
//! | [`packages`] | what cargo built the image from; whose a source file is |
//! | [`code`] | executable bytes, decoded |
//! | [`lines`] | which source lines code comes from, through inlined functions |
//! | [`anatomy`] | all of these of one image, read once |
//! | [`lay`](mod@lay) | bytes → crates → components |
//! | [`bill`] | the cost, added up |
//! | [`known`] | what gives a component away |
//! | [`contents`](mod@contents) | contents = plan, by three kinds of evidence |
//! | [`instructions`] | what ring 3 may not run |
//! | [`gate`](mod@gate) | what is left in ring 0, every way in, and that it is the runtime's |
//! | [`claims`] | the report, held against what the image says of itself |
//! | [`dma`] | what a device could be made to do |
//! | [`binary`] | segments, linking, the twin |
//! | [`unsafes`] | the `unsafe` that is linked in |
//! | [`sbom`] | the bill of materials |
//! | [`diff`] | what changes from one image to another |
//!
//! An image is audited with its report, which it names by hash, and its unstripped twin,
//! which must be equal to it, section by section.

pub mod anatomy;
pub mod bill;
pub mod binary;
pub mod claims;
pub mod code;
pub mod contents;
pub mod diff;
pub mod dma;
pub mod form;
pub mod gate;
pub mod instructions;
pub mod known;
pub mod lay;
pub mod lines;
pub mod loading;
pub mod packages;
pub mod sbom;
pub mod unsafes;

use serde::Serialize;
use sha2::{Digest, Sha256};

pub(crate) use crate::image::bad;
use crate::image::{self, Report};
use crate::{Error, cache};
use anatomy::Anatomy;
use gate::Gate;
use known::Known;

pub use lay::{Content, Cost, lay};

/// What an image is audited with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence<'a> {
    /// The image.
    pub image: &'a [u8],
    /// What is said to be its report.
    pub report: Option<&'a [u8]>,
    /// What is said to be its twin.
    pub twin: Option<&'a [u8]>,
    /// The components that there are.
    pub known: &'a [Known],
    /// What those that drive devices say of what these could be aimed at.
    pub ways: &'a [dma::Ways],
}

/// The outcome.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Audit {
    /// SHA-256 of the image's file.
    pub image: String,
    /// The checks, in the order in which they build on each other.
    pub checks: Vec<Check>,
    /// What is left in ring 0, and which ports are open; with a twin.
    pub gate: Option<Gate>,
    /// What a device could be aimed at; with a report.
    pub dma: Vec<dma::Way>,
    /// Whether something in it gives memory to a device, and nothing says what that could be
    /// aimed at.
    pub dma_unknown: bool,
    /// The report, if it is the image's.
    #[serde(skip)]
    pub report: Option<Report>,
}

/// One thing that is proven, or isn't.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Check {
    /// Which.
    pub rule: Rule,
    /// How it went.
    pub status: Status,
    /// What was looked at, for people.
    pub summary: String,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It holds.
    Passed,
    /// It doesn't.
    Failed,
    /// What it needs isn't there: it is not known whether it holds.
    Unknown,
}

/// Something that is wrong with an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// What.
    pub message: String,
    /// The source file and line, where there is one.
    pub place: Option<(String, u32)>,
    /// The address, where there is one.
    pub address: Option<u64>,
}

impl Finding {
    /// One that has no place.
    pub fn new(message: impl Into<String>) -> Finding {
        Finding { message: message.into(), place: None, address: None }
    }

    /// One at an address.
    pub fn at(message: impl Into<String>, address: u64) -> Finding {
        Finding { message: message.into(), place: None, address: Some(address) }
    }
}

/// The things that are proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The report is the one that the image names by hash.
    Report,
    /// The loaded bytes are those that were built.
    Bytes,
    /// The twin is the image, section by section.
    Twin,
    /// No memory is both writable and executable.
    Segments,
    /// Nothing is left to link.
    Linking,
    /// Ring 3 has no privileged instruction, and port I/O in one place.
    Instructions,
    /// Contents = plan, by the dependency graph of the build.
    Graph,
    /// Contents = plan, by the line tables.
    Lines,
    /// Contents = plan, by texts and numbers.
    Texts,
    /// Every byte is accounted for, as the report says.
    Account,
    /// What is left in ring 0 is the runtime's gate, byte by byte.
    Gate,
    /// The report says of the image what the image says of itself.
    Claims,
}

impl Rule {
    /// All of them, in order.
    pub const ALL: [Rule; 12] = [
        Rule::Report,
        Rule::Bytes,
        Rule::Twin,
        Rule::Segments,
        Rule::Linking,
        Rule::Instructions,
        Rule::Graph,
        Rule::Lines,
        Rule::Texts,
        Rule::Account,
        Rule::Gate,
        Rule::Claims,
    ];

    /// Its stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Rule::Report => "A0001",
            Rule::Bytes => "A0002",
            Rule::Twin => "A0003",
            Rule::Segments => "A0004",
            Rule::Linking => "A0005",
            Rule::Instructions => "A0006",
            Rule::Graph => "A0007",
            Rule::Lines => "A0008",
            Rule::Texts => "A0009",
            Rule::Account => "A0010",
            Rule::Gate => "A0011",
            Rule::Claims => "A0012",
        }
    }

    /// What holds when it passes.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Rule::Report => "the report is this image's",
            Rule::Bytes => "the bytes are those that were built",
            Rule::Twin => "the twin equals the image",
            Rule::Segments => "no memory is writable and executable",
            Rule::Linking => "nothing is left to link",
            Rule::Instructions => "ring 3 has no privileged instruction",
            Rule::Graph => "contents = plan, by the build's dependency graph",
            Rule::Lines => "contents = plan, by the line tables",
            Rule::Texts => "contents = plan, by texts and numbers",
            Rule::Account => "every byte is accounted for",
            Rule::Gate => "the gate is the runtime's, byte by byte",
            Rule::Claims => "the report says what the image says",
        }
    }
}

impl Audit {
    /// Whether all that is to be proven is.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.status == Status::Passed)
    }

    /// The checks that failed, or for which something is missing.
    pub fn open(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.status != Status::Passed)
    }
}

/// Audits an image.
///
/// # Errors
/// When it is none: no ELF file for this processor, or without the hash of a report. Whatever
/// else is wrong with an image is a finding, no error.
pub fn audit(evidence: &Evidence<'_>) -> Result<Audit, Error> {
    let Evidence { image, known, .. } = *evidence;
    let named = image::report_hash(image)?;
    let bound = evidence.report.map(|bytes| bound(bytes, &named));
    let (report, problem) = match bound {
        Some(Ok(text)) => match Report::from_json(text) {
            Ok(report) => (Some(report), None),
            Err(error) => (None, Some(error)),
        },
        _ => (None, None),
    };
    let mut audit = Audit {
        image: cache::hex(&Sha256::digest(image)),
        checks: Vec::new(),
        gate: None,
        dma: report.as_ref().map_or_else(Vec::new, |report| dma::ways(report, evidence.ways)),
        dma_unknown: false,
        report,
    };
    let checks = &mut audit.checks;
    let report = audit.report.as_ref();
    checks.push(match bound {
        None => missing(Rule::Report, "there is no report of it here"),
        Some(bound) => check(Rule::Report, bound.map(|_| ("the image holds its SHA-256".into(), Vec::new()))),
    });
    checks.push(match report {
        None => missing(Rule::Bytes, "its report says which"),
        Some(report) => check(Rule::Bytes, bytes(image, report)),
    });
    checks.push(match evidence.twin {
        None => missing(Rule::Twin, "there is no twin of it here"),
        Some(twin) => check(
            Rule::Twin,
            binary::twin(image, twin).map(|(count, found)| (format!("{count} sections"), found)),
        ),
    });
    checks.push(check(
        Rule::Segments,
        binary::segments(image).and_then(|(table, mut found)| {
            found.extend(loading::check(image)?);
            found.extend(form::check(image)?);
            Ok((table.join(", "), found))
        }),
    ));
    checks.push(check(
        Rule::Linking,
        binary::linking(image, evidence.twin)
            .map(|found| ("static; no relocation, dynamic section or undefined symbol".into(), found)),
    ));
    let anatomy = match (evidence.twin, report) {
        (Some(twin), Some(report)) => Some(Anatomy::of(twin, &report.packages)),
        _ => None,
    };
    let rules = [Rule::Instructions, Rule::Graph, Rule::Lines, Rule::Texts, Rule::Account];
    match (&anatomy, report) {
        (Some(Ok(anatomy)), Some(report)) => {
            // What can't be read of the table is said of the gate.
            let entries = gate::entries(image).unwrap_or_default();
            let (gate, instructions) = instructions::check(anatomy, &report.packages, entries);
            checks.push(instructions);
            audit.gate = Some(gate);
            checks.extend(contents(anatomy, report, known));
            checks.push(account(anatomy, report));
            audit.dma_unknown = audit.dma.is_empty() && dma::gives_memory(anatomy);
        }
        (Some(Err(error)), _) => {
            checks.extend(rules.map(|rule| check(rule, Err(bad(error.to_string())))));
        }
        _ => {
            checks.extend(rules.map(|rule| missing(rule, "it takes the image's report and its twin")));
        }
    }
    let anatomy = anatomy.as_ref().and_then(|anatomy| anatomy.as_ref().ok());
    checks.push(match (anatomy, check(Rule::Gate, gate::own::check(image, anatomy))) {
        // Without the names of a twin the gate may still be wrong, but not right.
        (None, Check { status: Status::Passed, .. }) => {
            missing(Rule::Gate, "its bytes are; the twin says where they lead to")
        }
        (_, check) => check,
    });
    checks.push(match (report, problem) {
        (Some(report), _) => check(Rule::Claims, claims::check(image, report)),
        (None, Some(problem)) => check(Rule::Claims, Err(problem)),
        (None, None) => match claims::notes(image) {
            Ok(found) if found.is_empty() => missing(Rule::Claims, "it takes the image's report"),
            outcome => check(Rule::Claims, outcome.map(|found| (String::new(), found))),
        },
    });
    Ok(audit)
}

/// Contents = plan, three times.
#[must_use]
pub fn contents(anatomy: &Anatomy<'_>, report: &Report, known: &[Known]) -> [Check; 3] {
    let Report { packages, nodes, content, .. } = report;
    let components = contents::planned(nodes).len() - 1;
    let plural = if components == 1 { "" } else { "s" };
    let graph = contents::by_graph(packages, nodes);
    let lines = contents::by_lines(anatomy, packages, nodes, known);
    let texts = contents::by_texts(anatomy, nodes, known, content);
    let others = known.iter().filter(|known| !nodes.iter().any(|node| node.component == known.component));
    [
        (
            Rule::Graph,
            format!("{} packages, {components} component{plural}, all planned", packages.len()),
            graph,
        ),
        (Rule::Lines, format!("{} source files", anatomy.lines.files.len()), lines),
        (Rule::Texts, format!("nothing of the {} other components that there are", others.count()), texts),
    ]
    .map(|(rule, summary, found)| check(rule, Ok((summary, found))))
}

fn bound<'a>(report: &'a [u8], named: &[u8; 32]) -> Result<&'a str, Error> {
    if <[u8; 32]>::from(Sha256::digest(report)) != *named {
        return Err(bad("the report is another image's: its hash isn't the one that the image holds"));
    }
    std::str::from_utf8(report).map_err(|_| bad("its report is no text"))
}

fn bytes(image: &[u8], report: &Report) -> Result<(String, Vec<Finding>), Error> {
    let hash = binary::contents_hash(image)?;
    let plan = image::plan_hash(image)?;
    let mut found = Vec::new();
    let file = image::file_hash(image)?;
    if file != report.file {
        found.push(Finding::new(format!(
            "the file has the SHA-256 {file} without its report's, and was built with {}",
            report.file
        )));
    }
    if hash != report.contents {
        found.push(Finding::new(format!(
            "what is loaded has the SHA-256 {hash}, and was built with {}",
            if report.contents.is_empty() {
                "none: its report is of an older unikgen"
            } else {
                &report.contents
            }
        )));
    }
    Ok((format!("SHA-256 {hash} of what is loaded, plan {}", cache::hex(&plan[..6])), found))
}

fn account(anatomy: &Anatomy<'_>, report: &Report) -> Check {
    let rows = lay(anatomy, &report.packages, &report.content);
    let mut found = Vec::new();
    if rows != report.cost {
        found.push(Finding::new("laid again, the bytes fall to others than the report says"));
    }
    let laid: u64 = rows.iter().map(|row| row.code + row.data).sum();
    let held: u64 =
        anatomy.sections.iter().filter_map(|section| section.bytes).map(|bytes| bytes.len() as u64).sum();
    if laid != held {
        found.push(Finding::new(format!("{held} bytes are loaded, {laid} are laid to somebody")));
    }
    let rust = anatomy.lines.producer.as_deref().and_then(image::rust_version);
    if rust != report.rust {
        let text = |rust: &Option<String>| rust.clone().unwrap_or_else(|| "none".into());
        found.push(Finding::new(format!(
            "the report names the compiler {}, the line tables {}",
            text(&report.rust),
            text(&rust)
        )));
    }
    let unknown: u64 = rows.iter().filter(|row| row.package == "?").map(|row| row.code).sum();
    if unknown > 0 {
        found.push(Finding::new(format!("{unknown} bytes of code are of no known crate")));
    }
    let shared: u64 = rows.iter().filter(|row| row.owners.len() > 1).map(|row| row.code + row.data).sum();
    check(Rule::Account, Ok((format!("{laid} bytes, {shared} of them shared by several"), found)))
}

fn check(rule: Rule, outcome: Result<(String, Vec<Finding>), Error>) -> Check {
    let (summary, mut findings) = match outcome {
        Ok(outcome) => outcome,
        Err(Error::Image { message }) => (String::new(), vec![Finding::new(message)]),
        Err(error) => (String::new(), vec![Finding::new(error.to_string())]),
    };
    // Names of sections, functions and files come from what is judged: they say nothing to a
    // terminal, and make no lines of their own.
    for finding in &mut findings {
        finding.message = printable(&finding.message);
        if let Some((file, _)) = &mut finding.place {
            *file = printable(file);
        }
    }
    let summary = printable(&summary);
    let status = if findings.is_empty() { Status::Passed } else { Status::Failed };
    Check { rule, status, summary, findings }
}

/// `text` on one line, without what a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn missing(rule: Rule, what: &str) -> Check {
    Check { rule, status: Status::Unknown, summary: what.into(), findings: Vec::new() }
}
