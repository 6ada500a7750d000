//! The book: entries, and what they may be.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use core::cell::RefCell;
use core::fmt::Write;

use unik::time::Instant;

use crate::{Options, Order};

/// All entries.
pub struct Book {
    options: &'static Options,
    pages: RefCell<Pages>,
}

struct Pages {
    /// The number of the first in `entries`, from 1.
    first: u64,
    entries: VecDeque<String>,
    /// Of the limited rate: when the count began, and how many were since.
    since: Instant,
    signed: u64,
}

impl Book {
    pub fn new(options: &'static Options) -> Book {
        let pages = Pages { first: 1, entries: VecDeque::new(), since: Instant::now(), signed: 0 };
        Book { options, pages: RefCell::new(pages) }
    }

    /// Adds an entry, and gives its number; or why not.
    pub fn sign(&self, text: &str, seconds: Option<u64>) -> Result<u64, String> {
        if text.is_empty() {
            return Err("an entry says something".into());
        }
        let forbidden = self.options.entry.forbidden.unwrap_or(&[]);
        if let Some(word) = forbidden.iter().find(|word| text.contains(**word)) {
            return Err(format!("nobody says {word} here"));
        }
        let pages = &mut *self.pages.borrow_mut();
        if let Some((most, during)) = self.options.signatures {
            if pages.since.elapsed() >= during {
                (pages.since, pages.signed) = (Instant::now(), 0);
            }
            if pages.signed >= most {
                return Err("too many guests sign: a little later".into());
            }
            pages.signed += 1;
        }
        let when = seconds.map_or_else(|| "-".into(), |seconds| seconds.to_string());
        pages.entries.push_back(format!("{when} {text}"));
        if pages.entries.len() as u64 > self.options.entry.kept {
            pages.entries.pop_front();
            pages.first += 1;
        }
        Ok(pages.first + pages.entries.len() as u64 - 1)
    }

    /// Tears out all entries; their numbers aren't given again.
    pub fn clear(&self) {
        let pages = &mut *self.pages.borrow_mut();
        pages.first += pages.entries.len() as u64;
        pages.entries.clear();
    }

    /// All entries, a line each, and a line with a dot.
    pub fn read(&self) -> String {
        let pages = self.pages.borrow();
        let mut text = String::new();
        let mut line = |(at, entry): (usize, &String)| {
            // A String takes all that is written.
            let _ = writeln!(text, "{} {entry}", pages.first + at as u64);
        };
        match self.options.order {
            Order::OldestFirst => pages.entries.iter().enumerate().for_each(&mut line),
            Order::NewestFirst => pages.entries.iter().enumerate().rev().for_each(&mut line),
        }
        text + ".\n"
    }
}
