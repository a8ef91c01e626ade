//! Counts of texts that were counted before.

use std::collections::HashMap;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Counts that are kept in each half, of 16 bytes and what a map adds.
const HALF: usize = 32_768;

/// Counts by tokenizer and text. Two halves: when the younger one is full, the older one is forgotten and the younger one
/// takes its place, so that what was not asked for while as many others came is gone.
#[derive(Debug, Default)]
pub(super) struct Cache {
    /// Held for one look or one entry.
    halves: Mutex<[HashMap<u64, u32>; 2]>,
}

/// Names `text` for the tokenizer `number`. Texts that share a name, one of 2^64, get one count: an estimate.
pub(super) fn name(number: u32, text: &str) -> u64 {
    xxh3_64_with_seed(text.as_bytes(), number.into())
}

impl Cache {
    pub(super) fn get(&self, name: u64) -> Option<u32> {
        let mut halves = self.halves.lock();
        let [young, old] = &mut *halves;
        if let Some(count) = young.get(&name) {
            return Some(*count);
        }
        let count = old.remove(&name)?;
        keep(&mut halves, name, count);
        Some(count)
    }

    pub(super) fn put(&self, name: u64, count: u32) {
        keep(&mut self.halves.lock(), name, count);
    }
}

fn keep(halves: &mut [HashMap<u64, u32>; 2], name: u64, count: u32) {
    if halves[0].len() >= HALF {
        halves.swap(0, 1);
        halves[0].clear();
    }
    halves[0].insert(name, count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let cache = Cache::default();
        cache.put(0, 7);
        for other in 1..=3 * HALF as u64 {
            cache.put(other, 1);
            if other % 1_000 == 0 {
                assert_eq!(cache.get(0), Some(7));
            }
        }
        assert_eq!(cache.get(1), None);
        assert!(cache.halves.lock().iter().all(|half| half.len() <= HALF));
    }
}
