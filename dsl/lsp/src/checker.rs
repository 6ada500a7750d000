//! The checking, in a thread of its own: of what comes while it is busy only the newest counts,
//! and what takes longer (the components' host halves) waits until nothing is typed.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use lsp_types as lsp;
use lsp_types::{DiagnosticRelatedInformation, DiagnosticTag, Location, NumberOrString, Uri};
use unik_catalogue::Component;
use unik_catalogue::value::Place;
use unik_dsl::diagnostic::codes;
use unik_dsl::{Analysis, Catalogue, Diagnostic, Request, Severity, SourceMap, analyse};

use crate::documents::Buffers;
use crate::host::Host;
use crate::position::{Encoding, Lines, identity, uri_of};

/// How long nothing must be typed before the host halves look.
const QUIET: Duration = Duration::from_millis(120);

/// An appliance that is to be checked.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its file.
    pub root: PathBuf,
    /// The texts that are open.
    pub buffers: Buffers,
    /// What the client calls them, and their versions.
    pub open: BTreeMap<PathBuf, (Uri, i32)>,
    /// What positions count.
    pub encoding: Encoding,
}

/// What came of a [`Job`].
#[derive(Debug)]
pub struct Checked {
    /// The appliance's file.
    pub root: PathBuf,
    /// For each of its texts what is wrong there.
    pub files: Vec<CheckedFile>,
    /// Whether the host halves have looked.
    pub deep: bool,
    /// The components of the crates that it names.
    pub foreign: Vec<Component>,
}

/// What is wrong with one text.
#[derive(Debug)]
pub struct CheckedFile {
    /// What the client calls it.
    pub uri: Uri,
    /// Its version, if it is open.
    pub version: Option<i32>,
    /// Whether it is a `.unik` text, and not a file that a host half read.
    pub is_source: bool,
    /// What is wrong.
    pub diagnostics: Vec<lsp::Diagnostic>,
}

/// Starts the thread. Jobs go in, and `done` hears what came of them, until the sender is gone.
pub fn start(host: Arc<dyn Host>, done: impl Fn(Checked) + Send + 'static) -> Sender<Job> {
    let (sender, jobs) = channel();
    std::thread::spawn(move || run(&*host, &jobs, &done));
    sender
}

fn run(host: &dyn Host, jobs: &Receiver<Job>, done: &dyn Fn(Checked)) {
    let catalogue = Catalogue::from_components(host.components().unwrap_or_default());
    let mut waiting: BTreeMap<PathBuf, Job> = BTreeMap::new();
    let mut quiet: BTreeMap<PathBuf, Job> = BTreeMap::new();
    loop {
        let next = if !waiting.is_empty() {
            jobs.recv_timeout(Duration::ZERO)
        } else if !quiet.is_empty() {
            jobs.recv_timeout(QUIET)
        } else {
            jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match next {
            Ok(job) => {
                quiet.remove(&job.root);
                waiting.insert(job.root.clone(), job);
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let (job, deep) = match waiting.pop_first() {
            Some((_, job)) => (job, false),
            None => match quiet.pop_first() {
                Some((_, job)) => (job, true),
                None => continue,
            },
        };
        // A mistake of ours must not end the session; it stands in the log.
        if let Ok((checked, sound)) = catch_unwind(AssertUnwindSafe(|| check(host, &catalogue, &job, deep))) {
            if sound && !deep {
                quiet.insert(job.root.clone(), job);
            }
            done(checked);
        }
    }
}

/// Checks; says whether the host halves have something to look at.
fn check(host: &dyn Host, catalogue: &Catalogue, job: &Job, deep: bool) -> (Checked, bool) {
    let mut analysis = analysed(job, catalogue, host);
    let sound = analysis.plan.is_some();
    let sources = analysis.sources.iter().count();
    if deep {
        host.deepen(&job.root, &mut analysis);
    }
    let foreign = analysis
        .catalogue
        .components()
        .iter()
        .filter(|component| catalogue.component(&component.name).is_none())
        .map(|component| Component::clone(component))
        .collect();
    let files = files(&analysis, sources, job);
    (Checked { root: job.root.clone(), files, deep, foreign }, sound)
}

/// The analysis of a job, without the host halves.
pub fn analysed(job: &Job, catalogue: &Catalogue, host: &dyn Host) -> Analysis {
    let text = job.buffers.get(&identity(&job.root)).map(|text| String::from(&**text));
    let mut request = Request::new(&job.root, text);
    request.texts = job.buffers.iter().map(|(same, text)| (same.clone(), String::from(&**text))).collect();
    request.fetch = host.fetch();
    let mut analysis = analyse(&request, catalogue);
    if request.fetch.is_none() {
        // That it can't be had here is nothing that is wrong with the file.
        analysis.diagnostics.retain(|diagnostic| diagnostic.code != codes::FETCH);
    }
    analysis
}

/// The diagnostics of an analysis by file. The first `count` sources are `.unik` texts.
fn files(analysis: &Analysis, count: usize, job: &Job) -> Vec<CheckedFile> {
    let mut table = Table::of(&analysis.sources, job);
    let mut found: Vec<CheckedFile> = Vec::new();
    for (number, _) in analysis.sources.iter() {
        let Some(row) = table.rows.get(&number) else { continue };
        let (uri, version) = (row.uri.clone(), row.version);
        found.push(CheckedFile { uri, version, is_source: number < count, diagnostics: Vec::new() });
    }
    for diagnostic in &analysis.diagnostics {
        let Some((uri, converted)) = table.diagnostic(diagnostic) else { continue };
        if let Some(file) = found.iter_mut().find(|file| file.uri == uri) {
            file.diagnostics.push(converted);
        }
    }
    found
}

/// The texts of an analysis, as the client knows them.
pub struct Table<'a> {
    sources: &'a SourceMap,
    rows: HashMap<usize, Row>,
    encoding: Encoding,
}

struct Row {
    uri: Uri,
    version: Option<i32>,
    lines: Option<Lines>,
}

impl<'a> Table<'a> {
    /// For these sources; `job` says what is open.
    pub fn of(sources: &'a SourceMap, job: &Job) -> Self {
        let folder = job.root.parent().unwrap_or(Path::new("/"));
        let mut rows = HashMap::new();
        for (number, source) in sources.iter() {
            let path = folder.join(&source.path);
            let row = match job.open.get(&identity(&path)) {
                Some((uri, version)) => Row { uri: uri.clone(), version: Some(*version), lines: None },
                None => match uri_of(&path) {
                    Some(uri) => Row { uri, version: None, lines: None },
                    None => continue,
                },
            };
            rows.insert(number, row);
        }
        Table { sources, rows, encoding: job.encoding }
    }

    /// Where a place is for the client.
    pub fn location(&mut self, place: Place) -> Option<Location> {
        let source = self.sources.source(place.source)?;
        let row = self.rows.get_mut(&place.source)?;
        let lines = row.lines.get_or_insert_with(|| Lines::of(&source.text));
        let range = lines.range(&source.text, source.clamp(place), self.encoding);
        Some(Location { uri: row.uri.clone(), range })
    }

    /// A diagnostic as the protocol has it, and the text that it is about.
    pub fn diagnostic(&mut self, diagnostic: &Diagnostic) -> Option<(Uri, lsp::Diagnostic)> {
        let Location { uri, range } = self.location(diagnostic.primary.place)?;
        let mut message = diagnostic.message.clone();
        if !diagnostic.primary.text.is_empty() {
            message.push_str(&format!("\n{}", diagnostic.primary.text));
        }
        for help in &diagnostic.helps {
            message.push_str(&format!("\nhelp: {help}"));
        }
        let related: Vec<DiagnosticRelatedInformation> = diagnostic
            .secondary
            .iter()
            .filter_map(|label| {
                let location = self.location(label.place)?;
                let message = if label.text.is_empty() { "here".into() } else { label.text.clone() };
                Some(DiagnosticRelatedInformation { location, message })
            })
            .collect();
        let idle = [codes::UNUSED, codes::UNREAD, codes::VOID, codes::INCLUDED_TWICE];
        let converted = lsp::Diagnostic {
            range,
            severity: Some(match diagnostic.severity {
                Severity::Error => lsp::DiagnosticSeverity::ERROR,
                Severity::Warning => lsp::DiagnosticSeverity::WARNING,
            }),
            code: Some(NumberOrString::String(diagnostic.code.as_str().into())),
            code_description: None,
            source: Some("unik".into()),
            message,
            related_information: (!related.is_empty()).then_some(related),
            tags: idle.contains(&diagnostic.code).then(|| vec![DiagnosticTag::UNNECESSARY]),
            data: None,
        };
        Some((uri, converted))
    }
}
