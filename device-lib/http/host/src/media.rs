//! Media types by the ends of names (IANA media types; RFC 9239 for JavaScript).

/// The value of `Content-Type` for a file of this name and content. Text gets its
/// charset if it is UTF-8; what else it may be, the file itself has to say.
#[must_use]
pub fn content_type(name: &str, content: &[u8]) -> String {
    let end = name.rsplit('/').next().unwrap_or(name).rsplit_once('.').map_or("", |(_, end)| end);
    let (media, is_text) = media_type(&end.to_ascii_lowercase());
    if is_text && std::str::from_utf8(content).is_ok() {
        format!("{media}; charset=utf-8")
    } else {
        media.into()
    }
}

/// The media type, and whether it has a charset.
fn media_type(end: &str) -> (&'static str, bool) {
    match end {
        "html" | "htm" => ("text/html", true),
        "css" => ("text/css", true),
        "js" | "mjs" => ("text/javascript", true),
        "txt" | "text" | "log" => ("text/plain", true),
        "md" => ("text/markdown", true),
        "csv" => ("text/csv", true),
        "ics" => ("text/calendar", true),
        "vtt" => ("text/vtt", true),
        "xml" => ("application/xml", true),
        "xhtml" => ("application/xhtml+xml", true),
        "atom" => ("application/atom+xml", true),
        "rss" => ("application/rss+xml", true),
        "svg" => ("image/svg+xml", true),
        "json" | "map" => ("application/json", false),
        "webmanifest" => ("application/manifest+json", false),
        "wasm" => ("application/wasm", false),
        "pdf" => ("application/pdf", false),
        "zip" => ("application/zip", false),
        "gz" => ("application/gzip", false),
        "tar" => ("application/x-tar", false),
        "epub" => ("application/epub+zip", false),
        "png" => ("image/png", false),
        "apng" => ("image/apng", false),
        "jpg" | "jpeg" => ("image/jpeg", false),
        "gif" => ("image/gif", false),
        "webp" => ("image/webp", false),
        "avif" => ("image/avif", false),
        "bmp" => ("image/bmp", false),
        "ico" => ("image/vnd.microsoft.icon", false),
        "woff" => ("font/woff", false),
        "woff2" => ("font/woff2", false),
        "ttf" => ("font/ttf", false),
        "otf" => ("font/otf", false),
        "mp3" => ("audio/mpeg", false),
        "ogg" | "oga" | "opus" => ("audio/ogg", false),
        "wav" => ("audio/wav", false),
        "flac" => ("audio/flac", false),
        "mp4" | "m4v" => ("video/mp4", false),
        "webm" => ("video/webm", false),
        "ogv" => ("video/ogg", false),
        _ => ("application/octet-stream", false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_the_end_of_the_name() {
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a.b/C.PNG", "image/png"),
            ("a.html/readme", "application/octet-stream"),
            ("archive.tar.gz", "application/gzip"),
            (".css", "text/css; charset=utf-8"),
            ("data.json", "application/json"),
        ] {
            assert_eq!(content_type(name, b"text"), expected, "{name}");
        }
        assert_eq!(content_type("a.html", b"\xe9"), "text/html");
    }
}
