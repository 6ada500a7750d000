//! The conversation: messages in, answers out, until the client says goodbye or is gone.

use std::collections::{HashSet, VecDeque};
use std::io::{self, BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use lsp_server::{ErrorCode, Message, Notification, Request, RequestId, Response};
use lsp_types::notification::{self, Notification as _, PublishDiagnostics};
use lsp_types::request::{self, Request as _};
use lsp_types::{
    DidChangeTextDocumentParams, DidChangeWatchedFilesParams, DidChangeWorkspaceFoldersParams,
    DidCloseTextDocumentParams, DidOpenTextDocumentParams, InitializeParams, NumberOrString,
    PublishDiagnosticsParams,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::checker::{self, Checked, CheckedFile, Job};
use crate::host::Host;
use crate::position::path_of;
use crate::publish::Published;
use crate::state::State;
use crate::wire::{self, Incoming};
use crate::{actions, capabilities, completion, format, hover, navigate, rename, symbols, tokens};

/// Why a request isn't answered.
#[derive(Debug)]
pub struct Failure {
    code: ErrorCode,
    message: String,
}

impl Failure {
    /// The request makes no sense here, for this reason.
    pub fn refused(message: impl Into<String>) -> Self {
        Failure { code: ErrorCode::RequestFailed, message: message.into() }
    }
}

/// What a request comes to.
pub type Answer<T> = Result<T, Failure>;

enum Event {
    Incoming(Incoming),
    Checked(Checked),
}

/// How far the conversation is.
enum Phase {
    Before,
    Open(Box<Session>),
    Over,
}

struct Session {
    state: State,
    published: Published,
    jobs: Sender<Job>,
}

/// Serves a client until it says goodbye or is gone. Gives whether it did as it should: it
/// asked for the end before it left.
///
/// # Errors
/// When it can't be written to, or sends what can't be a message.
pub fn serve(host: Arc<dyn Host>, input: impl Read + Send + 'static, output: impl Write) -> io::Result<bool> {
    let (sender, events) = channel();
    let reads = sender.clone();
    std::thread::spawn(move || {
        let mut input = BufReader::new(input);
        loop {
            let incoming = wire::read(&mut input).unwrap_or_else(|error| {
                eprintln!("unik-lsp: can't read on: {error}");
                Incoming::End
            });
            let ends = matches!(incoming, Incoming::End);
            if reads.send(Event::Incoming(incoming)).is_err() || ends {
                return;
            }
        }
    });
    Server { host, output, events, sender, phase: Phase::Before, next: 0 }.run()
}

struct Server<W: Write> {
    host: Arc<dyn Host>,
    output: W,
    events: Receiver<Event>,
    /// For the checker's thread.
    sender: Sender<Event>,
    phase: Phase,
    /// The number of our next own request.
    next: i32,
}

impl<W: Write> Server<W> {
    fn run(mut self) -> io::Result<bool> {
        let mut queue: VecDeque<Event> = VecDeque::new();
        loop {
            // All that is there: a cancellation counts before what it cancels.
            queue.extend(self.events.try_iter());
            if queue.is_empty() {
                match self.events.recv() {
                    Ok(event) => queue.push_back(event),
                    Err(_) => return Ok(false),
                }
                continue;
            }
            let Some(event) = queue.pop_front() else { continue };
            match event {
                Event::Incoming(Incoming::End) => return Ok(matches!(self.phase, Phase::Over)),
                Event::Incoming(Incoming::Malformed(answer)) => {
                    eprintln!("unik-lsp: {}", answer["error"]["message"]);
                    wire::write_raw(&mut self.output, &answer)?;
                }
                Event::Incoming(Incoming::Message(Message::Notification(notification))) => {
                    if notification.method == notification::Exit::METHOD {
                        return Ok(matches!(self.phase, Phase::Over));
                    }
                    self.notified(notification)?;
                }
                Event::Incoming(Incoming::Message(Message::Request(request))) => {
                    let response = match is_cancelled(&queue, &request.id) {
                        true => failed(request.id, ErrorCode::RequestCanceled, "cancelled"),
                        false => self.asked(request)?,
                    };
                    wire::write(&mut self.output, &response.into())?;
                }
                Event::Incoming(Incoming::Message(Message::Response(response))) => {
                    if let Err(error) = response.response_result {
                        eprintln!("unik-lsp: the client refused {}: {}", response.id, error.message);
                    }
                }
                Event::Checked(checked) => self.checked(checked)?,
            }
        }
    }

    fn notify(&mut self, method: &str, params: impl Serialize) -> io::Result<()> {
        let params = serde_json::to_value(params)?;
        wire::write(&mut self.output, &Notification { method: method.into(), params }.into())
    }

    fn publish(&mut self, sent: Vec<PublishDiagnosticsParams>) -> io::Result<()> {
        sent.into_iter().try_for_each(|params| self.notify(PublishDiagnostics::METHOD, params))
    }

    fn checked(&mut self, checked: Checked) -> io::Result<()> {
        let Phase::Open(session) = &mut self.phase else { return Ok(()) };
        // What nobody has open any more isn't shown.
        if !session.roots().contains(&checked.root) {
            return Ok(());
        }
        let mut checked = checked;
        session.state.learn(&checked.root, std::mem::take(&mut checked.foreign));
        let sent = session.published.take(checked);
        self.publish(sent)
    }

    fn notified(&mut self, notification: Notification) -> io::Result<()> {
        let Phase::Open(session) = &mut self.phase else { return Ok(()) };
        let Notification { method, params } = notification;
        let outcome = catch_unwind(AssertUnwindSafe(|| session.notified(&method, params)));
        let sent = match outcome {
            Ok(Ok(sent)) => sent,
            Ok(Err(error)) => {
                eprintln!("unik-lsp: {method}: {error}");
                Vec::new()
            }
            // What went wrong is in the log already.
            Err(_) => Vec::new(),
        };
        if method == notification::Initialized::METHOD && session.state.client.watches {
            let id = RequestId::from(self.next);
            self.next += 1;
            let request = Request {
                id,
                method: request::RegisterCapability::METHOD.into(),
                params: serde_json::to_value(capabilities::watching())?,
            };
            wire::write(&mut self.output, &request.into())?;
        }
        self.publish(sent)
    }

    fn asked(&mut self, request: Request) -> io::Result<Response> {
        let Request { id, method, params } = request;
        match &mut self.phase {
            Phase::Before if method == request::Initialize::METHOD => Ok(self.initialize(id, params)),
            Phase::Before => {
                Ok(failed(id, ErrorCode::ServerNotInitialized, "`initialize` comes before all else"))
            }
            Phase::Open(_) if method == request::Shutdown::METHOD => {
                self.phase = Phase::Over;
                Ok(Response::new_ok(id, Value::Null))
            }
            Phase::Open(session) => Ok(session.asked(id, &method, params)),
            Phase::Over => Ok(failed(id, ErrorCode::InvalidRequest, "after `shutdown` there is only `exit`")),
        }
    }

    fn initialize(&mut self, id: RequestId, params: Value) -> Response {
        let params: InitializeParams = match serde_json::from_value(params) {
            Ok(params) => params,
            Err(error) => return failed(id, ErrorCode::InvalidParams, error),
        };
        let client = capabilities::client(&params.capabilities);
        #[allow(deprecated, reason = "older clients say it so")]
        let root = params.root_uri.as_ref().and_then(path_of);
        let folders: Vec<PathBuf> = match params.workspace_folders {
            Some(folders) => folders.iter().filter_map(|folder| path_of(&folder.uri)).collect(),
            None => root.into_iter().collect(),
        };
        let done = self.sender.clone();
        let jobs = checker::start(Arc::clone(&self.host), move |checked| {
            // If nobody listens any more, nobody wants to know.
            let _ = done.send(Event::Checked(checked));
        });
        let state = State::new(Arc::clone(&self.host), client, folders);
        self.phase = Phase::Open(Box::new(Session { state, published: Published::default(), jobs }));
        ok(id, capabilities::ours(client))
    }
}

impl Session {
    fn notified(&mut self, method: &str, params: Value) -> serde_json::Result<Vec<PublishDiagnosticsParams>> {
        match method {
            notification::DidOpenTextDocument::METHOD => {
                let DidOpenTextDocumentParams { text_document: it } = serde_json::from_value(params)?;
                self.state.documents.open(it.uri, it.version, it.text);
                self.state.folders_changed();
            }
            notification::DidChangeTextDocument::METHOD => {
                let DidChangeTextDocumentParams { text_document: it, content_changes } =
                    serde_json::from_value(params)?;
                let encoding = self.state.client.encoding;
                if !self.state.documents.change(&it.uri, it.version, content_changes, encoding) {
                    eprintln!("unik-lsp: {} was changed and isn't open", it.uri.as_str());
                }
                self.state.changed();
            }
            notification::DidCloseTextDocument::METHOD => {
                let DidCloseTextDocumentParams { text_document: it } = serde_json::from_value(params)?;
                self.state.documents.close(&it.uri);
                self.state.folders_changed();
            }
            notification::DidChangeWatchedFiles::METHOD => {
                let DidChangeWatchedFilesParams { changes } = serde_json::from_value(params)?;
                // What builds and version control do is no part of an appliance.
                let counts = |path: PathBuf| {
                    !path.iter().any(|part| part == "target" || part.as_encoded_bytes().starts_with(b"."))
                };
                if !changes.iter().filter_map(|change| path_of(&change.uri)).any(counts) {
                    return Ok(Vec::new());
                }
                self.state.folders_changed();
            }
            notification::DidSaveTextDocument::METHOD | notification::DidChangeConfiguration::METHOD => {
                self.state.folders_changed()
            }
            notification::DidChangeWorkspaceFolders::METHOD => {
                let DidChangeWorkspaceFoldersParams { event } = serde_json::from_value(params)?;
                let paths = |folders: &[lsp_types::WorkspaceFolder]| -> Vec<PathBuf> {
                    folders.iter().filter_map(|folder| path_of(&folder.uri)).collect()
                };
                self.state.set_folders(paths(&event.added), &paths(&event.removed));
            }
            // What was cancelled too late, and what we don't know, doesn't matter.
            _ => return Ok(Vec::new()),
        }
        Ok(self.check())
    }

    /// The files of the appliances that the open texts belong to, or a text's own.
    fn roots(&self) -> HashSet<PathBuf> {
        let documents = self.state.documents.iter().map(|(_, document)| document);
        documents.map(|it| self.state.root_of(it).unwrap_or_else(|| it.path.clone())).collect()
    }

    /// Has everything checked that is open. Gives what can be said at once.
    fn check(&mut self) -> Vec<PublishDiagnosticsParams> {
        let mut sent = Vec::new();
        let roots = self.roots();
        for gone in self.published.roots().into_iter().filter(|root| !roots.contains(root)) {
            sent.extend(self.published.forget(&gone));
        }
        let mut alone = Vec::new();
        let mut jobs = HashSet::new();
        for (same, document) in self.state.documents.iter() {
            match self.state.root_of(document) {
                Some(root) if jobs.insert(root.clone()) => {
                    // The thread ends with us only.
                    let _ = self.jobs.send(self.state.job(root));
                }
                Some(_) => {}
                None => alone.push((same.clone(), document.clone())),
            }
        }
        for (same, document) in alone {
            let job = self.state.job(document.path.clone());
            let Some(parsed) = self.state.alone(&document, &same).1 else { continue };
            let mut sources = unik_dsl::SourceMap::default();
            sources.add(&document.path, &*document.text);
            let mut table = checker::Table::of(&sources, &job);
            let diagnostics = parsed.diagnostics.iter().filter_map(|it| table.diagnostic(it)).map(|it| it.1);
            let file = CheckedFile {
                uri: document.uri.clone(),
                version: Some(document.version),
                is_source: true,
                diagnostics: diagnostics.collect(),
            };
            let root = document.path.clone();
            let checked = Checked { root, files: vec![file], deep: false, foreign: Vec::new() };
            sent.extend(self.published.take(checked));
        }
        sent
    }

    fn asked(&mut self, id: RequestId, method: &str, params: Value) -> Response {
        let state = &self.state;
        match method {
            request::Completion::METHOD => answer(id, params, |it| completion::complete(state, &it)),
            request::HoverRequest::METHOD => answer(id, params, |it| hover::hover(state, &it)),
            request::GotoDefinition::METHOD => answer(id, params, |it| navigate::definition(state, &it)),
            request::References::METHOD => answer(id, params, |it| navigate::references(state, &it)),
            request::DocumentHighlightRequest::METHOD => {
                answer(id, params, |it| navigate::highlight(state, &it))
            }
            request::PrepareRenameRequest::METHOD => answer(id, params, |it| rename::prepare(state, &it)),
            request::Rename::METHOD => answer(id, params, |it| rename::rename(state, &it)),
            request::DocumentSymbolRequest::METHOD => answer(id, params, |it| symbols::symbols(state, &it)),
            request::FoldingRangeRequest::METHOD => answer(id, params, |it| symbols::folding(state, &it)),
            request::SemanticTokensFullRequest::METHOD => answer(id, params, |it| tokens::full(state, &it)),
            request::Formatting::METHOD => answer(id, params, |it| format::format(state, &it)),
            request::CodeActionRequest::METHOD => answer(id, params, |it| actions::actions(state, &it)),
            request::ExecuteCommand::METHOD => answer(id, params, |it| actions::execute(&it)),
            _ => failed(id, ErrorCode::MethodNotFound, format!("there is no request `{method}`")),
        }
    }
}

/// Whether the client has taken back the request with this id.
fn is_cancelled(queue: &VecDeque<Event>, id: &RequestId) -> bool {
    queue.iter().any(|event| match event {
        Event::Incoming(Incoming::Message(Message::Notification(it)))
            if it.method == notification::Cancel::METHOD =>
        {
            let cancelled: Option<lsp_types::CancelParams> = serde_json::from_value(it.params.clone()).ok();
            cancelled.is_some_and(|it| match it.id {
                NumberOrString::Number(number) => RequestId::from(number) == *id,
                NumberOrString::String(text) => RequestId::from(text) == *id,
            })
        }
        _ => false,
    })
}

fn answer<P: DeserializeOwned, R: Serialize>(
    id: RequestId,
    params: Value,
    f: impl FnOnce(P) -> Answer<R>,
) -> Response {
    let params = match serde_json::from_value(params) {
        Ok(params) => params,
        Err(error) => return failed(id, ErrorCode::InvalidParams, error),
    };
    // A mistake of ours must not end the session; it stands in the log.
    match catch_unwind(AssertUnwindSafe(|| f(params))) {
        Ok(Ok(result)) => ok(id, result),
        Ok(Err(Failure { code, message })) => failed(id, code, message),
        Err(_) => failed(id, ErrorCode::InternalError, "a mistake of the server's; its log says more"),
    }
}

fn ok(id: RequestId, result: impl Serialize) -> Response {
    match serde_json::to_value(result) {
        Ok(result) => Response::new_ok(id, result),
        Err(error) => failed(id, ErrorCode::InternalError, error),
    }
}

fn failed(id: RequestId, code: ErrorCode, message: impl ToString) -> Response {
    Response::new_err(id, code as i32, message.to_string())
}
