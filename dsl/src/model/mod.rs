//! What is meant: every name resolved, every value typed and in range.
//!
//! | module | |
//! |---|---|
//! | `load` | the file and all that it includes |
//! | `names` | parameters, `let`s, crates; what a `$name` stands for |
//! | `body` | a block with its `when`s decided |
//! | `convert` | a written value, as the type that is wanted |
//! | `matching` | an entry against the usage patterns of its option |
//! | `options` | a whole block against the options of a component |
//! | `constraints` | the catalogue's constraint vocabulary |
//! | `untaken` | what stands under a condition that doesn't hold |
//! | `instances` | declarations against the catalogue |

mod body;
mod constraints;
mod convert;
mod crates;
mod instances;
mod load;
mod matching;
mod names;
mod options;
mod untaken;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;

use unik_catalogue::schema::Transport;
use unik_catalogue::value::Place;
use unik_catalogue::{Component, Kind, Options, Target, Type, Value as Typed};

use crate::analysis::Request;
use crate::catalogue::Catalogue;
use crate::diagnostic::{Diagnostic, Fix, codes, did_you_mean};
use crate::fetch::LockFile;
use crate::plan::{BootParameter, NamedCrate};
use crate::source::SourceMap;
use crate::syntax::{self, Entry, Spanned, Statement, StatementKind};

/// The meaning of a file, as far as it has one.
pub struct Model {
    /// The appliance's name; its place is that of the declaration's head.
    pub appliance: Spanned<String>,
    /// The doc comments before it.
    pub docs: Vec<Place>,
    /// Where it runs.
    pub target: Target,
    /// Its settings.
    pub settings: Options,
    /// The parameters `at boot`.
    pub boot: Vec<BootParameter>,
    /// The declared instances in the order of the text.
    pub instances: Vec<Instance>,
    /// Those that would be declared too, did their conditions hold.
    pub elsewhere: Vec<Instance>,
    /// Crates that the file names.
    pub crates: Vec<NamedCrate>,
    /// All components, those of named crates too.
    pub catalogue: Catalogue,
    /// What says which crates exactly those are that come from elsewhere.
    pub lock: Option<LockFile>,
    /// The `.unik` files that were read.
    pub files: Vec<PathBuf>,
    /// Names that blocks mention whose condition doesn't hold: used, on another day.
    pub mentioned: BTreeSet<String>,
    /// Whether a service is declared, be it under a condition that doesn't hold.
    pub has_service: bool,
    /// Whether a statement couldn't be read, so that something may only seem unused.
    pub incomplete: bool,
}

/// A declared instance.
pub struct Instance {
    /// Its name.
    pub name: Spanned<String>,
    /// The head of its declaration.
    pub place: Place,
    /// Where its component is named.
    pub component_place: Place,
    /// Whether its component is of the kind that it is declared as. Where it isn't, what
    /// it gives and where it can run say nothing of what was meant.
    pub is_of_kind: bool,
    /// The component that it is declared as; `None` where there is no such component.
    pub declared: Option<Rc<Component>>,
    /// The component that it is on this target: the declared one, or its stand-in.
    /// `None` where neither runs there.
    pub component: Option<Rc<Component>>,
    /// What stands after `on`.
    pub wires: Vec<Spanned<String>>,
    /// Typed options of `component`, with defaults filled in.
    pub options: Options,
    /// The ports that it listens on.
    pub listens: Vec<Listening>,
    /// The doc comments before its declaration.
    pub docs: Vec<Place>,
}

impl Instance {
    /// Whether another component takes its place on this target.
    pub fn is_replaced(&self) -> bool {
        matches!((&self.declared, &self.component), (Some(declared), Some(component)) if declared.name != component.name)
    }
}

/// A port that an instance listens on.
#[derive(Clone, Debug)]
pub struct Listening {
    /// The transport.
    pub protocol: Transport,
    /// The port.
    pub port: u16,
    /// The name of the wire.
    pub wire: String,
    /// What is spoken there, if the catalogue says.
    pub speaks: Option<String>,
    /// Where the port is written, or the declaration where it is a default.
    pub place: Place,
}

pub use crates::table as named_crate;
pub use load::{read, read_from};

/// What is known while a file is checked.
struct Checker<'a> {
    request: &'a Request<'a>,
    catalogue: Catalogue,
    sources: SourceMap,
    diagnostics: Vec<Diagnostic>,
    target: Target,
    /// The other settings that conditions may be about.
    chosen: BTreeMap<String, String>,
    bindings: HashMap<String, names::Binding>,
    /// Component that each declared name is an instance of; `None`: can't be told.
    declared: BTreeMap<String, Declared>,
    /// The same of those that would be there, did their conditions hold.
    elsewhere: BTreeMap<String, Declared>,
    /// Whether what is checked doesn't count.
    is_aside: bool,
    mentioned: BTreeSet<String>,
    incomplete: bool,
    /// Whether a crate couldn't be taken in: an unknown component may be its.
    missing_crates: bool,
    /// What says which crates exactly are named.
    lock: Option<LockFile>,
    /// Values that may not be equal in two instances, by component, option and placeholder.
    unique: HashMap<(String, String, String), Vec<(Typed, Place)>>,
    /// Networks that may have no address in common.
    apart: Vec<((IpAddr, u8), Place)>,
    /// Sizes that are taken of the appliance's memory.
    taken: Vec<Taken>,
    /// Places whose unknown name was reported.
    said: HashSet<Place>,
    /// Which values the option takes that is being checked.
    takes: Takes,
    /// The texts of secret parameters that were given.
    secrets: HashMap<String, String>,
    /// Conversions left before a file is refused as a bomb.
    budget: usize,
}

/// Which values an option takes that aren't simply there at build time.
#[derive(Clone, Copy, Default)]
struct Takes {
    /// Those known at boot.
    boot: bool,
    /// Secrets, and nothing else.
    secret: bool,
}

/// A size that is taken of the appliance's memory.
struct Taken {
    key: String,
    bytes: u64,
    place: Place,
}

/// Blocks under conditions that don't hold.
type Untaken<'s> = Vec<&'s [Statement]>;

struct Declared {
    component: Option<Rc<Component>>,
    place: Place,
}

/// Reads and checks a file. All that is wrong goes into the diagnostics; the model is
/// what remains, so that the planner can look at it too.
pub fn check(request: &Request, catalogue: &Catalogue) -> (Option<Model>, SourceMap, Vec<Diagnostic>) {
    let mut sources = SourceMap::default();
    let mut diagnostics = Vec::new();
    let loaded = load::load(request, &mut sources, &mut diagnostics);
    let mut checker = Checker::new(request, catalogue, sources, diagnostics);
    checker.incomplete = loaded.files.iter().any(|file| file.damaged);
    let model = checker.model(&loaded);
    (model, checker.sources, checker.diagnostics)
}

/// The options of an instance that nobody wrote anything about; `None` when it needs
/// some.
pub fn defaults(component: &Component, target: Target) -> Option<Options> {
    let request = Request::new(std::path::Path::new(""), None);
    let mut checker = Checker::new(&request, &Catalogue::default(), SourceMap::default(), Vec::new());
    checker.target = target;
    let checked = checker.options(component, &[], Untaken::new(), Place { source: 0, start: 0, end: 0 });
    checker.diagnostics.is_empty().then_some(checked.options)
}

/// A text of the command line as a value of type `ty`, or what is wrong with it.
///
/// # Errors
/// In one line, which may show the text.
pub fn value_of(text: &str, ty: &Type) -> Result<Typed, String> {
    match ty {
        Type::String => return Ok(Typed::String(text.into())),
        // As a file has it without quotes.
        Type::Path => return Err("a path isn't for the command line".into()),
        _ => {}
    }
    let request = Request::new(std::path::Path::new(""), None);
    let mut sources = SourceMap::default();
    let source = sources.add("value", text);
    let mut checker = Checker::new(&request, &Catalogue::default(), sources, Vec::new());
    let mut found = Vec::new();
    let values = syntax::parse_values(&checker.sources, source, &mut found);
    let [value] = values.as_slice() else { return Err(format!("it takes one value, {ty}")) };
    let typed = match found.is_empty() && !matches!(value.kind, syntax::ValueKind::Reference(_)) {
        true => checker.convert_or_say(value, ty, "it"),
        false => return Err(format!("it takes one value, {ty}")),
    };
    let wrong = || checker.diagnostics.first().map_or_else(String::new, |it| it.message.clone());
    typed.ok_or_else(wrong)
}

fn has_service(statement: &Statement) -> bool {
    match &statement.kind {
        StatementKind::Declaration(declaration) => declaration.kind.value == Kind::Service,
        StatementKind::When { body, .. } => body.iter().any(has_service),
        _ => false,
    }
}

impl<'a> Checker<'a> {
    fn new(
        request: &'a Request<'a>,
        catalogue: &Catalogue,
        sources: SourceMap,
        diagnostics: Vec<Diagnostic>,
    ) -> Self {
        Checker {
            request,
            catalogue: catalogue.clone(),
            sources,
            diagnostics,
            target: Target::Machine,
            chosen: BTreeMap::new(),
            bindings: HashMap::new(),
            declared: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            is_aside: false,
            mentioned: BTreeSet::new(),
            incomplete: false,
            missing_crates: false,
            lock: None,
            unique: HashMap::new(),
            apart: Vec::new(),
            taken: Vec::new(),
            said: HashSet::new(),
            takes: Takes::default(),
            secrets: HashMap::new(),
            budget: 1_000_000,
        }
    }
}

impl Checker<'_> {
    fn model(&mut self, loaded: &load::Loaded) -> Option<Model> {
        let top = loaded.top();
        if self.of_another_version(loaded) {
            return None;
        }
        self.version(loaded);
        let appliance = self.only_appliance(&top, loaded.files.iter().any(|file| file.damaged));
        let inside = appliance.map(|(_, body)| loaded.inside(body)).unwrap_or_default();
        self.bind(top.iter().chain(&inside).copied());
        let crates = self.crates(top.iter().chain(&inside).copied());
        let Some((appliance, _)) = appliance else {
            self.unread();
            return None;
        };
        let settings_of = self.catalogue.appliance().cloned();
        self.choose(&inside);
        let (mut flat, mut untaken) = (Vec::new(), Untaken::new());
        self.flatten(&inside, 0, &mut flat, &mut untaken);

        let instances = self.instances(&flat);
        let entries: Vec<(usize, &Statement)> = flat
            .iter()
            .filter(|(_, statement)| matches!(statement.kind, StatementKind::Entry(_)))
            .copied()
            .collect();
        let settings = self.settings(&entries, settings_of.as_deref(), appliance.place);
        let boot = self.boot_parameters(&instances);
        let elsewhere = self.untaken_appliance(untaken, &flat, settings_of.as_deref(), appliance.place);
        self.not_unique();
        self.not_apart();
        if self.target == Target::Machine {
            self.more_than_memory(&settings);
        }
        self.unread();
        let of_appliance = |statement: &&&Statement| matches!(&statement.kind, StatementKind::Appliance { name, .. } if name.place == appliance.place);
        let docs = top.iter().find(of_appliance).map(|statement| statement.docs.clone()).unwrap_or_default();
        Some(Model {
            appliance: appliance.clone(),
            docs,
            target: self.target,
            settings,
            boot,
            instances,
            elsewhere,
            crates,
            catalogue: self.catalogue.clone(),
            lock: self.lock.take(),
            files: loaded.paths.clone(),
            mentioned: std::mem::take(&mut self.mentioned),
            has_service: inside.iter().any(|statement| has_service(statement)),
            incomplete: self.incomplete,
        })
    }

    fn error(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// The known name that `found` was probably meant to be. Gives up in a file with
    /// hundreds of errors, where looking for each would cost more than it helps.
    fn near(&self, found: &str, known: impl IntoIterator<Item = impl AsRef<str>>) -> Option<String> {
        if self.diagnostics.len() > 200 {
            return None;
        }
        let known: Vec<String> = known.into_iter().map(|name| name.as_ref().into()).collect();
        did_you_mean(found, known.iter().map(String::as_str)).map(String::from)
    }

    /// Whether the file is of a version that this tool doesn't know. That is said, and nothing
    /// else: what the rest means only a newer tool knows.
    fn of_another_version(&mut self, loaded: &load::Loaded) -> bool {
        let first = loaded.files.first().and_then(|file| file.statements.first());
        let Some(Statement { kind: StatementKind::Version(version @ 2..), place, .. }) = first else {
            return false;
        };
        let message = format!("the file is in version {version} of the language");
        self.diagnostics = vec![
            Diagnostic::error(codes::VERSION, *place, message)
                .label(format!("unikgen {} knows version 1", env!("CARGO_PKG_VERSION")))
                .help("install a newer unikgen: nothing else of the file was looked at"),
        ];
        true
    }

    /// A file begins with the version of the language that it is written in.
    fn version(&mut self, loaded: &load::Loaded) {
        for (number, file) in loaded.files.iter().enumerate() {
            for (at, statement) in file.statements.iter().enumerate() {
                // What couldn't be read before it may have been meant as a comment.
                let first =
                    || file.statements[..at].iter().all(|it| matches!(it.kind, StatementKind::Broken { .. }));
                match statement.kind {
                    StatementKind::Version(_) if !first() => self.error(Diagnostic::error(
                        codes::VERSION,
                        statement.place,
                        "the language version stands first in a file",
                    )),
                    StatementKind::Version(1) => {}
                    StatementKind::Version(version) => self.error(
                        Diagnostic::error(
                            codes::VERSION,
                            statement.place,
                            format!("there is no version {version} of the language"),
                        )
                        .help("this tool knows version 1"),
                    ),
                    _ => {}
                }
            }
            let has_one = matches!(
                file.statements.first().map(|statement| &statement.kind),
                None | Some(StatementKind::Version(_) | StatementKind::Broken { .. })
            ) || file
                .statements
                .iter()
                .any(|statement| matches!(statement.kind, StatementKind::Version(_)));
            if number == 0 && !has_one {
                let start = file
                    .statements
                    .first()
                    .map_or(0, |statement| statement.docs.first().unwrap_or(&statement.place).start);
                let place = Place { source: 0, start, end: start };
                self.error(
                    Diagnostic::error(
                        codes::VERSION,
                        place,
                        "the file doesn't say which version of the language it is in",
                    )
                    .fix(Fix::certain("begin it with").replace(place, "unik 1\n\n")),
                );
            }
        }
    }

    fn only_appliance<'s>(
        &mut self,
        top: &[&'s Statement],
        damaged: bool,
    ) -> Option<(&'s Spanned<String>, &'s [Statement])> {
        let mut found: Option<(&Spanned<String>, &[Statement])> = None;
        for statement in top {
            if let StatementKind::Appliance { name, body } = &statement.kind {
                match found {
                    None => found = Some((name, body)),
                    Some((first, _)) => {
                        let place = first.place;
                        self.error(
                            Diagnostic::error(
                                codes::APPLIANCE,
                                name.place,
                                "a file describes one appliance, and this is the second",
                            )
                            .and(place, "the first"),
                        );
                    }
                }
            }
        }
        let silent =
            damaged || top.iter().any(|statement| matches!(statement.kind, StatementKind::Broken { .. }));
        let unread = self.diagnostics.iter().any(|diagnostic| diagnostic.code == codes::CANNOT_READ);
        if found.is_none() && !silent && !unread {
            let place = Place { source: 0, start: 0, end: 0 };
            self.error(
                Diagnostic::error(codes::APPLIANCE, place, "the file describes no appliance")
                    .help("an appliance is written `appliance NAME { … }`"),
            );
        }
        found
    }

    /// The settings of the appliance, with the target that counts.
    fn settings(&mut self, entries: &[(usize, &Statement)], of: Option<&Component>, place: Place) -> Options {
        let Some(component) = of else {
            for (_, statement) in entries {
                if let StatementKind::Entry(Entry { key, .. }) = &statement.kind {
                    let message = format!("an appliance has no setting `{}`", key.value);
                    self.error(Diagnostic::error(codes::UNKNOWN_OPTION, key.place, message));
                }
            }
            return Options::new();
        };
        let mut checked = self.options(component, entries, Untaken::new(), place);
        for entry in checked.options.get_mut("target").into_iter().flatten() {
            for bound in entry.values.values_mut() {
                *bound = unik_catalogue::Bound::One(Typed::Word(self.target.word().into()));
            }
        }
        checked.options
    }
}
