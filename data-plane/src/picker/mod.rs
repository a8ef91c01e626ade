//! The choice of endpoint, in expected seconds.
//!
//! ```text
//! snapshot ∩ subset ∩ ready ∩ fits ─ candidates ─▶ cost (seconds, per part) ─▶ choose ─▶ claim ─▶ Pick
//!                                                                                │ taken meanwhile: again
//!                                                                                └ then fallbacks, by cost
//! ```
//!
//! Nothing is locked but single blocks of the prefix index, and nothing is allocated per endpoint: costs go to a scratch
//! that each thread keeps.

mod aim;
mod ask;
mod candidates;
mod choose;
mod cost;
pub mod explain;
mod refusal;
#[cfg(test)]
pub(crate) mod tests;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::outcome::{Expected, InflightGuard, Outcome};
use crate::pool::{Pool, Snapshot, Work};
use crate::prefix::Matches;
use crate::prefix::precise::{Runs, Trust};

pub use aim::{Aimed, Tier};
pub use ask::{Ask, SubsetEntry, expected_output};
pub use cost::Parts;
pub use refusal::Refusal;

use ask::Need;
use candidates::Candidate;
use explain::{Explanation, Want};

/// Endpoints named after the first choice.
const FALLBACKS: usize = 3;
/// How often a pick is made again because another one took the endpoint between look and claim. The last claim stands.
const REPICKS: u32 = 2;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Kept between picks so that they do not allocate.
#[derive(Default)]
struct Scratch {
    indices: Vec<u32>,
    candidates: Vec<Candidate>,
    matches: Matches,
    runs: Runs,
}

impl Scratch {
    /// Finds who holds the beginning of the prompt.
    fn look_up(&mut self, pool: &Pool, ask: &Ask<'_>) {
        pool.prefixes().lookup(ask.blocks, &mut self.matches);
        pool.precise().lookup(&ask.token_prompt(), &mut self.runs);
    }
}

/// Where a request goes.
#[derive(Debug)]
pub struct Pick {
    /// The choice, then fallbacks in order.
    pub endpoints: SmallVec<[SocketAddr; 4]>,
    /// Holds the request's account until it is dropped.
    pub outcome: Outcome,
    /// Expected time to the first token at the choice.
    pub expected_ttft: Duration,
    /// Prompt tokens that the choice is expected to have in its cache.
    pub cached_tokens: u32,
}

/// Chooses an endpoint of `pool` for `ask` and counts the request there at once.
///
/// # Errors
/// No endpoint can take the request; the refusal names the reason.
pub fn pick(pool: &Arc<Pool>, ask: &Ask<'_>, now: Instant, rng: &mut fastrand::Rng) -> Result<Pick, Refusal> {
    pick_explained(pool, ask, now, rng, &mut Explanation::of(Want::Nothing))
}

/// Like [`pick`]; `explanation` is filled with what it wants, from the same snapshot and the same numbers.
///
/// # Errors
/// As [`pick`].
pub fn pick_explained(
    pool: &Arc<Pool>,
    ask: &Ask<'_>,
    now: Instant,
    rng: &mut fastrand::Rng,
    explanation: &mut Explanation,
) -> Result<Pick, Refusal> {
    let snapshot = pool.peek();
    SCRATCH.with_borrow_mut(|scratch| {
        let picked = pick_in(scratch, pool, &snapshot, ask, (now, rng), explanation);
        if picked.is_err() {
            explanation.refused(&snapshot, ask, (&scratch.matches, &scratch.runs), now);
        }
        picked
    })
}

fn pick_in(
    scratch: &mut Scratch,
    pool: &Arc<Pool>,
    snapshot: &Snapshot,
    ask: &Ask<'_>,
    (now, rng): (Instant, &mut fastrand::Rng),
    explanation: &mut Explanation,
) -> Result<Pick, Refusal> {
    let need = Need::of(ask, &snapshot.usual);
    scratch.look_up(pool, ask);
    let mut repicks = 0;
    loop {
        candidates::collect(scratch, snapshot, ask, &need, now, explanation.looks())?;
        let first = choose::first(&scratch.candidates, rng);
        let candidates = &mut scratch.candidates;
        let choice = candidates[first];
        let endpoint = &snapshot.endpoints[choice.index as usize];
        let need = need.at(choice.cached_tokens);
        let work = Work {
            prompt_tokens: need.prompt_tokens,
            prefill_tokens: need.prefill_tokens,
            decode_tokens: need.decode_tokens,
        };
        let (mut guard, before) = InflightGuard::claim(Arc::clone(&endpoint.slot), work);
        if before > choice.own && repicks < REPICKS {
            repicks += 1;
            pool.counters().repicks.fetch_add(1, Relaxed);
            continue;
        }
        explanation.picked(snapshot, ask, (&scratch.matches, &scratch.runs), candidates, Some(first), now);
        let prefill = cost::prefill(&endpoint.profile(), &need);
        guard.queue(Duration::from_secs_f32(prefill), now);
        let mut endpoints = SmallVec::new();
        endpoints.push(endpoint.address());
        choose::fallbacks(candidates, first, FALLBACKS, |index| {
            endpoints.push(snapshot.endpoints[index as usize].address());
        });
        // At once, so that the next request with the same beginning finds it, even before this one is computed.
        if let Some(held) = endpoint.slot.held() {
            held.record(ask.blocks, ask.block_tokens, endpoint.slot.kv_tokens());
        }
        let expected_ttft = Duration::from_secs_f32(choice.ttft);
        let expected = Expected {
            ttft: choice.ttft,
            tokens: need.prefill_tokens,
            batch: choice.requests + 1.0,
            at_once: choice.at_once,
            stream: ask.stream,
        };
        let mut outcome = Outcome::new(Arc::clone(pool), guard, now, expected).expecting(choice.held_tokens);
        if let Some(mirror) = endpoint.slot.mirror().filter(|mirror| mirror.trust() > Trust::Off) {
            let keys = scratch.runs.keys(mirror.block_size());
            outcome.computing((!keys.is_empty()).then(|| mirror.expect(keys)));
        }
        return Ok(Pick { endpoints, outcome, expected_ttft, cached_tokens: choice.cached_tokens });
    }
}
