//! The index against a model of it that is too simple to be wrong.

use proptest::prelude::*;

use super::*;

/// Blocks of a chain of single letters: each hash stands for the letters up to it.
fn chain(letters: &[u8]) -> Vec<u64> {
    let mut last = 7;
    let next = |letter: &u8| {
        last = xxhash_rust::xxh3::xxh3_64_with_seed(&[*letter], last);
        last
    };
    letters.iter().map(next).collect()
}

/// Tokens for `blocks` blocks of 64.
fn room(blocks: usize) -> Option<u64> {
    Some(64 * blocks as u64)
}

/// Most recent first.
#[derive(Default)]
struct Naive(Vec<u64>);

impl Naive {
    fn record(&mut self, chain: &[u64], capacity: usize) {
        for hash in chain.iter().take(capacity).rev() {
            self.0.retain(|held| held != hash);
            self.0.insert(0, *hash);
        }
        self.0.truncate(capacity);
    }

    fn run(&self, chain: &[u64]) -> u32 {
        chain.iter().take_while(|hash| self.0.contains(hash)).count() as u32
    }
}

#[derive(Debug, Clone)]
enum Step {
    Record { endpoint: usize, chain: Vec<u8>, capacity: usize },
    Restart(usize),
    Replace(usize),
    Lookup(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let letters = || prop::collection::vec(0_u8..2, 0..40);
    prop_oneof![
        8 => (0_usize..6, letters(), 1_usize..60)
            .prop_map(|(endpoint, chain, capacity)| Step::Record { endpoint, chain, capacity }),
        1 => (0_usize..6).prop_map(Step::Restart),
        1 => (0_usize..6).prop_map(Step::Replace),
        4 => letters().prop_map(Step::Lookup),
    ]
}

proptest! {
    #[test]
    fn runs_are_those_of_the_naive_model(steps in prop::collection::vec(step(), 1..80)) {
        let index = Index::default();
        let mut held: Vec<_> = (0..6).map(|_| index.register().unwrap()).collect();
        let mut naive: Vec<_> = (0..6).map(|_| Naive::default()).collect();
        let mut matches = Matches::default();
        let mut recorded = Vec::new();
        for step in steps {
            let asked = match step {
                Step::Record { endpoint, chain: letters, capacity } => {
                    let blocks = chain(&letters);
                    held[endpoint].record(&blocks, 64.0, room(capacity));
                    if !blocks.is_empty() {
                        naive[endpoint].record(&blocks, capacity);
                    }
                    recorded.push(blocks.clone());
                    blocks
                }
                Step::Restart(endpoint) => {
                    held[endpoint].clear();
                    naive[endpoint].0.clear();
                    continue;
                }
                Step::Replace(endpoint) => {
                    // The old one goes first: its number is given to the next.
                    drop(held.remove(endpoint));
                    held.insert(endpoint, index.register().unwrap());
                    naive[endpoint].0.clear();
                    continue;
                }
                Step::Lookup(letters) => chain(&letters),
            };
            for asked in recorded.iter().chain([&asked]) {
                index.lookup(asked, &mut matches);
                for (held, naive) in held.iter().zip(&naive) {
                    prop_assert_eq!(matches.run(held.number()), naive.run(asked));
                    prop_assert_eq!(held.len(), naive.0.len());
                }
            }
        }
        drop(held);
        index.lookup(&recorded.concat(), &mut matches);
        prop_assert!(matches.is_empty());
    }
}

#[test]
fn many_holders_of_a_shared_prefix_are_found_with_their_own_runs() {
    let index = Index::default();
    let held: Vec<_> = (0..500).map(|_| index.register().unwrap()).collect();
    let letters: Vec<u8> = (0..250).collect();
    let all = chain(&letters);
    for (place, held) in held.iter().enumerate() {
        held.record(&all[..place % 251], 64.0, None);
    }
    let mut matches = Matches::default();
    index.lookup(&all, &mut matches);
    for (place, held) in held.iter().enumerate() {
        assert_eq!(matches.run(held.number()) as usize, place % 251);
    }
    drop(held);
    index.lookup(&all, &mut matches);
    assert!(matches.is_empty(), "what endpoints held goes with them");
}

#[test]
fn the_whole_index_is_bounded_and_shares_are_equal() {
    let index = Index::with_limit(100);
    let (one, other) = (index.register().unwrap(), index.register().unwrap());
    for letter in 0..50 {
        one.record(&chain(&[letter; 7]), 64.0, None);
        other.record(&chain(&[letter, 1, 2]), 64.0, None);
    }
    assert_eq!((one.len(), other.len()), (50, 50));
}

#[test]
fn blocks_of_more_tokens_fill_the_cache_sooner() {
    let index = Index::default();
    let held = index.register().unwrap();
    for letter in 0..100 {
        held.record(&chain(&[letter, 0]), 128.0, Some(12_800));
    }
    assert!((95..=101).contains(&held.len()), "{} blocks of 128 tokens in 12,800", held.len());
}

#[test]
fn an_endpoint_that_has_less_than_it_should_is_believed_less_until_it_has_it_again() {
    let index = Index::default();
    let held = index.register().unwrap();
    let blocks: Vec<_> = (0..100).map(|letter| chain(&[letter])).collect();
    let fill = || {
        blocks.iter().for_each(|chain| held.record(chain, 64.0, room(100)));
        held.len()
    };
    assert_eq!(fill(), 100);
    held.learn(1000, 1000 - 128);
    held.learn(0, 0);
    assert_eq!((fill(), held.yields()), (100, 1.0), "as expected");
    (0..100).for_each(|_| held.learn(1000, 0));
    assert_eq!(fill(), 6, "a sixteenth");
    assert!(held.yields() < 0.01);
    (0..200).for_each(|_| held.learn(1000, 2000));
    assert_eq!(fill(), 100);
    assert!(held.yields() > 0.99);
}

#[test]
fn threads_leave_nothing_behind() {
    let index = Index::default();
    let held: Vec<_> = (0..4).map(|_| index.register().unwrap()).collect();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (index, held) = (&index, &held);
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(seed);
                let mut matches = Matches::default();
                for _ in 0..2_000 {
                    let letters: Vec<u8> = (0..rng.usize(1..30)).map(|_| rng.u8(0..2)).collect();
                    let blocks = chain(&letters);
                    held[rng.usize(0..4)].record(&blocks, 64.0, room(rng.usize(1..200)));
                    index.lookup(&blocks, &mut matches);
                }
            });
        }
    });
    held.iter().for_each(Held::clear);
    let mut matches = Matches::default();
    for first in [0, 1] {
        index.lookup(&chain(&[first]), &mut matches);
        assert!(matches.is_empty());
    }
}

#[test]
fn what_an_engine_stores_beside_prompts_from_here_takes_room_just_so() {
    let index = Index::default();
    let held = index.register().unwrap();
    let fill = |from: u8| {
        (from..from + 100).for_each(|letter| held.record(&chain(&[letter, 1, 2, 3]), 64.0, room(400)));
        held.len()
    };
    held.stored(1);
    assert_eq!(fill(0), 400, "one token says nothing");
    // 100 prompts of 4 blocks of 64 tokens were sent; the engine stored twice that.
    held.stored(2 * 25_600);
    held.record(&chain(&[7]), 64.0, room(400));
    assert!((199..=200).contains(&held.len()), "{} blocks", held.len());
    held.clear();
    assert_eq!(fill(100), 400);
}
