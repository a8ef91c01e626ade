//! A scanner over the members of a JSON object: strings are skipped with memchr, nothing is built.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;
use smallvec::SmallVec;

/// Deeper documents are opaque.
const MAX_DEPTH: usize = 512;

/// Counts what a value holds, while it is skipped.
pub(super) trait Tally {
    /// A string as written, which starts at `at`, under the nearest `key`; empty outside of objects.
    fn text(&mut self, key: &[u8], text: &[u8], at: usize);
    /// A number or literal under the nearest `key`.
    fn number(&mut self, key: &[u8]);
}

impl Tally for () {
    fn text(&mut self, _: &[u8], _: &[u8], _: usize) {}
    fn number(&mut self, _: &[u8]) {}
}

/// A position in a document. All methods answer None when the document is broken.
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    first: bool,
}

impl<'a> Scan<'a> {
    /// At the first member of the object `bytes`.
    pub(super) fn object(bytes: &'a [u8]) -> Option<Self> {
        let mut scan = Self { bytes, at: 0, first: true };
        scan.expect(b'{')?;
        Some(scan)
    }

    /// Before the value at `at` of a document that was scanned.
    pub(super) fn at(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, first: true }
    }

    /// The next member's key (without quotes), or None inside at the end of the object.
    pub(super) fn key(&mut self) -> Option<Option<Range<usize>>> {
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            self.space();
            return (self.at == self.bytes.len()).then_some(None);
        }
        if !std::mem::replace(&mut self.first, false) {
            self.expect(b',')?;
            self.space();
        }
        let key = self.string()?;
        self.expect(b':')?;
        Some(Some(key))
    }

    /// The text of a string without quotes at `range`.
    pub(super) fn text(&self, range: &Range<usize>) -> Option<Cow<'a, str>> {
        let raw = &self.bytes[range.clone()];
        if memchr::memchr(b'\\', raw).is_none() {
            return std::str::from_utf8(raw).ok().map(Cow::Borrowed);
        }
        serde_json::from_slice(&self.bytes[range.start - 1..range.end + 1]).ok().map(Cow::Owned)
    }

    /// The text of the value at `range`, when it is a string.
    pub(super) fn string_at(&self, range: &Range<usize>) -> Option<Cow<'a, str>> {
        let quoted = self.bytes[range.clone()].starts_with(b"\"");
        if quoted { self.text(&(range.start + 1..range.end - 1)) } else { None }
    }

    /// Skips a value that should be a count; Some(None) when it is none.
    pub(super) fn number(&mut self) -> Option<Option<u32>> {
        let range = self.value(&mut ())?;
        Some(std::str::from_utf8(&self.bytes[range]).ok().and_then(|n| n.parse().ok()))
    }

    /// Skips a value; answers where it is.
    pub(super) fn value(&mut self, tally: &mut impl Tally) -> Option<Range<usize>> {
        self.space();
        let start = self.at;
        let mut open: SmallVec<[u8; 32]> = SmallVec::new();
        let mut key: &[u8] = &[];
        loop {
            match self.peek()? {
                b'"' => {
                    let text = self.string()?;
                    if open.last() == Some(&b'}') && self.after_space() == Some(b':') {
                        key = &self.bytes[text];
                    } else {
                        tally.text(key, &self.bytes[text.clone()], text.start);
                    }
                }
                opening @ (b'{' | b'[') => {
                    if open.len() == MAX_DEPTH {
                        return None;
                    }
                    open.push(opening + 2);
                    self.at += 1;
                }
                closing @ (b'}' | b']') => {
                    if open.pop() != Some(closing) {
                        return None;
                    }
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' if !open.is_empty() => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    self.literal()?;
                    tally.number(key);
                }
            }
            if open.is_empty() {
                return Some(start..self.at);
            }
        }
    }

    /// Skips a number, true, false or null.
    fn literal(&mut self) -> Option<()> {
        let rest = &self.bytes[self.at..];
        let len =
            rest.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.')).count();
        self.at += len;
        (len > 0).then_some(())
    }

    /// Skips a string; answers where its content is.
    fn string(&mut self) -> Option<Range<usize>> {
        if self.peek()? != b'"' {
            return None;
        }
        let start = self.at + 1;
        let mut at = start;
        loop {
            at += memchr2(b'"', b'\\', self.bytes.get(at..)?)?;
            if self.bytes[at] == b'"' {
                self.at = at + 1;
                return Some(start..at);
            }
            at += 2;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn after_space(&self) -> Option<u8> {
        self.bytes[self.at..].iter().find(|b| !matches!(b, b' ' | b'\n' | b'\r' | b'\t')).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }
}
