//! Why a pick comes out as it does: every endpoint of the pool with its verdict and its seconds by part.
//!
//! ```text
//! collect ─ looks (load and parts of each candidate) ─▶ choose, claim ─▶ Explanation: candidates as they were judged,
//!                                                                        then the others, each with its verdict
//! ```
//! An explanation is made of the numbers that the pick compared, not of a second look: who is a candidate, and at what
//! cost, is taken from the pick itself. Endpoints that were no candidates get their load at the same moment.
//!
//! Allocates per endpoint, for picks that are explained only.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::pool::{Endpoint, Freshness, Load, Pool, Slot, Snapshot};
use crate::prefix::Matches;
use crate::prefix::precise::Runs;

use super::aim::{Aim, Aimed, Tier};
use super::ask::{Ask, Need};
use super::candidates::{self, Candidate};
use super::choose::Near;
use super::cost::{self, Parts};
use super::{Scratch, SubsetEntry};

/// What the picker thinks of one endpoint for one request.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Where it is.
    pub address: SocketAddr,
    /// Name of its Pod; empty when unknown.
    pub pod: String,
    /// Canonical accelerator class; empty when unknown.
    pub accelerator: String,
    /// Whether it may be picked.
    pub verdict: Verdict,
    /// How far its metrics can be trusted.
    pub freshness: Freshness,
    /// Age of its last reading.
    pub age: Option<Duration>,
    /// Its load.
    pub load: Load,
    /// Prompt tokens that it is expected to have in its cache.
    pub cached_tokens: u32,
    /// Its cost in seconds.
    pub parts: Parts,
    /// Endpoints of other tiers come before or after it, whatever the seconds.
    pub tier: Tier,
    /// What is compared within its tier: the seconds, times a factor of its price where seconds and dollars are balanced.
    pub cost: f32,
    /// Its cost is so near to the least that the two are equal.
    pub near: bool,
}

/// Whether an endpoint may be picked, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// May be picked.
    Candidate,
    /// May be picked if all others fail too.
    Failing,
    /// Finishes what it has.
    Draining,
    /// It does another part of the work.
    OtherRole,
    /// The request is limited to others.
    OutsideSubset,
    /// The request is limited to other classes of accelerators.
    OtherClass,
    /// The prompt is larger than its KV cache, or than its context.
    DoesNotFit,
}

impl Verdict {
    /// Its name in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Failing => "failing",
            Self::Draining => "draining",
            Self::OtherRole => "other_role",
            Self::OutsideSubset => "outside_subset",
            Self::OtherClass => "other_class",
            Self::DoesNotFit => "does_not_fit",
        }
    }
}

/// How the choice came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It costs the least, by far.
    Least,
    /// One of this many that nearly cost the least: the least busy of a few drawn at random.
    NearTie(usize),
    /// So little is known of its kind that it is worth a try.
    Trial,
}

/// What an explanation is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Nothing; nothing is allocated.
    Nothing,
    /// The endpoints, if the pick is refused; nothing is allocated if it is not.
    Refusals,
    /// The endpoints.
    All,
}

/// A pick for people.
#[derive(Debug)]
pub struct Explanation {
    want: Want,
    looks: Vec<Look>,
    /// What was optimised.
    pub aimed: Option<Aimed>,
    /// How the choice came about; None of a refusal.
    pub how: Option<How>,
    /// Every endpoint: those that may be picked first, best first.
    pub endpoints: Vec<Explained>,
}

/// What a candidate was judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    load: Load,
    parts: Parts,
    freshness: Freshness,
    age: Option<Duration>,
}

impl Look {
    pub(super) fn at(slot: &Slot, load: Load, parts: Parts, now: Instant) -> Self {
        Self { load, parts, freshness: slot.freshness(now), age: slot.age(now) }
    }
}

impl Explanation {
    /// An empty one.
    #[must_use]
    pub fn of(want: Want) -> Self {
        Self { want, looks: Vec::new(), aimed: None, how: None, endpoints: Vec::new() }
    }

    pub(super) fn looks(&mut self) -> Option<&mut Vec<Look>> {
        (self.want == Want::All).then_some(&mut self.looks)
    }

    /// The pick chose the candidate at `first`, or would choose one of `candidates`.
    pub(super) fn picked(
        &mut self,
        snapshot: &Snapshot,
        ask: &Ask<'_>,
        prefix: (&Matches, &Runs),
        candidates: &[Candidate],
        first: Option<usize>,
        now: Instant,
    ) {
        if self.want == Want::All {
            self.how = first.map(|first| how(candidates, first));
            self.fill(snapshot, ask, prefix, candidates, now);
        }
    }

    /// The pick found no candidate.
    pub(super) fn refused(
        &mut self,
        snapshot: &Snapshot,
        ask: &Ask<'_>,
        prefix: (&Matches, &Runs),
        now: Instant,
    ) {
        if self.want != Want::Nothing {
            self.looks.clear();
            self.fill(snapshot, ask, prefix, &[], now);
        }
    }

    fn fill(
        &mut self,
        snapshot: &Snapshot,
        ask: &Ask<'_>,
        (matches, runs): (&Matches, &Runs),
        candidates: &[Candidate],
        now: Instant,
    ) {
        let aim = Aim::of(ask);
        let need = Need::of(ask, &snapshot.usual);
        let near = (!candidates.is_empty()).then(|| Near::of(candidates));
        self.endpoints = Vec::with_capacity(snapshot.endpoints.len());
        let mut known = vec![false; snapshot.endpoints.len()];
        for (candidate, look) in candidates.iter().zip(&self.looks) {
            let endpoint = &snapshot.endpoints[candidate.index as usize];
            known[candidate.index as usize] = true;
            let mut look = *look;
            look.parts.adapter = candidate.adapter;
            let verdict = if candidate.failing { Verdict::Failing } else { Verdict::Candidate };
            let mut one = explained(endpoint, verdict, look, candidate.cached_tokens);
            one.tier = Tier::of(candidate.tier);
            one.cost = candidate.cost;
            one.near = near.as_ref().is_some_and(|near| near.has(candidate));
            self.endpoints.push(one);
        }
        let others = snapshot.endpoints.iter().enumerate().filter(|(index, _)| !known[*index]);
        for (index, endpoint) in others {
            let load = endpoint.slot.load(now);
            let cached = need.cached(need.held(matches, &endpoint.slot), &endpoint.slot, runs);
            let parts = cost::parts(&endpoint.profile(), &load, &need.at(cached));
            let look = Look::at(&endpoint.slot, load, parts, now);
            let is_role = snapshot.role(index) == ask.role;
            self.endpoints.push(explained(endpoint, excluded(endpoint, is_role, ask, &aim), look, cached));
        }
        self.endpoints.sort_by(|a, b| {
            let rank = |one: &Explained| (one.verdict as u8, one.tier.misses, one.tier.place);
            rank(a)
                .cmp(&rank(b))
                .then(a.tier.dollars.total_cmp(&b.tier.dollars))
                .then(a.cost.total_cmp(&b.cost))
        });
        self.aimed = Some(aim.told());
    }
}

/// Every endpoint of `pool` as a pick for `ask` at `now` would see it: those that may be picked first, by tier and cost.
#[must_use]
pub fn explain(pool: &Pool, ask: &Ask<'_>, now: Instant) -> Explanation {
    let snapshot = pool.peek();
    let need = Need::of(ask, &snapshot.usual);
    let mut scratch = Scratch::default();
    scratch.look_up(pool, ask);
    let mut explanation = Explanation::of(Want::All);
    // Why there is no candidate is in the verdicts.
    let _refusal = candidates::collect(&mut scratch, &snapshot, ask, &need, now, explanation.looks());
    explanation.picked(&snapshot, ask, (&scratch.matches, &scratch.runs), &scratch.candidates, None, now);
    explanation
}

fn explained(endpoint: &Endpoint, verdict: Verdict, look: Look, cached_tokens: u32) -> Explained {
    let Look { load, parts, freshness, age } = look;
    Explained {
        address: endpoint.address(),
        pod: endpoint.pod.clone(),
        accelerator: endpoint.accelerator.clone(),
        verdict,
        freshness,
        age,
        load,
        cached_tokens,
        parts,
        tier: Tier::default(),
        cost: parts.total(),
        near: false,
    }
}

fn how(candidates: &[Candidate], first: usize) -> How {
    let near = Near::of(candidates);
    match candidates.iter().filter(|candidate| near.has(candidate)).count() {
        _ if !near.has(&candidates[first]) => How::Trial,
        1 => How::Least,
        count => How::NearTie(count),
    }
}

/// Why the pick did not take `endpoint` for a candidate, in the order in which it looks.
fn excluded(endpoint: &Endpoint, is_role: bool, ask: &Ask<'_>, aim: &Aim<'_>) -> Verdict {
    let address = endpoint.address();
    let names = |entry: &SubsetEntry| {
        entry.ip.to_canonical() == address.ip() && entry.port.is_none_or(|port| port == address.port())
    };
    if !is_role {
        Verdict::OtherRole
    } else if !endpoint.ready {
        Verdict::Draining
    } else if ask.subset.is_some_and(|subset| !subset.iter().any(names)) {
        Verdict::OutsideSubset
    } else if !aim.allows(&endpoint.accelerator) {
        Verdict::OtherClass
    } else {
        Verdict::DoesNotFit
    }
}

#[cfg(test)]
mod tests;
