//! `unikgen run --watch`: what an appliance is made of, looked at until it changes.
//!
//! By looking and not by the kernel's notices: these don't come from every file system (a
//! shared folder of a virtual machine, a network's), and a look at a few hundred files takes
//! a millisecond.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::appliance::Subject;
use crate::stop;

/// How often it is looked.
const EACH: Duration = Duration::from_millis(250);
/// A look may take that part of the time, whatever there is to look at.
const SHARE: u32 = 20;
/// More files than that in a crate's folder are no sources.
const MOST: usize = 20_000;

/// What is known of a file or folder: when it was changed, and its size.
type State = Option<(SystemTime, u64)>;

/// Files and folders, as they were when they were last read.
#[derive(Debug)]
pub struct Watched {
    paths: BTreeSet<PathBuf>,
    states: BTreeMap<PathBuf, State>,
    /// What is younger was changed while it was read.
    since: SystemTime,
    looked: Instant,
    took: Duration,
}

impl Watched {
    /// These, read from `since` on; folders of crates with all that is below them.
    pub fn new(paths: BTreeSet<PathBuf>, since: SystemTime) -> Watched {
        let mut watched =
            Watched { paths, states: BTreeMap::new(), since, looked: Instant::now(), took: Duration::ZERO };
        watched.states = watched.look();
        watched
    }

    /// What is looked at.
    pub fn paths(&self) -> &BTreeSet<PathBuf> {
        &self.paths
    }

    /// Takes these as they are now: they were changed by us.
    pub fn forget_changes_of(&mut self, paths: &[PathBuf]) {
        for path in paths {
            if let Some(known) = self.states.get_mut(path) {
                *known = state(path);
            }
        }
    }

    /// What has changed, if something has and it was time to look.
    pub fn changed(&mut self) -> Option<PathBuf> {
        if self.looked.elapsed() < EACH.max(self.took * SHARE) {
            return None;
        }
        let now = self.look();
        let before = std::mem::take(&mut self.states);
        let differs = |path: &&PathBuf| before.get(*path) != now.get(*path);
        let found = now.keys().chain(before.keys()).find(differs).cloned();
        self.states = now;
        found
    }

    /// What was changed since it began to be read, which a look can't tell from what was there.
    pub fn changed_meanwhile(&self) -> Option<PathBuf> {
        let young = |state: &State| state.is_some_and(|(changed, _)| changed > self.since);
        self.states.iter().find(|(path, state)| path.is_file() && young(state)).map(|(path, _)| path.clone())
    }

    /// Waits until something changes, and then until nothing does: whoever saves several files
    /// wants one build. Gives what changed; nothing when the command is to end.
    pub fn wait(&mut self) -> Option<PathBuf> {
        let first = loop {
            if stop::requested().is_some() {
                return None;
            }
            if let Some(path) = self.changed() {
                break path;
            }
            std::thread::sleep(EACH / 5);
        };
        self.settle();
        Some(first)
    }

    /// Waits until nothing changes any more.
    pub fn settle(&mut self) {
        let end = Instant::now() + EACH * 20;
        loop {
            std::thread::sleep(EACH.max(self.took * SHARE));
            if self.changed().is_none() || Instant::now() > end || stop::requested().is_some() {
                return;
            }
        }
    }

    fn look(&mut self) -> BTreeMap<PathBuf, State> {
        let began = Instant::now();
        let mut states = BTreeMap::new();
        for path in &self.paths {
            if path.join("Cargo.toml").is_file() {
                below(path, &mut states);
            }
            states.insert(path.clone(), state(path));
        }
        self.looked = Instant::now();
        self.took = began.elapsed();
        states
    }
}

fn state(path: &Path) -> State {
    let of = |meta: Metadata| Some((meta.modified().ok()?, if meta.is_dir() { 0 } else { meta.len() }));
    std::fs::metadata(path).ok().and_then(of)
}

/// The files below a crate's folder, but for what cargo makes and what is hidden.
fn below(folder: &Path, states: &mut BTreeMap<PathBuf, State>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let is_made = name == "target" || name == "Cargo.lock" || name.as_encoded_bytes().starts_with(b".");
        let is_output = [".img", ".bin", ".report.json", ".twin.elf"]
            .iter()
            .any(|ending| name.as_encoded_bytes().ends_with(ending.as_bytes()));
        if is_made || is_output || states.len() > MOST {
            continue;
        }
        // Of the entry itself: a link to a folder above would lead round and round.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => below(&path, states),
            Ok(_) => {
                let state = state(&path);
                states.insert(path, state);
            }
            Err(_) => {}
        }
    }
}

/// What there is to look at before anything is known of the appliance: the file, and the
/// folder that it is in, where one that it lacks may appear.
pub fn at_least(subject: &Subject) -> BTreeSet<PathBuf> {
    match subject {
        Subject::Image(image) => [image.clone()].into(),
        Subject::File(file) | Subject::Crate { file, .. } => {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            let mut paths = BTreeSet::from([file.clone(), folder.unwrap_or(Path::new(".")).to_path_buf()]);
            if let Subject::Crate { user, .. } = subject {
                paths.insert(user.folder.clone());
            }
            paths
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(watched: &mut Watched) -> Option<PathBuf> {
        std::thread::sleep(EACH + Duration::from_millis(20));
        watched.changed()
    }

    #[test]
    fn changes_are_seen_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a.unik"), "a").unwrap();
        let paths = BTreeSet::from([at("a.unik"), at("missing")]);
        let mut watched = Watched::new(paths, SystemTime::now() + Duration::from_secs(1));
        assert_eq!(watched.changed_meanwhile(), None);
        assert_eq!(later(&mut watched), None);
        std::fs::write(at("a.unik"), "ab").unwrap();
        assert_eq!(later(&mut watched), Some(at("a.unik")));
        assert_eq!(later(&mut watched), None);
        std::fs::write(at("missing"), "").unwrap();
        assert_eq!(later(&mut watched), Some(at("missing")));
        std::fs::remove_file(at("a.unik")).unwrap();
        assert_eq!(later(&mut watched), Some(at("a.unik")));
        let watched = Watched::new([at("missing")].into(), SystemTime::UNIX_EPOCH);
        assert_eq!(watched.changed_meanwhile(), Some(at("missing")));
    }

    #[test]
    fn of_a_crate_its_sources_count_and_what_is_made_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["src", "target", ".unik"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        std::fs::write(at("Cargo.toml"), "").unwrap();
        let mut watched = Watched::new([folder.path().into()].into(), SystemTime::now());
        for name in ["target/x", ".unik/x"] {
            std::fs::write(at(name), "").unwrap();
            assert_eq!(later(&mut watched), None, "{name}");
        }
        std::fs::write(at("src/main.rs"), "").unwrap();
        assert_eq!(later(&mut watched), Some(at("src/main.rs")));
        std::fs::write(at("Cargo.toml"), "x").unwrap();
        watched.forget_changes_of(&[at("Cargo.toml")]);
        assert_eq!(later(&mut watched), None);
    }
}
