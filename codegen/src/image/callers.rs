//! Which words of a stack are return addresses of calls that haven't returned.
//!
//! A crash record lists every word above the stack pointer that stands behind some call
//! instruction. Frames have holes, though, in which what ran there before has left its own
//! return addresses, and without unwind tables in the image nobody can tell where a frame
//! ends. But each real return address stands behind a call of the function that the one
//! before it is in. Those that fit nowhere in that chain are left over.

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind, SymbolKind};

use super::{Elf, parse};
use crate::Error;

/// The functions of an image, and their code.
#[derive(Debug)]
pub struct Calls {
    /// First address and code of each section of text.
    text: Vec<(u64, Vec<u8>)>,
    /// First address and the one after the last of each function, in order.
    functions: Vec<(u64, u64)>,
    /// Where panics end, the innermost first: the first addresses of these functions.
    panics: Vec<u64>,
}

/// The symbols of the functions that every panic goes through, the innermost first. One that
/// was inlined into the next has none.
const PANICS: [&str; 2] = ["rust_begin_unwind", "panicking9panic_fmt"];

/// What stands before a return address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// A call of the function that begins there.
    Of(u64),
    /// A call through a register or memory: of whatever.
    Indirect,
    /// No call.
    None,
}

impl Calls {
    /// Of the image whose unstripped twin this is.
    ///
    /// # Errors
    /// When it is no image.
    pub fn of(twin: &[u8]) -> Result<Calls, Error> {
        let elf: Elf = parse(twin)?;
        let text = elf
            .sections()
            .filter(|section| section.kind() == SectionKind::Text)
            .filter_map(|section| Some((section.address(), section.data().ok()?.to_vec())))
            .collect();
        let mut functions: Vec<(u64, u64)> = elf
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
            .map(|symbol| (symbol.address(), symbol.address().saturating_add(symbol.size())))
            .collect();
        functions.sort_unstable();
        functions.dedup();
        let named = |part: &str| {
            elf.symbols()
                .find(|symbol| symbol.name().is_ok_and(|name| name.contains(part)))
                .map(|symbol| symbol.address())
        };
        let panics = PANICS.into_iter().filter_map(named).collect();
        Ok(Calls { text, functions, panics })
    }

    /// Those of `words`, innermost first, that form a chain of calls from the function at
    /// `place` down; of a panic, which has no place, from the function that it ended in, or from
    /// the first word. Where the chain can't be followed (through
    /// code without symbols) all that is left is kept: too much is better than too little.
    #[must_use]
    pub fn chain(&self, place: Option<u64>, words: &[u64]) -> Vec<u64> {
        let mut chain = Vec::new();
        let mut next = 0;
        let mut inside = place.and_then(|place| self.function(place));
        if place.is_none() {
            // Words before it are what was left there, or pointers to functions, which may well
            // begin behind a call at the end of another.
            let first =
                self.panics.iter().find_map(|&panic| words.iter().position(|&word| self.calls(word, panic)));
            let first = first.unwrap_or(0);
            let Some(word) = words.get(first) else { return chain };
            chain.push(*word);
            inside = self.function(word.saturating_sub(1));
            next = first + 1;
        }
        let costs = self.costs(words);
        while let Some(function) = inside {
            let Some(at) = self.caller(function.0, words, next, &costs) else { break };
            chain.push(words[at]);
            inside = self.function(words[at].saturating_sub(1));
            next = at + 1;
        }
        if inside.is_none() {
            chain.extend(&words[next..]);
        }
        chain
    }

    /// The word, of those from `from` on, that calls the function at `start`. A call that names
    /// it beats those that may be of any, and of these the one is taken from which the rest
    /// of the chain needs the fewest such guesses.
    fn caller(&self, start: u64, words: &[u64], from: usize, costs: &[usize]) -> Option<usize> {
        let rest = || from..words.len();
        rest().find(|at| self.calls(words[*at], start)).or_else(|| {
            rest().filter(|at| self.call_before(words[*at]) == Call::Indirect).min_by_key(|at| costs[*at])
        })
    }

    /// For each word the number of guesses in the chain from it on.
    fn costs(&self, words: &[u64]) -> Vec<usize> {
        let mut costs = vec![0; words.len()];
        for at in (0..words.len()).rev() {
            let function = self.function(words[at].saturating_sub(1));
            let next = function.and_then(|function| self.caller(function.0, words, at + 1, &costs));
            if let (Some(function), Some(next)) = (function, next) {
                costs[at] = costs[next] + usize::from(!self.calls(words[next], function.0));
            }
        }
        costs
    }

    /// Whether `word` stands behind a call of the function at `start`, or of one that jumps
    /// there as its last act.
    fn calls(&self, word: u64, start: u64) -> bool {
        match self.call_before(word) {
            Call::Of(target) => target == start || self.ends_in_jump(target, start),
            Call::Indirect | Call::None => false,
        }
    }

    fn ends_in_jump(&self, from: u64, to: u64) -> bool {
        let Some((start, end)) = self.function(from) else { return false };
        let Some(code) = self.bytes(start, end - start) else { return false };
        // `jmp rel32`. In the middle of another instruction the same bytes would have to
        // lead to the same place by chance.
        code.windows(5).zip(start..).any(|(bytes, at)| bytes[0] == 0xe9 && relative(at + 5, bytes) == to)
    }

    fn call_before(&self, word: u64) -> Call {
        let Some(bytes) = word.checked_sub(7).and_then(|at| self.bytes(at, 7)) else { return Call::None };
        // `call rel32`
        if bytes[2] == 0xe8 {
            let target = relative(word, &bytes[2..]);
            if self.functions.binary_search_by_key(&target, |function| function.0).is_ok() {
                return Call::Of(target);
            }
        }
        // `call r/m64`, which is FF /2, of two to seven bytes.
        let is_indirect = |length: usize| bytes[7 - length] == 0xff && bytes[8 - length] >> 3 & 7 == 2;
        if [2, 3, 4, 6, 7].into_iter().any(is_indirect) { Call::Indirect } else { Call::None }
    }

    fn function(&self, address: u64) -> Option<(u64, u64)> {
        let after = self.functions.partition_point(|function| function.0 <= address);
        self.functions[..after].last().copied().filter(|function| address < function.1)
    }

    fn bytes(&self, address: u64, count: u64) -> Option<&[u8]> {
        self.text.iter().find_map(|(start, code)| {
            let from = usize::try_from(address.checked_sub(*start)?).ok()?;
            code.get(from..from.checked_add(usize::try_from(count).ok()?)?)
        })
    }
}

/// Where an instruction of five bytes with a relative address leads that ends at `end`.
fn relative(end: u64, instruction: &[u8]) -> u64 {
    let mut offset = [0; 4];
    offset.copy_from_slice(&instruction[1..5]);
    end.wrapping_add_signed(i64::from(i32::from_le_bytes(offset)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Functions of 16 bytes each from 0x1000 on, by number: a at 0x1000, b at 0x1010, …
    struct Code(Vec<u8>);

    impl Code {
        fn new(functions: usize) -> Code {
            Code(vec![0x90; functions * 16 + 16])
        }

        fn put(&mut self, at: u64, opcode: u8, target: u64) -> u64 {
            let here = (at - 0x1000) as usize;
            let offset = (target as i64 - (at as i64 + 5)) as i32;
            self.0[here] = opcode;
            self.0[here + 1..here + 5].copy_from_slice(&offset.to_le_bytes());
            at + 5
        }

        /// `call rax`
        fn put_indirect(&mut self, at: u64) -> u64 {
            let here = (at - 0x1000) as usize;
            self.0[here..here + 2].copy_from_slice(&[0xff, 0xd0]);
            at + 2
        }

        fn calls(self) -> Calls {
            let count = self.0.len() as u64 / 16 - 1;
            let functions = (0..count).map(|at| (0x1010 + at * 16, 0x1020 + at * 16)).collect();
            Calls { text: vec![(0x1000, self.0)], functions, panics: vec![D, C] }
        }
    }

    const A: u64 = 0x1010;
    const B: u64 = 0x1020;
    const C: u64 = 0x1030;
    const D: u64 = 0x1040;

    #[test]
    fn what_was_left_over_is_left_out() {
        let mut code = Code::new(4);
        let (in_a, in_b) = (code.put(A, 0xe8, B), code.put(B, 0xe8, C));
        let stale = code.put(D, 0xe8, A);
        let calls = code.calls();
        assert_eq!(calls.chain(Some(C), &[stale, in_b, stale, in_a]), [in_b, in_a,][..]);
        assert_eq!(calls.chain(None, &[in_b, stale, in_a, 0x5000]), [in_b, in_a]);
        // Of a panic only what leads to where panics end: here c, which nothing else calls.
        assert_eq!(calls.chain(None, &[stale, 0x5000, in_b, stale, in_a]), [in_b, in_a]);
        // Nothing is known of a place outside.
        assert_eq!(calls.chain(Some(0x9000), &[stale, in_b]), [stale, in_b]);
        assert!(calls.chain(None, &[]).is_empty());
    }

    #[test]
    fn of_guesses_the_fewest_are_taken() {
        let mut code = Code::new(6);
        let (e, f) = (0x1050, 0x1060);
        // Really a calls b by a pointer; c and d were called by pointers before.
        let (in_a, in_e) = (code.put_indirect(A), code.put(e, 0xe8, A));
        let (in_c, in_d) = (code.put_indirect(C), code.put_indirect(D));
        code.put(f, 0xe8, e);
        let calls = code.calls();
        assert_eq!(calls.chain(Some(B), &[in_c, in_d, in_a, in_e]), [in_a, in_e]);
    }

    #[test]
    fn calls_through_pointers_and_tail_calls_are_followed() {
        let mut code = Code::new(4);
        let (in_a, in_b) = (code.put_indirect(A), code.put(B, 0xe8, C));
        code.put(C + 5, 0xe9, D);
        let calls = code.calls();
        // d was jumped to by c, which b calls; and a calls b by a pointer.
        assert_eq!(calls.chain(Some(D), &[in_b, in_a]), [in_b, in_a]);
        assert_eq!(calls.call_before(A + 1), Call::None);
    }
}
