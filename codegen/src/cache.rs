//! The folder where builds happen: `$UNIK_CACHE`, or `unik` in the user's cache folder.
//!
//! ```text
//! src/HASH/    unik's own sources, unpacked once per version
//! work/NAME/   a generated crate; its image, unstripped twin, report and run script
//! user/HASH/   the target folder of a crate of the user's own
//! host/HASH/   the helper that a third party's host half runs in
//! crates/      where cargo keeps the crates that files name by git or version
//! target/      what all generated crates share: one compilation of each dependency
//! lock         held while a build runs
//! ```
//!
//! Everything in it can be removed at any time while no build runs.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::{Error, children};

/// unik's own sources, as the tool carries them.
#[derive(Clone)]
pub struct Sources {
    /// Names this version of them.
    pub hash: String,
    files: Unpack,
}

/// Gives files: path, relative, and bytes.
pub type Unpack = fn() -> io::Result<Vec<(PathBuf, Vec<u8>)>>;

impl Sources {
    /// Sources that `files` unpacks from `packed`.
    #[must_use]
    pub fn new(packed: &[u8], files: Unpack) -> Self {
        Sources { hash: short_hash(packed), files }
    }

    /// Writes them into `folder`, which there mustn't be yet.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn unpack(&self, folder: &Path) -> Result<(), Error> {
        for (path, bytes) in self.files()? {
            write(&folder.join(path), &bytes)?;
        }
        Ok(())
    }

    /// Their files: path, relative, and bytes.
    ///
    /// # Errors
    /// When what the tool carries is damaged.
    pub fn files(&self) -> Result<Vec<(PathBuf, Vec<u8>)>, Error> {
        (self.files)().map_err(|source| Error::Io { path: "unik's own sources".into(), source })
    }
}

/// The SHA-256 of `bytes`, in hexadecimal.
#[must_use]
pub fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The first 12 hexadecimal digits of the SHA-256 of `bytes`.
#[must_use]
pub fn short_hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..6])
}

/// Names a folder by its path, which may be longer than a file name may be.
pub(crate) fn path_hash(folder: &Path) -> String {
    short_hash(folder.as_os_str().as_encoded_bytes())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The cache.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// The folders that builds make in it, and that [`Cache::clean`] removes.
const OURS: [&str; 8] = ["src", "work", "user", "host", "crates", "target", "empty", "last"];
/// Those of them that hold images, or pieces of such, and so what is secret in them.
const CLOSED: [&str; 3] = ["work", "user", "target"];
/// The file that says that these are ours: somebody's `UNIK_CACHE` may be a folder with a
/// `src` and a `target` of their own.
const MARK: &str = ".unikgen";

/// Whether a cache without the mark was made by a version that set none.
fn is_ours(root: &Path) -> bool {
    let tag = fs::read_to_string(root.join("CACHEDIR.TAG")).unwrap_or_default();
    tag.contains("Made by unikgen") || root.join("lock").is_file() && root.join("work").is_dir()
}

/// The file of a generated crate that is written anew by each build.
#[cfg(feature = "image")]
pub(crate) const STAMP: &str = ".built";

/// How long until it is looked again whether the other build has ended.
const AGAIN: Duration = Duration::from_millis(50);

/// The right to build; given back when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Cache {
    /// The cache of this user: `$UNIK_CACHE`, `$XDG_CACHE_HOME/unik`, `~/.cache/unik`.
    ///
    /// # Errors
    /// [`Error::NoCache`] when none of these variables is set.
    pub fn of_user() -> Result<Cache, Error> {
        let variable =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = variable("UNIK_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("unik")))
            .or_else(|| variable("HOME").map(|home| home.join(".cache/unik")))
            .ok_or(Error::NoCache)?;
        Cache::at(&root)
    }

    /// A cache in this folder, which is made when there is none.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn at(root: &Path) -> Result<Cache, Error> {
        let fail = |source| Error::Io { path: root.into(), source };
        fs::create_dir_all(root).map_err(fail)?;
        // Absolute, so that paths in generated files hold from anywhere.
        let root = root.canonicalize().map_err(fail)?;
        let mark = root.join(MARK);
        if !mark.exists() {
            if let Some(name) =
                OURS.into_iter().find(|name| root.join(name).exists()).filter(|_| !is_ours(&root))
            {
                return Err(Error::ForeignCache { folder: root, name });
            }
            write(&mark, b"")?;
        }
        let tag = root.join("CACHEDIR.TAG");
        if !tag.exists() {
            write(&tag, b"Signature: 8a477f597d28d172789f06886806bc55\n# Made by unikgen.\n")?;
        }
        Ok(Cache { root })
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a generated crate.
    #[must_use]
    pub fn work(&self, package: &str) -> PathBuf {
        self.root.join("work").join(package)
    }

    /// The target folder that generated crates share.
    #[must_use]
    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// The folder of the helper with this name.
    #[must_use]
    pub fn helper(&self, name: &str) -> PathBuf {
        self.root.join("host").join(name)
    }

    /// The folder that remembers which crates were fetched.
    pub(crate) fn crates(&self) -> PathBuf {
        self.root.join("crates")
    }

    /// The target folder of the crate in `folder`, which is the user's own.
    #[must_use]
    pub fn user_target(&self, folder: &Path) -> PathBuf {
        self.root.join("user").join(path_hash(folder))
    }

    /// Waits until no other build runs. `waiting` is called once when there is one.
    ///
    /// # Errors
    /// When the lock file can't be made or locked.
    pub fn lock(&self, waiting: impl FnOnce()) -> Result<Lock, Error> {
        let lock = Cache::lock_file(self.root.join("lock"), waiting)?;
        CLOSED.iter().try_for_each(|name| close(&self.root.join(name)))?;
        Ok(lock)
    }

    /// Waits until nobody else builds a helper.
    pub(crate) fn helper_lock(&self) -> Result<Lock, Error> {
        let folder = self.root.join("host");
        fs::create_dir_all(&folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
        Cache::lock_file(folder.join("lock"), || {})
    }

    fn lock_file(path: PathBuf, waiting: impl FnOnce()) -> Result<Lock, Error> {
        let fail = |source| Error::Io { path: path.clone(), source };
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                // Not `lock`, which nothing but the other's end would end.
                while let Err(error) = file.try_lock() {
                    match error {
                        TryLockError::WouldBlock if children::is_ending() => return Err(Error::Ended),
                        TryLockError::WouldBlock => std::thread::sleep(AGAIN),
                        TryLockError::Error(error) => return Err(fail(error)),
                    }
                }
            }
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        Ok(Lock { _file: file })
    }

    /// Whether `sources` were unpacked before.
    #[must_use]
    pub fn has_sources(&self, sources: &Sources) -> bool {
        self.root.join("src").join(&sources.hash).is_dir()
    }

    /// The folder with `sources`, unpacked now if they weren't before. It appears whole or
    /// not at all.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn sources(&self, sources: &Sources) -> Result<PathBuf, Error> {
        let parent = self.root.join("src");
        let folder = parent.join(&sources.hash);
        if folder.is_dir() {
            return Ok(folder);
        }
        let fail = |source| Error::Io { path: folder.clone(), source };
        fs::create_dir_all(&parent).map_err(fail)?;
        let fresh = tempfile::Builder::new().prefix(".unpack-").tempdir_in(&parent).map_err(fail)?;
        sources.unpack(fresh.path())?;
        match fs::rename(fresh.path(), &folder) {
            Ok(()) => {
                // It has moved: nothing is left to remove.
                let _ = fresh.keep();
                Ok(folder)
            }
            // Another process was faster.
            Err(_) if folder.is_dir() => Ok(folder),
            Err(error) => Err(fail(error)),
        }
    }

    /// Removes the generated crates that weren't built for the longest time, and what cargo
    /// made of them, but for the newest `keep`. Each change of an appliance makes one.
    ///
    /// What can't be removed stays: the next build tries again.
    #[cfg(feature = "image")]
    pub(crate) fn prune(&self, _lock: &Lock, keep: usize) {
        let Ok(entries) = fs::read_dir(self.root.join("work")) else { return };
        let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        let mut crates: Vec<_> =
            entries.flatten().map(|entry| (changed(&entry.path().join(STAMP)), entry.path())).collect();
        crates.sort();
        let old = crates.len().saturating_sub(keep);
        for (_, folder) in &crates[..old] {
            let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_string();
            let _ = fs::remove_dir_all(folder);
            if name.is_empty() {
                continue;
            }
            let made = self.target().join(crate::cargo::TRIPLE).join("image");
            for place in ["", "deps", ".fingerprint", "build"] {
                for entry in fs::read_dir(made.join(place)).into_iter().flatten().flatten() {
                    if entry
                        .file_name()
                        .to_str()
                        .is_some_and(|file| file.replace('_', "-").starts_with(&name))
                    {
                        let path = entry.path();
                        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
                    }
                }
            }
        }
    }

    /// Removes everything in it that builds left, and nothing else; with `dry` nothing at all.
    /// Gives the folders, each with its bytes.
    ///
    /// # Errors
    /// When a file can't be removed.
    pub fn clean(&self, dry: bool) -> Result<Vec<(PathBuf, u64)>, Error> {
        let mut removed = Vec::new();
        for folder in OURS.map(|name| self.root.join(name)) {
            if folder.is_dir() {
                removed.push((folder.clone(), size(&folder)));
                if !dry {
                    fs::remove_dir_all(&folder).map_err(|source| Error::Io { path: folder, source })?;
                }
            }
        }
        Ok(removed)
    }
}

/// Makes a folder that only its owner may look into, or one that is there so.
fn close(folder: &Path) -> Result<(), Error> {
    let fail = |source| Error::Io { path: folder.into(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fail)?;
    let mut permissions = fs::metadata(folder).map_err(fail)?.permissions();
    if permissions.mode() & 0o077 != 0 {
        permissions.set_mode(0o700);
        fs::set_permissions(folder, permissions).map_err(fail)?;
    }
    Ok(())
}

/// The bytes of all files in a folder, as far as they can be seen.
#[must_use]
pub fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Writes a file and the folders around it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let fail = |source| Error::Io { path: path.into(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fail)?;
    }
    fs::write(path, bytes).map_err(fail)
}

/// Leaves a file or folder to its owner alone.
#[cfg(feature = "image")]
pub(crate) fn make_private(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let fail = |source| Error::Io { path: path.into(), source };
    let mut permissions = fs::metadata(path).map_err(fail)?.permissions();
    permissions.set_mode(permissions.mode() & 0o700);
    fs::set_permissions(path, permissions).map_err(fail)
}

/// Writes a file unless it has these bytes already: cargo goes by the time of change.
#[cfg(feature = "image")]
pub(crate) fn write_changed(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    write(path, bytes)
}

/// Folder of a generated crate's for what belongs to the images that were built of it last: of
/// one plan there are as many images as there are seeds.
#[cfg(feature = "image")]
const IMAGES: &str = "images";
/// Images of one crate whose reports and twins are kept.
#[cfg(feature = "image")]
const IMAGES_KEPT: usize = 4;

/// The twin and the report, in the folder of a generated crate, of the image that names its
/// report by this hash.
#[cfg(feature = "image")]
#[must_use]
pub fn kept(work: &Path, report_hash: &[u8; 32]) -> (PathBuf, PathBuf) {
    let name = &hex(report_hash)[..32];
    let place = |extension: &str| work.join(IMAGES).join(format!("{name}.{extension}"));
    (place("twin.elf"), place("report.json"))
}

/// Keeps what belongs to an image that was just built in `work`, and of earlier ones the newest.
#[cfg(feature = "image")]
pub(crate) fn keep(work: &Path, report: &[u8], twin: &[u8]) -> Result<(), Error> {
    let places = kept(work, &Sha256::digest(report).into());
    // Anew each time: the newest are those that were built last, not those that were first.
    write(&places.0, twin)?;
    write(&places.1, report)?;
    let entries = fs::read_dir(work.join(IMAGES)).into_iter().flatten().flatten();
    let mut twins: Vec<_> = entries
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".twin.elf"))
        .map(|entry| (entry.metadata().and_then(|metadata| metadata.modified()).ok(), entry.path()))
        .filter(|(_, path)| *path != places.0)
        .collect();
    twins.sort();
    let old = (twins.len() + 1).saturating_sub(IMAGES_KEPT);
    for (_, path) in &twins[..old] {
        // What can't be removed stays: the next build tries again.
        let _ = fs::remove_file(path);
        let _ = fs::remove_file(path.with_extension("").with_extension("report.json"));
    }
    Ok(())
}

/// Adds names and contents of the files in `folder` to `hash`, but for what cargo makes and
/// what is hidden.
pub(crate) fn hash_folder(folder: &Path, hash: &mut Sha256) -> Result<(), Error> {
    let fail = |source| Error::Io { path: folder.into(), source };
    let mut entries = fs::read_dir(folder).map_err(fail)?.collect::<Result<Vec<_>, _>>().map_err(fail)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        if name == "target" || name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        hash.update(name.as_encoded_bytes());
        hash.update([0]);
        // Of the entry itself: a link to a folder above would lead round and round.
        if entry.file_type().map_err(fail)?.is_dir() {
            hash_folder(&path, hash)?;
        } else if path.is_file() {
            let bytes = fs::read(&path).map_err(|source| Error::Io { path, source })?;
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(&bytes);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
        Ok(vec![("a/b.txt".into(), b"b".to_vec())])
    }

    #[test]
    fn sources_are_unpacked_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let sources = Sources::new(b"packed", files);
        let unpacked = cache.sources(&sources).unwrap();
        assert_eq!(fs::read(unpacked.join("a/b.txt")).unwrap(), b"b");
        fs::write(unpacked.join("mark"), "").unwrap();
        assert!(cache.sources(&sources).unwrap().join("mark").exists());
        assert_eq!(fs::read_dir(cache.root().join("src")).unwrap().count(), 1);
        let all = cache.clean(true).unwrap();
        assert!(unpacked.exists());
        assert_eq!(all, [(cache.root().join("src"), 1)]);
        fs::write(cache.root().join("mine"), "").unwrap();
        assert_eq!(cache.clean(false).unwrap(), all);
        assert!(!unpacked.exists() && cache.root().join("mine").exists());
    }

    #[test]
    fn a_folder_of_somebody_elses_is_no_cache() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("src")).unwrap();
        fs::write(at("CACHEDIR.TAG"), "Made by another").unwrap();
        let error = Cache::at(folder.path()).unwrap_err();
        assert!(matches!(error, Error::ForeignCache { name: "src", .. }), "{error}");
        // One of an older version.
        fs::write(at("CACHEDIR.TAG"), "# Made by unikgen.").unwrap();
        Cache::at(folder.path()).unwrap();
        Cache::at(folder.path()).unwrap();
        assert!(at(".unikgen").exists());
    }

    #[test]
    fn old_crates_go_with_what_was_made_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let made = cache.target().join(crate::cargo::TRIPLE).join("image/deps");
        let start = std::time::SystemTime::UNIX_EPOCH;
        for (age, name) in ["unik-a-1", "unik-b-2", "unik-c-3"].iter().enumerate() {
            let stamp = cache.work(name).join(STAMP);
            write(&stamp, b"").unwrap();
            let time = start + std::time::Duration::from_secs(age as u64);
            File::options().write(true).open(&stamp).unwrap().set_modified(time).unwrap();
            write(&made.join(name.replace('-', "_") + "-0123"), b"").unwrap();
        }
        let lock = cache.lock(|| {}).unwrap();
        cache.prune(&lock, 2);
        assert!(!cache.work("unik-a-1").exists() && !made.join("unik_a_1-0123").exists());
        assert!(cache.work("unik-b-2").exists() && made.join("unik_c_3-0123").exists());
    }

    #[test]
    fn a_second_build_waits() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path()).unwrap();
        let held = cache.lock(|| panic!("nobody holds it")).unwrap();
        let (told, waits) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || cache.lock(|| told.send(()).unwrap()).map(drop));
        waits.recv().unwrap();
        drop(held);
        other.join().unwrap().unwrap();
    }

    #[cfg(feature = "image")]
    #[test]
    fn what_belongs_to_the_last_images_is_kept() {
        let work = tempfile::tempdir().unwrap();
        let hash = |text: &str| <[u8; 32]>::from(Sha256::digest(text));
        let reports = ["a", "b", "c", "d", "e", "f"];
        for (at, report) in reports.iter().enumerate() {
            keep(work.path(), report.as_bytes(), report.as_bytes()).unwrap();
            let (twin, _) = kept(work.path(), &hash(report));
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(at as u64);
            fs::File::options().write(true).open(twin).unwrap().set_modified(time).unwrap();
        }
        for (at, report) in reports.iter().enumerate() {
            let (twin, text) = kept(work.path(), &hash(report));
            assert_eq!((twin.is_file(), text.is_file()), (at >= 2, at >= 2), "{report}");
        }
    }
}
