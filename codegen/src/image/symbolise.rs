//! Addresses → functions and lines, by the unstripped twin.

use std::path::Path;

use object::{Object as _, SymbolMap, SymbolMapName};

use super::{bad, debug, parse};
use crate::Error;

/// One function at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The address.
    pub address: u64,
    /// The function, demangled, if it has a name.
    pub function: Option<String>,
    /// The source file and line, if the line tables have them.
    pub place: Option<(String, u32)>,
    /// Whether the function was inlined into that of the next frame.
    pub inlined: bool,
}

/// The functions at each of `addresses`, innermost first: inlined ones have frames of
/// their own. An address outside the image has one frame without a name.
///
/// `addresses` are those of a crash record: the first is where it happened, the others are
/// return addresses, which stand after their call.
///
/// # Errors
/// When `twin` can't be read.
pub fn symbolise(twin: &Path, addresses: &[u64]) -> Result<Vec<Frame>, Error> {
    let fail = |error: &dyn std::fmt::Display| bad(format!("{}: {error}", twin.display()));
    let bytes = std::fs::read(twin).map_err(|error| fail(&error))?;
    let elf = parse(&bytes).map_err(|error| fail(&error))?;
    let symbols = elf.symbol_map();
    let (_, context) = debug(&elf).map_err(|error| fail(&error))?;
    let mut frames = Vec::new();
    for (at, &address) in addresses.iter().enumerate() {
        // One byte back is inside the call, whose line is the one that people look for.
        let probe = if at == 0 { address } else { address.saturating_sub(1) };
        let before = frames.len();
        if let Ok(mut found) = context.find_frames(probe).skip_all_loads() {
            while let Ok(Some(frame)) = found.next() {
                let function = frame
                    .function
                    .as_ref()
                    .and_then(|name| name.demangle().ok().map(|name| name.into_owned()));
                let place = frame.location.and_then(|place| Some((place.file?.to_string(), place.line?)));
                frames.push(Frame { address, function, place, inlined: true });
            }
        }
        match frames[before..].last_mut() {
            Some(outermost) => {
                outermost.inlined = false;
                // The symbol says in which crate and module it is; the line tables don't.
                outermost.function = named(&symbols, probe).or(outermost.function.take());
            }
            None => {
                frames.push(Frame { address, function: named(&symbols, probe), place: None, inlined: false })
            }
        }
    }
    Ok(frames)
}

fn named(symbols: &SymbolMap<SymbolMapName<'_>>, address: u64) -> Option<String> {
    symbols.before(address).map(|symbol| rustc_demangle::demangle(symbol.name()).to_string())
}
