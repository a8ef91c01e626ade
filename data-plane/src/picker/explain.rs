//! Why a pick comes out as it does: every endpoint of the pool with its verdict and its seconds by part.
//!
//! Allocates and looks at all endpoints; for debugging, not for the path of requests.

use std::net::SocketAddr;
use std::time::Instant;

use crate::pool::{Endpoint, Freshness, Load, Pool};

use super::SubsetEntry;
use super::ask::{Ask, Need};
use super::cost::{self, Parts};
use crate::accelerator::policy;
use crate::prefix::Matches;
use crate::prefix::precise::Runs;

/// What the picker thinks of one endpoint for one request.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Where it is.
    pub address: SocketAddr,
    /// Canonical accelerator class; empty when unknown.
    pub accelerator: String,
    /// Whether it may be picked.
    pub verdict: Verdict,
    /// How far its metrics can be trusted.
    pub freshness: Freshness,
    /// Its load.
    pub load: Load,
    /// Prompt tokens that it is expected to have in its cache.
    pub cached_tokens: u32,
    /// Its cost in seconds.
    pub parts: Parts,
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

/// Every endpoint of `pool` as a pick for `ask` at `now` would see it: those that may be picked first, by cost.
#[must_use]
pub fn explain(pool: &Pool, ask: &Ask<'_>, now: Instant) -> Vec<Explained> {
    let snapshot = pool.peek();
    let need = Need::of(ask, &snapshot.usual);
    let mut matches = Matches::default();
    pool.prefixes().lookup(ask.blocks, &mut matches);
    let mut runs = Runs::default();
    pool.precise().lookup(&ask.token_prompt(), &mut runs);
    let holds = |endpoint: &Endpoint| {
        let adapters = endpoint.slot.adapters();
        need.adapter.zip(adapters.as_deref()).is_some_and(|(id, held)| held.runs(id) || held.awaits(id))
    };
    let is_adapter = snapshot.endpoints.iter().any(holds);
    let mut explained: Vec<Explained> = snapshot
        .endpoints
        .iter()
        .enumerate()
        .map(|(index, endpoint)| {
            let load = endpoint.slot.load(now);
            let cached_tokens = need.cached(need.held(&matches, &endpoint.slot), &endpoint.slot, &runs);
            let mut parts = cost::parts(&endpoint.profile(), &load, &need.at(cached_tokens));
            if let Some(adapter) = need.adapter.filter(|_| is_adapter) {
                parts.adapter = cost::adapter(endpoint.slot.adapters().as_deref(), adapter);
            }
            Explained {
                address: endpoint.address(),
                accelerator: endpoint.accelerator.clone(),
                verdict: match snapshot.role(index) == ask.role {
                    true => verdict(endpoint, ask, now),
                    false => Verdict::OtherRole,
                },
                freshness: endpoint.slot.freshness(now),
                load,
                cached_tokens,
                parts,
            }
        })
        .collect();
    explained.sort_by(|a, b| {
        (a.verdict as u8, a.parts.total())
            .partial_cmp(&(b.verdict as u8, b.parts.total()))
            .expect("costs are finite")
    });
    explained
}

fn verdict(endpoint: &Endpoint, ask: &Ask<'_>, now: Instant) -> Verdict {
    let address = endpoint.address();
    let names = |entry: &SubsetEntry| {
        entry.ip.to_canonical() == address.ip() && entry.port.is_none_or(|port| port == address.port())
    };
    if !endpoint.ready {
        Verdict::Draining
    } else if ask.subset.is_some_and(|subset| !subset.iter().any(names)) {
        Verdict::OutsideSubset
    } else if !policy::allows(policy::required(ask.wishes, ask.policy), &endpoint.accelerator) {
        Verdict::OtherClass
    } else if u64::from(ask.prompt_tokens) > endpoint.room() {
        Verdict::DoesNotFit
    } else if endpoint.slot.is_failing(now) {
        Verdict::Failing
    } else {
        Verdict::Candidate
    }
}
