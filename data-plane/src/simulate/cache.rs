//! Which prompts an engine has in its KV cache.
//!
//! ```text
//! prompt computed ─ pin ─▶ pinned ─ request ends: unpin ─▶ idle ─ room is needed: the longest unused, ends first ─▶ gone
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::content::Piece;

#[derive(Clone, Copy, Debug)]
struct Entry {
    tokens: u32,
    pins: u32,
    place: (u64, Reverse<u32>),
}

/// Pieces by key.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache {
    entries: BTreeMap<u64, Entry>,
    /// Those that are not pinned, in the order in which they go.
    idle: BTreeSet<((u64, Reverse<u32>), u64)>,
    tokens: u64,
    pinned: u64,
    clock: u64,
}

impl Cache {
    /// Tokens of all pieces.
    #[cfg(test)]
    fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Tokens of pieces that running requests use.
    pub(super) fn pinned(&self) -> u64 {
        self.pinned
    }

    /// Tokens at the beginning of a prompt that are held.
    pub(super) fn held(&self, pieces: &[Piece]) -> u32 {
        pieces
            .iter()
            .take_while(|piece| self.entries.contains_key(&piece.key))
            .map(|piece| piece.tokens)
            .sum()
    }

    /// A running request uses these pieces.
    pub(super) fn pin(&mut self, pieces: &[Piece]) {
        self.clock += 1;
        self.visit(0, pieces, |cache, entry| {
            if entry.pins == 0 {
                cache.pinned += u64::from(entry.tokens);
            }
            entry.pins += 1;
        });
    }

    /// It uses them no longer, and leaves its answer behind them.
    pub(super) fn unpin(&mut self, pieces: &[Piece], answer: Piece) {
        self.clock += 1;
        self.visit(0, pieces, |cache, entry| {
            entry.pins -= 1;
            if entry.pins == 0 {
                cache.pinned -= u64::from(entry.tokens);
            }
        });
        self.visit(pieces.len(), &[answer], |_, _| {});
    }

    /// Holds these pieces; they were used last.
    pub(super) fn touch(&mut self, pieces: &[Piece]) {
        self.clock += 1;
        self.visit(0, pieces, |_, _| {});
    }

    /// Lets go what is not pinned, until there are at most `tokens`.
    pub(super) fn evict(&mut self, tokens: u64) {
        while self.tokens > tokens
            && let Some((_, key)) = self.idle.pop_first()
        {
            let entry = self.entries.remove(&key).expect("what is idle is held");
            self.tokens -= u64::from(entry.tokens);
        }
    }

    /// `pieces` stand behind `depth` others.
    fn visit(&mut self, depth: usize, pieces: &[Piece], change: impl Fn(&mut Self, &mut Entry)) {
        for (depth, piece) in (depth as u32..).zip(pieces) {
            let place = (self.clock, Reverse(depth));
            let mut entry = self.entries.remove(&piece.key).unwrap_or_else(|| {
                self.tokens += u64::from(piece.tokens);
                Entry { tokens: piece.tokens, pins: 0, place }
            });
            change(self, &mut entry);
            self.idle.remove(&(entry.place, piece.key));
            entry.place = place;
            if entry.pins == 0 {
                self.idle.insert((place, piece.key));
            }
            self.entries.insert(piece.key, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(ids: &[u64]) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        ids.iter().for_each(|id| pieces.push(Piece::after(pieces.last(), *id, 10)));
        pieces
    }

    #[test]
    fn the_longest_unused_goes_first_and_ends_before_beginnings() {
        let mut cache = Cache::default();
        let (a, b, other) = (prompt(&[1, 2]), prompt(&[1, 3]), prompt(&[9]));
        for pieces in [&a, &b, &other] {
            cache.pin(pieces);
        }
        assert_eq!((cache.tokens(), cache.pinned()), (40, 40), "the beginning is held once");
        cache.evict(0);
        assert_eq!(cache.tokens(), 40, "what is in use stays");
        let answer = Piece::after(a.last(), 7, 10);
        cache.unpin(&a, answer);
        assert_eq!((cache.pinned(), cache.tokens()), (30, 50));
        cache.evict(40);
        assert_eq!((cache.held(&a), cache.tokens()), (20, 40), "an answer goes before its prompt");
        cache.evict(30);
        assert_eq!((cache.held(&a), cache.held(&b), cache.held(&other)), (10, 20, 10));
        cache.unpin(&b, answer);
        cache.unpin(&other, answer);
        cache.evict(20);
        assert_eq!((cache.held(&b), cache.held(&other)), (0, 10));
        assert_eq!(cache.held(&prompt(&[3])), 0, "content counts with all before it");
    }
}
