//! Any order of events, lost batches, replays, reconnections and restarts.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::*;
use super::{name, removed, runs, stored};

/// Blocks by their path, and the media that hold them.
type Held = BTreeMap<Vec<u8>, u8>;

fn bit(medium: Medium) -> u8 {
    if medium == Medium::Gpu { 1 } else { 2 }
}

fn run_of(held: &Held, path: &[u8]) -> u32 {
    (1..=path.len()).take_while(|end| held.contains_key(&path[..*end])).count() as u32
}

fn take_out(held: &mut Held, path: &[u8], medium: Medium) {
    if let Some(media) = held.get_mut(path) {
        *media &= !bit(medium);
        if *media == 0 {
            held.remove(path);
        }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Store { path: Vec<u8>, from: usize, medium: Medium },
    Remove { path: Vec<u8>, medium: Medium },
    Clear,
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0_u8..2, 1..7)
}

fn change() -> impl Strategy<Value = Change> {
    let medium = || prop_oneof![3 => Just(Medium::Gpu), 1 => Just(Medium::Cpu)];
    prop_oneof![
        10 => (path(), 0_usize..7, medium())
            .prop_map(|(path, from, medium)| Change::Store { from: from % path.len(), path, medium }),
        6 => (path(), medium()).prop_map(|(path, medium)| Change::Remove { path, medium }),
        1 => Just(Change::Clear),
    ]
}

fn event(change: &Change, seed: u64) -> Event {
    match change {
        Change::Store { path, from, medium } => stored(path, *from, seed, *medium),
        Change::Remove { path, medium } => removed(path, seed, *medium),
        Change::Clear => Event::Cleared,
    }
}

/// A mirror knows a block while it or one behind it is held; what follows an unknown one is not taken in.
fn apply(held: &mut Held, change: &Change) {
    match change {
        Change::Store { path, from, medium } => {
            let parent = &path[..*from];
            if *from == 0 || held.keys().any(|known| known.starts_with(parent)) {
                (*from..path.len())
                    .for_each(|end| *held.entry(path[..=end].to_vec()).or_default() |= bit(*medium));
            }
        }
        Change::Remove { path, medium } => take_out(held, path, *medium),
        Change::Clear => held.clear(),
    }
}

fn all_paths() -> Vec<Vec<u8>> {
    (0_u8..64).map(|bits| (0..6).map(|place| bits >> place & 1).collect()).collect()
}

#[derive(Debug, Clone)]
enum Happening {
    /// The engine does this, and the batch is published; it is lost on the way or not.
    Does(Change, bool),
    /// The connection is made anew.
    Reconnects,
    /// The engine starts anew.
    Restarts,
}

/// An engine, the batches that it has kept, and the one who follows it.
struct World {
    truth: Held,
    kept: Vec<(u64, Change)>,
    number: u64,
    keeps: usize,
    seed: u64,
    sequence: Sequence,
    last: Option<(u64, u64)>,
}

impl World {
    /// What an engine can do: store behind what it holds, and remove what it holds.
    fn can(&self, change: &Change) -> bool {
        match change {
            Change::Store { path, from, .. } => *from == 0 || self.truth.contains_key(&path[..*from]),
            Change::Remove { path, medium } => {
                self.truth.get(path.as_slice()).is_some_and(|media| media & bit(*medium) != 0)
            }
            Change::Clear => true,
        }
    }

    fn take(&mut self, mirror: &Mirror, number: u64, step: Step, change: &Change) {
        match step {
            Step::Apply => {}
            Step::Old | Step::Replay { .. } => return,
            Step::Lost | Step::Restarted => mirror.clear(),
        }
        let applied = mirror.apply(&[event(change, self.seed)]);
        if applied.cleared {
            self.sequence.emptied();
        }
        if applied.dropped > 0 {
            self.sequence.incomplete();
        }
        self.last = Some((number, self.seed));
    }

    fn replay(&mut self, mirror: &Mirror, from: u64) {
        for (number, change) in self.kept.clone().iter().filter(|(number, _)| *number >= from) {
            let step = self.sequence.replayed(*number);
            self.take(mirror, *number, step, change);
        }
    }

    fn happens(&mut self, mirror: &Mirror, happening: &Happening) {
        match happening {
            Happening::Does(change, arrives) => {
                if !self.can(change) {
                    return;
                }
                apply(&mut self.truth, change);
                let number = self.number;
                self.number += 1;
                self.kept.push((number, change.clone()));
                self.kept.drain(..self.kept.len().saturating_sub(self.keeps));
                if *arrives {
                    let mut step = self.sequence.live(number);
                    if let Step::Replay { from } = step {
                        self.replay(mirror, from);
                        step = self.sequence.replayed(number);
                    }
                    self.take(mirror, number, step, change);
                }
            }
            Happening::Reconnects | Happening::Restarts => {
                if matches!(happening, Happening::Restarts) {
                    (self.number, self.seed) = (0, self.seed + 1);
                    self.kept.clear();
                    self.truth.clear();
                }
                self.sequence.connected();
                if self.last.is_some_and(|(_, seed)| seed != self.seed) {
                    mirror.clear();
                    self.sequence = Sequence::default();
                    self.last = None;
                }
                let from = self.last.map_or(0, |(number, _)| number);
                self.replay(mirror, from);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_order_of_events_ends_as_in_the_naive_model(
        changes in prop::collection::vec((0_usize..3, change()), 1..60),
    ) {
        let precise = Precise::default();
        let mirrors: Vec<_> = (0..3).map(|_| precise.mirror().unwrap()).collect();
        let mut naive = vec![Held::default(); 3];
        for (endpoint, change) in &changes {
            mirrors[*endpoint].apply(&[event(change, *endpoint as u64)]);
            apply(&mut naive[*endpoint], change);
        }
        let all: Vec<_> = mirrors.iter().collect();
        for path in all_paths() {
            let expected: Vec<_> = naive.iter().map(|held| run_of(held, &path)).collect();
            prop_assert_eq!(runs(&precise, &all, &path), expected);
        }
        let lengths = |held: &Held| held.len();
        prop_assert_eq!(
            mirrors.iter().map(Mirror::len).collect::<Vec<_>>(),
            naive.iter().map(lengths).collect::<Vec<_>>()
        );
        drop(mirrors);
        let next = precise.mirror().unwrap();
        for path in all_paths() {
            prop_assert_eq!(runs(&precise, &[&next], &path), [0], "nothing is left behind");
        }
    }

    #[test]
    fn after_losses_replays_and_restarts_a_complete_mirror_is_the_truth_and_another_no_more_than_it(
        happenings in prop::collection::vec(
            prop_oneof![
                20 => (change(), prop::bool::weighted(0.8)).prop_map(|(c, arrives)| Happening::Does(c, arrives)),
                1 => Just(Happening::Reconnects),
                1 => Just(Happening::Restarts),
            ],
            1..80,
        ),
        keeps in 1_usize..12,
    ) {
        let precise = Precise::default();
        let mirror = precise.mirror().unwrap();
        let (truth, sequence) = (Held::default(), Sequence::default());
        let mut world = World { truth, kept: Vec::new(), number: 0, keeps, seed: 0, sequence, last: None };
        happenings.iter().for_each(|happening| world.happens(&mirror, happening));
        // Whatever was lost last is noticed with the next batch.
        world.happens(&mirror, &Happening::Does(Change::Store { path: vec![1], from: 0, medium: Medium::Gpu }, true));
        for path in all_paths() {
            let (run, truth) = (runs(&precise, &[&mirror], &path)[0], run_of(&world.truth, &path));
            match world.sequence.is_complete() {
                true => prop_assert_eq!(run, truth),
                false => prop_assert!(run <= truth, "{} of {}", run, truth),
            }
        }
    }
}

#[test]
fn names_depend_on_the_seed() {
    assert_ne!(name(b"a", 0), name(b"a", 1));
}
