//! Which endpoints may serve a request, and what each costs.

use std::time::Instant;

use crate::pool::{Endpoint, Role, Snapshot};
use crate::prefix::Matches;
use crate::prefix::precise::Runs;

use super::aim::Aim;
use super::ask::{Ask, Need, SubsetEntry};
use super::explain::Look;
use super::refusal::Refusal;
use super::{Scratch, cost};

/// An endpoint that may serve the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Position in the snapshot.
    pub(super) index: u32,
    /// Requests of ours that were in flight when it was looked at.
    pub(super) own: u32,
    /// Tokens at the start of the prompt that it was sent before.
    pub(super) held_tokens: u32,
    /// Of these, what it is expected to have in its cache.
    pub(super) cached_tokens: u32,
    /// Avoided while others are not.
    pub(super) failing: bool,
    /// Those of lower tiers are taken only when there are none of this.
    pub(super) tier: u32,
    /// So little is known of its kind that it is worth a try.
    pub(super) unknown: bool,
    /// Requests over useful batch.
    pub(super) busy: f32,
    /// Requests that it has, of whoever.
    pub(super) requests: f32,
    /// A slot is free, and no prompt is being computed.
    pub(super) at_once: bool,
    /// Seconds to the first token.
    pub(super) ttft: f32,
    /// Seconds that the picker compares.
    pub(super) cost: f32,
    /// Seconds to add if the model turns out to be an adapter.
    pub(super) adapter: f32,
}

impl Candidate {
    /// What candidates are ordered by: those that do not fail first, then by tier and cost.
    pub(super) fn rank(&self) -> (bool, u32, f32) {
        (self.failing, self.tier, self.cost)
    }

    /// Whether it comes before `other`.
    pub(super) fn beats(&self, other: &Self) -> bool {
        self.rank() < other.rank()
    }
}

/// Fills `scratch.candidates`, which is not empty afterwards. `looks` takes what each of them was judged by, in the same
/// order.
pub(super) fn collect(
    scratch: &mut Scratch,
    snapshot: &Snapshot,
    ask: &Ask<'_>,
    need: &Need,
    now: Instant,
    mut looks: Option<&mut Vec<Look>>,
) -> Result<(), Refusal> {
    let Scratch { indices, candidates, matches, runs } = scratch;
    let prefix = (&*matches, &*runs);
    candidates.clear();
    if let Some(looks) = &mut looks {
        looks.clear();
    }
    let aim = Aim::of(ask);
    let subset = ask.subset.map(|subset| in_subset(snapshot, subset, indices));
    let mut counts = Counts { enough: u64::MAX, ..Counts::default() };
    let mut offer_all = |counts: &mut Counts, candidates: &mut Vec<Candidate>| {
        let mut offer = |index: u32| {
            let at = index as usize;
            if snapshot.role(at) == ask.role {
                let place = (index, &snapshot.endpoints[at], looks.as_deref_mut());
                counts.offer(candidates, prefix, place, (need, &aim), now);
            }
        };
        match subset {
            None => (0..snapshot.endpoints.len() as u32).for_each(&mut offer),
            Some(indices) => indices.iter().copied().for_each(&mut offer),
        }
    };
    offer_all(&mut counts, candidates);
    if candidates.is_empty() && counts.may_be_wrong(need) {
        counts.enough = counts.roomiest;
        offer_all(&mut counts, candidates);
    }
    if candidates.is_empty() {
        return Err(counts.refusal(snapshot, ask.role, need));
    }
    for candidate in candidates.iter_mut() {
        if counts.is_adapter {
            candidate.cost += candidate.adapter;
            candidate.ttft += candidate.adapter;
        } else {
            candidate.adapter = 0.0;
        }
    }
    Ok(())
}

/// What was seen on the way.
#[derive(Default)]
struct Counts {
    too_small: u32,
    /// Prompt tokens that the largest of these takes.
    largest: u64,
    /// The same beside the answer that is asked for.
    roomiest: u64,
    /// Who has so much room is offered the request, however long it is.
    enough: u64,
    /// Some endpoint runs an adapter of the model's name.
    is_adapter: bool,
}

impl Counts {
    fn offer(
        &mut self,
        candidates: &mut Vec<Candidate>,
        (matches, runs): (&Matches, &Runs),
        (index, endpoint, looks): (u32, &Endpoint, Option<&mut Vec<Look>>),
        (need, aim): (&Need, &Aim<'_>),
        now: Instant,
    ) {
        if !endpoint.ready || !aim.allows(&endpoint.accelerator) {
            return;
        }
        let room = endpoint.room(need.answer_tokens);
        if u64::from(need.prompt_tokens) > room && room < self.enough {
            self.too_small += 1;
            self.largest = self.largest.max(endpoint.room(0));
            self.roomiest = self.roomiest.max(room);
            return;
        }
        let load = endpoint.slot.load(now);
        let held_tokens = need.held(matches, &endpoint.slot);
        let cached_tokens = need.cached(held_tokens, &endpoint.slot, runs);
        let profile = endpoint.profile();
        let parts = cost::parts(&profile, &load, &need.at(cached_tokens));
        if let Some(looks) = looks {
            looks.push(Look::at(&endpoint.slot, load, parts, now));
        }
        let device = (endpoint.accelerator.as_str(), endpoint.calibration.key().count);
        let adapter = need.adapter.map_or(0.0, |adapter| {
            let held = endpoint.slot.adapters();
            let held = held.as_deref();
            self.is_adapter |= held.is_some_and(|held| held.runs(adapter) || held.awaits(adapter));
            cost::adapter(held, adapter)
        });
        candidates.push(Candidate {
            index,
            own: load.own,
            held_tokens,
            cached_tokens,
            failing: endpoint.slot.is_failing(now),
            tier: aim.tier(device, &profile, &parts, load.requests() + 1.0),
            unknown: load.own + load.peers == 0 && endpoint.calibration.is_unknown(now),
            busy: load.requests() / profile.useful_batch,
            requests: load.requests(),
            at_once: parts.slot_wait <= 0.0 && parts.prefill_wait <= 0.0,
            ttft: parts.ttft(),
            cost: parts.total() * aim.factor(device, &profile),
            adapter,
        });
    }

    /// Some have too little room, by so little that the engine shall say so, or answer: tokens are estimated mostly, and what it refuses
    /// for its `max_tokens` it explains better.
    fn may_be_wrong(&self, need: &Need) -> bool {
        let most = self.largest.saturating_add(self.largest / 2);
        self.too_small > 0 && u64::from(need.prompt_tokens) <= most
    }

    fn refusal(&self, snapshot: &Snapshot, role: Role, need: &Need) -> Refusal {
        if self.too_small > 0 {
            return Refusal::DoesNotFit { prompt_tokens: need.prompt_tokens, largest: self.largest };
        }
        let mut endpoints = snapshot.endpoints.iter().enumerate();
        match endpoints.any(|(index, endpoint)| endpoint.ready && snapshot.role(index) == role) {
            true => Refusal::SubsetEmpty,
            false => Refusal::NoEndpoints,
        }
    }
}

/// The positions of the endpoints that `subset` names, each once, in order; kept in `indices`.
fn in_subset<'a>(snapshot: &Snapshot, subset: &[SubsetEntry], indices: &'a mut Vec<u32>) -> &'a [u32] {
    indices.clear();
    for entry in subset {
        let ip = entry.ip.to_canonical();
        let start = snapshot.endpoints.partition_point(|endpoint| endpoint.address().ip() < ip);
        let same = snapshot.endpoints[start..].iter().take_while(|endpoint| endpoint.address().ip() == ip);
        for (offset, endpoint) in same.enumerate() {
            if entry.port.is_none_or(|port| port == endpoint.address().port()) {
                indices.push((start + offset) as u32);
            }
        }
    }
    indices.sort_unstable();
    indices.dedup();
    indices
}
