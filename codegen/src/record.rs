//! What an image says of how it was built: enough to build it again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::layout::Seed;
use crate::note;

/// How an image was built. It stands in a note of the image, so that the image alone is
/// enough for `unikgen verify`; and in its report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// The version of this table: 1.
    pub version: u32,
    /// The version of unik.
    pub unik: String,
    /// The hash of the sources of the runtime and the components, as `unikgen` carries them.
    pub sources: String,
    /// The version of the compiler, as it says itself.
    pub rustc: String,
    /// What the layout was drawn from.
    pub seed: Seed,
    /// Build parameters that were given a value on the command line.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
}

impl Record {
    /// As 32-bit words of a note, which is what a linker script can write.
    pub(crate) fn note_words(&self) -> Vec<u32> {
        // Strings and numbers only: this can't fail.
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut bytes = Vec::new();
        for word in [5, json.len() as u32, note::RECORD] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(b"unik\0\0\0\0");
        bytes.extend(&json);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect()
    }

    /// In what `other` was built by other tools, a line each.
    #[must_use]
    pub fn other_tools(&self, other: &Record) -> Vec<String> {
        let pairs = [
            ("unik", &self.unik, &other.unik),
            ("the sources of its components", &self.sources, &other.sources),
            ("rustc", &self.rustc, &other.rustc),
        ];
        let differ = pairs.into_iter().filter(|(_, own, others)| own != others);
        differ.map(|(what, own, others)| format!("{what}: {own}, and {others} now")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn record() -> Record {
        Record {
            version: 1,
            unik: "0.1.0".into(),
            sources: "0123456789ab".into(),
            rustc: "1.95.0".into(),
            seed: Seed(7),
            set: BTreeMap::from([("host".into(), "ns2".into())]),
        }
    }

    #[test]
    fn the_words_are_a_note() {
        let bytes: Vec<u8> = record().note_words().iter().flat_map(|word| word.to_le_bytes()).collect();
        let notes = note::read(&bytes, "unik");
        assert_eq!((notes.len(), notes[0].kind), (1, note::RECORD));
        assert_eq!(serde_json::from_slice::<Record>(notes[0].bytes).unwrap(), record());
    }

    #[test]
    fn other_tools_are_named() {
        assert!(record().other_tools(&record()).is_empty());
        let newer = Record { rustc: "1.96.0".into(), seed: Seed(8), ..record() };
        assert_eq!(record().other_tools(&newer), ["rustc: 1.95.0, and 1.96.0 now"]);
    }
}
