//! One shard of the index: the holders of each block.
//!
//! A block's holders are 8 bytes: up to three numbers of 21 bits (plus one, so that 0 is none), or the position of a
//! sorted list when there are more.

use hashbrown::HashTable;

/// Numbers are below this.
pub(super) const NUMBERS: u32 = (1 << 21) - 1;
const BITS: u32 = 21;
const MASK: u64 = (1 << BITS) - 1;
const LISTED: u64 = 1 << 63;

/// A block and its holders.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    holders: u64,
}

#[derive(Debug, Default)]
pub(super) struct Shard {
    entries: HashTable<Entry>,
    lists: Vec<Vec<u32>>,
    free: Vec<u32>,
}

impl Shard {
    /// How many hold `hash`.
    pub(super) fn count(&self, hash: u64) -> usize {
        let Some(entry) = self.find(hash) else { return 0 };
        match list(entry.holders) {
            Some(at) => self.lists[at].len(),
            None => packed(entry.holders).count(),
        }
    }

    /// Names the holders of `hash`.
    pub(super) fn each(&self, hash: u64, mut name: impl FnMut(u32)) {
        let Some(entry) = self.find(hash) else { return };
        match list(entry.holders) {
            Some(at) => self.lists[at].iter().for_each(|number| name(*number)),
            None => packed(entry.holders).for_each(name),
        }
    }

    /// `number` holds `hash` from here on.
    pub(super) fn add(&mut self, hash: u64, number: u32) {
        let Self { entries, lists, free } = self;
        let entry = entries.entry(hash, |entry| entry.hash == hash, |entry| entry.hash);
        let mut entry = entry.or_insert(Entry { hash, holders: 0 });
        let holders = &mut entry.get_mut().holders;
        if let Some(at) = list(*holders) {
            let list = &mut lists[at];
            if let Err(place) = list.binary_search(&number) {
                list.insert(place, number);
            }
            return;
        }
        if packed(*holders).any(|held| held == number) {
            return;
        }
        match packed(*holders).count() as u32 {
            count @ 0..3 => *holders |= u64::from(number + 1) << (BITS * count),
            _ => {
                let mut numbers: Vec<u32> = packed(*holders).chain([number]).collect();
                numbers.sort_unstable();
                let at = free.pop().unwrap_or_else(|| {
                    lists.push(Vec::new());
                    (lists.len() - 1) as u32
                });
                lists[at as usize] = numbers;
                *holders = LISTED | u64::from(at);
            }
        }
    }

    /// `number` does not hold `hash` any more.
    pub(super) fn remove(&mut self, hash: u64, number: u32) {
        let Ok(mut entry) = self.entries.find_entry(hash, |entry| entry.hash == hash) else { return };
        let holders = &mut entry.get_mut().holders;
        if let Some(at) = list(*holders) {
            let numbers = &mut self.lists[at];
            if let Ok(place) = numbers.binary_search(&number) {
                numbers.remove(place);
            }
            if numbers.len() <= 3 {
                *holders = pack(numbers.iter().copied());
                // The memory goes back, too.
                *numbers = Vec::new();
                self.free.push(at as u32);
            }
        } else {
            *holders = pack(packed(*holders).filter(|held| *held != number));
        }
        if *holders == 0 {
            entry.remove();
        }
    }

    fn find(&self, hash: u64) -> Option<&Entry> {
        self.entries.find(hash, |entry| entry.hash == hash)
    }
}

fn list(holders: u64) -> Option<usize> {
    (holders & LISTED != 0).then_some((holders & !LISTED) as usize)
}

fn packed(holders: u64) -> impl Iterator<Item = u32> {
    (0..3).map(move |place| (holders >> (BITS * place) & MASK) as u32).filter(|n| *n > 0).map(|n| n - 1)
}

fn pack(numbers: impl Iterator<Item = u32>) -> u64 {
    (0..).zip(numbers).fold(0, |holders, (place, number)| holders | u64::from(number + 1) << (BITS * place))
}
