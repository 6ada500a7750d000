//! `embed`: files compiled into the image.
//!
//! The host half reads a folder at build time and makes one sorted table of it, with one
//! copy of equal contents. It offers the files to those that are wired to the storage, so
//! that a service such as `http` can prepare its answers from them; only the files that
//! something reads at run time, through [`Files`], are in the image a second time.
//!
//! # What is taken in
//! All files of the folder and of those below it. Names that start with a dot are left
//! out, unless the option `hidden` is written; `.well-known` (RFC 8615) is always taken in.
//! Symbolic links are followed as long as they stay inside the folder. A name that isn't
//! UTF-8, a link that leads out, and whatever is neither file nor folder are errors.
//!
//! # Left out
//! Compression; dates of change.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

use core::fmt;
use core::marker::PhantomData;

use unik::interface::{FileError, Files, Metadata};
use unik::start::{Context, StartError};

unik::options!();

/// The files of one instance. The host half writes the implementation, on a type without
/// a value.
pub trait Tree: 'static {
    /// Path and content of each, in byte order of their paths.
    fn files() -> &'static [(&'static str, &'static [u8])];
}

/// Starts an instance: there is nothing to do.
///
/// # Errors
/// Never.
pub async fn start<T: Tree>(_: &Context, _: &'static Options, _: T) -> Result<Embedded<T>, StartError> {
    Ok(Embedded(PhantomData))
}

/// The handle of an instance. It has no value at run time, so that the files that nobody
/// reads there aren't in the image.
pub struct Embedded<T>(PhantomData<fn() -> T>);

impl<T> Clone for Embedded<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Embedded<T> {}

impl<T> fmt::Debug for Embedded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Embedded")
    }
}

enum Found {
    File(&'static [u8]),
    Folder,
}

impl<T: Tree> Embedded<T> {
    fn find(path: &str) -> Result<Found, FileError> {
        let files = T::files();
        if path.is_empty() {
            return Ok(Found::Folder);
        }
        let at = files.partition_point(|(other, _)| *other < path);
        if let Some((other, content)) = files.get(at)
            && *other == path
        {
            return Ok(Found::File(content));
        }
        // What is in a folder comes after `folder` and whatever sorts before its `/`.
        let inside = |name: &str| name.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        let below =
            files.partition_point(|(other, _)| other.bytes().lt(path.bytes().chain(core::iter::once(b'/'))));
        if files.get(below).is_some_and(|(other, _)| inside(other)) {
            Ok(Found::Folder)
        } else {
            Err(FileError::NotFound)
        }
    }
}

impl<T: Tree> Files for Embedded<T> {
    async fn metadata(&self, path: &str) -> Result<Metadata, FileError> {
        Ok(match Self::find(path)? {
            Found::File(content) => Metadata { length: content.len() as u64, is_folder: false },
            Found::Folder => Metadata { length: 0, is_folder: true },
        })
    }

    async fn read(&self, path: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, FileError> {
        let Found::File(content) = Self::find(path)? else { return Err(FileError::IsFolder) };
        let rest = usize::try_from(offset).ok().and_then(|offset| content.get(offset..)).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unik::executor::block_on;

    struct Some;

    impl Tree for Some {
        fn files() -> &'static [(&'static str, &'static [u8])] {
            &[
                ("a", b"alpha"),
                ("b!x", b""),
                ("b-x/y", b"1"),
                ("b/c", b"see"),
                ("b/d/e", b"deep"),
                ("bb", b"2"),
            ]
        }
    }

    #[test]
    fn files_and_folders() {
        let files = Embedded::<Some>(PhantomData);
        let look = |path: &str| block_on(files.metadata(path)).map(|found| (found.length, found.is_folder));
        for (path, expected) in [
            ("a", Ok((5, false))),
            ("b/c", Ok((3, false))),
            ("b", Ok((0, true))),
            ("b/d", Ok((0, true))),
            ("b-x", Ok((0, true))),
            ("", Ok((0, true))),
            ("b/", Err(FileError::NotFound)),
            ("/a", Err(FileError::NotFound)),
            ("c", Err(FileError::NotFound)),
            ("b!", Err(FileError::NotFound)),
        ] {
            assert_eq!(look(path), expected, "{path}");
        }
    }

    #[test]
    fn reads_from_any_place() {
        let files = Embedded::<Some>(PhantomData);
        let mut buffer = [0; 3];
        for (offset, expected) in [(0, "alp"), (3, "ha"), (5, ""), (6, ""), (u64::MAX, "")] {
            let length = block_on(files.read("a", offset, &mut buffer)).unwrap();
            assert_eq!(&buffer[..length], expected.as_bytes());
        }
        assert_eq!(block_on(files.read("b", 0, &mut buffer)), Err(FileError::IsFolder));
        assert_eq!(block_on(files.read("x", 0, &mut buffer)), Err(FileError::NotFound));
    }

    #[test]
    fn a_handle_is_nothing() {
        assert_eq!(size_of::<Embedded<Some>>(), 0);
    }
}
