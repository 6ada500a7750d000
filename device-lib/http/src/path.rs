//! Request targets (RFC 9112, 3.2) and their paths (RFC 3986).

use alloc::vec::Vec;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// A path, and what stands after the `?`.
    Path {
        /// Decoded; begins with `/`, has no `.` or `..` segment and no NUL.
        path: &'a str,
        /// As it was sent.
        query: Option<&'a str>,
    },
    /// `*`: the server as a whole.
    Server,
}

/// Why a target is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadTarget(pub(crate) &'static str);

/// Reads the target of a request that isn't CONNECT. `scratch` is used only when the
/// path isn't in its plain form already.
pub(crate) fn resolve<'a>(target: &'a str, scratch: &'a mut Vec<u8>) -> Result<Target<'a>, BadTarget> {
    if target == "*" {
        return Ok(Target::Server);
    }
    if !target.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
        return Err(BadTarget("a byte that no target may have"));
    }
    if target.contains('#') {
        return Err(BadTarget("a fragment"));
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let path = if path.starts_with('/') { path } else { of_absolute_form(path)? };
    let plain = !path.contains('%') && !path.contains("/.");
    let path = if plain { path } else { normalise(path, scratch)? };
    Ok(Target::Path { path, query })
}

/// `http://host/path` → `/path`.
fn of_absolute_form(target: &str) -> Result<&str, BadTarget> {
    // `split_at_checked` and `get`, here and below: slices of text that can't panic leave out
    // what core prints of one that did, and that is four kilobytes.
    let rest = match target.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http://") => rest,
        _ => return Err(BadTarget("neither a path nor an http address")),
    };
    match rest.find('/') {
        Some(0) => Err(BadTarget("no host")),
        Some(slash) => rest.get(slash..).ok_or(BadTarget("no host")),
        None if rest.is_empty() => Err(BadTarget("no host")),
        None => Ok("/"),
    }
}

/// Decodes first and takes dot segments away then, so that `%2e%2e` is one too. An
/// encoded slash is refused: decoded, it couldn't be told from a real one.
fn normalise<'a>(path: &str, scratch: &'a mut Vec<u8>) -> Result<&'a str, BadTarget> {
    scratch.clear();
    let mut ends_in_dots = false;
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        scratch.push(b'/');
        let start = scratch.len();
        decode(segment, scratch)?;
        ends_in_dots = true;
        match &scratch[start..] {
            b"." => scratch.truncate(start - 1),
            b".." => {
                scratch.truncate(start - 1);
                let parent = scratch.iter().rposition(|&byte| byte == b'/');
                scratch.truncate(parent.ok_or(BadTarget("`..` above the root"))?);
            }
            _ => ends_in_dots = false,
        }
    }
    if ends_in_dots {
        scratch.push(b'/');
    }
    core::str::from_utf8(scratch).map_err(|_| BadTarget("a path that isn't UTF-8"))
}

fn decode(segment: &str, into: &mut Vec<u8>) -> Result<(), BadTarget> {
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let byte = if byte == b'%' {
            let byte = hex_pair(rest).ok_or(BadTarget("`%` without two hexadecimal digits"))?;
            rest = &rest[2..];
            byte
        } else {
            byte
        };
        if byte == 0 || byte == b'/' {
            return Err(BadTarget("an encoded NUL or slash"));
        }
        into.push(byte);
    }
    Ok(())
}

/// The byte that the first two characters are in hexadecimal.
pub(crate) fn hex_pair(text: &[u8]) -> Option<u8> {
    match text {
        [high, low, ..] => Some(hex_digit(*high)? << 4 | hex_digit(*low)?),
        _ => None,
    }
}

/// The value of a hexadecimal digit.
pub(crate) const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;
    use alloc::string::String;

    fn path(target: &str) -> Result<String, BadTarget> {
        match resolve(target, &mut Vec::new())? {
            Target::Path { path, .. } => Ok(path.to_owned()),
            Target::Server => Ok("*".into()),
        }
    }

    #[test]
    fn paths_in_plain_form() {
        for (target, expected) in [
            ("/", "/"),
            ("/a/b.html", "/a/b.html"),
            ("/a//b", "/a//b"),
            ("/a%20b", "/a b"),
            ("/%C3%A9", "/é"),
            ("/.", "/"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/../b", "/b"),
            ("/a/b/../../c/", "/c/"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.hidden", "/a/.hidden"),
            ("/a/...", "/a/..."),
            ("/./a", "/a"),
            ("/a/./b", "/a/b"),
            ("http://host", "/"),
            ("HTTP://host:80/x", "/x"),
            ("*", "*"),
        ] {
            assert_eq!(path(target).as_deref(), Ok(expected), "{target}");
        }
    }

    #[test]
    fn wrong_targets() {
        for target in [
            "",
            "a",
            "/..",
            "/../etc/passwd",
            "/a/../..",
            "/%2e%2e/%2e%2e/x",
            "/%",
            "/%2",
            "/%zz",
            "/%00",
            "/a%2fb",
            "/a%2Fb",
            "/a#b",
            "/%ff",
            "/é",
            "https://host/",
            "http://",
            "http:///x",
            "host:80",
            "//../..",
            "http://host/../x",
            "/%2e%2e%2fx",
        ] {
            let result = path(target);
            let fine = target == "//../.." && result.as_deref() == Ok("/");
            assert!(result.is_err() || fine, "{target}: {result:?}");
        }
    }

    #[test]
    fn queries() {
        for (target, expected) in [("/a?b=/../c", Some("b=/../c")), ("/a?", Some("")), ("/a", None)] {
            let mut scratch = Vec::new();
            let found = resolve(target, &mut scratch);
            assert_eq!(found, Ok(Target::Path { path: "/a", query: expected }), "{target}");
        }
    }
}
