//! Finds the wanted series in a page of the Prometheus text format that arrives in chunks of any size.
//!
//! ```text
//! chunk ─ memchr '\n' ─▶ line ─ first bytes ─▶ not wanted: next (most lines)
//!   └ rest ─▶ carried to the next chunk             └ name, labels, value ─▶ tally
//! ```

use std::fmt;

use crate::pool::Reading;

use super::engines::{ENGINES, Engine, Series, Signal};
use super::tally::{Tally, closing_quote, label};

/// Longer lines are skipped.
const LONGEST_LINE: usize = 16 << 10;

/// Scans one page after another.
pub struct Scanner {
    wanted: Vec<&'static Series>,
    /// What all wanted names begin with, and which bytes come next.
    prefix: &'static [u8],
    next: [bool; 256],
    carry: Vec<u8>,
    /// The line at the end of the last chunk is too long.
    skipping: bool,
    tally: Tally,
}

impl Scanner {
    /// A scanner for the series of `engine`, or of all kinds.
    #[must_use]
    pub fn new(engine: Option<&'static Engine>) -> Self {
        let wanted: Vec<&'static Series> = match engine {
            Some(engine) => engine.series.iter().collect(),
            None => ENGINES.into_iter().flat_map(|engine| engine.series).collect(),
        };
        let first = wanted[0].name.as_bytes();
        let common = |name: &str| first.iter().zip(name.as_bytes()).take_while(|(a, b)| a == b).count();
        // At most one byte less than the shortest name, so that every name has a byte after it.
        let length =
            wanted.iter().map(|series| common(series.name).min(series.name.len() - 1)).min().unwrap_or(0);
        let mut next = [false; 256];
        for series in &wanted {
            next[usize::from(series.name.as_bytes()[length])] = true;
        }
        Self {
            wanted,
            prefix: &first[..length],
            next,
            carry: Vec::new(),
            skipping: false,
            tally: Tally::default(),
        }
    }

    /// Starts a page.
    pub fn clear(&mut self) {
        self.carry.clear();
        self.skipping = false;
        self.tally.clear();
    }

    /// Scans the next bytes of the page.
    pub fn feed(&mut self, mut chunk: &[u8]) {
        if !self.carry.is_empty() || self.skipping {
            let Some(end) = memchr::memchr(b'\n', chunk) else {
                self.keep(chunk);
                return;
            };
            if !std::mem::take(&mut self.skipping) {
                let mut line = std::mem::take(&mut self.carry);
                line.extend_from_slice(&chunk[..end]);
                self.line(&line);
                line.clear();
                self.carry = line;
            }
            chunk = &chunk[end + 1..];
        }
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', chunk) {
            self.line(&chunk[start..end]);
            start = end + 1;
        }
        self.keep(&chunk[start..]);
    }

    /// Hash of the name of the model that the page is about, as far as it was fed.
    #[must_use]
    pub fn model(&self) -> Option<u64> {
        self.tally.model
    }

    /// Ends the page: its reading, and how many samples were ignored.
    pub fn finish(&mut self) -> (Reading, u64) {
        if !self.skipping {
            let line = std::mem::take(&mut self.carry);
            self.line(&line);
        }
        let end = (self.tally.reading(), self.tally.ignored);
        self.clear();
        end
    }

    /// Carries the beginning of a line to the next chunk.
    fn keep(&mut self, rest: &[u8]) {
        if self.skipping || self.carry.len() + rest.len() > LONGEST_LINE {
            self.skipping = true;
            self.carry.clear();
        } else {
            self.carry.extend_from_slice(rest);
        }
    }

    #[inline]
    fn line(&mut self, line: &[u8]) {
        let length = self.prefix.len();
        if line.len() > length && self.next[usize::from(line[length])] && line.starts_with(self.prefix) {
            self.likely(line);
        }
    }

    fn likely(&mut self, line: &[u8]) {
        for series in &self.wanted {
            let name = series.name.as_bytes();
            // The byte after the name tells most lines apart, without a look at the name.
            let ends = line.get(name.len()).is_some_and(|byte| matches!(byte, b'{' | b' ' | b'\t'));
            if !ends || !line.starts_with(name) {
                continue;
            }
            let Some((labels, value)) = split(&line[name.len()..]) else {
                self.tally.ignored += 1;
                return;
            };
            let matches =
                series.label.is_none_or(|(key, value)| label(labels, key) == Some(value.as_bytes()));
            if matches {
                self.tally.sample(series.signal, labels, value);
                return;
            }
        }
    }

    /// The series that a server can be asked for by name.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.wanted.iter().map(|series| series.name)
    }
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner")
            .field("prefix", &self.prefix.escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}

/// Which kind of model server shows `names` of metrics; for pages scanned for all.
pub(super) fn detect(page: &[u8]) -> Option<&'static Engine> {
    let shows = |engine: &&Engine| {
        let load = |series: &&Series| matches!(series.signal, Signal::Waiting | Signal::Running);
        engine
            .series
            .iter()
            .filter(load)
            .any(|series| memchr::memmem::find(page, series.name.as_bytes()).is_some())
    };
    ENGINES.into_iter().find(shows)
}

/// What follows a name → labels without braces, and the value without a timestamp.
fn split(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (labels, value) = match rest.trim_ascii_start().strip_prefix(b"{") {
        None => (&rest[..0], rest),
        Some(inner) => {
            let end = closing_brace(inner)?;
            (&inner[..end], &inner[end + 1..])
        }
    };
    let value = value.trim_ascii();
    let value = value.split(u8::is_ascii_whitespace).next()?;
    (!value.is_empty()).then_some((labels, value))
}

/// The position of the brace that ends the labels: outside of quotes.
fn closing_brace(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'}', &text[from..])?;
        if text[at] == b'}' {
            return Some(at);
        }
        from = at + 1;
        from += closing_quote(&text[from..])? + 1;
    }
}
