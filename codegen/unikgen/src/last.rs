//! What the last image of a file held, by its instances: kept in the cache by `build` and `run`, for editors.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use unik_codegen::audit::bill;
use unik_codegen::image::Report;

/// The folder in the cache.
pub const FOLDER: &str = "last";

/// The bytes of an image, and of its instances.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Last {
    /// The file that it was built of. Two paths could have one name here.
    file: PathBuf,
    /// The bytes of the image's file.
    pub image: u64,
    /// By the name of an instance: bytes that its line alone brought in, and those that other lines did, too.
    pub instances: HashMap<String, (u64, u64)>,
}

impl Last {
    /// Of an image of `size` bytes.
    fn of_report(file: PathBuf, size: u64, report: &Report) -> Last {
        let mut instances: HashMap<String, (u64, u64)> = HashMap::new();
        let shares = bill::by_line(report);
        for node in report.nodes.iter().filter(|node| !node.part) {
            let Some(place) = &node.place else { continue };
            let (alone, shared) = instances.entry(node.id.clone()).or_default();
            for share in shares.iter().filter(|share| share.lines.iter().any(|line| line.place == *place)) {
                match share.lines.len() {
                    1 => *alone += share.bytes.in_file(),
                    _ => *shared += share.bytes.in_file(),
                }
            }
        }
        Last { file, image: size, instances }
    }
}

/// Notes what an image of `file` holds.
///
/// # Errors
/// As the file system's.
pub fn keep(cache: &Path, file: &Path, size: u64, report: &Report) -> io::Result<()> {
    let file = std::path::absolute(file)?;
    let place = place(cache, &file);
    std::fs::create_dir_all(cache.join(FOLDER))?;
    let text = serde_json::to_string(&Last::of_report(file, size, report))?;
    // In one step: somebody may be reading it.
    let aside = place.with_extension(format!("{}.new", std::process::id()));
    std::fs::write(&aside, text)?;
    std::fs::rename(aside, place)
}

/// What the last image of `file` held, where one was built.
#[must_use]
pub fn of(cache: &Path, file: &Path) -> Option<Last> {
    let file = std::path::absolute(file).ok()?;
    let text = std::fs::read(place(cache, &file)).ok()?;
    // One of an older version tells nothing.
    let last: Last = serde_json::from_slice(&text).ok()?;
    (last.file == file).then_some(last)
}

fn place(cache: &Path, file: &Path) -> PathBuf {
    let hash = Sha256::digest(file.as_os_str().as_encoded_bytes());
    let name: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    cache.join(FOLDER).join(name + ".json")
}
