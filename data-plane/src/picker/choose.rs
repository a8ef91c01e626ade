//! Which of the candidates it is.
//!
//! Estimates are not exact to a few percent, and other pickers see the same numbers. So the choice is not the least
//! cost but, among those that nearly cost the least, the least busy of a few drawn at random.

use super::candidates::Candidate;

/// Costs within this share, plus [`NEAR_SECONDS`], of the least are equal.
const NEAR_SHARE: f32 = 0.03;
const NEAR_SECONDS: f32 = 0.001;
/// One pick in this many tries an idle endpoint of a kind that is not known, if there is one.
const TRIES: usize = 16;
/// Kinds that are expected to take this many times as long are not tried.
const WORTH_TRYING: f32 = 32.0;
/// Near ties that are compared.
const DRAWN: usize = 3;

/// The best of some candidates, and those that nearly are.
pub(super) struct Near {
    best: Candidate,
    limit: f32,
}

impl Near {
    /// `candidates` is not empty.
    pub(super) fn of(candidates: &[Candidate]) -> Self {
        let mut best = candidates[0];
        for candidate in &candidates[1..] {
            if candidate.beats(&best) {
                best = *candidate;
            }
        }
        Self { best, limit: best.cost.mul_add(1.0 + NEAR_SHARE, NEAR_SECONDS) }
    }

    pub(super) fn has(&self, candidate: &Candidate) -> bool {
        let Self { best, limit } = self;
        (candidate.failing, candidate.tier) == (best.failing, best.tier) && candidate.cost <= *limit
    }
}

/// The position of the choice. `candidates` is not empty.
pub(super) fn first(candidates: &[Candidate], rng: &mut fastrand::Rng) -> usize {
    let near = Near::of(candidates);
    if let Some(index) = attempt(candidates, &near.best, rng) {
        return index;
    }

    // A reservoir: each of the near candidates is drawn with the same chance.
    let mut drawn = [0_usize; DRAWN];
    let mut seen = 0;
    for (index, candidate) in candidates.iter().enumerate() {
        if near.has(candidate) {
            let place = if seen < DRAWN { seen } else { rng.usize(..=seen) };
            if place < DRAWN {
                drawn[place] = index;
            }
            seen += 1;
        }
    }
    let drawn = &drawn[..seen.min(DRAWN)];
    let mut choice = drawn[0];
    let mut ties = 1;
    for index in &drawn[1..] {
        let (one, other) = (candidates[*index].busy, candidates[choice].busy);
        if one < other {
            (choice, ties) = (*index, 1);
        } else if one == other {
            ties += 1;
            if rng.usize(..ties) == 0 {
                choice = *index;
            }
        }
    }
    choice
}

/// An endpoint to learn from, now and then: what is thought to be slow is never picked, and what is never picked stays
/// thought to be slow.
fn attempt(candidates: &[Candidate], best: &Candidate, rng: &mut fastrand::Rng) -> Option<usize> {
    let worth = |candidate: &Candidate| {
        candidate.unknown && candidate.failing == best.failing && candidate.cost <= best.cost * WORTH_TRYING
    };
    let count = candidates.iter().filter(|candidate| worth(candidate)).count();
    if count == 0 || rng.usize(..TRIES) != 0 {
        return None;
    }
    let nth = rng.usize(..count);
    candidates.iter().enumerate().filter(|(_, candidate)| worth(candidate)).nth(nth).map(|(index, _)| index)
}

/// Names up to `count` others than `first` to `each`, best first. The order of `candidates` is lost.
pub(super) fn fallbacks(
    candidates: &mut Vec<Candidate>,
    first: usize,
    count: usize,
    mut each: impl FnMut(u32),
) {
    candidates.swap_remove(first);
    for place in 0..count.min(candidates.len()) {
        let mut best = place;
        for index in place + 1..candidates.len() {
            if candidates[index].beats(&candidates[best]) {
                best = index;
            }
        }
        candidates.swap(place, best);
        each(candidates[place].index);
    }
}
