//! What the server knows: open texts, folders, and what was made of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use lsp_types::{Position, Range, Uri};
use unik_catalogue::Component;
use unik_dsl::Catalogue;
use unik_dsl::syntax::Context;

use crate::checker::Job;
use crate::documents::{Document, Documents};
use crate::host::Host;
use crate::position::{Encoding, identity};
use crate::view::{Parsed, Texts, Unit, View, includes};

/// The most files that a workspace is searched for.
const MAX_FILES: usize = 20_000;
/// The deepest folder that a workspace is searched in.
const MAX_DEPTH: usize = 8;

/// What the client can do, as far as it matters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Client {
    /// What positions count.
    pub encoding: Encoding,
    /// Whether completions may have places to fill in.
    pub snippets: bool,
    /// Whether code actions may be edits.
    pub literals: bool,
    /// Whether symbols may be in symbols.
    pub hierarchical: bool,
    /// Whether an edit may name the version that it is for.
    pub document_changes: bool,
    /// Whether files can be watched.
    pub watches: bool,
}

/// What the server knows.
pub struct State {
    /// What it is part of.
    pub host: Arc<dyn Host>,
    /// What the client can do.
    pub client: Client,
    /// The open texts.
    pub documents: Documents,
    /// The built-in components.
    catalogue: Catalogue,
    /// The components of crates, by the appliance that names them.
    foreign: HashMap<PathBuf, Vec<Component>>,
    /// The folders that the client has open.
    folders: Vec<PathBuf>,
    /// The `.unik` files in them, once they were looked for.
    files: RefCell<Option<Vec<PathBuf>>>,
    parsed: RefCell<HashMap<(PathBuf, bool), Kept>>,
    views: RefCell<HashMap<PathBuf, Rc<View>>>,
    roots: RefCell<HashMap<PathBuf, Option<PathBuf>>>,
}

/// A text that was read, and what it was made of.
struct Kept {
    stamp: Stamp,
    parsed: Rc<Parsed>,
}

#[derive(PartialEq)]
enum Stamp {
    Open(Arc<str>),
    Disk(Option<SystemTime>, u64),
}

/// A text, in the appliance that it belongs to.
pub struct Focus {
    /// The appliance.
    pub view: Rc<View>,
    /// The number of the text.
    pub unit: usize,
}

impl Focus {
    /// The text.
    pub fn unit(&self) -> &Unit {
        &self.view.units[self.unit]
    }
}

impl State {
    /// Nothing open yet.
    pub fn new(host: Arc<dyn Host>, client: Client, folders: Vec<PathBuf>) -> Self {
        let catalogue = match host.components() {
            Ok(components) => Catalogue::from_components(components),
            Err(error) => {
                eprintln!("unik-lsp: {error}");
                Catalogue::default()
            }
        };
        let home = folders.first().cloned().or_else(|| std::env::current_dir().ok()).unwrap_or("/".into());
        State {
            host,
            client,
            documents: Documents::new(home),
            catalogue,
            foreign: HashMap::new(),
            folders,
            files: RefCell::default(),
            parsed: RefCell::default(),
            views: RefCell::default(),
            roots: RefCell::default(),
        }
    }

    /// Forgets what follows from the texts: one of them has changed.
    pub fn changed(&self) {
        self.views.borrow_mut().clear();
        self.roots.borrow_mut().clear();
        let mut parsed = self.parsed.borrow_mut();
        // What nobody has open is read again when it is asked for.
        parsed.retain(|(same, _), kept| {
            matches!(kept.stamp, Stamp::Disk(..)) || self.documents.at(same).is_some()
        });
        if parsed.len() > 512 {
            parsed.clear();
        }
    }

    /// Forgets what was found in the folders, too.
    pub fn folders_changed(&self) {
        *self.files.borrow_mut() = None;
        self.changed();
    }

    /// Adds and removes folders.
    pub fn set_folders(&mut self, added: Vec<PathBuf>, removed: &[PathBuf]) {
        self.folders.retain(|folder| !removed.contains(folder));
        self.folders.extend(added);
        self.folders_changed();
    }

    /// Takes in the components of the crates that the appliance in `root` names. Says whether
    /// that changes anything.
    pub fn learn(&mut self, root: &Path, components: Vec<Component>) -> bool {
        let known = self.foreign.entry(root.into()).or_default();
        let new = *known != components;
        if new {
            *known = components;
            self.views.borrow_mut().clear();
        }
        new
    }

    /// The file of the appliance that `document` belongs to.
    pub fn root_of(&self, document: &Document) -> Option<PathBuf> {
        let same = identity(&document.path);
        if let Some(known) = self.roots.borrow().get(&same) {
            return known.clone();
        }
        let root = self.find_root(document, &same);
        self.roots.borrow_mut().insert(same, root.clone());
        root
    }

    fn find_root(&self, document: &Document, same: &Path) -> Option<PathBuf> {
        if self.text(&document.path, same, Context::Top)?.0.has_appliance() {
            return Some(document.path.clone());
        }
        let open = self.documents.iter().map(|(_, document)| document.path.clone());
        let mut tried = BTreeSet::new();
        open.chain(self.near(&document.path)).chain(self.all_files()).find(|candidate| {
            let other = identity(candidate);
            if other == same || !tried.insert(other.clone()) {
                return false;
            }
            let Some((parsed, _)) = self.text(candidate, &other, Context::Top) else { return false };
            parsed.has_appliance() && self.reaches(candidate, same)
        })
    }

    /// Whether the file in `root` includes `same`.
    fn reaches(&self, root: &Path, same: &Path) -> bool {
        let mut open = vec![(root.to_path_buf(), Context::Top)];
        let mut seen = BTreeSet::new();
        while let Some((path, context)) = open.pop() {
            let here = identity(&path);
            if !seen.insert(here.clone()) {
                continue;
            }
            if here == same {
                return true;
            }
            let Some((parsed, _)) = self.text(&path, &here, context) else { continue };
            let mut found = Vec::new();
            includes(&parsed.file.statements, context, &mut found);
            let folder = path.parent().unwrap_or(Path::new("/"));
            open.extend(found.into_iter().map(|(file, context)| (folder.join(file), context)));
        }
        false
    }

    /// The `.unik` files beside `path`, and one folder up.
    fn near(&self, path: &Path) -> Vec<PathBuf> {
        let folders = path.ancestors().skip(1).take(2);
        let mut found: Vec<PathBuf> = folders
            .filter_map(|folder| std::fs::read_dir(folder).ok())
            .flat_map(|entries| entries.flatten().take(MAX_FILES).map(|entry| entry.path()))
            .filter(|path| is_unik(path))
            .collect();
        found.sort();
        found
    }

    /// The `.unik` files in the client's folders.
    fn all_files(&self) -> Vec<PathBuf> {
        self.files
            .borrow_mut()
            .get_or_insert_with(|| {
                let mut found = Vec::new();
                let mut left = MAX_FILES;
                for folder in &self.folders {
                    search(folder, 0, &mut left, &mut found);
                }
                found.sort();
                found
            })
            .clone()
    }

    /// The text of `document`, in the appliance that it belongs to.
    pub fn focus(&self, uri: &Uri) -> Option<Focus> {
        let document = self.documents.document(uri)?;
        let same = identity(&document.path);
        let root = self.root_of(document);
        let key = root.clone().unwrap_or_else(|| document.path.clone());
        if let Some(view) = self.views.borrow().get(&key) {
            return Some(Focus { unit: view.unit(&same)?, view: Rc::clone(view) });
        }
        let catalogue = self.known_with_crates(&key);
        let context = if root.is_some() { Context::Top } else { self.alone(document, &same).0 };
        let view = Rc::new(View::of(&key, context, self, catalogue));
        self.views.borrow_mut().insert(key, Rc::clone(&view));
        Some(Focus { unit: view.unit(&same)?, view })
    }

    /// All components that the appliance in `root` can be made of.
    fn known_with_crates(&self, root: &Path) -> Catalogue {
        let mut catalogue = self.catalogue.clone();
        for component in self.foreign.get(root).into_iter().flatten() {
            catalogue.add(component.clone());
        }
        catalogue
    }

    /// How a text is best read that belongs to no appliance: as what stands at the top of a
    /// file, or in an appliance.
    pub fn alone(&self, document: &Document, same: &Path) -> (Context, Option<Rc<Parsed>>) {
        let read = |context| self.text(&document.path, same, context).map(|(parsed, _)| parsed);
        let (top, inside) = (read(Context::Top), read(Context::Appliance));
        let count =
            |parsed: &Option<Rc<Parsed>>| parsed.as_ref().map_or(0, |parsed| parsed.diagnostics.len());
        if count(&inside) < count(&top) { (Context::Appliance, inside) } else { (Context::Top, top) }
    }

    /// What the checker needs for the appliance in `root`.
    pub fn job(&self, root: PathBuf) -> Job {
        let open: BTreeMap<PathBuf, (Uri, i32)> = self
            .documents
            .iter()
            .map(|(same, document)| (same.clone(), (document.uri.clone(), document.version)))
            .collect();
        Job { root, buffers: self.documents.buffers(), open, encoding: self.client.encoding }
    }

    /// The built-in components.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The byte of a position in a text.
    pub fn offset(&self, parsed: &Parsed, position: Position) -> usize {
        parsed.lines.offset(&parsed.text, position, self.client.encoding)
    }

    /// The range of some bytes of a text.
    pub fn range(&self, parsed: &Parsed, bytes: std::ops::Range<usize>) -> Range {
        parsed.lines.range(&parsed.text, bytes, self.client.encoding)
    }
}

impl Texts for State {
    fn text(&self, path: &Path, same: &Path, context: Context) -> Option<(Rc<Parsed>, Option<Uri>)> {
        let document = self.documents.at(same);
        let stamp = match document {
            Some(document) => Stamp::Open(Arc::clone(&document.text)),
            None => {
                let found = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
                Stamp::Disk(found.modified().ok(), found.len())
            }
        };
        let uri = document.map(|document| document.uri.clone());
        let key = (same.to_path_buf(), context == Context::Top);
        if let Some(kept) = self.parsed.borrow().get(&key)
            && kept.stamp == stamp
        {
            return Some((Rc::clone(&kept.parsed), uri));
        }
        let text = match &stamp {
            Stamp::Open(text) => Arc::clone(text),
            Stamp::Disk(..) => std::fs::read_to_string(path).ok()?.into(),
        };
        let parsed = Rc::new(Parsed::of(text, context));
        self.parsed.borrow_mut().insert(key, Kept { stamp, parsed: Rc::clone(&parsed) });
        Some((parsed, uri))
    }
}

fn is_unik(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "unik") && path.is_file()
}

fn search(folder: &Path, depth: usize, left: &mut usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if *left == 0 {
            return;
        }
        *left -= 1;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let passed_over = name.starts_with('.') || name == "target" || name == "node_modules";
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !passed_over && depth < MAX_DEPTH => {
                search(&path, depth + 1, left, found);
            }
            Ok(_) if is_unik(&path) => found.push(path),
            _ => {}
        }
    }
}
